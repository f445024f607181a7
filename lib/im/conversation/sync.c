/* /conversation/sync and its kin: the rows of a user from the uid's slot, then the newest messages
 * of each channel from the channels' slots, then one answer. */
#include "im/conversation/view.h"
#include <stdlib.h>

#define ROWS_MAX 20000 /* conversations of one user that are looked at */
#define PAGE_DEFAULT 100
#define PAGE_MAX 500

struct sync {
    struct im_conv_view view;
    struct wk_call *call;
    bool by_channels;
    uint64_t version;
    uint32_t only_unread, page, page_size;
    wkim_slice excluded;
    wkim_slice listed; /* repeated (key, u64) */
    uint64_t n_listed;
    uint64_t began_us; /* of the round */
};

static void free_sync(struct sync *s)
{
    im_conv_view_fini(&s->view);
    wk_free(s);
}

static int row_found(void *arg, const struct wk_channel_key *key,
                     const struct wk_row_conversation *row)
{
    struct sync *s = arg;
    return row->kind == 0 ? im_conv_view_add(&s->view, key, row) : 0;
}

/* Reader thread: the rows. */
static void read_rows(struct im_slot *is, struct wk_call *c)
{
    struct sync *s = c->mark;
    struct wk_store *st = wk_slot_store(is->slot);
    uint32_t slot = wk_slot_id(is->slot);
    int rc = WKIM_OK;

    if (!s->by_channels) {
        rc = wk_conversation_scan(st, slot, s->view.uid, row_found, s);
        s->view.rc = rc < 0 ? rc : WKIM_OK;
        return;
    }
    struct wk_cursor cur = wk_cursor(s->listed);
    while (rc == WKIM_OK && wk_cursor_left(&cur) && !cur.bad) {
        struct wk_channel_key key;
        struct wk_row_conversation row = { 0 };
        im_channel_key_decode(&cur, &key);
        if (cur.bad)
            break;
        rc = wk_conversation_get(st, slot, s->view.uid, &key, &row);
        if (rc == WKIM_ENOTFOUND)
            rc = WKIM_OK;
        if (rc == WKIM_OK)
            rc = im_conv_view_add(&s->view, &key, &row);
    }
    s->view.rc = cur.bad ? WKIM_EPROTO : rc < 0 ? rc : WKIM_OK;
}

static uint64_t listed_seq(const struct sync *s, const struct im_conv_item *it, bool *listed)
{
    struct wk_cursor cur = wk_cursor(s->listed);
    wkim_slice id = im_conv_view_id(&s->view, it);

    *listed = false;
    while (wk_cursor_left(&cur) && !cur.bad) {
        struct wk_channel_key key;
        im_channel_key_decode(&cur, &key);
        uint64_t seq = wk_cursor_u64(&cur);
        if (!cur.bad && key.type == it->type && wk_slice_eq(key.id, id)) {
            *listed = true;
            return seq;
        }
    }
    return 0;
}

static bool excluded(const struct sync *s, uint8_t type)
{
    return s->excluded.n && memchr(s->excluded.p, type, s->excluded.n);
}

static void choose_range(const struct sync *s, struct im_conv_item *it)
{
    uint64_t seq = s->by_channels ? 0 : listed_seq(s, it, &it->listed);

    it->from = 1;
    if (seq)
        it->from = seq + 1;
    else if (!s->by_channels && (s->version || s->only_unread))
        it->from = it->row.read_seq + 1;
    if (it->row.deleted_seq + 1 > it->from)
        it->from = it->row.deleted_seq + 1;
    it->omit = !s->by_channels && excluded(s, it->type) && !it->listed;
}

/* ---- answer ---------------------------------------------------------------------------------- */

static int newest_first(const void *a, const void *b)
{
    const struct im_conv_item *x = a, *y = b;

    if (x->newest_ms != y->newest_ms)
        return x->newest_ms < y->newest_ms ? 1 : -1;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    return x->key_off < y->key_off ? -1 : 1;
}

