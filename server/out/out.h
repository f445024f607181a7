/* What the node has to tell other programs: takes its requests from their queue and gives each to
 * the transport its target asks for, on a thread of its own.  Requests that were given up go to the
 * dead letters.
 *
 * Threads: start and stop by one thread.  Start before wkim_node_start, stop after wkim_node_stop
 * and before wkim_node_free: what is under way then counts as failed. */
#ifndef WK_SERVER_OUT_OUT_H
#define WK_SERVER_OUT_OUT_H

#include <pthread.h>
#include <wkim/hook.h>

#include "out/dead.h"
#include "log_file.h"

struct wk_out;

/* What /manager/v1/webhooks shows.  The replay is the last one that ended; id 0: there was none. */
struct wk_out_view {
    char http_addr[512], grpc_addr[512]; /* "": not set; without name and password */
    char last_error[512];                /* "": none yet */
    uint64_t last_error_s;
    uint64_t replay_id, replay_s;
    bool replay_ok;
    char replay_error[512];
    uint64_t replays_ok, replays_failed;
};

/* *out stays NULL when no webhook is configured.  log is borrowed until stop. */
int wk_out_start(struct wk_out **out, wkim_node *node, const wkim_config *cfg,
                 struct wk_log_file *log, wkim_error *err);
void wk_out_stop(struct wk_out *o); /* NULL allowed */

/* Any thread, until stop. */
struct wk_dead *wk_out_dead(struct wk_out *o); /* borrowed */
/* Letters were marked: they go out again one after the other, oldest first.  A letter that is
 * answered leaves the list; one that fails stays and loses its mark.  When WK_OUT_REPLAY_FAILURES
 * fail in a row all marks are taken back. */
#define WK_OUT_REPLAY_FAILURES 5
void wk_out_replay(struct wk_out *o);
void wk_out_view_get(struct wk_out *o, struct wk_out_view *out);

/* One request on its way.  A transport takes the job and calls `done` once, from its own thread;
 * the slices of `request` are borrowed until then. */
struct wk_out_job {
    struct wk_out_job *next; /* of the transport */
    wkim_hook_request request;
    /* why: a printable text without quotes, of a failure. */
    void (*done)(struct wk_out_job *job, int ok, const char *why);
    struct wk_out *out; /* private from here */
    wkim_reply *reply;  /* NULL: a dead letter that is tried again */
    struct wk_dead_item letter;
    char *body;
};

/* Jobs on their way to the thread of a transport: put by any thread, taken all at once. */
struct wk_out_inbox {
    pthread_mutex_t lock;
    struct wk_out_job *head, **tail;
};
void wk_out_inbox_init(struct wk_out_inbox *b);
void wk_out_inbox_fini(struct wk_out_inbox *b); /* its jobs fail */
/* 1: it was empty, its thread is to be woken; those behind are found with the first. */
int wk_out_inbox_put(struct wk_out_inbox *b, struct wk_out_job *job);
struct wk_out_job *wk_out_inbox_take(struct wk_out_inbox *b); /* in order, by `next` */

/* webhook.secret: "sha256=<hex>" of the body; 0, or -1. */
#define WK_OUT_SIGNATURE_MAX 80
int wk_out_sign(char out[WK_OUT_SIGNATURE_MAX], const char *secret, wkim_slice body);

#endif
