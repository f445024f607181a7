#include "proto/jsonrpc.h"
#include "base/error.h"
#include "base/limits.h"
#include "proto/codec.h"
#include "proto/json_text.h"

static void lit(struct wk_buf *out, const char *s)
{
    wk_buf_bytes(out, s, strlen(s));
}

/* Plain bytes are copied in runs; everything else is written as an escape. */
void wk_json_escape(struct wk_buf *out, wkim_slice s)
{
    static const char hex[] = "0123456789abcdef";
    size_t run = 0, i = 0;
    while (i < s.n) {
        const uint8_t c = s.p[i];
        const size_t len = wk_utf8_length(s.p + i, s.n - i);
        const bool separator = len == 3 && c == 0xe2 && s.p[i + 1] == 0x80 &&
                               (s.p[i + 2] & 0xfe) == 0xa8; /* U+2028, U+2029 */
        if (len && !separator && c >= 0x20 && c != '"' && c != '\\' && c != '<' && c != '>' &&
            c != '&') {
            i += len;
            continue;
        }
        wk_buf_bytes(out, s.p + run, i - run);
        const char u[] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
        if (len == 0)
            lit(out, "\\ufffd");
        else if (separator)
            lit(out, s.p[i + 2] == 0xa8 ? "\\u2028" : "\\u2029");
        else if (c == '"' || c == '\\')
            wk_buf_bytes(out, (const char[]){ '\\', (char)c }, 2);
        else if (c == '\n' || c == '\r' || c == '\t')
            lit(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else
            wk_buf_bytes(out, u, sizeof(u));
        i += len ? len : 1;
        run = i;
    }
    if (run < s.n)
        wk_buf_bytes(out, s.p + run, s.n - run);
}

void wk_json_string(struct wk_buf *out, wkim_slice s)
{
    wk_buf_u8(out, '"');
    wk_json_escape(out, s);
    wk_buf_u8(out, '"');
}

static void dec_u64(struct wk_buf *out, uint64_t v)
{
    char text[20];
    size_t at = sizeof(text);
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    wk_buf_bytes(out, text + at, sizeof(text) - at);
}

static void dec_i64(struct wk_buf *out, int64_t v)
{
    if (v < 0)
        wk_buf_u8(out, '-');
    dec_u64(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* The next member: comma unless an object was just opened, name, colon. */
static void name(struct wk_buf *out, const char *key)
{
    if (out->n && out->p[out->n - 1] != '{')
        wk_buf_u8(out, ',');
    wk_buf_u8(out, '"');
    lit(out, key);
    lit(out, "\":");
}

static void member_text(struct wk_buf *out, const char *key, wkim_slice s)
{
    name(out, key);
    wk_json_string(out, s);
}

static void member_text_unless_empty(struct wk_buf *out, const char *key, wkim_slice s)
{
    if (s.n)
        member_text(out, key, s);
}

static void member_u64(struct wk_buf *out, const char *key, uint64_t v)
{
    name(out, key);
    dec_u64(out, v);
}

static void member_i64(struct wk_buf *out, const char *key, int64_t v)
{
    name(out, key);
    dec_i64(out, v);
}

static void member_id(struct wk_buf *out, int64_t message_id)
{
    name(out, "messageId");
    wk_buf_u8(out, '"');
    dec_i64(out, message_id);
    wk_buf_u8(out, '"');
}

static void member_true(struct wk_buf *out, const char *key, bool v)
{
    if (!v)
        return;
    name(out, key);
    lit(out, "true");
}

static void member_header(struct wk_buf *out, uint8_t flags, bool always)
{
    if ((flags & 0x0f) == 0 && !always)
        return;
    name(out, "header");
    wk_buf_u8(out, '{');
    member_true(out, "noPersist", flags & WKIM_FLAG_NO_PERSIST);
    member_true(out, "redDot", flags & WKIM_FLAG_RED_DOT);
    member_true(out, "syncOnce", flags & WKIM_FLAG_SYNC_ONCE);
    member_true(out, "dup", flags & WKIM_FLAG_DUP);
    wk_buf_u8(out, '}');
}

static void member_setting(struct wk_buf *out, uint8_t setting)
{
    if (setting == 0)
        return;
    name(out, "setting");
    wk_buf_u8(out, '{');
    member_true(out, "receipt", setting & 0x80);
    member_true(out, "signal", setting & 0x20);
    member_true(out, "stream", setting & WKIM_SETTING_STREAM);
    member_true(out, "topic", setting & WKIM_SETTING_TOPIC);
    wk_buf_u8(out, '}');
}

static void member_payload(struct wk_buf *out, wkim_slice payload)
{
    name(out, "payload");
    wk_buf_u8(out, '"');
    wk_json_base64(out, payload);
    wk_buf_u8(out, '"');
}

static void connack(struct wk_buf *out, const struct wk_connack *c)
{
    member_u64(out, "serverVersion", c->server_version);
    member_text_unless_empty(out, "serverKey", c->server_key);
    member_text_unless_empty(out, "salt", c->salt);
    if (c->time_diff)
        member_i64(out, "timeDiff", c->time_diff);
    member_u64(out, "reasonCode", c->reason);
    member_u64(out, "nodeId", c->node_id);
}

static void sendack(struct wk_buf *out, const struct wk_sendack *a, uint8_t flags)
{
    member_header(out, flags, false);
    member_id(out, a->message_id);
    member_u64(out, "messageSeq", a->message_seq);
    member_u64(out, "reasonCode", a->reason);
}

/* The header is always there: a client library drops the connection without it. */
static void recv_params(struct wk_buf *out, const struct wk_recv *r, uint8_t flags)
{
    member_header(out, flags, true);
    member_setting(out, r->setting);
    member_text_unless_empty(out, "msgKey", r->msg_key);
    if (r->expire)
        member_u64(out, "expire", r->expire);
    member_id(out, r->message_id);
    member_u64(out, "messageSeq", r->message_seq);
    member_text_unless_empty(out, "clientMsgNo", r->client_msg_no);
    member_text_unless_empty(out, "streamNo", r->stream_no);
    member_text_unless_empty(out, "streamId", r->stream_no);
    if (r->stream_flag)
        member_u64(out, "streamFlag", r->stream_flag);
    member_i64(out, "timestamp", r->timestamp);
    member_text(out, "channelId", r->channel_id);
    member_u64(out, "channelType", r->channel_type);
    member_text_unless_empty(out, "topic", r->topic);
    member_text(out, "fromUid", r->from_uid);
    member_payload(out, r->payload);
}

static void event_params(struct wk_buf *out, const struct wk_event *e, uint8_t flags)
{
    member_header(out, flags, false);
    member_text(out, "id", e->id);
    member_text(out, "type", e->type);
    member_i64(out, "timestamp", e->timestamp);
    member_text(out, "data", e->data);
}

static void open_message(struct wk_buf *out, bool has_id, wkim_slice id)
{
    lit(out, "{\"jsonrpc\":\"2.0\"");
    if (has_id && id.n)
        member_text(out, "id", id);
}

static void open_params(struct wk_buf *out, const char *method)
{
    member_text(out, "method", wk_str(method));
    name(out, "params");
    wk_buf_u8(out, '{');
}

static void body(struct wk_buf *out, const struct wk_packet *p, bool answer)
{
    if (answer) {
        name(out, "result");
        wk_buf_u8(out, '{');
    }
    switch (p->type) {
    case WK_PACKET_CONNACK:
        connack(out, &p->u.connack);
        break;
    case WK_PACKET_SENDACK:
        sendack(out, &p->u.sendack, p->flags);
        break;
    case WK_PACKET_RECV:
        open_params(out, "recv");
        recv_params(out, &p->u.recv, p->flags);
        break;
    case WK_PACKET_EVENT:
        open_params(out, "event");
        event_params(out, &p->u.event, p->flags);
        break;
    case WK_PACKET_DISCONNECT:
        if (answer)
            break;
        open_params(out, "disconnect");
        member_u64(out, "reasonCode", p->u.disconnect.reason);
        member_text_unless_empty(out, "reason", p->u.disconnect.text);
        break;
    default: /* PONG has nothing to tell. */
        break;
    }
    lit(out, "}}");
}

/* Takes a failed or overlong message back. */
static int finish(struct wk_buf *out, size_t start)
{
    const int rc = out->oom                               ? WKIM_ENOMEM
                   : out->n - start > WK_JSON_BYTES_MAX ? WKIM_ETOOBIG
                                                          : WKIM_OK;
    if (rc) {
        out->n = start;
        out->oom = false;
    }
    return rc;
}

int wk_json_encode(struct wk_buf *out, const struct wk_packet *p, bool has_id, wkim_slice id)
{
    const bool response = p->type == WK_PACKET_CONNACK || p->type == WK_PACKET_SENDACK ||
                          p->type == WK_PACKET_PONG;
    const bool notification = p->type == WK_PACKET_RECV || p->type == WK_PACKET_EVENT;
    if (!response && !notification && p->type != WK_PACKET_DISCONNECT)
        return WKIM_EUNSUPPORTED;
    const bool answer = response || (p->type == WK_PACKET_DISCONNECT && has_id);
    const size_t start = out->n;
    open_message(out, answer && has_id, id);
    body(out, p, answer);
    return finish(out, start);
}

int wk_json_error(struct wk_buf *out, bool has_id, wkim_slice id, int32_t code, const char *text)
{
    const size_t start = out->n;
    open_message(out, has_id, id);
    name(out, "error");
    wk_buf_u8(out, '{');
    member_i64(out, "code", code);
    member_text(out, "message", wk_str(text));
    lit(out, "}}");
    return finish(out, start);
}
