/* One client connection as a pure machine: bytes in, events out; decisions in, bytes out.
 * The caller owns time, randomness of keys goes through crypto/.  No I/O, no log, no threads; one
 * thread at a time.  Works the same for TCP, WebSocket and tests.
 *
 * Life: new -> (CONNECT decoded: on_connect) -> wk_session_accept / refuse -> open -> closing.
 * After on_connect the machine stops consuming (bytes are kept, bounded) until accept or refuse.
 * Input order is kept: events come out in the order of the frames on the connection.
 * Any split of the input gives the same events. */
#ifndef WK_SESSION_SESSION_H
#define WK_SESSION_SESSION_H
#include "base/metric.h"
#include "crypto/crypto.h"
#include "proto/packet.h"
#include "proto/record.h"

struct wk_session;
struct wk_sealer;

/* Slices are borrowed until the callback returns.  Callbacks may call accept, refuse, sendack,
 * recv, event, disconnect, close and pause on the same session, never free or feed.  on_connect and
 * on_send are required, the others may be NULL. */
struct wk_session_events {
    /* First packet.  uid was checked only for syntax rules of the caller's choice (none here). */
    void (*on_connect)(void *user, const struct wk_connect *c, bool json);
    /* A SEND whose payload is open (plain).  `ack` must come back in wk_session_sendack exactly
     * once, in any order; after WK_CONN_INFLIGHT_SENDS_MAX without an answer no further SEND is
     * delivered until half of them are answered. */
    void (*on_send)(void *user, const struct wk_send *s, uint8_t flags, wkim_slice plain,
                    uint64_t ack);
    /* A SEND that could not be opened (WKIM_REASON_PAYLOAD_DECODE); `ack` as above. */
    void (*on_send_refused)(void *user, const struct wk_send *s, uint64_t ack);
    void (*on_recvack)(void *user, const struct wk_recvack *r, uint8_t flags);
    void (*on_ping)(void *user);
    /* The client said goodbye or broke the protocol; output may still be pending.  Once. */
    void (*on_close)(void *user, int code, const char *text);
};

enum wk_session_state {
    WK_SESSION_NEW,        /* nothing or half a CONNECT so far */
    WK_SESSION_CONNECTING, /* on_connect given, verdict awaited */
    WK_SESSION_OPEN,
    WK_SESSION_CLOSING     /* input is ignored; close the transport once drained */
};

struct wk_session_options {
    bool encrypt;           /* binary clients: false when disableEncryption */
    bool allow_json;        /* false when disableJSONRPC */
    uint8_t version_max;    /* 5, or 6 */
    bool event_to_old;      /* send EVENT to binary clients below version 5 too */
    uint64_t node_id;       /* told in CONNACK */
    size_t outbound_bytes_max; /* 0: WK_OUTBOUND_BYTES_MAX */
    struct wk_crypto *crypto; /* borrowed, of the thread that drives the session */
    struct wk_sealer *sealer; /* borrowed, same thread; NULL: RECVs are sealed one by one */
};

/* Frames of all sessions of a thread by packet type (enum wk_packet_type), and their bytes as they
 * are on the wire of the protocol.  Incoming ones are those the state allowed. */
#define WK_SESSION_TYPES 16
struct wk_session_counts {
    uint64_t in[WK_SESSION_TYPES], in_bytes[WK_SESSION_TYPES];
    uint64_t out[WK_SESSION_TYPES], out_bytes[WK_SESSION_TYPES];
};

/* *opt and *ev are copied. */
int wk_session_new(struct wk_session **out, const struct wk_session_options *opt,
                   const struct wk_session_events *ev, void *user);
void wk_session_free(struct wk_session *s);
/* The session moves to another thread / user object: new scratch and new user pointer. */
void wk_session_rebind(struct wk_session *s, struct wk_crypto *crypto, struct wk_sealer *sealer,
                       void *user);

/* Where frames are counted from now on: of the thread that drives the session; NULL: nowhere. */
void wk_session_count_into(struct wk_session *s, struct wk_session_counts *counts);

/* Feed bytes; all are taken (kept inside when the machine may not proceed).  WKIM_OK, or a negative
 * code when the session went to CLOSING because of it. */
