/* Lists of uids, shared with those who read them. */
#ifndef WK_IM_MEMBERS_H
#define WK_IM_MEMBERS_H
#include "base/buf.h"
#include "im/im.h"

/* A list of uids: sorted, counted, in chunks.  Who holds a reference sees it unchanged: a change
 * copies the list of chunks and the chunk it touches, if they are shared. */
#define IM_CHUNK_MEMBERS 512
struct im_member {
    uint32_t off;  /* in chunk.text */
    uint32_t hash; /* im_presence_hash */
    uint16_t len, slot;
};
struct im_member_chunk {
    _Atomic uint32_t refs;
    uint32_t n, cap;
    struct wk_buf text;
    struct im_member *v;
};
struct im_members {
    _Atomic uint32_t refs;
    uint32_t n, n_chunks, cap_chunks;
    struct im_member_chunk **chunks; /* none is empty */
    uint64_t serial; /* of lists built at once: tells them apart; 0 others */
};
int im_members_new(struct im_members **out);
bool im_members_has(const struct im_members *m, wkim_slice uid);
/* Change *m (cloned first when shared).  1: changed, 0: nothing to do, < 0: WKIM_ENOMEM. */
int im_members_add(struct im_members **m, struct wk_cluster *c, wkim_slice uid);
int im_members_remove(struct im_members **m, wkim_slice uid);
bool im_members_same(const struct im_members *a, const struct im_members *b);
size_t im_members_text_bytes(const struct im_members *m);
/* Walk in order; *at starts as zero. NULL at the end. */
struct im_members_at {
    uint32_t chunk, i;
};
static inline const struct im_member *im_members_next(const struct im_members *m,
                                                      struct im_members_at *at, wkim_slice *uid)
{
    while (at->chunk < m->n_chunks) {
        const struct im_member_chunk *chunk = m->chunks[at->chunk];
        if (at->i < chunk->n) {
            const struct im_member *v = &chunk->v[at->i++];
            *uid = wk_slice(chunk->text.p + v->off, v->len);
            return v;
        }
        at->chunk++;
        at->i = 0;
    }
    return NULL;
}
/* The position of the first uid behind `uid`. */
struct im_members_at im_members_after(const struct im_members *m, wkim_slice uid);

#endif
