/* JSON-RPC clients: objects in, errors out. */
#include "session/state.h"
#include "base/error.h"

enum { CODE_STRUCTURE = -32600 };

static int answer_error(struct wk_session *s, const struct wk_json_in *in)
{
    wk_session_out_make_room(s);
    const int rc = wk_json_error(&s->out, in->has_id, in->id, in->code, in->text);
    if (rc)
        return wk_session_die(s, rc, wkim_strerror(rc));
    if (wk_session_queue_check(s))
        return wk_session_die(s, WKIM_EBUSY, wkim_strerror(WKIM_EBUSY));
    return WKIM_OK;
}

/* Before login whoever gave an id is told what was wrong; then it is over in any case. */
static int first_object(struct wk_session *s, const struct wk_json_in *in)
{
    if (in->kind == WK_JSON_ERROR) {
        if (in->has_id && answer_error(s, in))
            return s->fed;
        return wk_session_die(s, WKIM_EPROTO, in->text);
    }
    if (in->packet.type != WK_PACKET_CONNECT)
        return wk_session_die(s, WKIM_EPROTO, "the first request is not connect");
    return wk_session_connect(s, &in->packet.u.connect, in->has_id, in->id);
}

/* 32 hex digits and one decimal digit from the kernel's randomness. */
static void make_client_msg_no(char out[33])
{
    char salts[32];
    wk_salt_new(salts);
    wk_salt_new(salts + 16);
    wk_md5_hex(out, wk_slice(salts, sizeof(salts)));
    out[32] = (char)('0' + (unsigned char)salts[0] % 10);
}

static int next_object(struct wk_session *s, struct wk_json_in *in)
{
    if (in->kind == WK_JSON_ERROR) {
        const int rc = answer_error(s, in);
        if (rc || !in->fatal)
            return rc;
        return wk_session_die(s, WKIM_EPROTO, in->text);
    }
    char made[33];
    if (in->packet.type == WK_PACKET_SEND && in->generated_client_msg_no) {
        make_client_msg_no(made);
        in->packet.u.send.client_msg_no = wk_slice(made, sizeof(made));
    }
    return wk_session_dispatch(s, &in->packet, in->has_id, in->id);
}

static int too_large(struct wk_session *s)
{
    const struct wk_json_in error = { .kind = WK_JSON_ERROR,
                                      .code = CODE_STRUCTURE,
                                      .text = "message too large" };
    if (s->state == WK_SESSION_OPEN && answer_error(s, &error))
        return s->fed;
    return wk_session_die(s, WKIM_ETOOBIG, error.text);
}

wkim_ssize wk_session_json_step(struct wk_session *s, wkim_slice in, struct wk_arena *arena)
{
    size_t blanks = 0;
    while (!s->scan.started && blanks < in.n &&
           (in.p[blanks] == ' ' || in.p[blanks] == '\t' || in.p[blanks] == '\r' ||
            in.p[blanks] == '\n'))
        blanks++;
    if (blanks)
        return (wkim_ssize)blanks;

    struct wk_json_in object;
    const size_t max =
        s->state == WK_SESSION_OPEN ? WK_JSON_BYTES_MAX : WK_INBOUND_BYTES_BEFORE_LOGIN_MAX;
    wk_arena_reset(arena);
    const wkim_ssize n = wk_json_decode(&object, in, &s->scan, max, arena);
    if (n == 0)
        return 0;
    if (n == WKIM_ETOOBIG)
        return too_large(s);
    if (n < 0)
        return wk_session_die(s, (int)n, wkim_strerror((int)n));
    if (object.kind != WK_JSON_ERROR &&
        (s->state == WK_SESSION_OPEN || object.packet.type == WK_PACKET_CONNECT))
        wk_session_count_in(s, object.packet.type, (size_t)n);
    if (s->state == WK_SESSION_OPEN)
        (void)next_object(s, &object);
    else
        (void)first_object(s, &object);
    return n;
}
