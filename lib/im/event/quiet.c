/* streamCache.chunkInactivityTimeout: a lane that gets no more deltas, because its maker died, is
 * closed with end_reason 1.  Looked at where the deltas are in memory; the end goes the way of
 * every other event. */
#include "im/event/internal.h"

#define LOOK_MS_MIN 1000
#define END_REASON 1

static uint64_t quiet_ms(const struct im_events *ev)
{
    return ev->is->im->opt.event_quiet_ms;
}

void im_quiet_arm(struct im_events *ev)
{
    struct wk_shard *s = wk_slot_shard(ev->is->slot);
    uint64_t every = quiet_ms(ev) / 4;

    if (quiet_ms(ev) && !ev->quiet.pos && ev->streams.count)
        (void)wk_timer_arm(&s->timers, &ev->quiet,
                           s->now_ms + (every > LOOK_MS_MIN ? every : LOOK_MS_MIN));
}

static void closed(struct wk_call *c)
{
    wk_call_fini(c);
    wk_free(c);
}

/* As a client names the channel: of a pair the side that is not the sender. */
static wkim_slice shown_channel(const struct wk_channel_key *key, wkim_slice from_uid)
{
    wkim_slice peer = key->type == WKIM_CHANNEL_PERSON ? im_peer(key->id, from_uid)
                                                       : wk_slice(NULL, 0);
    return peer.n ? peer : key->id;
}

static void close_lane(struct im_slot *is, const struct im_stream *st, struct im_lane *l)
{
    struct wk_shard *s = wk_slot_shard(is->slot);
    struct wk_cursor k = wk_cursor(wk_slice(st->key, st->key_n));
    struct wk_channel_key key;
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_decode(&k, &key);
    wkim_slice from = wk_buf_slice(&st->from_uid), no = wk_cursor_str(&k);
    const struct im_event e = { .end_reason = END_REASON,
                                .channel_type = key.type,
                                .message_id = st->message_id,
                                .occurred_ms = s->wall_ms,
                                .now_ms = s->wall_ms,
                                .stored_id = key.id,
                                .channel_id = shown_channel(&key, from),
                                .from_uid = from,
                                .client_msg_no = no,
                                .event_id = WK_LIT("inactivity-timeout"),
                                .type = WK_LIT("stream.close"),
                                .key = wk_buf_slice(&l->key),
                                .payload = WK_LIT("{\"end_reason\":1}") };
    im_event_encode(&b, &e);
    struct wk_call *c = wk_calloc(1, sizeof(*c));
    struct wk_blob *in = c && !b.oom && !k.bad ? wk_blob_copy(b.p, b.n) : NULL;
    wk_buf_fini(&b);
    l->delta_ms = s->now_ms; /* until it is closed, or tried again */
    if (!in) {
        wk_free(c);
        return;
    }
    wk_log(is->im->opt.log, WK_LOG_INFO, "im", "event_lane_timed_out", "message_id=%lld",
           (long long)st->message_id);
    wk_call_init(c, IM_EVENT, in, closed);
    c->slot = wk_slot_id(is->slot);
    c->origin = s;
    wk_call_send(wk_slot_cluster(is->slot), c);
}

void im_quiet_fire(struct wk_timer *t)
{
    struct im_events *ev = WK_CONTAINER(t, struct im_events, quiet);
    uint64_t now = wk_slot_shard(ev->is->slot)->now_ms;
    struct im_stream *due = NULL;
    struct im_lane *lane = NULL;
    struct wk_list *n, *tmp;

    /* One at a time: closing may move the streams in the list. */
    WK_LIST_EACH(n, tmp, &ev->lru) {
        struct im_stream *st = WK_CONTAINER(n, struct im_stream, lru);
        for (size_t i = 0; i < st->n_lanes && !due; i++) {
            struct im_lane *l = st->lanes[i];
            if (l->status == IM_LANE_OPEN && l->delta_ms && now - l->delta_ms >= quiet_ms(ev)) {
                due = st;
                lane = l;
            }
        }
        if (due)
            break;
    }
    if (!due) {
        im_quiet_arm(ev);
        return;
    }
    struct wk_shard *s = wk_slot_shard(ev->is->slot);
    (void)wk_timer_arm(&s->timers, &ev->quiet, now); /* for the next one */
    close_lane(ev->is, due, lane);
}
