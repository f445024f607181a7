/* The payload of an event on a message: JSON of which a few members mean something. */
#ifndef WK_PROTO_EVENT_PAYLOAD_H
#define WK_PROTO_EVENT_PAYLOAD_H
#include "base/mem.h"
#include "base/slice.h"

struct wk_event_payload {
    bool text;          /* {"kind":"text","delta":"..."}: delta is the text */
    bool text_snapshot; /* {"kind":"text","text":"..."} and nothing else: delta is the text */
    wkim_slice delta;
    wkim_slice snapshot; /* member "snapshot" as compact JSON; empty: none */
    bool snapshot_text;  /* the snapshot is a text: snapshot holds the text itself */
    wkim_slice error;    /* member "error" when it is a string */
    uint8_t end_reason;  /* number or numeric string, 0..255; anything else: 0 */
};
/* Everything is in the arena.  json empty: nothing.  WKIM_OK, WKIM_EPROTO (no JSON),
 * WKIM_ENOMEM. */
int wk_event_payload_read(struct wk_event_payload *out, wkim_slice json, struct wk_arena *arena);
#endif