static void answer(struct im_conv_view *v)
{
    struct sync *s = WK_CONTAINER(v, struct sync, view);
    struct wk_call *c = s->call;
    const uint64_t now_us = wk_slot_shard(v->is->slot)->now_us;
    size_t kept = 0, first = 0, end;

    wk_histogram_add(&v->is->count->conv_sync, WK_BOUNDS_SECONDS, now_us - s->began_us);
    for (size_t i = 0; i < v->n; i++) {
        const struct im_conv_item *it = &v->items[i];
        if (!s->by_channels && (it->omit || it->n_recents == 0 || im_conv_view_hidden(v, it)))
            continue;
        v->items[kept++] = *it;
    }
    v->n = end = kept;
    if (!s->by_channels) {
        if (v->n)
            qsort(v->items, v->n, sizeof(*v->items), newest_first);
        if (end > v->is->im->opt.conversations_max)
            end = v->is->im->opt.conversations_max;
        if (s->page) {
            uint64_t size = s->page_size ? s->page_size : PAGE_DEFAULT;
            size = size > PAGE_MAX ? PAGE_MAX : size;
            uint64_t at = (uint64_t)(s->page - 1) * size;
            first = at < end ? (size_t)at : end;
            end = first + size < end ? first + (size_t)size : end;
        }
    }
    for (size_t i = first; i < end; i++) {
        struct im_conv_row row;
        im_conv_view_row(v, &v->items[i], &row);
        im_conv_row_encode(&c->out, &row);
    }
    c->number[0] = v->n;
    c->code = v->rc != WKIM_OK ? v->rc : c->out.oom ? WKIM_ENOMEM : WKIM_OK;
    free_sync(s);
    wk_call_finish(c);
}

static void rows_read(struct im_slot *is, struct wk_call *c)
{
    struct sync *s = c->mark;
    (void)is;

    for (size_t i = 0; i < s->view.n; i++)
        choose_range(s, &s->view.items[i]);
    im_conv_view_ask(&s->view, answer);
}

static int decode(struct sync *s, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);

    s->view.uid = wk_cursor_str(&c);
    if (s->by_channels) {
        s->view.count = wk_cursor_u32(&c);
        s->n_listed = wk_cursor_varint(&c);
        s->listed = wk_cursor_rest(&c);
        return c.bad ? WKIM_EPROTO : WKIM_OK;
    }
    s->version = wk_cursor_u64(&c);
    s->view.count = wk_cursor_u32(&c);
    s->only_unread = wk_cursor_u8(&c);
    s->page = wk_cursor_u32(&c);
    s->page_size = wk_cursor_u32(&c);
    uint64_t n = wk_cursor_varint(&c);
    s->excluded = wk_cursor_bytes(&c, n < 256 ? (size_t)n : 256);
    s->n_listed = wk_cursor_varint(&c);
    s->listed = wk_cursor_rest(&c);
    return c.bad ? WKIM_EPROTO : WKIM_OK;
}

enum wk_call_result im_conv_sync_handle(struct im_slot *is, struct wk_call *c)
{
    struct sync *s = wk_calloc(1, sizeof(*s));

    if (!s) {
        c->code = WKIM_ENOMEM;
        return WK_CALL_DONE;
    }
    s->view.is = is;
    s->view.max = ROWS_MAX;
    s->call = c;
    s->began_us = wk_slot_shard(is->slot)->now_us;
    s->by_channels = c->op == IM_CONV_SYNC_CHANNELS;
    c->code = decode(s, wk_blob_slice(c->in));
    bool nothing = s->view.count == 0 || is->im->opt.conversations_off;
    if (c->code == WKIM_OK && !s->by_channels && nothing) {
        free_sync(s); /* version 2 answers nothing without msg_count */
        return WK_CALL_DONE;
    }
    c->mark = s;
    enum wk_call_result res =
        c->code == WKIM_OK ? im_read_then(is, c, read_rows, rows_read) : WK_CALL_DONE;
    if (res == WK_CALL_DONE)
        free_sync(s);
    return res;
}

static int channel_row(void *arg, const struct wk_channel_key *key,
                       const struct wk_row_conversation *row)
{
    if (row->kind == 0)
        im_row_a(arg, key->id, key->type, 0, 0);
    return 0;
}

static void channels_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    wkim_slice uid = wk_cursor_str(&cur);
    int rc = cur.bad ? WKIM_EPROTO
                     : wk_conversation_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), uid,
                                            channel_row, &c->out);
    c->code = rc < 0 ? rc : WKIM_OK;
}

enum wk_call_result im_conv_channels_handle(struct im_slot *is, struct wk_call *c)
{
    if (is->im->opt.conversations_off)
        return WK_CALL_DONE;
    return im_read(is, c, channels_read);
}
