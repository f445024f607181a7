/* Wire form: type, flags, eight numbers, then entries or a configuration.  Numbers are varints. */
#include "raft/internal.h"
#include "base/cursor.h"
#include "base/mem.h"

enum { FLAG_REJECT = 1, FLAG_FORCE = 2, FLAG_CONF = 4, FLAG_ALL = 7 };
#define ENTRY_BYTES_MIN 4 /* term, index, type, length */

void wk_raft_msg_encode(struct wk_buf *out, const struct wk_raft_msg *m)
{
    WK_ASSERT(m->type >= WK_RAFT_MSG_APPEND && m->type <= WK_RAFT_MSG_PROPOSE);
    const bool conf = m->type == WK_RAFT_MSG_SNAPSHOT;
    wk_buf_u8(out, m->type);
    wk_buf_u8(out, (uint8_t)((m->reject ? FLAG_REJECT : 0) | (m->force ? FLAG_FORCE : 0) |
                             (conf ? FLAG_CONF : 0)));
    wk_buf_varint(out, m->from);
    wk_buf_varint(out, m->to);
    wk_buf_varint(out, m->term);
    wk_buf_varint(out, m->index);
    wk_buf_varint(out, m->log_term);
    wk_buf_varint(out, m->commit);
    wk_buf_varint(out, m->hint);
    wk_buf_varint(out, m->hint_term);
    wk_buf_varint(out, m->context);
    wk_buf_varint(out, m->n_entries);
    for (uint32_t i = 0; i < m->n_entries; i++) {
        const struct wk_raft_entry *e = &m->entries[i];
        wk_buf_varint(out, e->term);
        wk_buf_varint(out, e->index);
        wk_buf_u8(out, e->type);
        wk_buf_str(out, wk_blob_slice(e->data));
    }
    if (conf)
        wk_raft_conf_encode(out, &m->conf);
}

static int entries_decode(struct wk_raft_msg *m, struct wk_cursor *cur, uint32_t n)
{
    m->entries = wk_calloc(n, sizeof(*m->entries));
    if (!m->entries)
        return WKIM_ENOMEM;
    for (; m->n_entries < n; m->n_entries++) {
        struct wk_raft_entry *e = &m->entries[m->n_entries];
        e->term = wk_cursor_varint(cur);
        e->index = wk_cursor_varint(cur);
        e->type = wk_cursor_u8(cur);
        const wkim_slice data = wk_cursor_str(cur);
        if (cur->bad || e->type > WK_RAFT_ENTRY_CONF)
            return WKIM_EPROTO;
        if (data.n > 0) {
            e->data = wk_blob_copy(data.p, data.n);
            if (!e->data)
                return WKIM_ENOMEM;
        }
    }
    WK_ASSERT(m->n_entries == n);
    return WKIM_OK;
}

static int body_decode(struct wk_raft_msg *m, struct wk_cursor *cur)
{
    m->type = wk_cursor_u8(cur);
    const uint8_t flags = wk_cursor_u8(cur);
    m->from = wk_cursor_varint(cur);
    m->to = wk_cursor_varint(cur);
    m->term = wk_cursor_varint(cur);
    m->index = wk_cursor_varint(cur);
    m->log_term = wk_cursor_varint(cur);
    m->commit = wk_cursor_varint(cur);
    m->hint = wk_cursor_varint(cur);
    m->hint_term = wk_cursor_varint(cur);
    m->context = wk_cursor_varint(cur);
    const uint64_t n = wk_cursor_varint(cur);
    if (cur->bad || m->type < WK_RAFT_MSG_APPEND || m->type > WK_RAFT_MSG_PROPOSE ||
        (flags & ~FLAG_ALL) || !(flags & FLAG_CONF) != (m->type != WK_RAFT_MSG_SNAPSHOT))
        return WKIM_EPROTO;
    m->reject = flags & FLAG_REJECT;
    m->force = flags & FLAG_FORCE;
    const bool carries = m->type == WK_RAFT_MSG_APPEND || m->type == WK_RAFT_MSG_PROPOSE;
    /* The count is believed only as far as the bytes that are there can hold it. */
    if (n > wk_cursor_left(cur) / ENTRY_BYTES_MIN || (n > 0 && !carries))
        return WKIM_EPROTO;
    if (n > 0) {
        const int rc = entries_decode(m, cur, (uint32_t)n);
        if (rc != WKIM_OK)
            return rc;
    }
    if (flags & FLAG_CONF)
        return wk_raft_conf_decode(&m->conf, wk_cursor_rest(cur));
    return cur->bad || wk_cursor_left(cur) > 0 ? WKIM_EPROTO : WKIM_OK;
}

int wk_raft_msg_decode(struct wk_raft_msg *out, wkim_slice in)
{
    struct wk_cursor cur = wk_cursor(in);
    *out = (struct wk_raft_msg){ 0 };
    if (in.n > UINT32_MAX)
        return WKIM_ETOOBIG;
    const int rc = body_decode(out, &cur);
    if (rc != WKIM_OK) {
        wk_raft_msg_fini(out);
        *out = (struct wk_raft_msg){ 0 };
    }
    return rc;
}

void wk_raft_msg_fini(struct wk_raft_msg *m)
{
    for (uint32_t i = 0; i < m->n_entries; i++)
        wk_blob_unref(m->entries[i].data);
    wk_free(m->entries);
    m->entries = NULL;
    m->n_entries = 0;
}
