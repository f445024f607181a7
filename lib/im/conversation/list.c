/* /conversation/list: the conversations of a user in pages, in the order of their rows, so that a
 * page boundary stays where it is whatever is sent meanwhile.  With `since` only what changed. */
#include "im/conversation/view.h"
#include <wkim/conversation.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX WKIM_CONVERSATION_PAGE_MAX
#define LOOK_MAX 1000 /* rows looked at for one page of changes */

struct list {
    struct im_conv_view view;
    struct wk_call *call;
    uint32_t limit;
    uint64_t since_ms, wall_ms, kept_since_ms;
    struct wk_channel_key after; /* borrowed from call->in; empty id: from the first */
    uint64_t n_named;
    wkim_slice named;            /* repeated key */
    bool more;                   /* rows are left behind those in the view */
    struct wk_buf gone;          /* repeated (key, u64 ms): tombstones of this page */
};

static void free_list(struct list *l)
{
    im_conv_view_fini(&l->view);
    wk_buf_fini(&l->gone);
    wk_free(l);
}

static int row_found(void *arg, const struct wk_channel_key *key,
                     const struct wk_row_conversation *row)
{
    struct list *l = arg;

    if (row->kind != 0 || l->view.is->im->opt.conversations_off)
        return 0;
    int rc = im_conv_view_add(&l->view, key, row);
    l->more = rc == 1;
    return rc;
}

static int gone_found(void *arg, const struct wk_channel_key *key, uint64_t left_ms)
{
    struct list *l = arg;
    struct wk_row_conversation row;
    struct im_slot *is = l->view.is;

    if (left_ms < l->since_ms)
        return 0;
    int rc = wk_conversation_get(wk_slot_store(is->slot), wk_slot_id(is->slot), l->view.uid, key,
                                 &row);
    if (rc == WKIM_ENOTFOUND) { /* else it came back */
        im_channel_key_encode(&l->gone, key->type, key->id);
        wk_buf_u64(&l->gone, left_ms);
        rc = WKIM_OK;
    }
    return rc;
}

static int read_named(struct list *l, struct wk_store *st, uint32_t slot)
{
    struct wk_cursor cur = wk_cursor(l->named);
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_cursor_left(&cur) && !cur.bad) {
        struct wk_channel_key key;
        struct wk_row_conversation row;
        im_channel_key_decode(&cur, &key);
        if (cur.bad)
            break;
        rc = wk_conversation_get(st, slot, l->view.uid, &key, &row);
        if (rc == WKIM_OK)
            rc = im_conv_view_add(&l->view, &key, &row);
        else if (rc == WKIM_ENOTFOUND) {
            im_channel_key_encode(&l->gone, key.type, key.id);
            wk_buf_u64(&l->gone, 0);
            rc = WKIM_OK;
        }
    }
    return cur.bad ? WKIM_EPROTO : rc;
}

/* Reader thread. */
static void read_rows(struct im_slot *is, struct wk_call *c)
{
    struct list *l = c->mark;
    struct wk_store *st = wk_slot_store(is->slot);
    uint32_t slot = wk_slot_id(is->slot);
    int rc;

    if (l->n_named)
        rc = read_named(l, st, slot);
    else
        rc = wk_conversation_scan_after(st, slot, l->view.uid, l->after.id.n ? &l->after : NULL,
                                        row_found, l);
    if (rc >= 0 && !l->n_named)
        rc = im_left_read(is, l->view.uid, &l->kept_since_ms,
                          l->since_ms && !l->after.id.n ? gone_found : NULL, l);
    if (l->since_ms && l->kept_since_ms >= l->since_ms) { /* deletions are missing: begin anew */
        l->view.n = 0;
        l->more = false;
        wk_buf_clear(&l->gone);
    }
    l->view.rc = rc < 0 ? rc : l->gone.oom ? WKIM_ENOMEM : WKIM_OK;
}

static void choose(struct im_conv_item *it, const struct im_conv_view *v)
{
    it->from = it->row.deleted_seq + 1;
    it->omit = im_conv_view_hidden(v, it);
}

/* What the item is in the answer; 0: nothing. */
static uint8_t state_of(const struct list *l, const struct im_conv_item *it)
{
    bool visible = it->n_recents || (it->row.activated && !it->row.deleted);
    bool changed =
        !l->since_ms || it->row.updated_ms >= l->since_ms || it->newest_ms >= l->since_ms;

    if (it->omit)
        return 0;
    if (it->unresolved)
        return WKIM_CONVERSATION_UNRESOLVED;
    if (!changed)
        return 0;
    if (visible)
        return WKIM_CONVERSATION_LIVE;
    /* A first list has nothing to take back. */
    return (l->since_ms && it->row.deleted) || l->n_named ? WKIM_CONVERSATION_DELETED : 0;
}

