/* The lanes of one message: from their rows, and in the messages that are read. */
#include "im/event/internal.h"

void im_stream_key(struct wk_buf *out, uint8_t type, wkim_slice stored_id, wkim_slice client_msg_no)
{
    im_channel_key_encode(out, type, stored_id);
    wk_buf_str(out, client_msg_no);
}

void im_stream_free(struct im_stream *st)
{
    wk_list_remove(&st->lru);
    wk_list_remove(&st->dirty);
    wk_list_remove(&st->flushing);
    for (size_t i = 0; i < st->n_lanes; i++) {
        im_lane_fini(st->lanes[i]);
        wk_free(st->lanes[i]);
    }
    wk_free(st->lanes);
    wk_buf_fini(&st->from_uid);
    wk_free(st);
}

struct im_stream *im_stream_find(struct im_slot *is, wkim_slice key)
{
    struct wk_map_entry *e = is->events ? wk_map_get(&is->events->streams, key) : NULL;
    return e ? WK_CONTAINER(e, struct im_stream, entry) : NULL;
}

struct im_lane *im_stream_lane(const struct im_stream *st, wkim_slice key)
{
    for (size_t i = 0; i < st->n_lanes; i++) {
        if (wk_slice_eq(wk_buf_slice(&st->lanes[i]->key), key))
            return st->lanes[i];
    }
    return NULL;
}

struct im_lane *im_stream_add_lane(struct im_stream *st, wkim_slice key)
{
    if (st->n_lanes == st->cap_lanes) {
        size_t cap = st->cap_lanes ? st->cap_lanes * 2 : 2;
        struct im_lane **v = wk_realloc(st->lanes, cap * sizeof(struct im_lane *));
        if (!v)
            return NULL;
        st->lanes = v;
        st->cap_lanes = cap;
    }
    struct im_lane *l = wk_calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    wk_buf_bytes(&l->key, key.p, key.n);
    if (l->key.oom) {
        wk_free(l);
        return NULL;
    }
    st->lanes[st->n_lanes++] = l;
    return l;
}

static int lane_row(void *arg, wkim_slice key, wkim_slice value)
{
    struct im_stream *st = arg;
    struct wk_cursor c = wk_cursor(wk_slice(key.p + st->key_n, key.n - st->key_n));
    struct im_lane *l = im_stream_add_lane(st, wk_cursor_str(&c));

    if (!l)
        return WKIM_ENOMEM;
    int rc = c.bad ? WKIM_ECORRUPT : im_lane_row_decode(l, value);
    if (rc == WKIM_OK && l->seq > st->seq)
        st->seq = l->seq;
    if (rc == WKIM_OK && st->from_uid.n == 0)
        wk_buf_bytes(&st->from_uid, l->from_uid.p, l->from_uid.n);
    if (rc == WKIM_OK && l->message_id)
        st->message_id = l->message_id;
    return rc;
}

static int chunk_row(void *arg, wkim_slice key, wkim_slice value)
{
    struct im_stream *st = arg;
    struct wk_cursor c = wk_cursor(wk_slice(key.p + st->key_n, key.n - st->key_n));
    wkim_slice name = wk_cursor_str(&c);
    uint64_t number = wk_cursor_u64(&c);

    if (c.bad)
        return WKIM_ECORRUPT;
    struct im_lane *l = im_stream_lane(st, name);
    if (!l)
        l = im_stream_add_lane(st, name);
    return l ? im_lane_chunk_apply(l, number, value) : WKIM_ENOMEM;
}

int im_stream_load(struct im_slot *is, wkim_slice key, struct im_stream **out)
{
    struct wk_store *store = wk_slot_store(is->slot);
    uint32_t slot = wk_slot_id(is->slot);
    struct im_stream *st = wk_calloc(1, sizeof(*st) + key.n);

    *out = NULL;
    if (!st)
        return WKIM_ENOMEM;
    wk_list_init(&st->lru);
    wk_list_init(&st->dirty);
    wk_list_init(&st->flushing);
    st->key_n = key.n;
    memcpy(st->key, key.p, key.n);
    int rc = wk_row_scan(store, slot, IM_TABLE_LANE, key, wk_slice(NULL, 0), lane_row, st);
    if (rc == WKIM_OK)
        rc = wk_row_scan(store, slot, IM_TABLE_CHUNK, key, wk_slice(NULL, 0), chunk_row, st);
    if (rc != WKIM_OK) {
        im_stream_free(st);
        return rc;
    }
    *out = st;
    return WKIM_OK;
}

