/* Events as JSON: answers, pushes, and what a message shows of its events. */
#include "im/event/internal.h"
#include <stdlib.h>
#include "proto/jsonrpc.h"

static void lit(struct wk_buf *out, const char *s)
{
    wk_buf_bytes(out, s, strlen(s));
}

static void member(struct wk_buf *out, const char *name, wkim_slice s)
{
    lit(out, name);
    wk_json_string(out, s);
}

static void number(struct wk_buf *out, const char *name, uint64_t v)
{
    wk_buf_printf(out, "%s%llu", name, (unsigned long long)v);
}

static void nonzero(struct wk_buf *out, const char *name, uint64_t v)
{
    if (v)
        number(out, name, v);
}

void im_view_answer(struct wk_buf *out, const struct im_event *e, uint64_t seq, uint8_t status)
{
    member(out, "{\"client_msg_no\":", e->client_msg_no);
    member(out, ",\"event_key\":", e->key);
    member(out, ",\"event_id\":", e->event_id);
    number(out, ",\"msg_event_seq\":", seq);
    member(out, ",\"stream_status\":", wk_str(im_lane_status_name(status)));
    member(out, ",\"channel_id\":", e->channel_id);
    number(out, ",\"channel_type\":", e->channel_type);
    member(out, ",\"from_uid\":", e->from_uid);
    lit(out, "}");
}

void im_view_push(struct wk_buf *out, const struct im_event *e, uint64_t seq, uint8_t status)
{
    member(out, "{\"client_msg_no\":", e->client_msg_no);
    member(out, ",\"channel_id\":", e->channel_id);
    number(out, ",\"channel_type\":", e->channel_type);
    member(out, ",\"from_uid\":", e->from_uid);
    wk_buf_printf(out, ",\"message_id\":%lld", (long long)e->message_id);
    member(out, ",\"event_key\":", e->key);
    number(out, ",\"msg_event_seq\":", seq);
    member(out, ",\"stream_status\":", wk_str(im_lane_status_name(status)));
    if (e->visibility.n)
        member(out, ",\"visibility\":", e->visibility);
    if (e->payload.n) {
        lit(out, ",\"payload\":");
        wk_buf_bytes(out, e->payload.p, e->payload.n);
    }
    lit(out, "}");
}

static void snapshot(struct wk_buf *out, const struct im_lane *l)
{
    if (!l->text) {
        wk_buf_bytes(out, l->snapshot.p, l->snapshot.n);
        return;
    }
    member(out, "{\"kind\":\"text\",\"text\":", wk_buf_slice(&l->snapshot));
    lit(out, "}");
}

static bool shows_snapshot(const struct im_lane *l)
{
    return l->has_snapshot && (l->text || l->snapshot.n);
}

static void lane_summary(struct wk_buf *out, const struct im_lane *l, bool basic)
{
    member(out, "{\"event_key\":", wk_buf_slice(&l->key));
    member(out, ",\"status\":", wk_str(im_lane_status_name(l->status)));
    nonzero(out, ",\"last_msg_event_seq\":", l->seq);
    if (!basic && shows_snapshot(l)) {
        lit(out, ",\"snapshot\":");
        snapshot(out, l);
    }
    nonzero(out, ",\"end_reason\":", l->end_reason);
    if (l->error.n)
        member(out, ",\"error\":", wk_buf_slice(&l->error));
    lit(out, "}");
}

/* Stored lanes by number, then open ones by name. */
static int by_number(const void *a, const void *b)
{
    const struct im_lane *x = *(struct im_lane *const *)a, *y = *(struct im_lane *const *)b;
    uint64_t sx = x->seq ? x->seq : UINT64_MAX, sy = y->seq ? y->seq : UINT64_MAX;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;

    if (sx != sy)
        return sx < sy ? -1 : 1;
    int d = n ? memcmp(x->key.p, y->key.p, n) : 0;
    return d ? d : x->key.n < y->key.n ? -1 : x->key.n > y->key.n;
}

static bool is_finish(const struct im_lane *l)
{
    return wk_slice_eq(wk_buf_slice(&l->key), WK_LIT(IM_LANE_FINISH));
}

