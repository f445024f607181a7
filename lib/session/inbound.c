/* Bytes of the client into events, in order, as far as the state allows. */
#include "session/state.h"
#include "base/error.h"

static size_t frame_bytes_max(const struct wk_session *s)
{
    return s->state == WK_SESSION_OPEN ? WK_FRAME_BYTES_MAX : WK_INBOUND_BYTES_BEFORE_LOGIN_MAX;
}

static size_t kept_bytes_max(const struct wk_session *s)
{
    if (s->state != WK_SESSION_OPEN)
        return WK_INBOUND_BYTES_BEFORE_LOGIN_MAX;
    return s->wire == WK_WIRE_JSON ? WK_JSON_BYTES_MAX : WK_INBOUND_BYTES_MAX;
}

/* ---- open session ---------------------------------------------------------------------------- */

static int on_ping(struct wk_session *s, bool has_id, wkim_slice id)
{
    if (s->ev.on_ping)
        s->ev.on_ping(s->user);
    if (s->state != WK_SESSION_OPEN)
        return WKIM_OK;
    const struct wk_packet pong = { .type = WK_PACKET_PONG };
    const int rc = wk_session_queue(s, &pong, has_id, id);
    return rc ? wk_session_die(s, rc, wkim_strerror(rc)) : WKIM_OK;
}

static int on_disconnect(struct wk_session *s, const struct wk_packet *p, bool has_id,
                         wkim_slice id)
{
    if (s->wire == WK_WIRE_JSON)
        (void)wk_session_queue(s, p, has_id, id);
    return wk_session_die(s, WKIM_OK, "disconnected by the client");
}

int wk_session_dispatch(struct wk_session *s, const struct wk_packet *p, bool has_id,
                        wkim_slice id)
{
    switch (p->type) {
    case WK_PACKET_SEND:
        return wk_session_send(s, p, has_id, id);
    case WK_PACKET_RECVACK:
        if (s->ev.on_recvack)
            s->ev.on_recvack(s->user, &p->u.recvack, p->flags);
        return WKIM_OK;
    case WK_PACKET_PING:
        return on_ping(s, has_id, id);
    case WK_PACKET_DISCONNECT:
        return on_disconnect(s, p, has_id, id);
    default: /* A second CONNECT, and what only servers send, has no effect. */
        return WKIM_OK;
    }
}

/* ---- stream ---------------------------------------------------------------------------------- */

static wkim_ssize binary_step(struct wk_session *s, wkim_slice in)
{
    struct wk_packet p;
    struct wkim_error err;
    const wkim_ssize n = wk_packet_decode(&p, in, s->version, frame_bytes_max(s), &err);
    if (n == 0)
        return 0;
    if (n < 0)
        return wk_session_die_with(
            s, n == WKIM_EUNSUPPORTED ? WKIM_REASON_HEADER : WKIM_REASON_PAYLOAD_DECODE, (int)n,
            err.text);
    if (s->state == WK_SESSION_OPEN || p.type == WK_PACKET_CONNECT)
        wk_session_count_in(s, p.type, (size_t)n);
    if (s->state == WK_SESSION_OPEN)
        (void)wk_session_dispatch(s, &p, false, wk_slice(NULL, 0));
    else if (p.type == WK_PACKET_CONNECT)
        (void)wk_session_connect(s, &p.u.connect, false, wk_slice(NULL, 0));
    else
        return wk_session_die(s, WKIM_EPROTO, "the first frame is not CONNECT");
    return n;
}

/* The first byte that is not blank decides for the life of the connection.  Returns the blanks. */
static size_t decide_wire(struct wk_session *s, wkim_slice in)
{
    size_t i = 0;
    if (s->allow_json)
        while (i < in.n &&
               (in.p[i] == ' ' || in.p[i] == '\t' || in.p[i] == '\r' || in.p[i] == '\n'))
            i++;
    s->blanks |= i > 0;
    if (i == in.n)
        return i;
    s->wire = s->allow_json && in.p[i] == '{' ? WK_WIRE_JSON : WK_WIRE_BINARY;
    if (s->blanks && s->wire == WK_WIRE_BINARY)
        (void)wk_session_die(s, WKIM_EPROTO, "the first frame is not CONNECT");
    return i;
}

static wkim_ssize step(struct wk_session *s, wkim_slice in, struct wk_arena *arena)
{
    if (s->wire == WK_WIRE_JSON)
        return wk_session_json_step(s, in, arena);
    const wkim_ssize n = wk_session_sends(s, in);
    return n > 0 ? n : binary_step(s, in);
}

