/* Inside im/event only: streams of events in memory. */
#ifndef WK_IM_EVENT_INTERNAL_H
#define WK_IM_EVENT_INTERNAL_H
#include "im/event/event.h"
#include "im/event/lane.h"

/* The events on one message.  In memory while it is written to; everything but the newest deltas
 * can be read again from the store. */
struct im_stream {
    struct wk_map_entry entry;
    struct wk_list lru, dirty, flushing;
    struct im_lane **lanes;
    size_t n_lanes, cap_lanes;
    struct wk_buf from_uid; /* of the message, else of its first event */
    int64_t message_id;
    uint64_t seq;           /* highest number given to a stored event */
    uint64_t deltas, used_ms;
    size_t bytes;           /* counted in im.event_bytes */
    uint32_t in_flight;     /* stored events on their way */
    bool anchored;          /* the message is stored */
    bool stale;             /* memory is ahead of the store after a failure */
    bool gone;              /* its message is deleted; freed when nothing is under way any more */
    size_t key_n;
    uint8_t key[];          /* im_stream_key */
};

struct im_put;
struct im_flush;
struct im_events {
    struct im_slot *is;
    struct wk_map streams;
    struct wk_list lru, dirty, flushing, puts;
    struct wk_timer flush, sweep, quiet;
    struct im_flush *flush_call; /* under way */
    size_t unsaved_bytes;
    bool unsaved; /* counted in im.event_unsaved */
    struct wk_buf round_keys; /* written in this round: repeated (u8 table, str key) */
};

/* Also the prefix of its rows. */
void im_stream_key(struct wk_buf *out, uint8_t type, wkim_slice stored_id,
                   wkim_slice client_msg_no);
/* From the store; any thread.  WKIM_OK also when there are no lanes. */
int im_stream_load(struct im_slot *is, wkim_slice key, struct im_stream **out);
void im_stream_free(struct im_stream *st);
struct im_stream *im_stream_find(struct im_slot *is, wkim_slice key); /* in memory, NULL: not */
void im_stream_gone(struct im_slot *is, struct im_stream *st); /* may free it */
int im_events_note(struct im_slot *is, uint8_t table, wkim_slice key); /* a row of this round */
struct im_lane *im_stream_lane(const struct im_stream *st, wkim_slice key);
struct im_lane *im_stream_add_lane(struct im_stream *st, wkim_slice key); /* NULL: out of memory */

/* quiet.c: lanes that nobody writes to any more are closed. */
void im_quiet_arm(struct im_events *ev);
void im_quiet_fire(struct wk_timer *t);

/* view.c: JSON */
void im_view_answer(struct wk_buf *out, const struct im_event *e, uint64_t seq, uint8_t status);
void im_view_push(struct wk_buf *out, const struct im_event *e, uint64_t seq, uint8_t status);
/* Members of a message object, without braces; nothing when no event came. */
void im_view_message(struct wk_buf *out, const struct im_stream *st, wkim_slice client_msg_no,
                     bool basic);
struct im_event_query {
    wkim_slice client_msg_no, key;
    uint64_t from;
    uint32_t limit;
    bool include_private;
};
void im_view_sync(struct wk_buf *out, const struct im_stream *st, const struct im_event_query *q);
#endif