/* ---- in messages that are read --------------------------------------------------------------- */

/* Behind a record: its events, as an entry of its own that no record can be taken for. */
static int put_block(struct im_slot *is, const struct wk_record *r, bool basic, bool memory,
                     wkim_slice before, struct wk_buf *out)
{
    struct wk_buf key = WK_BUF_INIT, block = WK_BUF_INIT;
    struct im_stream *st = NULL, *read = NULL;
    int rc = WKIM_OK;

    im_stream_key(&key, r->channel_type, r->channel_id, r->client_msg_no);
    if (memory)
        st = key.oom ? NULL : im_stream_find(is, wk_buf_slice(&key));
    else if (!key.oom)
        rc = im_stream_load(is, wk_buf_slice(&key), &read);
    const struct im_stream *shown = st ? st : read;
    if (shown && shown->n_lanes) {
        wk_buf_u8(&block, IM_EVENTS_ENTRY);
        im_view_message(&block, shown, r->client_msg_no, basic);
        wk_buf_str(out, wk_buf_slice(&block));
    } else if (before.n) {
        wk_buf_str(out, before);
    }
    if (rc == WKIM_OK && (key.oom || block.oom || out->oom))
        rc = WKIM_ENOMEM;
    if (read)
        im_stream_free(read);
    wk_buf_fini(&key);
    wk_buf_fini(&block);
    return rc;
}

int im_events_annotate(struct im_slot *is, struct wk_buf *records, bool basic, bool memory)
{
    struct wk_cursor c = wk_cursor(wk_buf_slice(records));
    struct wk_buf out = WK_BUF_INIT;
    bool any = false;
    int rc = WKIM_OK;

    while (wk_cursor_left(&c) && !any) {
        wkim_slice e = wk_cursor_str(&c);
        any = e.n > 2 && e.p[0] != IM_EVENTS_ENTRY && e.p[2] & WKIM_SETTING_STREAM;
    }
    if (!any)
        return WKIM_OK;
    c = wk_cursor(wk_buf_slice(records));
    while (rc == WKIM_OK && wk_cursor_left(&c)) {
        wkim_slice e = wk_cursor_str(&c), before = wk_slice(NULL, 0);
        struct wk_record r;
        wk_buf_str(&out, e);
        struct wk_cursor ahead = c;
        if (wk_cursor_left(&c)) {
            wkim_slice next = wk_cursor_str(&ahead);
            if (next.n && next.p[0] == IM_EVENTS_ENTRY) {
                before = next;
                c = ahead;
            }
        }
        if (wk_record_decode(&r, e) == WKIM_OK && r.setting & WKIM_SETTING_STREAM &&
            r.client_msg_no.n)
            rc = put_block(is, &r, basic, memory, before, &out);
    }
    if (rc == WKIM_OK && out.oom)
        rc = WKIM_ENOMEM;
    if (rc == WKIM_OK) {
        wk_buf_fini(records);
        *records = out;
    } else {
        wk_buf_fini(&out);
    }
    return rc;
}

int im_events_annotate_heads(struct im_slot *is, struct wk_buf *answer)
{
    struct wk_cursor c = wk_cursor(wk_buf_slice(answer));
    struct wk_buf out = WK_BUF_INIT, rows = WK_BUF_INIT;
    int rc = WKIM_OK;

    if (!is->events || is->events->streams.count == 0)
        return WKIM_OK;
    while (rc == WKIM_OK && wk_cursor_left(&c) && !c.bad) {
        for (int i = 0; i < 4; i++)
            wk_buf_u64(&out, wk_cursor_u64(&c));
        wk_buf_varint(&out, wk_cursor_varint(&c));
        wkim_slice recents = wk_cursor_str(&c);
        wk_buf_clear(&rows);
        wk_buf_bytes(&rows, recents.p, recents.n);
        rc = rows.oom ? WKIM_ENOMEM : im_events_annotate(is, &rows, false, true);
        wk_buf_str(&out, wk_buf_slice(&rows));
    }
    wk_buf_fini(&rows);
    if (rc == WKIM_OK && (out.oom || c.bad))
        rc = out.oom ? WKIM_ENOMEM : WKIM_EPROTO;
    if (rc == WKIM_OK) {
        wk_buf_fini(answer);
        *answer = out;
    } else {
        wk_buf_fini(&out);
    }
    return rc;
}
