#include "raft/internal.h"

void wk_raft_progress_reset(struct wk_raft_progress *p, uint64_t next, uint64_t now)
{
    WK_ASSERT(next > 0);
    p->match = 0;
    p->next = next;
    p->snapshot_index = p->snapshot_round = 0;
    p->sent_commit = 0;
    p->active_tick = now;
    p->acked_round = 0;
    p->window_bytes = 0;
    wk_raft_fifo_pop(&p->window, p->window.n);
    p->state = WK_RAFT_PROBE;
    p->vote = 0;
    p->paused = p->waiting = false;
}

void wk_raft_progress_fini(struct wk_raft_progress *p)
{
    wk_raft_fifo_fini(&p->window);
}

static void window_clear(struct wk_raft_progress *p)
{
    wk_raft_fifo_pop(&p->window, p->window.n);
    p->window_bytes = 0;
    p->paused = false;
}

void wk_raft_progress_probe(struct wk_raft_progress *p)
{
    const uint64_t floor = p->state == WK_RAFT_SNAPSHOT_STATE ? p->snapshot_index : 0;
    p->next = (floor > p->match ? floor : p->match) + 1;
    p->snapshot_index = 0;
    p->sent_commit = 0;
    p->state = WK_RAFT_PROBE;
    window_clear(p);
}

void wk_raft_progress_replicate(struct wk_raft_progress *p)
{
    p->next = p->match + 1;
    p->snapshot_index = 0;
    p->state = WK_RAFT_REPLICATE;
    window_clear(p);
}

void wk_raft_progress_snapshot(struct wk_raft_progress *p, uint64_t index, uint64_t round)
{
    WK_ASSERT(index > 0);
    p->state = WK_RAFT_SNAPSHOT_STATE;
    p->snapshot_index = index;
    p->snapshot_round = round;
    p->next = index + 1;
    p->sent_commit = 0;
    window_clear(p);
}

bool wk_raft_progress_update(struct wk_raft_progress *p, uint64_t index)
{
    while (p->window.n > 0) {
        const struct wk_raft_window_slot *s =
            WK_RAFT_FIFO_AT(&p->window, struct wk_raft_window_slot, 0);
        if (s->index > index)
            break;
        WK_ASSERT(p->window_bytes >= s->bytes);
        p->window_bytes -= s->bytes;
        wk_raft_fifo_pop(&p->window, 1);
    }
    if (index <= p->match)
        return false;
    p->match = index;
    if (p->next <= index)
        p->next = index + 1;
    p->paused = false;
    WK_ASSERT(p->match < p->next);
    return true;
}

bool wk_raft_progress_reject(struct wk_raft_progress *p, uint64_t rejected, uint64_t hint)
{
    if (p->state == WK_RAFT_SNAPSHOT_STATE)
        return false;
    if (p->state == WK_RAFT_REPLICATE) {
        /* What was acknowledged cannot be refused: an old message. */
        if (rejected <= p->match)
            return false;
        p->next = p->match + 1;
        return true;
    }
    if (p->next - 1 != rejected)
        return false; /* the answer to another probe */
    const uint64_t next = hint + 1 < rejected ? hint + 1 : rejected;
    p->next = next > p->match ? next : p->match + 1;
    p->paused = false;
    return true;
}

bool wk_raft_progress_full(const struct wk_raft_progress *p, uint32_t msgs_max, uint64_t bytes_max)
{
    return p->window.n >= msgs_max || p->window_bytes >= bytes_max;
}

void wk_raft_progress_sent(struct wk_raft_progress *p, uint32_t n, uint64_t bytes)
{
    WK_ASSERT(p->state != WK_RAFT_SNAPSHOT_STATE);
    if (p->state == WK_RAFT_PROBE) {
        p->paused = true;
        return;
    }
    if (n == 0)
        return;
    WK_ASSERT(p->window.head + p->window.n < p->window.cap);
    p->next += n;
    p->window_bytes += bytes;
    *WK_RAFT_FIFO_AT(&p->window, struct wk_raft_window_slot, p->window.n++) =
        (struct wk_raft_window_slot){ p->next - 1, bytes };
}
