#include "im/event/lane.h"
#include "base/mem.h"

#define ROW_FORMAT 2 /* 1: nothing behind the snapshot */
#define CHUNK_FORMAT 1

/* ---- the event ------------------------------------------------------------------------------- */

void im_event_encode(struct wk_buf *out, const struct im_event *e)
{
    const wkim_slice texts[] = { e->stored_id, e->channel_id, e->from_uid, e->client_msg_no,
                                 e->event_id,  e->type,       e->key,      e->visibility,
                                 e->payload,   e->delta,      e->snapshot, e->error,
                                 e->given_type };

    wk_buf_u8(out, e->channel_type);
    wk_buf_u8(out, e->bits);
    wk_buf_u8(out, e->end_reason);
    wk_buf_u64(out, (uint64_t)e->message_id);
    wk_buf_u64(out, e->occurred_ms);
    wk_buf_u64(out, e->now_ms);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        wk_buf_str(out, texts[i]);
}

int im_event_decode(struct im_event *e, wkim_slice in)
{
    wkim_slice *const texts[] = { &e->stored_id, &e->channel_id, &e->from_uid, &e->client_msg_no,
                                  &e->event_id,  &e->type,       &e->key,      &e->visibility,
                                  &e->payload,   &e->delta,      &e->snapshot, &e->error,
                                  &e->given_type };
    struct wk_cursor c = wk_cursor(in);

    e->channel_type = wk_cursor_u8(&c);
    e->bits = wk_cursor_u8(&c);
    e->end_reason = wk_cursor_u8(&c);
    e->message_id = (int64_t)wk_cursor_u64(&c);
    e->occurred_ms = wk_cursor_u64(&c);
    e->now_ms = wk_cursor_u64(&c);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        *texts[i] = wk_cursor_str(&c);
    return c.bad || wk_cursor_left(&c) ? WKIM_EPROTO : WKIM_OK;
}

enum im_event_kind im_event_kind_of(wkim_slice type)
{
    static const struct {
        const char *name;
        enum im_event_kind kind;
    } kinds[] = { { "stream.delta", IM_EVENT_DELTA },   { "stream.snapshot", IM_EVENT_SNAPSHOT },
                  { "stream.close", IM_EVENT_CLOSE },   { "stream.error", IM_EVENT_ERROR },
                  { "stream.cancel", IM_EVENT_CANCEL }, { "stream.finish", IM_EVENT_FINISH } };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (wk_slice_eq(type, wk_str(kinds[i].name)))
            return kinds[i].kind;
    }
    return IM_EVENT_CUSTOM;
}

/* ---- the lane -------------------------------------------------------------------------------- */

void im_lane_fini(struct im_lane *l)
{
    struct wk_buf *const all[] = { &l->key,      &l->event_id, &l->type, &l->visibility, &l->error,
                                   &l->from_uid, &l->snapshot, &l->kept };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        wk_buf_fini(all[i]);
}

bool im_lane_terminal(const struct im_lane *l)
{
    return l->status >= IM_LANE_CLOSED;
}

const char *im_lane_status_name(uint8_t status)
{
    static const char *const names[] = { "", "open", "closed", "error", "cancelled" };
    return status < sizeof(names) / sizeof(names[0]) ? names[status] : "";
}

static int set(struct wk_buf *b, wkim_slice s)
{
    wk_buf_clear(b);
    wk_buf_bytes(b, s.p, s.n);
    return b->oom ? WKIM_ENOMEM : WKIM_OK;
}

/* Everything before this replacement has no meaning any more. */
static int replace(struct im_lane *l, wkim_slice s, bool text)
{
    int rc = set(&l->snapshot, s);

    if (rc != WKIM_OK)
        return rc;
    l->text = text;
    l->has_snapshot = true;
    l->unsaved = l->unsaved_whole = true;
    l->unsaved_from = 0;
    return WKIM_OK;
}

int im_lane_delta(struct im_lane *l, const struct im_event *e)
{
    bool append = e->bits & IM_EVENT_TEXT;
    bool fresh = !l->has_snapshot || !l->text;
    size_t add = append ? e->delta.n : e->bits & IM_EVENT_TEXT_WHOLE ? e->delta.n : e->payload.n;
    int rc;

    if (add + (append && !fresh ? l->snapshot.n : 0) > IM_SNAPSHOT_BYTES_MAX)
        return WKIM_ETOOBIG;
    if (e->visibility.n && set(&l->visibility, e->visibility) != WKIM_OK)
        return WKIM_ENOMEM;
    if (!append) {
        bool whole = e->bits & IM_EVENT_TEXT_WHOLE;
        rc = replace(l, whole ? e->delta : e->payload, whole);
    } else if (fresh) {
        rc = replace(l, e->delta, true);
    } else {
        if (!l->unsaved)
            l->unsaved_from = l->snapshot.n;
        wk_buf_bytes(&l->snapshot, e->delta.p, e->delta.n);
        rc = l->snapshot.oom ? WKIM_ENOMEM : WKIM_OK;
        l->snapshot.oom = false;
        l->unsaved = l->unsaved || rc == WKIM_OK;
    }
    if (rc == WKIM_OK)
        l->status = IM_LANE_OPEN;
    return rc;
}

static int end_lane(struct im_lane *l, const struct im_event *e, enum im_event_kind kind)
{
    int rc = WKIM_OK;

    if (!l->has_snapshot && e->snapshot.n)
        rc = replace(l, e->snapshot, e->bits & IM_EVENT_SNAPSHOT_TEXT);
    if (rc == WKIM_OK && kind == IM_EVENT_ERROR)
        rc = set(&l->error, e->error);
    if (kind == IM_EVENT_CLOSE || kind == IM_EVENT_FINISH)
        l->end_reason = e->end_reason;
    l->status = kind == IM_EVENT_ERROR ? IM_LANE_ERROR : kind == IM_EVENT_CANCEL ? IM_LANE_CANCELLED
                                                                                 : IM_LANE_CLOSED;
    return rc;
}

