/* The thread-per-core runtime: a shard is one thread's mailbox, timers and end-of-round work.  It
 * runs handlers to completion and knows no message's meaning.  It is driven from outside by
 * wk_shard_poll (lib/event, a simulator, a test), so it owns no thread itself.
 *
 * A round: posts in arrival order, due timers, then the deferred hooks (where batches of the round
 * are proposed and sockets are flushed).
 *
 * Posts are intrusive, so posting cannot fail; what bounds them is the credit of whoever creates
 * the object that travels (requests under way, bytes per connection). */
#ifndef WK_SHARD_SHARD_H
#define WK_SHARD_SHARD_H
#include <stdatomic.h>
#include <stdbool.h>
#include "base/list.h"
#include "base/timer.h"

struct wk_shard;

struct wk_post {
    struct wk_post *next;
    void (*run)(struct wk_shard *to, struct wk_post *p);
};

struct wk_hook {
    struct wk_hook *next;
    bool queued;
    void (*run)(struct wk_shard *s, struct wk_hook *h);
};

/* Order of deferred hooks within a round: effects of one stage feed the next; at END all is
 * written. */
enum wk_stage { WK_STAGE_COMMIT, WK_STAGE_PROPOSE, WK_STAGE_FLUSH, WK_STAGE_END, WK_STAGES };

struct wk_shard {
    uint32_t index, count;
    uint64_t now_ms;  /* monotonic, as of this round */
    uint64_t wall_ms; /* Unix time, as of this round */
    uint64_t now_us;  /* now_ms, finer where the driver set it before the poll */
    struct wk_timers timers;
    void *crypto;     /* struct wk_crypto of this thread, set by node */
    void *user;       /* per-shard state of the composition root */
    uint64_t posts_run, rounds;
    /* private */
    struct wk_hook *hooks[WK_STAGES], **hooks_tail[WK_STAGES];
    void (*wake)(void *user);
    void *wake_user;
    uint64_t owner_thread;
    uint8_t apart[64]; /* other threads write what follows: not in the owner's cache line */
    _Atomic(struct wk_post *) inbox;
    _Atomic bool sleeping;
};

void wk_shard_init(struct wk_shard *s, uint32_t index, uint32_t count);
void wk_shard_fini(struct wk_shard *s); /* posts still queued belong to their owners */

/* Any thread.  Posts of one thread arrive in order. */
void wk_shard_post(struct wk_shard *to, struct wk_post *p);
/* Posts of the calling thread between the two wake sleeping shards only at release, so that many
 * posts cost one wake-up.  Pairs may be nested; the shards outlive the release. */
void wk_shard_hold(void);
void wk_shard_release(void);
/* Run h once at the end of the current round, whatever often it is asked.  @shard owner */
void wk_shard_defer(struct wk_shard *s, enum wk_stage stage, struct wk_hook *h);
/* One round.  Returns the time of the next timer (UINT64_MAX: none), or now_ms when work is
 * left. */
uint64_t wk_shard_poll(struct wk_shard *s, uint64_t now_ms, uint64_t wall_ms);
/* The driver is about to block: true when it may; afterwards posts call wake. */
bool wk_shard_sleep(struct wk_shard *s);
void wk_shard_awake(struct wk_shard *s);
void wk_shard_set_wake(struct wk_shard *s, void (*wake)(void *user), void *user);
/* The calling thread becomes the owner; WK_ASSERT_SHARD checks it. */
void wk_shard_own(struct wk_shard *s);
bool wk_shard_is_owner(const struct wk_shard *s);
#define WK_ASSERT_SHARD(s) WK_ASSERT(wk_shard_is_owner(s))
#endif
