/* SENDs that wait for their SENDACK.  A binary client up to version 5 gets back only numbers, which
 * fit the handle itself; JSON ids and version 6 need a table. */
#include "session/state.h"
#include "base/error.h"

#define HANDLE_INLINE (1ULL << 63)
enum { TABLE_FIRST = 4, INDEX_BITS = 16, TEXT_BYTES_MAX = 1048576 };

static bool needs_table(const struct wk_session *s, wkim_slice text)
{
    return s->wire == WK_WIRE_JSON || (s->version >= 6 && text.n > 0);
}

static int table_grow(struct wk_session *s)
{
    const uint32_t old = s->acks ? s->acks->cap : 0;
    const uint32_t cap = old ? old * 2 : TABLE_FIRST;
    struct wk_acks *t = wk_realloc(s->acks, sizeof(*t) + cap * sizeof(t->slot[0]));
    if (!t)
        return WKIM_ENOMEM;
    t->cap = cap;
    t->free_head = 0;
    for (uint32_t i = cap; i > old; i--) {
        t->slot[i - 1] = (struct wk_ack){ .next_free = t->free_head };
        t->free_head = (uint16_t)i;
    }
    s->acks = t;
    return WKIM_OK;
}

static int table_add(struct wk_session *s, const struct wk_packet *send, bool has_id,
                     wkim_slice text, uint64_t *handle)
{
    if ((!s->acks || !s->acks->free_head) && table_grow(s))
        return WKIM_ENOMEM;
    uint8_t *copy = text.n ? wk_memdup(text.p, text.n) : NULL;
    if (text.n && !copy)
        return WKIM_ENOMEM;
    const uint32_t index = s->acks->free_head - 1u;
    struct wk_ack *a = &s->acks->slot[index];
    s->acks->free_head = a->next_free;
    if (++s->ack_generation == 0)
        s->ack_generation = 1;
    *a = (struct wk_ack){ .text = copy,
                          .n = (uint32_t)text.n,
                          .client_seq = send->u.send.client_seq,
                          .generation = s->ack_generation,
                          .flags = send->flags,
                          .has_id = has_id };
    s->acks_text_bytes += text.n;
    *handle = (uint64_t)a->generation << INDEX_BITS | index;
    return WKIM_OK;
}

static void set_full(struct wk_session *s)
{
    if (s->in_flight >= WK_CONN_INFLIGHT_SENDS_MAX || s->acks_text_bytes >= TEXT_BYTES_MAX)
        s->full = true;
    else if (s->in_flight <= WK_CONN_INFLIGHT_SENDS_MAX / 2 &&
             s->acks_text_bytes <= TEXT_BYTES_MAX / 2)
        s->full = false;
}

int wk_acks_add(struct wk_session *s, const struct wk_packet *send, bool has_id, wkim_slice text,
                uint64_t *handle)
{
    if (needs_table(s, text)) {
        if (table_add(s, send, has_id, text, handle))
            return WKIM_ENOMEM;
    } else {
        *handle = HANDLE_INLINE | (uint64_t)send->flags << 32 | send->u.send.client_seq;
    }
    s->in_flight++;
    set_full(s);
    return WKIM_OK;
}

static bool table_take(struct wk_session *s, uint64_t handle, struct wk_ack *out)
{
    const uint64_t index = handle & ((1u << INDEX_BITS) - 1);
    const uint64_t generation = handle >> INDEX_BITS;
    if (!s->acks || index >= s->acks->cap || generation == 0 ||
        s->acks->slot[index].generation != generation)
        return false;
    struct wk_ack *a = &s->acks->slot[index];
    *out = *a;
    *a = (struct wk_ack){ .next_free = s->acks->free_head };
    s->acks->free_head = (uint16_t)(index + 1);
    s->acks_text_bytes -= out->n;
    return true;
}

bool wk_acks_take(struct wk_session *s, uint64_t handle, struct wk_ack *out)
{
    if (s->in_flight == 0)
        return false;
    if (handle & HANDLE_INLINE)
        *out = (struct wk_ack){ .client_seq = (uint32_t)handle, .flags = handle >> 32 & 0x0f };
    else if (!table_take(s, handle, out))
        return false;
    s->in_flight--;
    set_full(s);
    if (s->in_flight == 0) {
        wk_free(s->acks);
        s->acks = NULL;
    }
    return true;
}

void wk_acks_fini(struct wk_session *s)
{
    for (uint32_t i = 0; s->acks && i < s->acks->cap; i++)
        wk_free(s->acks->slot[i].text);
    wk_free(s->acks);
    s->acks = NULL;
}

size_t wk_acks_memory(const struct wk_session *s)
{
    const size_t table =
        s->acks ? sizeof(*s->acks) + s->acks->cap * sizeof(s->acks->slot[0]) : 0;
    return table + s->acks_text_bytes;
}
