/* Inside the room only. */
#ifndef WK_HOOK_INTERNAL_H
#define WK_HOOK_INTERNAL_H
#include "base/mem.h"
#include "hook/hook.h"

/* ---- queue.c: msg.notify and user.onlinestatus ----------------------------------------------- */
struct wk_webhook_slot {
    uint64_t next_id; /* first row not yet read */
    uint64_t waiting; /* rows believed to be there; reading finds out */
    uint64_t rows;    /* waiting and in requests */
    uint32_t epoch;   /* of our leadership */
    uint32_t held;    /* by reads and requests under way */
    uint64_t mark;    /* of the last walk that came by */
    bool ready;
};

struct wk_webhook_queue {
    uint8_t event;
    bool stuck;      /* a try failed: at the end nothing more is read */
    uint32_t cursor; /* of the slots, so that each gets its turn */
    uint32_t reading, out;
    uint32_t batch_max;
    uint64_t wait_ms;
    uint64_t eligible;  /* waiting rows of slots that nobody holds */
    uint64_t rows;      /* of all slots */
    uint64_t dead_rows; /* of them, those being given up */
    uint64_t due_ms;    /* 0: nothing waits */
    uint64_t walk;      /* marks the slots of one request */
    struct wk_list requests;
    struct wk_webhook_slot *slots;
};

/* ---- offline.c: msg.offline ------------------------------------------------------------------ */
/* Either every new message is taken as it comes, or the slot is behind and its rows are read, in
 * their order, until none is left. */
struct wk_webhook_source {
    uint64_t next_id;   /* first row not yet taken */
    uint64_t last_id;   /* newest row known of */
    uint64_t rows;      /* there, as far as known */
    uint64_t held;      /* of them, those taken */
    uint64_t due_ms;    /* not read before */
    uint32_t computing; /* taken, receivers not yet known */
    uint32_t epoch;
    bool ready, behind, reading;
};

/* The row of one message, shared by its requests. */
struct wk_webhook_origin {
    uint64_t id;
    uint32_t slot, epoch;
    uint32_t left;
    bool keep; /* something of it was not delivered: it stays */
    bool dead;
};

/* Requests of one lane go one after the other. */
struct wk_webhook_lane {
    struct wk_list queue;
};

struct wk_webhook {
    struct wk_webhook_options opt;
    struct wk_webhook_queue queues[WK_WEBHOOK_EVENTS]; /* not of msg.offline */
    struct wk_webhook_source *sources;
    uint32_t source_cursor, source_reads;
    uint32_t n_behind;   /* slots that are ready and behind */
    uint32_t computing;  /* of all slots */
    uint64_t offline_rows, offline_dead;
    uint64_t offline_memory; /* requests without a row */
    struct wk_webhook_lane *lanes;
    uint32_t n_lanes;
    struct wk_list age; /* requests in lanes, oldest first */
    size_t bytes[2];    /* of them: without a row, with one */
    struct wk_webhook_counts counts[WK_WEBHOOK_EVENTS];
    bool draining, pumping;
};

/* webhook.c */
struct wk_webhook_request *wk_webhook_request_new(struct wk_webhook *w, int event, uint64_t now_ms);
void wk_webhook_send(struct wk_webhook *w, struct wk_webhook_request *r, uint64_t now_ms);
/* It goes out once more, to be kept by the operator. */
void wk_webhook_give_up(struct wk_webhook *w, struct wk_webhook_request *r, bool overflow,
                        uint64_t now_ms);
void wk_webhook_set_delivery(struct wk_webhook_request *r, uint64_t a, uint64_t b);
/* queue.c */
int wk_webhook_queue_init(struct wk_webhook_queue *q, int event,
                          const struct wk_webhook_options *opt);
void wk_webhook_queue_lead(struct wk_webhook_queue *q, uint32_t slot);
void wk_webhook_queue_recovered(struct wk_webhook_queue *q, uint32_t slot, uint64_t rows,
                                uint64_t now_ms);
void wk_webhook_queue_lost(struct wk_webhook_queue *q, uint32_t slot);
void wk_webhook_queue_read(struct wk_webhook *w, struct wk_webhook_batch *b_take, uint64_t now_ms);
void wk_webhook_queue_pump(struct wk_webhook *w, struct wk_webhook_queue *q, uint64_t now_ms);
/* Both: when it is to be called again. */
uint64_t wk_webhook_queue_retry(struct wk_webhook *w, struct wk_webhook_queue *q, uint64_t now_ms);
uint64_t wk_webhook_queue_next(const struct wk_webhook *w, const struct wk_webhook_queue *q,
                               uint64_t now_ms);
void wk_webhook_queue_finish(struct wk_webhook *w, struct wk_webhook_request *r, bool remove);
uint64_t wk_webhook_rows_over(const struct wk_webhook *w, int event); /* how many too many wait */
/* offline.c */
void wk_webhook_source_lead(struct wk_webhook *w, uint32_t slot);
void wk_webhook_source_recovered(struct wk_webhook *w, uint32_t slot, uint64_t rows);
void wk_webhook_source_lost(struct wk_webhook *w, uint32_t slot);
void wk_webhook_source_read(struct wk_webhook *w, struct wk_webhook_batch *b_take,
                            uint64_t now_ms);
void wk_webhook_lanes_pump(struct wk_webhook *w, uint64_t now_ms);
void wk_webhook_lane_finish(struct wk_webhook *w, struct wk_webhook_request *r, bool remove);
uint64_t wk_webhook_lanes_next(const struct wk_webhook *w, uint64_t now_ms);
void wk_webhook_lanes_free(struct wk_webhook *w);
#endif
