/* Webhooks of a shard: its machine, and reading and removing the rows it works on. */
#ifndef WK_NODE_HOOK_ROWS_H
#define WK_NODE_HOOK_ROWS_H
#include "hook/hook.h"
#include "node/node.h"

/* Ids of sent rows of one slot and event. */
struct wk_node_hook_removal {
    struct wk_buf ids; /* repeated u64 */
    bool under_way;
};

struct wk_node_hook_shard {
    struct wkim_node *node;
    struct wk_shard *shard;
    struct wk_webhook *hook;
    struct wk_timer timer, remove_timer;
    struct wk_node_hook_removal *removals; /* by event and slot */
    uint32_t removing;                     /* commands under way and ids waiting */
    uint32_t n_slots;
    bool draining;
    struct wk_post drain;
    _Atomic bool idle; /* while draining: nothing is left to be done */
};

int wk_node_hook_rows_init(struct wk_node_hook_shard *h, uint32_t n_slots);
void wk_node_hook_rows_fini(struct wk_node_hook_shard *h);
/* Of wk_webhook_ops; user is the shard. */
int wk_node_hook_rows_read(void *user, struct wk_webhook_batch *b);
void wk_node_hook_rows_remove(void *user, int event, uint32_t slot, uint64_t id);
/* The machine is told how many rows wait; when that cannot be counted, that there are some. */
void wk_node_hook_rows_count(struct wk_node_hook_shard *h, int event, uint32_t slot);
void wk_node_hook_rows_flush(struct wk_node_hook_shard *h); /* remove now what waits for it */
void wk_node_hook_settle(struct wk_node_hook_shard *h);     /* sets idle */
#endif
