#include "event/event.h"
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

struct wk_loop {
    struct wk_shard *shard;
    struct event_base *base;
    struct event *wake_event, *timer_event;
    uint64_t timer_at_ms;
    int wake_fd;
    pthread_t thread;
    bool started;
    bool slept;          /* the shard's clock is of before the wait */
    _Atomic bool stop;
};

static void wake(void *user)
{
    const struct wk_loop *l = user;
    uint64_t one = 1;
    ssize_t rc = write(l->wake_fd, &one, sizeof(one));
    (void)rc; /* a full counter wakes as well */
}

static void on_wake(evutil_socket_t fd, short what, void *user)
{
    uint64_t n;
    (void)what;
    (void)user;
    ssize_t rc = read(fd, &n, sizeof(n));
    (void)rc;
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
    struct wk_loop *l = user;
    (void)fd;
    (void)what;
    l->timer_at_ms = UINT64_MAX;
}

int wk_loop_new(struct wk_loop **out, struct wk_shard *shard, struct wkim_error *err)
{
    struct wk_loop *l = wk_calloc(1, sizeof(*l));

    if (!l)
        return wk_fail(err, WKIM_ENOMEM, "event loop: out of memory");
    l->shard = shard;
    l->timer_at_ms = UINT64_MAX;
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct event_config *cfg = event_config_new();
    if (cfg) {
        /* One thread owns the base: no locks. */
        event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
        l->base = event_base_new_with_config(cfg);
        event_config_free(cfg);
    }
    if (l->base && l->wake_fd >= 0) {
        l->wake_event = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
        l->timer_event = evtimer_new(l->base, on_timer, l);
    }
    if (!l->wake_event || !l->timer_event || event_add(l->wake_event, NULL) != 0) {
        wk_loop_free(l);
        return wk_fail(err, WKIM_EIO, "event loop: %s", strerror(errno));
    }
    wk_shard_set_wake(shard, wake, l);
    *out = l;
    return WKIM_OK;
}

static void arm(struct wk_loop *l, uint64_t now_ms, uint64_t at_ms)
{
    if (at_ms == l->timer_at_ms)
        return;
    if (at_ms == UINT64_MAX) {
        evtimer_del(l->timer_event);
    } else {
        uint64_t wait = at_ms > now_ms ? at_ms - now_ms : 0;
        struct timeval tv = { (time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000) };
        evtimer_add(l->timer_event, &tv);
    }
    l->timer_at_ms = at_ms;
}

static void *run(void *arg)
{
    struct wk_loop *l = arg;
    struct wk_shard *s = l->shard;

    wk_shard_own(s);
    while (!atomic_load_explicit(&l->stop, memory_order_relaxed)) {
        s->now_us = wk_now_us();
        uint64_t now = s->now_us / 1000;
        uint64_t next = wk_shard_poll(s, now, wk_wall_ms());

        if (next <= now || !wk_shard_sleep(s)) {
            event_base_loop(l->base, EVLOOP_NONBLOCK);
        } else {
            arm(l, now, next);
            l->slept = true;
            event_base_loop(l->base, EVLOOP_ONCE);
        }
        wk_shard_awake(s);
    }
    return NULL;
}

int wk_loop_start(struct wk_loop *l, struct wkim_error *err)
{
    int rc = pthread_create(&l->thread, NULL, run, l);

    if (rc != 0)
        return wk_fail(err, WKIM_EAGAIN, "shard thread: %s", strerror(rc));
    l->started = true;
    char name[16];
    snprintf(name, sizeof(name), "wk-shard-%u", l->shard->index % 1000);
    pthread_setname_np(l->thread, name);
    return WKIM_OK;
}

uint64_t wk_loop_cpu_us(const struct wk_loop *l)
{
    clockid_t id;
    struct timespec ts;

    if (!l->started || pthread_getcpuclockid(l->thread, &id) != 0 || clock_gettime(id, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void wk_loop_stop(struct wk_loop *l)
{
    if (!l || !l->started)
        return;
    atomic_store(&l->stop, true);
    wake(l);
    pthread_join(l->thread, NULL);
    l->started = false;
}

void wk_loop_free(struct wk_loop *l)
{
    if (!l)
        return;
    wk_loop_stop(l);
    if (l->wake_event)
        event_free(l->wake_event);
    if (l->timer_event)
        event_free(l->timer_event);
    if (l->base)
        event_base_free(l->base);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    wk_free(l);
}

/* What is read after an idle hour must not carry the time of an hour ago. */
static void look_at_clock(struct wk_loop *l)
{
    if (!l->slept)
        return;
    l->slept = false;
    l->shard->now_us = wk_now_us();
    l->shard->now_ms = l->shard->now_us / 1000;
    l->shard->wall_ms = wk_wall_ms();
}

static void on_read(evutil_socket_t fd, short what, void *user)
{
    struct wk_io *io = user;
    (void)fd;
    (void)what;
    look_at_clock(io->loop);
    io->ready(io, WK_IO_READ);
}

static void on_write(evutil_socket_t fd, short what, void *user)
{
    struct wk_io *io = user;
    (void)fd;
    (void)what;
    look_at_clock(io->loop);
    io->ready(io, WK_IO_WRITE);
}

int wk_io_open(struct wk_io *io, struct wk_loop *l, int fd,
               void (*ready)(struct wk_io *io, int what))
{
    *io = (struct wk_io){ .loop = l, .fd = fd, .ready = ready };
    io->read_event = event_new(l->base, fd, EV_READ | EV_PERSIST, on_read, io);
    return io->read_event ? WKIM_OK : WKIM_ENOMEM;
}

int wk_io_want(struct wk_io *io, int what)
{
    int change = (io->want ^ what);

    if (change & WK_IO_READ) {
        int rc = what & WK_IO_READ ? event_add(io->read_event, NULL) : event_del(io->read_event);
        if (rc != 0)
            return WKIM_ENOMEM;
        io->want ^= WK_IO_READ;
    }
    if (change & WK_IO_WRITE) {
        if (what & WK_IO_WRITE) {
            if (!io->write_event)
                io->write_event =
                    event_new(io->loop->base, io->fd, EV_WRITE | EV_PERSIST, on_write, io);
            if (!io->write_event || event_add(io->write_event, NULL) != 0)
                return WKIM_ENOMEM;
        } else {
            event_free(io->write_event); /* rarely needed: keep idle connections small */
            io->write_event = NULL;
        }
        io->want ^= WK_IO_WRITE;
    }
    return WKIM_OK;
}

void wk_io_close(struct wk_io *io)
{
    if (io->read_event)
        event_free(io->read_event);
    if (io->write_event)
        event_free(io->write_event);
    io->read_event = io->write_event = NULL;
    io->want = 0;
}
