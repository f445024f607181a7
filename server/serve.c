#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log_line.h"
#include "process.h"

#define STOP_MS 10000 /* for the node to flush and hand over */

static uint64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int bind_listeners(struct server *s, wkim_error *err)
{
    struct {
        struct wk_accept **out;
        const char *key;
    } rows[] = {{&s->tcp, "addr"}, {&s->tls, "tlsAddr"}, {&s->ws, "wsAddr"}, {&s->wss, "wssAddr"}};
    int rc = WKIM_OK;

    for (size_t i = 0; rc == WKIM_OK && i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *address = wkim_config_get(s->config, rows[i].key);

        if (*address)
            rc = wk_accept_bind(rows[i].out, rows[i].key, address, err);
    }
    return rc;
}

static int open_listeners(struct server *s, wkim_error *err)
{
    int rc = WKIM_OK;

    if (s->tcp)
        rc = wk_tcp_start(s, err);
    if (rc == WKIM_OK && s->tls)
        rc = wk_tls_start(&s->tls_conns, s, err);
    if (rc == WKIM_OK && (s->ws || s->wss))
        rc = wk_ws_start(&s->ws_conns, s, err);
    return rc;
}

static void say_error(struct server *s, const wkim_error *err)
{
    char text[600];

    fprintf(stderr, "wkim-server: %s\n", err->text);
    if (s->log)
        wk_log_say(s->log, WKIM_LOG_ERROR, "failed", "code=%s text=%s", wkim_err_name(err->code),
                   wk_log_line_quote(err->text, text, sizeof(text)));
}

/* What a waiting node waits for: after 1, 5, 15 seconds, then each minute. */
static void say_waiting(struct server *s)
{
    int waited = (int)((now_ms() - s->started_ms) / 1000);
    int next = s->waited_s < 1 ? 1 : s->waited_s < 5 ? 5 : s->waited_s < 15 ? 15 : s->waited_s + 60;
    uint32_t total = 0, ready;

    if (waited < next)
        return;
    s->waited_s = next;
    ready = wkim_node_slots_ready(s->node, &total);
    wk_log_say(s->log, WKIM_LOG_WARN, "not_ready", "seconds=%d slots=%u/%u", waited, ready, total);
}

static void on_ready_timer(evutil_socket_t fd, short what, void *user)
{
    struct server *s = user;
    wkim_error err = {0};

    (void)fd;
    (void)what;
    if (!wkim_node_ready(s->node)) {
        say_waiting(s);
        return;
    }
    (void)event_del(s->ready_timer);
    if (open_listeners(s, &err) != WKIM_OK) {
        say_error(s, &err);
        s->exit_code = 1;
        (void)event_base_loopexit(s->base, NULL);
        return;
    }
    wk_http_serving(s->http);
    wk_banner_ready(s);
    if (s->options->pingback && wk_process_pingback(s->options->pingback) != 0)
        wk_log_say(s->log, WKIM_LOG_WARN, "pingback_failed", "addr=%s", s->options->pingback);
}

static int start_node(struct server *s, wkim_error *err)
{
    static const struct timeval tick = {0, 10000};
    int rc = wkim_node_new(&s->node, s->config, err);

    if (rc != WKIM_OK)
        return rc;
    wkim_node_set_log(s->node, wk_log_level(s->log), wk_log_event, s->log);
    rc = wk_out_start(&s->out, s->node, s->config, s->log, err);
    if (rc == WKIM_OK)
        rc = wk_out_source_start(&s->out_source, s->node, s->config, err);
    if (rc == WKIM_OK)
        rc = wkim_node_start(s->node, err);
    if (rc == WKIM_OK)
        rc = wk_http_start(&s->http, s->node, s->config, err);
    if (rc != WKIM_OK)
        return rc;
    wk_http_set_warnings(s->http, s->problems.warnings);
    wk_http_set_out(s->http, s->out);
    s->ready_timer = event_new(s->base, -1, EV_PERSIST, on_ready_timer, s);
    if (!s->ready_timer || event_add(s->ready_timer, &tick) != 0 || wk_signals_start(s) != 0) {
        err->code = WKIM_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "out of memory");
        return WKIM_ENOMEM;
    }
    return WKIM_OK;
}

static int start(struct server *s, wkim_error *err)
{
    int rc = wk_process_folders(s->config, err);

    if (rc == WKIM_OK)
        rc = wk_process_lock(s->config, &s->lock_fd, err);
    if (rc == WKIM_OK)
        rc = wk_process_pid_write(s->config, err);
    if (rc == WKIM_OK)
        rc = wk_log_open(&s->log, s->config, s->options->no_stdout, err);
    if (rc != WKIM_OK)
        return rc;
    wk_process_raise_limits();
    wk_external_fill(s->config, s->log);
    wk_banner_start(s);
    s->base = event_base_new();
    if (!s->base || wk_trust_init(&s->trust, s->config) != WKIM_OK) {
        err->code = WKIM_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "out of memory");
        return WKIM_ENOMEM;
    }
    rc = bind_listeners(s, err);
    return rc == WKIM_OK ? start_node(s, err) : rc;
}

/* Clients are told last: their connections end when nothing of theirs is under way any more. */
static void stop(struct server *s)
{
    wk_signals_stop(s);
    wk_accept_free(s->tcp);
    wk_accept_free(s->tls);
    wk_accept_free(s->ws);
    wk_accept_free(s->wss);
    wk_ws_closing(s->ws_conns);
    wk_http_stop(s->http);
    if (s->node)
        (void)wkim_node_stop(s->node, STOP_MS);
    wk_out_stop(s->out);
    wk_out_source_stop(s->out_source);
    wk_ws_stop(s->ws_conns);
    for (int i = 0; i < 4 && s->tls_conns; i++)
        (void)event_base_loop(s->base, EVLOOP_NONBLOCK);
    wk_tls_stop(s->tls_conns);
    if (s->node)
        wkim_node_free(s->node);
    if (s->ready_timer)
        event_free(s->ready_timer);
    if (s->base)
        event_base_free(s->base);
    wk_trust_fini(&s->trust);
    if (s->lock_fd >= 0)
        wk_process_pid_remove(s->config);
    if (s->log)
        wk_log_say(s->log, WKIM_LOG_INFO, "stopped", "exit=%d", s->exit_code);
    wk_log_close(s->log);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
}

int wk_serve(struct server *s)
{
    wkim_error err = {0};

    s->lock_fd = -1;
    s->started_ms = now_ms();
    if (start(s, &err) != WKIM_OK) {
        say_error(s, &err);
        s->exit_code = err.code == WKIM_ECONFIG ? 78 : 1;
    } else {
        (void)event_base_dispatch(s->base);
    }
    stop(s);
    return s->exit_code;
}