static void put_gone(const struct list *l, struct wk_buf *out)
{
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&l->gone));

    while (wk_cursor_left(&cur) && !cur.bad) {
        struct wk_channel_key key;
        im_channel_key_decode(&cur, &key);
        uint64_t left_ms = wk_cursor_u64(&cur);
        struct im_conv_row row = { .type = key.type, .stored_id = key.id, .channel_id = key.id,
                                   .state = WKIM_CONVERSATION_DELETED, .updated_ms = left_ms };
        if (key.type == WKIM_CHANNEL_PERSON)
            row.channel_id = im_peer(key.id, l->view.uid);
        im_conv_row_encode(out, &row);
    }
}

/* Encodes items until the page is full; the number of items that were looked at. */
static size_t put_items(struct list *l, struct wk_buf *out)
{
    struct im_conv_view *v = &l->view;
    size_t i = 0;

    for (uint32_t n = 0; i < v->n && n < l->limit; i++) {
        uint8_t state = state_of(l, &v->items[i]);
        struct im_conv_row row;
        if (!state)
            continue;
        im_conv_view_row(v, &v->items[i], &row);
        row.state = state;
        row.active_ms = row.timestamp_ms ? row.timestamp_ms : row.updated_ms;
        im_conv_row_encode(out, &row);
        n++;
    }
    return i;
}

static void answer(struct im_conv_view *v)
{
    struct list *l = WK_CONTAINER(v, struct list, view);
    struct wk_call *c = l->call;
    struct wk_buf rows = WK_BUF_INIT, next = WK_BUF_INIT;

    if (v->rc == WKIM_OK) {
        put_gone(l, &rows);
        size_t looked = put_items(l, &rows);
        if (looked && (l->more || looked < v->n))
            im_channel_key_encode(&next, v->items[looked - 1].type,
                                  im_conv_view_id(v, &v->items[looked - 1]));
        wk_buf_str(&c->out, wk_buf_slice(&next));
        wk_buf_bytes(&c->out, rows.p, rows.n);
    }
    c->number[0] = l->wall_ms;
    c->number[1] = l->kept_since_ms;
    c->code = v->rc != WKIM_OK ? v->rc : rows.oom || next.oom || c->out.oom ? WKIM_ENOMEM : WKIM_OK;
    wk_buf_fini(&rows);
    wk_buf_fini(&next);
    free_list(l);
    wk_call_finish(c);
}

static void rows_read(struct im_slot *is, struct wk_call *c)
{
    struct list *l = c->mark;
    (void)is;

    for (size_t i = 0; i < l->view.n; i++)
        choose(&l->view.items[i], &l->view);
    im_conv_view_ask(&l->view, answer);
}

static int decode(struct list *l, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);

    l->view.uid = wk_cursor_str(&c);
    l->limit = wk_cursor_u32(&c);
    l->limit = !l->limit ? LIMIT_DEFAULT : l->limit > LIMIT_MAX ? LIMIT_MAX : l->limit;
    l->since_ms = wk_cursor_u64(&c);
    im_channel_key_decode(&c, &l->after);
    l->n_named = wk_cursor_varint(&c);
    l->named = wk_cursor_rest(&c);
    if (l->n_named) /* all of them in one page */
        l->limit = LIMIT_MAX;
    l->view.max = l->n_named ? LIMIT_MAX : l->since_ms ? LOOK_MAX : l->limit;
    return c.bad || l->n_named > LIMIT_MAX ? WKIM_EPROTO : WKIM_OK;
}

enum wk_call_result im_conv_list_handle(struct im_slot *is, struct wk_call *c)
{
    struct list *l = wk_calloc(1, sizeof(*l));

    if (!l) {
        c->code = WKIM_ENOMEM;
        return WK_CALL_DONE;
    }
    l->view.is = is;
    l->view.count = 1;
    l->view.partial = true;
    l->call = c;
    l->wall_ms = wk_slot_shard(is->slot)->wall_ms;
    c->mark = l;
    c->code = decode(l, wk_blob_slice(c->in));
    enum wk_call_result res =
        c->code == WKIM_OK ? im_read_then(is, c, read_rows, rows_read) : WK_CALL_DONE;
    if (res == WK_CALL_DONE)
        free_list(l);
    return res;
}
