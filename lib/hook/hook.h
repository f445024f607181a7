/* Webhooks of one shard: what is waiting, which requests are under way, when one is tried again.  A
 * pure machine: time comes in as a parameter, and what must happen outside (read rows, hand a
 * request to the transport, remove rows, call again later) goes out through wk_webhook_ops.
 *
 * All three queues are rows in the store.  Of msg.notify and user.onlinestatus the machine knows
 * only how many rows of each slot wait, and reads them when they are due.  The receivers of a
 * msg.offline are computed when its message is delivered and wait in memory, bounded by bytes; what
 * does not fit is computed again later from its row.
 *
 * Threads: one.  Only wk_webhook_body may run elsewhere, on a request that was handed out. */
#ifndef WK_HOOK_HOOK_H
#define WK_HOOK_HOOK_H
#include "base/blob.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/metric.h"
#include "proto/record.h"
#include "shard/shard.h"

enum wk_webhook_event {
    WK_WEBHOOK_NOTIFY,
    WK_WEBHOOK_OFFLINE,
    WK_WEBHOOK_ONLINE,
    WK_WEBHOOK_EVENTS
};
enum wk_webhook_target { WK_WEBHOOK_MAIN, WK_WEBHOOK_AGENT, WK_WEBHOOK_TARGETS };

#define WK_WEBHOOK_BATCH_BYTES_MAX 1048576     /* records in one msg.notify, beyond the first */
#define WK_WEBHOOK_ONLINE_MAX 4096             /* entries in one user.onlinestatus */
#define WK_WEBHOOK_ONLINE_WAIT_MS 500          /* an entry waits this long for others */
#define WK_WEBHOOK_OFFLINE_BYTES_MAX 67108864  /* lists in memory, with and without a row, each */
#define WK_WEBHOOK_PARTS_MAX 64                /* slots in one msg.notify */
#define WK_WEBHOOK_DEAD_MAX 256                /* rows given up at once */
#define WK_WEBHOOK_ROW_BYTES 128               /* what a waiting row counts against queueMaxBytes */
#define WK_WEBHOOK_DELIVERY_LEN 32

const char *wk_webhook_event_name(int event);
/* Pause after a failed try, from 1: 1 s, 2 s, 4 s ... 30 s. */
uint64_t wk_webhook_backoff_ms(uint32_t attempt);
/* True when `name` is wanted: the list is empty or holds it. */
bool wk_webhook_focused(const char *const *names, size_t n, int event);

struct wk_webhook_row {
    uint32_t slot, epoch;
    uint64_t id;
};

/* One HTTP or gRPC request.  While `out` it belongs to its sender, until wk_webhook_answer. */
struct wk_webhook_request {
    struct wk_list link, age; /* private */
    struct wk_post post;      /* of the composition root, for the way back */
    void *owner;              /* of the composition root */
    _Atomic uint32_t refs;    /* the machine's and the sender's */
    uint8_t event, target;
    bool out;
    bool dead;        /* given up: to be kept somewhere, not sent */
    bool ok;          /* the answer, set by the sender */
    uint32_t attempt; /* 1: the first */
    uint32_t n_items;
    uint64_t due_ms, born_ms, sent_ms;
    char delivery[WK_WEBHOOK_DELIVERY_LEN + 1]; /* the same for every try of the same content */
    struct wk_buf body;                         /* made by wk_webhook_body */
    /* private */
    struct wk_buf items; /* NOTIFY: repeated str record; others: repeated str text */
    struct wk_blob *message; /* OFFLINE */
    struct wk_webhook_origin *origin; /* OFFLINE: its row; NULL: none */
    struct wk_record record; /* borrowed from message */
    bool list;
    uint32_t compress_above, lane;
    uint64_t node_id;
    size_t bytes;
    struct wk_webhook_row *rows; /* not of OFFLINE */
    uint32_t n_rows;
};
void wk_webhook_request_unref(struct wk_webhook_request *r);
/* The JSON text, built on first use.  Borrowed until the answer.  WKIM_OK or WKIM_ENOMEM. */
int wk_webhook_body(struct wk_webhook_request *r);

/* Rows wanted of several slots.  The reader fills out, more and rc of each part.  A value is, of
 * NOTIFY, the record; of ONLINE, u64 ms and the text; of OFFLINE, what ops.receivers needs.  An
 * empty one: what the row was about is gone. */
struct wk_webhook_part {
    uint32_t slot, epoch, want;
    uint64_t from_id, last_id;
    struct wk_buf out; /* repeated (u64 id, str value) */
    bool more;         /* there are rows behind the last one */
    int rc;
};
struct wk_webhook_batch {
    uint8_t event;
    bool dead;
    uint32_t n_parts;
    struct wk_webhook_part parts[WK_WEBHOOK_PARTS_MAX];
};

