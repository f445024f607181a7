#include "raft/internal.h"

int wk_raft_outbox_reserve(struct wk_raft_outbox *o, size_t msgs, size_t reads)
{
    int rc = wk_raft_fifo_reserve(&o->msgs, msgs, sizeof(struct wk_raft_msg));
    if (rc == WKIM_OK)
        rc = wk_raft_fifo_reserve(&o->firsts, msgs, sizeof(size_t));
    if (rc == WKIM_OK && reads > 0)
        rc = wk_raft_fifo_reserve(&o->reads, reads, sizeof(struct wk_raft_read_state));
    return rc;
}

void wk_raft_outbox_clear(struct wk_raft_outbox *o)
{
    for (size_t i = 0; i < o->entries.n; i++)
        wk_blob_unref(WK_RAFT_FIFO_AT(&o->entries, struct wk_raft_entry, i)->data);
    wk_raft_fifo_pop(&o->entries, o->entries.n);
    wk_raft_fifo_pop(&o->msgs, o->msgs.n);
    wk_raft_fifo_pop(&o->firsts, o->firsts.n);
    wk_raft_fifo_pop(&o->reads, o->reads.n);
    o->install = false;
}

void wk_raft_outbox_fini(struct wk_raft_outbox *o)
{
    wk_raft_outbox_clear(o);
    wk_raft_fifo_fini(&o->entries);
    wk_raft_fifo_fini(&o->msgs);
    wk_raft_fifo_fini(&o->firsts);
    wk_raft_fifo_fini(&o->reads);
}

/* The entries may have moved while they were collected, so pointers are set at the end. */
void wk_raft_outbox_seal(struct wk_raft_outbox *o)
{
    WK_ASSERT(o->msgs.n == o->firsts.n);
    for (size_t i = 0; i < o->msgs.n; i++) {
        struct wk_raft_msg *m = WK_RAFT_FIFO_AT(&o->msgs, struct wk_raft_msg, i);
        const size_t first = *WK_RAFT_FIFO_AT(&o->firsts, size_t, i);
        WK_ASSERT(first + m->n_entries <= o->entries.n);
        m->entries =
            m->n_entries ? WK_RAFT_FIFO_AT(&o->entries, struct wk_raft_entry, first) : NULL;
    }
}