/* Use whole frames at the start of `in`; returns bytes used. */
static size_t run(struct wk_session *s, wkim_slice in)
{
    struct wk_arena arena;
    wk_arena_init(&arena, 0);
    size_t used = 0;
    while (used < in.n && wk_session_proceeds(s)) {
        const wkim_slice rest = wk_slice(in.p + used, in.n - used);
        if (s->wire == WK_WIRE_UNDECIDED) {
            used += decide_wire(s, rest);
            continue;
        }
        const wkim_ssize n = step(s, rest, &arena);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    wk_arena_fini(&arena);
    return used;
}

static void keep(struct wk_session *s, wkim_slice in)
{
    wk_buf_bytes(&s->in, in.p, in.n);
    if (s->in.oom) {
        s->in.oom = false;
        (void)wk_session_die(s, WKIM_ENOMEM, "out of memory");
    }
}

/* A few bytes left over may not hold on to a buffer that once held a long frame. */
static void consume_kept(struct wk_session *s, size_t used)
{
    struct wk_buf rest = WK_BUF_INIT;
    const size_t n = s->in.n - used;
    if (s->in.cap - n > WK_SESSION_IN_SLACK_MAX && n < s->in.cap / 4)
        wk_buf_bytes(&rest, s->in.p + used, n);
    if (rest.n == 0) {
        wk_buf_consume(&s->in, used);
        return;
    }
    wk_buf_fini(&s->in);
    s->in = rest;
}

static void run_kept(struct wk_session *s)
{
    const size_t used = run(s, wk_buf_slice(&s->in));
    if (s->state == WK_SESSION_CLOSING || used == s->in.n)
        wk_buf_fini(&s->in);
    else if (used)
        consume_kept(s, used);
}

/* Complete the kept part of a frame with no more bytes than it lacks, so that the frames behind it
 * are read where they are.  Returns bytes taken. */
static size_t top_up(struct wk_session *s, wkim_slice in)
{
    size_t taken = 0;
    while (s->in.n && taken < in.n && wk_session_proceeds(s)) {
        const size_t lacks = wk_frame_extent(wk_buf_slice(&s->in)) - s->in.n;
        const size_t n = in.n - taken < lacks ? in.n - taken : lacks;
        keep(s, wk_slice(in.p + taken, n));
        taken += n;
        run_kept(s);
    }
    return taken;
}

static void take(struct wk_session *s, wkim_slice in)
{
    if (s->in.n && s->wire == WK_WIRE_BINARY && wk_session_proceeds(s)) {
        const size_t n = top_up(s, in);
        in = wk_slice(in.p + n, in.n - n);
    }
    if (s->in.n == 0 && in.n) {
        const size_t n = run(s, in);
        in = wk_slice(in.p + n, in.n - n);
        if (in.n && s->state != WK_SESSION_CLOSING) {
            if (in.n > kept_bytes_max(s))
                (void)wk_session_die(s, WKIM_ETOOBIG, "too much input before it can be used");
            else
                keep(s, in);
        }
        return;
    }
    if (in.n == 0 || s->state == WK_SESSION_CLOSING)
        return;
    const bool blocked = !wk_session_proceeds(s);
    if (blocked && in.n > kept_bytes_max(s) - s->in.n) {
        (void)wk_session_die(s, WKIM_ETOOBIG, "too much input before it can be used");
        return;
    }
    keep(s, in);
    if (!blocked)
        run_kept(s);
    if (s->in.n > kept_bytes_max(s))
        (void)wk_session_die(s, WKIM_ETOOBIG, "too much input before it can be used");
}

static int guarded(struct wk_session *s, wkim_slice in, bool kept_only)
{
    s->busy = true;
    s->fed = WKIM_OK;
    if (kept_only)
        run_kept(s);
    else
        take(s, in);
    s->busy = false;
    if (s->state == WK_SESSION_CLOSING)
        wk_buf_fini(&s->in);
    return s->fed;
}

int wk_session_feed(struct wk_session *s, wkim_slice in, uint64_t now_ms, uint64_t wall_ms)
{
    (void)now_ms;
    (void)wall_ms;
    WK_ASSERT(!s->busy);
    if (s->state == WK_SESSION_CLOSING || in.n == 0)
        return WKIM_OK;
    return guarded(s, in, false);
}

int wk_session_resume(struct wk_session *s, uint64_t now_ms, uint64_t wall_ms)
{
    (void)now_ms;
    (void)wall_ms;
    if (s->busy || s->in.n == 0 || s->state == WK_SESSION_CLOSING)
        return WKIM_OK;
    return guarded(s, wk_slice(NULL, 0), true);
}

void wk_session_pump(struct wk_session *s)
{
    if (!s->busy && s->in.n && wk_session_proceeds(s))
        (void)guarded(s, wk_slice(NULL, 0), true);
}