/* What older clients read: the text and the end of the lane "main". */
static void legacy(struct wk_buf *out, const struct im_lane *l)
{
    if (l->text && l->snapshot.n) {
        lit(out, ",\"stream_data\":\"");
        wk_json_base64(out, wk_buf_slice(&l->snapshot));
        lit(out, "\"");
    }
    nonzero(out, ",\"end\":", im_lane_terminal(l));
    nonzero(out, ",\"end_reason\":", l->end_reason);
    if (l->error.n)
        member(out, ",\"error\":", wk_buf_slice(&l->error));
}

void im_view_message(struct wk_buf *out, const struct im_stream *st, wkim_slice client_msg_no,
                     bool basic)
{
    const struct im_lane *main = im_stream_lane(st, WK_LIT("main"));
    uint64_t count = 0, open = 0, seq = 0;
    bool completed = false;

    if (st->n_lanes == 0)
        return;
    qsort(st->lanes, st->n_lanes, sizeof(*st->lanes), by_number);
    for (size_t i = 0; i < st->n_lanes; i++) {
        const struct im_lane *l = st->lanes[i];
        if (is_finish(l)) {
            completed = im_lane_terminal(l);
            continue;
        }
        count++;
        open += l->status == IM_LANE_OPEN;
        seq = l->seq > seq ? l->seq : seq;
    }
    wk_buf_printf(out, "\"event_meta\":{\"has_events\":true,\"completed\":%s",
                  completed ? "true" : "false");
    nonzero(out, ",\"event_version\":", seq);
    nonzero(out, ",\"last_msg_event_seq\":", seq);
    nonzero(out, ",\"event_count\":", count);
    nonzero(out, ",\"open_event_count\":", open);
    if (count)
        lit(out, ",\"events\":");
    bool first = true;
    for (size_t i = 0; i < st->n_lanes; i++) {
        if (is_finish(st->lanes[i]))
            continue;
        lit(out, first ? "[" : ",");
        first = false;
        lane_summary(out, st->lanes[i], basic);
    }
    lit(out, count ? "]}" : "}");
    member(out, ",\"event_sync_hint\":{\"client_msg_no\":", client_msg_no);
    lit(out, ",\"from_msg_event_seq\":0}");
    if (main)
        legacy(out, main);
}

static bool hidden(const struct im_lane *l)
{
    wkim_slice v = wk_buf_slice(&l->visibility);
    return wk_slice_eq(v, WK_LIT("private")) || wk_slice_eq(v, WK_LIT("restricted"));
}

static void one_event(struct wk_buf *out, const struct im_lane *l)
{
    member(out, "{\"event_id\":", wk_buf_slice(&l->event_id));
    member(out, ",\"event_key\":", wk_buf_slice(&l->key));
    member(out, ",\"event_type\":", wk_buf_slice(&l->type));
    number(out, ",\"msg_event_seq\":", l->seq);
    number(out, ",\"occurred_at\":", l->occurred_ms);
    member(out, ",\"visibility\":", wk_buf_slice(&l->visibility));
    lit(out, ",\"payload\":");
    if (l->kept.n) {
        wk_buf_bytes(out, l->kept.p, l->kept.n);
    } else if (shows_snapshot(l)) {
        snapshot(out, l);
    } else {
        number(out, "{\"end_reason\":", l->end_reason);
        member(out, ",\"status\":", wk_str(im_lane_status_name(l->status)));
        if (l->error.n)
            member(out, ",\"error\":", wk_buf_slice(&l->error));
        lit(out, "}");
    }
    lit(out, "}");
}

void im_view_sync(struct wk_buf *out, const struct im_stream *st, const struct im_event_query *q)
{
    uint64_t next = q->from;
    uint32_t n = 0;
    bool more = false;

    if (st->n_lanes)
        qsort(st->lanes, st->n_lanes, sizeof(*st->lanes), by_number);
    member(out, "{\"client_msg_no\":", q->client_msg_no);
    lit(out, ",\"events\":[");
    for (size_t i = 0; i < st->n_lanes && !more; i++) {
        const struct im_lane *l = st->lanes[i];
        if (l->seq <= q->from || (q->key.n && !wk_slice_eq(wk_buf_slice(&l->key), q->key)) ||
            (hidden(l) && !q->include_private))
            continue;
        if (n == q->limit) {
            more = true;
            break;
        }
        if (n++)
            lit(out, ",");
        one_event(out, l);
        next = l->seq;
    }
    member(out, "],\"filtered_by_event_key\":", q->key);
    number(out, ",\"from_msg_event_seq\":", q->from);
    number(out, ",\"more\":", more);
    number(out, ",\"next_msg_event_seq\":", next);
    lit(out, "}");
}