int im_lane_store(struct im_lane *l, const struct im_event *e, enum im_event_kind kind,
                  uint64_t seq)
{
    int rc = WKIM_OK;

    if (kind == IM_EVENT_SNAPSHOT) {
        bool text = e->bits & IM_EVENT_TEXT_WHOLE;
        rc = replace(l, text ? e->delta : e->payload, text);
    } else if (kind >= IM_EVENT_CLOSE) {
        rc = end_lane(l, e, kind);
    }
    if (rc == WKIM_OK)
        rc = set(&l->event_id, e->event_id);
    if (rc == WKIM_OK)
        rc = set(&l->type, e->type);
    if (rc == WKIM_OK)
        rc = set(&l->visibility, e->visibility);
    if (rc == WKIM_OK)
        rc = set(&l->from_uid, e->from_uid);
    if (rc == WKIM_OK)
        rc = set(&l->kept, kind == IM_EVENT_CUSTOM ? e->payload : wk_slice(NULL, 0));
    l->message_id = e->message_id;
    l->occurred_ms = e->occurred_ms ? e->occurred_ms : e->now_ms;
    l->seq = seq;
    /* The row of this event holds the whole snapshot: earlier pieces go. */
    l->chunk_first = l->chunk_next;
    l->unsaved = l->unsaved_whole = false;
    return rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

void im_lane_row_encode(struct wk_buf *out, const struct im_lane *l)
{
    wk_buf_u8(out, ROW_FORMAT);
    wk_buf_u8(out, l->status);
    wk_buf_u8(out, (uint8_t)((l->text ? 1 : 0) | (l->has_snapshot ? 2 : 0)));
    wk_buf_u8(out, l->end_reason);
    wk_buf_u64(out, l->seq);
    wk_buf_u64(out, l->occurred_ms);
    wk_buf_u64(out, (uint64_t)l->message_id);
    wk_buf_u64(out, l->chunk_next);
    wk_buf_str(out, wk_buf_slice(&l->event_id));
    wk_buf_str(out, wk_buf_slice(&l->type));
    wk_buf_str(out, wk_buf_slice(&l->visibility));
    wk_buf_str(out, wk_buf_slice(&l->error));
    wk_buf_str(out, wk_buf_slice(&l->from_uid));
    wk_buf_str(out, wk_buf_slice(&l->snapshot));
    wk_buf_str(out, wk_buf_slice(&l->kept));
}

int im_lane_row_decode(struct im_lane *l, wkim_slice in)
{
    struct wk_buf *const texts[] = { &l->event_id, &l->type,     &l->visibility, &l->error,
                                     &l->from_uid, &l->snapshot, &l->kept };
    struct wk_cursor c = wk_cursor(in);
    uint8_t format = wk_cursor_u8(&c);
    size_t n_texts = sizeof(texts) / sizeof(texts[0]) - (format == 1);

    if (format == 0 || format > ROW_FORMAT)
        return WKIM_ECORRUPT;
    l->status = wk_cursor_u8(&c);
    uint8_t bits = wk_cursor_u8(&c);
    l->text = bits & 1;
    l->has_snapshot = bits & 2;
    l->end_reason = wk_cursor_u8(&c);
    l->seq = wk_cursor_u64(&c);
    l->occurred_ms = wk_cursor_u64(&c);
    l->message_id = (int64_t)wk_cursor_u64(&c);
    l->chunk_first = l->chunk_next = wk_cursor_u64(&c);
    for (size_t i = 0; i < n_texts; i++) {
        if (set(texts[i], wk_cursor_str(&c)) != WKIM_OK)
            return WKIM_ENOMEM;
    }
    return c.bad || wk_cursor_left(&c) || l->status > IM_LANE_CANCELLED ? WKIM_ECORRUPT : WKIM_OK;
}

void im_lane_chunk_encode(struct wk_buf *out, const struct im_lane *l)
{
    size_t from = l->unsaved_whole ? 0 : l->unsaved_from;

    wk_buf_u8(out, CHUNK_FORMAT);
    wk_buf_u8(out, (uint8_t)((l->text ? 1 : 0) | (l->unsaved_whole ? 2 : 0)));
    wk_buf_str(out, wk_buf_slice(&l->visibility));
    wk_buf_str(out, wk_buf_slice(&l->from_uid));
    wk_buf_bytes(out, l->snapshot.p ? l->snapshot.p + from : NULL, l->snapshot.n - from);
}

int im_lane_chunk_apply(struct im_lane *l, uint64_t number, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);

    if (wk_cursor_u8(&c) != CHUNK_FORMAT)
        return WKIM_ECORRUPT;
    uint8_t bits = wk_cursor_u8(&c);
    wkim_slice visibility = wk_cursor_str(&c), from = wk_cursor_str(&c), text = wk_cursor_rest(&c);
    if (c.bad)
        return WKIM_ECORRUPT;
    if (number < l->chunk_first || im_lane_terminal(l))
        return WKIM_OK;
    if (bits & 2)
        wk_buf_clear(&l->snapshot);
    wk_buf_bytes(&l->snapshot, text.p, text.n);
    l->text = bits & 1;
    l->has_snapshot = true;
    l->status = IM_LANE_OPEN;
    l->chunk_next = number + 1;
    int rc = set(&l->visibility, visibility);
    if (rc == WKIM_OK && from.n)
        rc = set(&l->from_uid, from);
    return l->snapshot.oom ? WKIM_ENOMEM : rc;
}
