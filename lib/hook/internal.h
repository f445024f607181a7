/* Inside the room only. */
#ifndef WK_HOOK_INTERNAL_H
#define WK_HOOK_INTERNAL_H
#include "base/mem.h"
#include "hook/hook.h"

struct wk_webhook_slot {
    uint64_t next_id; /* first row not yet read */
    uint64_t waiting; /* rows believed to be there; reading finds out */
    uint64_t rows;    /* waiting and in requests */
    uint32_t epoch;   /* of our leadership */
    uint32_t held;    /* by reads and requests under way */
    uint64_t mark;    /* of the last walk that came by */
    bool ready;
};

/* Requests of one lane go one after the other. */
struct wk_webhook_lane {
    struct wk_list queue;
};

struct wk_webhook {
    struct wk_webhook_options opt;
    struct wk_webhook_slot *slots;
    uint32_t cursor; /* of the slots, so that each gets its turn */
    uint32_t reading, notify_out;
    uint64_t eligible;      /* waiting rows of slots that nobody holds */
    uint64_t rows;          /* of all slots */
    uint64_t dead_rows;     /* of them, those being given up */
    uint64_t notify_due_ms; /* 0: nothing waits */
    struct wk_list notify;  /* requests */
    struct wk_webhook_lane
        *lanes; /* in_flight_max for msg.offline, one more for user.onlinestatus */
    uint32_t n_lanes;
    struct wk_list age[WK_WEBHOOK_EVENTS]; /* requests in memory, oldest first */
    size_t bytes[WK_WEBHOOK_EVENTS];
    struct wk_webhook_counts counts[WK_WEBHOOK_EVENTS];
    uint64_t walk;          /* marks the slots of one request */
    uint64_t online_number; /* makes delivery ids of user.onlinestatus unique */
    uint64_t salt;
    bool draining, pumping;
};


/* webhook.c */
struct wk_webhook_request *wk_webhook_request_new(struct wk_webhook *w, int event, uint64_t now_ms);
void wk_webhook_send(struct wk_webhook *w, struct wk_webhook_request *r, uint64_t now_ms);
/* It goes out once more, to be kept by the operator. */
void wk_webhook_give_up(struct wk_webhook *w, struct wk_webhook_request *r, bool overflow,
                        uint64_t now_ms);
void wk_webhook_set_delivery(struct wk_webhook_request *r, uint64_t a, uint64_t b);
/* notify.c */
void wk_webhook_notify_pump(struct wk_webhook *w, uint64_t now_ms);
void wk_webhook_notify_finish(struct wk_webhook *w, struct wk_webhook_request *r, bool remove);
uint64_t wk_webhook_rows_over(const struct wk_webhook *w); /* how many rows too many wait */
/* memory.c */
void wk_webhook_lanes_pump(struct wk_webhook *w, uint64_t now_ms);
void wk_webhook_lane_finish(struct wk_webhook *w, struct wk_webhook_request *r);
uint64_t wk_webhook_lanes_next(const struct wk_webhook *w);
#endif
