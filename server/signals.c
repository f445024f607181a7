#include "server.h"

#include <signal.h>
#include <unistd.h>

/* Nothing acknowledged is lost by leaving at once, so the exit code says the same as an orderly
 * stop. */
static void leave(int number)
{
    (void)number;
    _exit(0);
}

static void on_stop(evutil_socket_t number, short what, void *user)
{
    struct server *s = user;

    (void)what;
    wk_log_say(s->log, WKIM_LOG_INFO, "stopping", "signal=%d", (int)number);
    (void)event_base_loopexit(s->base, NULL);
}

static void on_reload(evutil_socket_t number, short what, void *user)
{
    (void)number;
    (void)what;
    wk_reload(user);
}

static void on_stats(evutil_socket_t number, short what, void *user)
{
    (void)number;
    (void)what;
    wk_banner_stats(user);
}

int wk_signals_start(struct server *s)
{
    static const int numbers[4] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    const event_callback_fn calls[4] = {on_stop, on_stop, on_reload, on_stats};

    (void)signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 4; i++) {
        s->signals[i] = evsignal_new(s->base, numbers[i], calls[i], s);
        if (!s->signals[i] || event_add(s->signals[i], NULL) != 0)
            return -1;
    }
    return 0;
}

void wk_signals_stop(struct server *s)
{
    for (int i = 0; i < 4; i++)
        if (s->signals[i])
            event_free(s->signals[i]);
    (void)signal(SIGTERM, leave);
    (void)signal(SIGINT, leave);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGUSR1, SIG_IGN);
}
