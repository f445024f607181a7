/* Lanes of the events on one message: what an event does to its lane.  Pure: no
 * store, no clock, no threads. */
#ifndef WK_IM_EVENT_LANE_H
#define WK_IM_EVENT_LANE_H
#include "base/buf.h"
#include "base/cursor.h"
#include "base/error.h"

#define IM_LANE_FINISH "__finish__"
#define IM_SNAPSHOT_BYTES_MAX 4194304u

enum im_lane_status {
    IM_LANE_NONE,
    IM_LANE_OPEN,
    IM_LANE_CLOSED,
    IM_LANE_ERROR,
    IM_LANE_CANCELLED
};
enum im_event_kind {
    IM_EVENT_CUSTOM,
    IM_EVENT_DELTA,
    IM_EVENT_SNAPSHOT,
    IM_EVENT_CLOSE,
    IM_EVENT_ERROR,
    IM_EVENT_CANCEL,
    IM_EVENT_FINISH
};
enum im_event_bits {
    IM_EVENT_TEXT = 1,         /* delta is text to append */
    IM_EVENT_TEXT_WHOLE = 2,   /* payload is a text snapshot; delta is its text */
    IM_EVENT_SNAPSHOT_TEXT = 4 /* snapshot is text, not JSON */
};

/* One event as it arrives.  Slices borrowed. */
struct im_event {
    uint8_t bits, end_reason;
    uint8_t channel_type;
    int64_t message_id;
    uint64_t occurred_ms, now_ms;
    wkim_slice stored_id;              /* of the channel */
    wkim_slice channel_id, from_uid, client_msg_no, event_id, type, key, visibility;
    wkim_slice given_type;             /* as the caller wrote it, for clients; empty: type */
    wkim_slice payload;                /* JSON as given */
    wkim_slice delta, snapshot, error; /* out of the payload */
};
void im_event_encode(struct wk_buf *out, const struct im_event *e);
int im_event_decode(struct im_event *out, wkim_slice in); /* WKIM_EPROTO */
enum im_event_kind im_event_kind_of(wkim_slice type);     /* lower case, trimmed */

struct im_lane {
    struct wk_buf key, event_id, type, visibility, error, from_uid;
    struct wk_buf snapshot;   /* text, or JSON */
    struct wk_buf kept;       /* payload of the last stored event when its type is not known */
    bool text, has_snapshot;
    uint8_t status, end_reason;
    uint64_t seq;             /* of the last stored event, 0: none */
    uint64_t occurred_ms;
    uint64_t delta_ms;        /* monotonic: the newest delta; 0: none since it is in memory */
    int64_t message_id;
    uint64_t chunk_first, chunk_next; /* rows of deltas since the stored snapshot */
    size_t unsaved_from;      /* bytes of the text from here on have no row yet */
    bool unsaved, unsaved_whole;
};
void im_lane_fini(struct im_lane *l);
bool im_lane_terminal(const struct im_lane *l);
const char *im_lane_status_name(uint8_t status);
/* A delta on a lane that is not terminal.  WKIM_ETOOBIG, WKIM_ENOMEM: nothing changed. */
int im_lane_delta(struct im_lane *l, const struct im_event *e);
/* A stored event that gets number seq.  WKIM_ENOMEM: the lane is to be read again. */
int im_lane_store(struct im_lane *l, const struct im_event *e, enum im_event_kind kind,
                  uint64_t seq);

/* Rows: a lane after a stored event; a piece of what deltas brought since. */
void im_lane_row_encode(struct wk_buf *out, const struct im_lane *l);
/* l zeroed but for key; WKIM_ECORRUPT, ENOMEM */
int im_lane_row_decode(struct im_lane *l, wkim_slice in);
void im_lane_chunk_encode(struct wk_buf *out, const struct im_lane *l);
int im_lane_chunk_apply(struct im_lane *l, uint64_t number, wkim_slice in);
#endif