struct wk_webhook_ops {
    /* Read the parts and answer with wk_webhook_read_done, from the same thread but not from
     * inside. An error: nothing will come. */
    int (*read)(void *user, struct wk_webhook_batch *b);
    void (*send)(void *user, struct wk_webhook_request *r);
    /* The row needs no sending any more. */
    void (*remove)(void *user, int event, uint32_t slot, uint64_t id);
    /* Look up who is away now and answer with wk_webhook_offline or wk_webhook_offline_lost.  An
     * error: nothing will come. */
    int (*receivers)(void *user, uint32_t slot, uint32_t epoch, uint64_t id, wkim_slice value);
    /* wk_webhook_run is wanted at that time; the earliest counts, a later call may move it. */
    void (*wake)(void *user, uint64_t at_ms);
};

struct wk_webhook_options {
    struct wk_webhook_ops ops;
    void *user;
    const struct wk_log *log;
    uint32_t n_slots;
    uint64_t node_id;
    uint64_t notify_wait_ms;
    uint32_t notify_max;     /* messages per request */
    uint32_t tries_max;      /* 0: for ever */
    uint32_t compress_above; /* 0: never */
    uint32_t uids_max;       /* per msg.offline; 0: all in one */
    uint32_t in_flight_max;  /* requests per event */
    uint64_t rows_max;       /* waiting rows of all events before the oldest are given up */
    size_t offline_bytes_max;
    bool agent; /* messages of agent channels have a receiver of their own */
};

/* Written by the machine's thread, read by any. */
struct wk_webhook_counts {
    _Atomic uint64_t ok, failed, retry_dropped, overflow_dropped;
    _Atomic uint64_t waiting;   /* messages, lists, entries */
    _Atomic uint64_t unsaved;   /* of them, those without a row: the end of the node is theirs */
    _Atomic uint64_t oldest_ms; /* when the oldest request under way was made; 0: none */
    struct wk_histogram duration; /* of answered requests, WK_BOUNDS_SECONDS */
};

struct wk_webhook;
int wk_webhook_new(struct wk_webhook **out, const struct wk_webhook_options *opt);
/* Requests that are out stay valid for their senders, who must not answer them any more. */
void wk_webhook_free(struct wk_webhook *w);
const struct wk_webhook_counts *wk_webhook_counts(const struct wk_webhook *w, int event);

/* The slot is led here; then, for each event, once counted, `rows` of it wait.  `lost`: not any
 * more. */
void wk_webhook_lead(struct wk_webhook *w, uint32_t slot);
void wk_webhook_recovered(struct wk_webhook *w, int event, uint32_t slot, uint64_t rows,
                          uint64_t now_ms);
void wk_webhook_lost(struct wk_webhook *w, uint32_t slot);
void wk_webhook_read_done(struct wk_webhook *w, struct wk_webhook_batch *b_take, uint64_t now_ms);
/* One more row of NOTIFY or ONLINE. */
void wk_webhook_stored(struct wk_webhook *w, int event, uint32_t slot, uint64_t now_ms);
/* One more row of OFFLINE; in the order of the rows.  Not 0: its receivers are wanted now, with
 * this epoch; 0: the row is read later. */
uint32_t wk_webhook_offline_stored(struct wk_webhook *w, uint32_t slot, uint64_t id,
                                   uint64_t now_ms);
struct wk_webhook_offline {
    uint32_t slot, epoch; /* epoch 0: there is no row */
    uint64_t id;
    struct wk_blob *message;
    const struct wk_record *record; /* borrowed from message */
    bool list;                      /* the receivers were named by the sender */
    wkim_slice uids;                /* repeated str; empty: nobody is away */
};
void wk_webhook_offline(struct wk_webhook *w, const struct wk_webhook_offline *o, uint64_t now_ms);
/* Its receivers could not be computed: later. */
void wk_webhook_offline_lost(struct wk_webhook *w, uint32_t slot, uint32_t epoch, uint64_t id,
                             uint64_t now_ms);
/* r->ok says how it went; the machine's request again. */
void wk_webhook_answer(struct wk_webhook *w, struct wk_webhook_request *r, uint64_t now_ms);
void wk_webhook_run(struct wk_webhook *w, uint64_t now_ms);
/* The end is near: what is in memory is tried once more; of the rows only new ones of ONLINE are
 * read. */
void wk_webhook_drain(struct wk_webhook *w, uint64_t now_ms);
bool wk_webhook_idle(const struct wk_webhook *w); /* nothing out, nothing in memory */

/* gzip.c: a whole gzip stream, appended. */
int wk_gzip(struct wk_buf *out, wkim_slice in);
#endif
