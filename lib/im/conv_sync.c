/* /conversation/sync and its kin: the rows of a user from the uid's slot, then the newest messages
 * of each channel from the channels' slots, then one answer. */
#include "im/internal.h"
#include <stdlib.h>
#include "cluster/scatter.h"

#define ROWS_MAX 20000 /* conversations of one user that are looked at */
#define PAGE_DEFAULT 100
#define PAGE_MAX 500

struct item {
    uint32_t key_off, key_len; /* stored id in text */
    uint32_t slot;             /* of the channel */
    uint8_t type;
    bool listed, omit;
    struct wk_row_conversation row;
    uint64_t from;
    uint64_t last, own, floor, holes; /* of IM_HEADS */
    uint64_t n_recents;
    wkim_slice recents;        /* borrowed from sync.heads */
    uint64_t newest_seq, newest_ms;
    wkim_slice newest_no, newest_from;
};

struct sync {
    struct im_slot *is;
    struct wk_call *call;
    bool by_channels;
    wkim_slice uid;            /* borrowed from call->in */
    uint64_t version;
    uint32_t count, only_unread, page, page_size;
    wkim_slice excluded;
    wkim_slice listed;         /* repeated (key, u64) */
    uint64_t n_listed;
    struct wk_buf text;
    struct item *items;
    size_t n, cap;
    int rc;
    uint64_t began_us;         /* of the round */
    struct wk_scatter *heads;  /* the recents are borrowed from it */
};

static void free_sync(struct sync *s)
{
    wk_scatter_free(s->heads);
    wk_buf_fini(&s->text);
    wk_free(s->items);
    wk_free(s);
}

static wkim_slice item_id(const struct sync *s, const struct item *it)
{
    return wk_slice(s->text.p ? s->text.p + it->key_off : NULL, it->key_len);
}

static int add_item(struct sync *s, const struct wk_channel_key *key,
                    const struct wk_row_conversation *row)
{
    if (s->n == ROWS_MAX)
        return 1;
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        struct item *v = wk_realloc(s->items, cap * sizeof(*v));
        if (!v)
            return WKIM_ENOMEM;
        s->items = v;
        s->cap = cap;
    }
    struct item *it = &s->items[s->n];
    *it = (struct item){ .key_off = (uint32_t)s->text.n, .key_len = (uint32_t)key->id.n,
                         .type = key->type, .row = *row };
    wk_buf_bytes(&s->text, key->id.p, key->id.n);
    if (s->text.oom)
        return WKIM_ENOMEM;
    s->n++;
    return 0;
}

static int row_found(void *arg, const struct wk_channel_key *key,
                     const struct wk_row_conversation *row)
{
    struct sync *s = arg;
    return row->kind == 0 ? add_item(s, key, row) : 0;
}

/* Reader thread: the rows. */
static void read_rows(struct im_slot *is, struct wk_call *c)
{
    struct sync *s = c->mark;
    struct wk_store *st = wk_slot_store(is->slot);
    uint32_t slot = wk_slot_id(is->slot);
    int rc = WKIM_OK;

    if (!s->by_channels) {
        rc = wk_conversation_scan(st, slot, s->uid, row_found, s);
        s->rc = rc < 0 ? rc : WKIM_OK;
        return;
    }
    struct wk_cursor cur = wk_cursor(s->listed);
    while (rc == WKIM_OK && wk_cursor_left(&cur) && !cur.bad) {
        struct wk_channel_key key;
        struct wk_row_conversation row = { 0 };
        im_channel_key_decode(&cur, &key);
        if (cur.bad)
            break;
        rc = wk_conversation_get(st, slot, s->uid, &key, &row);
        if (rc == WKIM_ENOTFOUND)
            rc = WKIM_OK;
        if (rc == WKIM_OK)
            rc = add_item(s, &key, &row);
    }
    s->rc = cur.bad ? WKIM_EPROTO : rc < 0 ? rc : WKIM_OK;
}

static uint64_t listed_seq(const struct sync *s, const struct item *it, bool *listed)
{
    struct wk_cursor cur = wk_cursor(s->listed);
    wkim_slice id = item_id(s, it);

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

static void choose_range(struct sync *s, struct item *it)
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
    const struct item *x = a, *y = b;

    if (x->newest_ms != y->newest_ms)
        return x->newest_ms < y->newest_ms ? 1 : -1;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    return x->key_off < y->key_off ? -1 : 1;
}

static void parse_newest(struct item *it)
{
    struct wk_cursor c = wk_cursor(it->recents);
    struct wk_record r;

    if (it->n_recents && wk_record_decode(&r, wk_cursor_str(&c)) == WKIM_OK) {
        it->newest_seq = r.message_seq;
        it->newest_ms = r.timestamp_ms;
        it->newest_no = r.client_msg_no;
        it->newest_from = r.from_uid;
    }
}

static uint64_t forced_of(const struct item *it)
{
    return it->row.unread_shift > 0 ? (uint64_t)it->row.unread_shift : 0;
}