int wk_session_feed(struct wk_session *s, wkim_slice in, uint64_t now_ms, uint64_t wall_ms);
/* Continue with kept bytes after accept, or after wk_session_pause(s, false). */
int wk_session_resume(struct wk_session *s, uint64_t now_ms, uint64_t wall_ms);
/* While paused no input is used (back-pressure); the caller stops reading the transport. */
void wk_session_pause(struct wk_session *s, bool on);
/* Input is kept instead of used: verdict awaited, paused, or too many SENDs without SENDACK.  The
 * caller stops reading the transport; what is fed all the same may overrun the bound on kept bytes
 * (WK_INBOUND_BYTES_MAX, WK_INBOUND_BYTES_BEFORE_LOGIN_MAX) and then closes the session. */
bool wk_session_blocked(const struct wk_session *s);
size_t wk_session_pending_in(const struct wk_session *s); /* bytes kept, not yet consumed */

/* CONNACK success; keys are derived here: returns WKIM_OK or, when the client key is unusable,
 * queues CONNACK 21/2 (15: no randomness) itself, goes to CLOSING and returns WKIM_ECRYPTO.
 * WKIM_ENOMEM: CLOSING without an answer.  WKIM_ESTOPPED: no verdict is awaited any more.
 * wall_ms is for timeDiff. */
int wk_session_accept(struct wk_session *s, uint64_t wall_ms);
/* Check the client key before accept commits anything: reason 1, 21, 2 or 15.  Only while the
 * verdict is awaited; accept uses what was derived here. */
uint8_t wk_session_key_check(struct wk_session *s, const struct wk_connect *c);
/* CONNACK with `reason` (JSON: error object), then CLOSING. */
void wk_session_refuse(struct wk_session *s, uint8_t reason);

/* WKIM_OK also when the session is closing.  A message_seq that the version cannot carry is
 * answered with reason 15 instead.  WKIM_EINVAL: unknown ack.  WKIM_EBUSY, WKIM_ENOMEM: the answer
 * could not be queued and the session went to CLOSING.  May deliver kept SENDs through on_send. */
int wk_session_sendack(struct wk_session *s, uint64_t ack, int64_t message_id,
                       uint64_t message_seq, uint8_t reason);
/* With a sealer, everything *r, from_uid and channel_id point to must stay as it is until the
 * sealer ran (wk_sealer_hold). */
/* Seal and queue one message.  `channel_id` is what this receiver sees; `flags` what it gets.
 * timestamp is the record's.  WKIM_OK; WKIM_EBUSY when outbound_bytes_max is exceeded (the session
 * went to CLOSING without DISCONNECT: a plain close); WKIM_ETOOBIG when it does not fit a frame or
 * the version; WKIM_ESTOPPED when the session is not open; WKIM_ENOMEM (nothing queued). */
int wk_session_recv(struct wk_session *s, const struct wk_record *r, wkim_slice from_uid,
                    wkim_slice channel_id, uint8_t flags);
/* As recv; WKIM_EUNSUPPORTED for a binary client below version 5 unless event_to_old. */
int wk_session_event(struct wk_session *s, const struct wk_event *e);
/* Queue DISCONNECT, ignore further input; the caller closes after its delay or when drained.
 * Before login it is a plain close. */
void wk_session_disconnect(struct wk_session *s, uint8_t reason, wkim_slice text);
/* The same words, but the session stays open: the caller closes it when its time is up. */
void wk_session_warn(struct wk_session *s, uint8_t reason, wkim_slice text);
void wk_session_close(struct wk_session *s); /* plain close after drain */

/* Output: whole frames, oldest first.  *frame is borrowed until the next call on the session.
 * Returns 1 with a frame, 0 when there is none.  wk_session_is_json tells text from binary.  A
 * caller uses either this or the stream view, not both on one session. */
int wk_session_next_frame(struct wk_session *s, wkim_slice *frame);
/* Stream view for TCP: all queued bytes (may be several frames), then consume what was written. */
wkim_slice wk_session_out(const struct wk_session *s);
void wk_session_out_consume(struct wk_session *s, size_t n);

uint8_t wk_session_state(const struct wk_session *s);
bool wk_session_is_json(const struct wk_session *s);
uint8_t wk_session_version(const struct wk_session *s); /* negotiated */
size_t wk_session_memory(const struct wk_session *s);   /* bytes held, for metrics */
#endif
