#include "im/conversation/view.h"
#include "im/channel/bounds.h"

void im_conv_view_fini(struct im_conv_view *v)
{
    wk_scatter_free(v->heads);
    wk_buf_fini(&v->text);
    wk_free(v->items);
}

wkim_slice im_conv_view_id(const struct im_conv_view *v, const struct im_conv_item *it)
{
    return wk_slice(v->text.p ? v->text.p + it->key_off : NULL, it->key_len);
}

int im_conv_view_add(struct im_conv_view *v, const struct wk_channel_key *key,
                     const struct wk_row_conversation *row)
{
    if (v->n == v->max)
        return 1;
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 64;
        struct im_conv_item *items = wk_realloc(v->items, cap * sizeof(*items));
        if (!items)
            return WKIM_ENOMEM;
        v->items = items;
        v->cap = cap;
    }
    struct im_conv_item *it = &v->items[v->n];
    *it = (struct im_conv_item){ .key_off = (uint32_t)v->text.n, .key_len = (uint32_t)key->id.n,
                                 .type = key->type, .row = *row };
    wk_buf_bytes(&v->text, key->id.p, key->id.n);
    if (v->text.oom)
        return WKIM_ENOMEM;
    v->n++;
    return 0;
}

bool im_conv_view_hidden(const struct im_conv_view *v, const struct im_conv_item *it)
{
    return it->type == WKIM_CHANNEL_PERSON &&
           wk_slice_eq(im_peer(im_conv_view_id(v, it), v->uid), WK_LIT(IM_SYSTEM_UID));
}

static void parse_newest(struct im_conv_item *it)
{
    struct wk_cursor c = wk_cursor(it->recents);
    struct wk_record r;

    if (it->n_recents && wk_record_decode(&r, wk_cursor_str(&c)) == WKIM_OK) {
        it->newest_seq = r.message_seq;
        it->newest_ms = r.timestamp_ms;
        it->newest_no = r.client_msg_no;
    }
}

static uint64_t forced_of(const struct im_conv_item *it)
{
    return it->row.unread_shift > 0 ? (uint64_t)it->row.unread_shift : 0;
}

static void asked(struct wk_scatter *heads)
{
    struct im_conv_view *v = wk_scatter_user(heads);

    v->rc = v->partial ? WKIM_OK : wk_scatter_code(heads);
    for (size_t i = 0; v->rc == WKIM_OK && i < v->n; i++) {
        struct im_conv_item *it = &v->items[i];
        it->unresolved = !it->omit && wk_scatter_code_of(heads, it->slot) != WKIM_OK;
        if (it->omit || it->unresolved)
            continue;
        struct wk_cursor *cur = wk_scatter_answer(heads, it->slot);
        it->last = wk_cursor_u64(cur);
        it->own = wk_cursor_u64(cur);
        it->floor = wk_cursor_u64(cur);
        it->holes = wk_cursor_u64(cur);
        it->n_recents = wk_cursor_varint(cur);
        it->recents = wk_cursor_str(cur);
        if (cur->bad)
            v->rc = WKIM_EPROTO;
        parse_newest(it);
    }
    v->done(v);
}

void im_conv_view_ask(struct im_conv_view *v, void (*done)(struct im_conv_view *v))
{
    struct wk_cluster *cl = wk_slot_cluster(v->is->slot);

    v->done = done;
    if (v->rc == WKIM_OK)
        v->rc = wk_scatter_new(&v->heads, cl, wk_slot_shard(v->is->slot));
    if (v->rc != WKIM_OK) {
        done(v);
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        struct im_conv_item *it = &v->items[i];
        if (it->omit)
            continue;
        it->slot = wk_cluster_slot_of(cl, im_base_id(im_conv_view_id(v, it)));
        struct wk_buf *b = wk_scatter_request(v->heads, it->slot);
        if (!b->n)
            wk_buf_str(b, v->uid);
        im_channel_key_encode(b, it->type, im_conv_view_id(v, it));
        wk_buf_u64(b, it->from);
        wk_buf_u32(b, v->count);
        wk_buf_u64(b, it->row.read_seq);
        wk_buf_u64(b, forced_of(it));
        wk_buf_u64(b, it->row.deleted_seq);
    }
    wk_scatter_send(v->heads, IM_HEADS, asked, v);
}

void im_conv_view_row(const struct im_conv_view *v, const struct im_conv_item *it,
                      struct im_conv_row *out)
{
    wkim_slice id = im_conv_view_id(v, it);
    uint64_t read = im_read_to(it->row.read_seq, forced_of(it), it->own);

    if (read > it->last)
        read = it->last;
    /* hidden or deleted is not unread */
    uint64_t floor = it->row.deleted_seq > read ? it->row.deleted_seq : read;
    floor = (it->floor > floor ? it->floor : floor) + it->holes;
    *out = (struct im_conv_row){ .type = it->type, .stored_id = id, .channel_id = id };
    if (it->type == WKIM_CHANNEL_PERSON)
        out->channel_id = im_peer(id, v->uid);
    out->unread = it->last > floor ? it->last - floor : 0;
    out->read_seq = read;
    out->deleted_seq = it->row.deleted_seq;
    out->timestamp_ms = it->newest_ms;
    out->last_seq = it->newest_seq;
    out->last_client_msg_no = it->newest_no;
    out->updated_ms = it->row.updated_ms;
    out->version =
        (it->newest_ms ? it->newest_ms / 1000 : it->row.updated_ms / 1000) * 1000000000u;
    out->n_recents = it->n_recents;
    out->recents = it->recents;
}
