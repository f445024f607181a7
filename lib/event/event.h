/* The libevent driver of a shard: its thread, its wake-up, and readiness of file descriptors.
 * The only room that includes libevent headers. */
#ifndef WK_EVENT_EVENT_H
#define WK_EVENT_EVENT_H
#include "base/error.h"
#include "shard/shard.h"

struct wk_loop;
int wk_loop_new(struct wk_loop **out, struct wk_shard *shard, struct wkim_error *err);
int wk_loop_start(struct wk_loop *l, struct wkim_error *err); /* its own thread */
/* Ask the thread to end after the current round and join it. */
void wk_loop_stop(struct wk_loop *l);
void wk_loop_free(struct wk_loop *l); /* stops it first */

enum { WK_IO_READ = 1, WK_IO_WRITE = 2 };

/* A watched descriptor; lives in its owner.  ready() is called on the shard thread. */
struct wk_io {
    struct wk_loop *loop;
    struct event *read_event, *write_event;
    int fd;
    uint8_t want;
    void (*ready)(struct wk_io *io, int what);
};
uint64_t wk_loop_cpu_us(const struct wk_loop *l); /* its thread's; any thread while it runs */
/* @shard owner of loop for all four. */
int wk_io_open(struct wk_io *io, struct wk_loop *l, int fd,
               void (*ready)(struct wk_io *io, int what));
int wk_io_want(struct wk_io *io, int what); /* bits; WKIM_OK or WKIM_ENOMEM */
void wk_io_close(struct wk_io *io);         /* stops watching; the descriptor stays open */
#endif
