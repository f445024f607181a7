/* Field by field reading and writing of packet bodies; private to proto/. */
#ifndef WK_PROTO_FIELD_H
#define WK_PROTO_FIELD_H
#include "base/cursor.h"
#include "base/limits.h"
#include "proto/packet.h"

/* Reads stop counting at the first failure; `bad` names that field for the DISCONNECT text. */
struct wk_reader {
    struct wk_cursor c;
    const char *bad;
};

static inline const uint8_t *wk_read_raw(struct wk_reader *r, size_t n, const char *field)
{
    if (r->bad)
        return NULL;
    const wkim_slice s = wk_cursor_bytes(&r->c, n);
    if (r->c.bad)
        r->bad = field;
    return s.p;
}
static inline uint8_t wk_read_u8(struct wk_reader *r, const char *field)
{
    const uint8_t *p = wk_read_raw(r, 1, field);
    return p ? p[0] : 0;
}
static inline uint32_t wk_read_u32(struct wk_reader *r, const char *field)
{
    const uint8_t *p = wk_read_raw(r, 4, field);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}
static inline uint64_t wk_read_u64(struct wk_reader *r, const char *field)
{
    const uint64_t high = wk_read_u32(r, field);
    return high << 32 | wk_read_u32(r, field);
}
/* u16 length with the top bit clear, then the bytes. */
static inline wkim_slice wk_read_str(struct wk_reader *r, const char *field)
{
    const uint8_t *p = wk_read_raw(r, 2, field);
    const size_t n = p ? (size_t)p[0] << 8 | p[1] : 0;
    if (n > WK_PROTO_STRING_BYTES_MAX)
        r->bad = field;
    const uint8_t *bytes = wk_read_raw(r, n, field);
    return wk_slice(bytes, bytes ? n : 0);
}
static inline wkim_slice wk_read_rest(struct wk_reader *r)
{
    const size_t n = r->bad ? 0 : wk_cursor_left(&r->c);
    return wk_slice(r->c.p, n);
}

/* With p == NULL the writer only counts, so that one function gives both size and bytes.  `bad`: a
 * value does not fit its field. */
struct wk_writer {
    uint8_t *p;
    size_t n;
    bool bad;
};

static inline void wk_write_u8(struct wk_writer *w, uint8_t v)
{
    if (w->p)
        w->p[w->n] = v;
    w->n++;
}
static inline void wk_write_u32(struct wk_writer *w, uint32_t v)
{
    if (w->p) {
        uint8_t *p = w->p + w->n;
        p[0] = (uint8_t)(v >> 24);
        p[1] = (uint8_t)(v >> 16);
        p[2] = (uint8_t)(v >> 8);
        p[3] = (uint8_t)v;
    }
    w->n += 4;
}
static inline void wk_write_u64(struct wk_writer *w, uint64_t v)
{
    wk_write_u32(w, (uint32_t)(v >> 32));
    wk_write_u32(w, (uint32_t)v);
}
static inline void wk_write_rest(struct wk_writer *w, wkim_slice s)
{
    if (w->p && s.n)
        memcpy(w->p + w->n, s.p, s.n);
    w->n += s.n;
}
static inline void wk_write_str(struct wk_writer *w, wkim_slice s)
{
    if (s.n > WK_PROTO_STRING_BYTES_MAX) {
        w->bad = true;
        return;
    }
    wk_write_u8(w, (uint8_t)(s.n >> 8));
    wk_write_u8(w, (uint8_t)s.n);
    wk_write_rest(w, s);
}

/* message_seq: 32 bits below version 6. */
static inline uint64_t wk_read_seq(struct wk_reader *r, uint8_t version, const char *field)
{
    return version >= 6 ? wk_read_u64(r, field) : wk_read_u32(r, field);
}
static inline void wk_write_seq(struct wk_writer *w, uint8_t version, uint64_t seq)
{
    if (version >= 6) {
        wk_write_u64(w, seq);
        return;
    }
    w->bad |= seq > UINT32_MAX;
    wk_write_u32(w, (uint32_t)seq);
}
static inline bool wk_has_stream_fields(uint8_t version, uint8_t setting)
{
    return version >= 2 && version < 5 && (setting & WKIM_SETTING_STREAM) != 0;
}

/* One pair a packet.  `version` is one of 0..6. */
void wk_connect_read(struct wk_reader *r, struct wk_connect *out);
void wk_connect_write(struct wk_writer *w, const struct wk_connect *in);
void wk_connack_read(struct wk_reader *r, uint8_t version, bool has_version,
                     struct wk_connack *out);
void wk_connack_write(struct wk_writer *w, uint8_t version, const struct wk_connack *in);
void wk_send_read(struct wk_reader *r, uint8_t version, struct wk_send *out);
void wk_send_write(struct wk_writer *w, uint8_t version, const struct wk_send *in);
void wk_sendack_read(struct wk_reader *r, uint8_t version, struct wk_sendack *out);
void wk_sendack_write(struct wk_writer *w, uint8_t version, const struct wk_sendack *in);
void wk_recv_read(struct wk_reader *r, uint8_t version, struct wk_recv *out);
/* Everything before the payload.  *msg_key_at: offset of the msgKey bytes; may be NULL. */
void wk_recv_write_head(struct wk_writer *w, uint8_t version, const struct wk_recv *in,
                        size_t *msg_key_at);
void wk_recvack_read(struct wk_reader *r, uint8_t version, struct wk_recvack *out);
void wk_recvack_write(struct wk_writer *w, uint8_t version, const struct wk_recvack *in);
void wk_disconnect_read(struct wk_reader *r, struct wk_disconnect *out);
void wk_disconnect_write(struct wk_writer *w, const struct wk_disconnect *in);
void wk_sub_read(struct wk_reader *r, struct wk_sub *out);
void wk_sub_write(struct wk_writer *w, const struct wk_sub *in);
void wk_suback_read(struct wk_reader *r, struct wk_suback *out);
void wk_suback_write(struct wk_writer *w, const struct wk_suback *in);
void wk_event_read(struct wk_reader *r, struct wk_event *out);
void wk_event_write(struct wk_writer *w, const struct wk_event *in);
#endif
