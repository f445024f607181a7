/* The session object; private to session/. */
#ifndef WK_SESSION_STATE_H
#define WK_SESSION_STATE_H
#include "base/limits.h"
#include "base/mem.h"
#include "proto/codec.h"
#include "proto/jsonrpc.h"
#include "session/sealer.h"
#include "session/session.h"

enum {
    WK_SESSION_OUT_KEPT_MAX = 256,    /* bytes of an empty output buffer that is not freed */
    WK_SESSION_IN_SLACK_MAX = 4096,   /* unused bytes of the input buffer that are not given back */
    WK_SESSION_PLAIN_BYTES = 2048     /* sealed payloads up to this are opened on the stack */
};

enum wk_session_wire { WK_WIRE_UNDECIDED, WK_WIRE_BINARY, WK_WIRE_JSON };

/* Kept only from CONNECT to the verdict. */
struct wk_handshake {
    int64_t client_timestamp; /* ms */
    uint8_t server_pub[32];   /* valid when key_reason is success */
    uint8_t key_reason;       /* 0: keys not looked at yet */
    uint8_t offered;          /* version the client sent */
    bool has_id;
    size_t key_n, id_n;
    uint8_t text[];           /* client key, then JSON id */
};

/* A SEND without SENDACK, where the handle cannot hold what the answer repeats. */
struct wk_ack {
    uint8_t *text; /* JSON id, or clientMsgNo for version 6; owned */
    uint32_t n, client_seq;
    uint32_t generation; /* 0: free */
    uint16_t next_free;  /* index + 1 */
    uint8_t flags;
    bool has_id;
};
struct wk_acks {
    uint32_t cap;
    uint16_t free_head; /* index + 1, 0: none */
    struct wk_ack slot[];
};

struct wk_session {
    struct wk_session_events ev;
    void *user;
    struct wk_crypto *crypto;
    struct wk_sealer *sealer; /* NULL: RECVs are sealed at once */
    struct wk_session_counts *counts; /* NULL: nobody counts */
    uint64_t node_id;
    size_t outbound_bytes_max;
    struct wk_buf in;  /* bytes not used yet, starting at a frame */
    struct wk_buf out; /* frames; those before out_head are gone */
    size_t out_head;
    struct wk_handshake *handshake;
    struct wk_acks *acks; /* NULL while empty */
    size_t acks_text_bytes;
    struct wk_json_scan scan;
    struct wk_cipher cipher;
    uint32_t in_flight, ack_generation;
    uint32_t unsealed; /* frames in out that wait in the sealer: their bytes must not move */
    int fed; /* result of the feed in progress */
    uint8_t state, wire, version, version_max;
    bool encrypt, allow_json, event_to_old;
    bool paused, full, busy, blanks, told;
};

static inline void wk_session_count_in(struct wk_session *s, uint8_t type, size_t bytes)
{
    if (!s->counts)
        return;
    wk_count(&s->counts->in[type % WK_SESSION_TYPES], 1);
    wk_count(&s->counts->in_bytes[type % WK_SESSION_TYPES], bytes);
}
static inline void wk_session_count_out(struct wk_session *s, uint8_t type, size_t bytes)
{
    if (!s->counts)
        return;
    wk_count(&s->counts->out[type % WK_SESSION_TYPES], 1);
    wk_count(&s->counts->out_bytes[type % WK_SESSION_TYPES], bytes);
}

/* End without DISCONNECT; on_close is called.  Returns code. */
int wk_session_die(struct wk_session *s, int code, const char *text);
/* As die, after DISCONNECT `reason` when the session is open and binary. */
int wk_session_die_with(struct wk_session *s, uint8_t reason, int code, const char *text);
static inline bool wk_session_proceeds(const struct wk_session *s)
{
    return (s->state == WK_SESSION_NEW || s->state == WK_SESSION_OPEN) && !s->paused && !s->full;
}

/* Queue one packet in the form of the session.  WKIM_OK, WKIM_ETOOBIG and WKIM_ENOMEM (nothing
 * queued), WKIM_EUNSUPPORTED, WKIM_EBUSY (bound exceeded, now CLOSING), WKIM_ESTOPPED. */
int wk_session_queue(struct wk_session *s, const struct wk_packet *p, bool has_id, wkim_slice id);
/* After bytes were appended to s->out: WKIM_OK, or WKIM_EBUSY when they are too many. */
int wk_session_queue_check(struct wk_session *s);
void wk_session_out_make_room(struct wk_session *s);

/* What msgKey of a RECV signs before the payload: the numbers in decimal, the strings as they
 * are. */
enum { WK_RECV_PREFIX_PARTS = 6 };
struct wk_recv_prefix {
    char ids[48], seconds[12], type[4];
    wkim_slice parts[WK_RECV_PREFIX_PARTS];
};
void wk_recv_prefix_make(struct wk_recv_prefix *x, const struct wk_recv *r);
/* Queue a frame whose room is laid out in s->out. */
void wk_sealer_add(struct wk_sealer *z, struct wk_session *s, size_t sealed_at, size_t key_at,
                   wkim_slice plain, const struct wk_recv *r);
static inline void wk_session_sealed(const struct wk_session *s)
{
    if (s->unsealed)
        wk_sealer_run(s->sealer);
}

/* First packet. */
int wk_session_connect(struct wk_session *s, const struct wk_connect *c, bool has_id,
                       wkim_slice id);
/* Packets of an open session, in either form. */
int wk_session_dispatch(struct wk_session *s, const struct wk_packet *p, bool has_id,
                        wkim_slice id);
/* sends.c: one SEND, in either form; and the SENDs at the start of binary input, several at once:
 * bytes used, 0 when there are not several. */
int wk_session_send(struct wk_session *s, const struct wk_packet *p, bool has_id, wkim_slice id);
wkim_ssize wk_session_sends(struct wk_session *s, wkim_slice in);
/* Use one JSON object: > 0 bytes used, 0 more needed, < 0 the session ended. */
wkim_ssize wk_session_json_step(struct wk_session *s, wkim_slice in, struct wk_arena *arena);
/* Use kept bytes as far as the state allows. */
void wk_session_pump(struct wk_session *s);

/* Decimal digits of v, or of its two's complement behind a minus sign; no NUL.  Returns their
 * number, 20 at most.  Every message passes here several times, too often for printf. */
static inline size_t wk_session_decimal(char *out, bool negative, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits), n = 0;
    if (negative) {
        out[n++] = '-';
        v = 0 - v;
    }
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    memcpy(out + n, digits + at, sizeof(digits) - at);
    return n + sizeof(digits) - at;
}

/* Remember a SEND: WKIM_OK or WKIM_ENOMEM.  text is copied. */
int wk_acks_add(struct wk_session *s, const struct wk_packet *send, bool has_id, wkim_slice text,
                uint64_t *handle);
/* Forget it; out->text is the caller's to free.  False: no such handle. */
bool wk_acks_take(struct wk_session *s, uint64_t handle, struct wk_ack *out);
void wk_acks_fini(struct wk_session *s);
size_t wk_acks_memory(const struct wk_session *s);
#endif