static void emit(struct sync *s, const struct item *it)
{
    wkim_slice id = item_id(s, it);
    uint64_t read = im_read_to(it->row.read_seq, forced_of(it), it->own);

    if (read > it->last)
        read = it->last;
    /* hidden or deleted is not unread */
    uint64_t floor = it->row.deleted_seq > read ? it->row.deleted_seq : read;
    floor = (it->floor > floor ? it->floor : floor) + it->holes;
    struct im_conv_row row = { .type = it->type, .stored_id = id, .channel_id = id };
    if (it->type == WKIM_CHANNEL_PERSON)
        row.channel_id = im_peer(id, s->uid);
    row.unread = it->last > floor ? it->last - floor : 0;
    row.read_seq = read;
    row.timestamp_ms = it->newest_ms;
    row.last_seq = it->newest_seq;
    row.last_client_msg_no = it->newest_no;
    row.updated_ms = it->row.updated_ms;
    row.version = (it->newest_ms ? it->newest_ms / 1000 : it->row.updated_ms / 1000) * 1000000000u;
    row.n_recents = it->n_recents;
    row.recents = it->recents;
    im_conv_row_encode(&s->call->out, &row);
}

static void answer(struct sync *s)
{
    struct wk_call *c = s->call;
    const uint64_t now_us = wk_slot_shard(s->is->slot)->now_us;
    size_t kept = 0;

    wk_histogram_add(&s->is->count->conv_sync, WK_BOUNDS_SECONDS, now_us - s->began_us);
    for (size_t i = 0; i < s->n; i++) {
        struct item *it = &s->items[i];
        parse_newest(it);
        bool system = it->type == WKIM_CHANNEL_PERSON &&
                      wk_slice_eq(im_peer(item_id(s, it), s->uid), WK_LIT(IM_SYSTEM_UID));
        if (!s->by_channels && (it->omit || it->n_recents == 0 || system))
            continue;
        s->items[kept++] = *it;
    }
    s->n = kept;
    size_t first = 0, end = s->n;
    if (!s->by_channels) {
        if (s->n)
            qsort(s->items, s->n, sizeof(*s->items), newest_first);
        if (end > s->is->im->opt.conversations_max)
            end = s->is->im->opt.conversations_max;
        if (s->page) {
            uint64_t size = s->page_size ? s->page_size : PAGE_DEFAULT;
            size = size > PAGE_MAX ? PAGE_MAX : size;
            uint64_t at = (uint64_t)(s->page - 1) * size;
            first = at < end ? (size_t)at : end;
            end = first + size < end ? first + (size_t)size : end;
        }
    }
    for (size_t i = first; i < end; i++)
        emit(s, &s->items[i]);
    c->number[0] = s->n;
    c->code = s->rc != WKIM_OK ? s->rc : c->out.oom ? WKIM_ENOMEM : WKIM_OK;
    free_sync(s);
    wk_call_finish(c);
}

/* ---- the channels' slots --------------------------------------------------------------------- */

static void heads_done(struct wk_scatter *heads)
{
    struct sync *s = wk_scatter_user(heads);

    s->rc = wk_scatter_code(heads);
    for (size_t i = 0; s->rc == WKIM_OK && i < s->n; i++) {
        struct item *it = &s->items[i];
        if (it->omit)
            continue;
        struct wk_cursor *cur = wk_scatter_answer(heads, it->slot);
        it->last = wk_cursor_u64(cur);
        it->own = wk_cursor_u64(cur);
        it->floor = wk_cursor_u64(cur);
        it->holes = wk_cursor_u64(cur);
        it->n_recents = wk_cursor_varint(cur);
        it->recents = wk_cursor_str(cur);
        if (cur->bad)
            s->rc = WKIM_EPROTO;
    }
    answer(s);
}

static void rows_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cluster *cl = wk_slot_cluster(is->slot);
    struct sync *s = c->mark;

    if (s->rc == WKIM_OK)
        s->rc = wk_scatter_new(&s->heads, cl, wk_slot_shard(is->slot));
    if (s->rc != WKIM_OK) {
        answer(s);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        struct item *it = &s->items[i];
        choose_range(s, it);
        if (it->omit)
            continue;
        it->slot = wk_cluster_slot_of(cl, im_base_id(item_id(s, it)));
        struct wk_buf *b = wk_scatter_request(s->heads, it->slot);
        if (!b->n)
            wk_buf_str(b, s->uid);
        im_channel_key_encode(b, it->type, item_id(s, it));
        wk_buf_u64(b, it->from);
        wk_buf_u32(b, s->count);
        wk_buf_u64(b, it->row.read_seq);
        wk_buf_u64(b, forced_of(it));
        wk_buf_u64(b, it->row.deleted_seq);
    }
    wk_scatter_send(s->heads, IM_HEADS, heads_done, s);
}

static int decode(struct sync *s, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);

    s->uid = wk_cursor_str(&c);
    if (s->by_channels) {
        s->count = wk_cursor_u32(&c);
        s->n_listed = wk_cursor_varint(&c);
        s->listed = wk_cursor_rest(&c);
        return c.bad ? WKIM_EPROTO : WKIM_OK;
    }
    s->version = wk_cursor_u64(&c);
    s->count = wk_cursor_u32(&c);
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
    s->is = is;
    s->call = c;
    s->began_us = wk_slot_shard(is->slot)->now_us;
    s->by_channels = c->op == IM_CONV_SYNC_CHANNELS;
    c->code = decode(s, wk_blob_slice(c->in));
    if (c->code == WKIM_OK && !s->by_channels && s->count == 0) {
        free_sync(s); /* the reference answers nothing without msg_count */
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
    return im_read(is, c, channels_read);
}
