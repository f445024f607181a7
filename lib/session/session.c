#include "session/session.h"
#include "base/error.h"
#include "session/state.h"

int wk_session_new(struct wk_session **out, const struct wk_session_options *opt,
                   const struct wk_session_events *ev, void *user)
{
    struct wk_session *s = wk_calloc(1, sizeof(*s));
    if (!s)
        return WKIM_ENOMEM;
    s->ev = *ev;
    s->user = user;
    s->crypto = opt->crypto;
    s->sealer = opt->sealer;
    s->node_id = opt->node_id;
    s->outbound_bytes_max =
        opt->outbound_bytes_max ? opt->outbound_bytes_max : WK_OUTBOUND_BYTES_MAX;
    s->encrypt = opt->encrypt;
    s->allow_json = opt->allow_json;
    s->event_to_old = opt->event_to_old;
    s->version_max = opt->version_max;
    *out = s;
    return WKIM_OK;
}

void wk_session_free(struct wk_session *s)
{
    if (!s)
        return;
    WK_ASSERT(!s->busy);
    wk_session_sealed(s);
    wk_buf_fini(&s->in);
    wk_buf_fini(&s->out);
    wk_free(s->handshake);
    wk_acks_fini(s);
    explicit_bzero(&s->cipher, sizeof(s->cipher));
    wk_free(s);
}

void wk_session_rebind(struct wk_session *s, struct wk_crypto *crypto, struct wk_sealer *sealer,
                       void *user)
{
    wk_session_sealed(s);
    s->sealer = sealer;
    s->crypto = crypto;
    s->user = user;
}

void wk_session_count_into(struct wk_session *s, struct wk_session_counts *counts)
{
    s->counts = counts;
}

int wk_session_die(struct wk_session *s, int code, const char *text)
{
    s->state = WK_SESSION_CLOSING;
    s->fed = code;
    if (!s->told && s->ev.on_close) {
        s->told = true;
        s->ev.on_close(s->user, code, text);
    }
    return code;
}

int wk_session_die_with(struct wk_session *s, uint8_t reason, int code, const char *text)
{
    if (s->state == WK_SESSION_OPEN && s->wire == WK_WIRE_BINARY)
        wk_session_disconnect(s, reason, wk_str(text));
    return wk_session_die(s, code, text);
}

void wk_session_pause(struct wk_session *s, bool on)
{
    s->paused = on;
}

bool wk_session_blocked(const struct wk_session *s)
{
    return s->state != WK_SESSION_CLOSING && !wk_session_proceeds(s);
}

void wk_session_close(struct wk_session *s)
{
    s->state = WK_SESSION_CLOSING;
}

uint8_t wk_session_state(const struct wk_session *s)
{
    return s->state;
}

bool wk_session_is_json(const struct wk_session *s)
{
    return s->wire == WK_WIRE_JSON;
}

uint8_t wk_session_version(const struct wk_session *s)
{
    return s->version;
}

size_t wk_session_pending_in(const struct wk_session *s)
{
    return s->in.n;
}

size_t wk_session_memory(const struct wk_session *s)
{
    const size_t handshake =
        s->handshake ? sizeof(*s->handshake) + s->handshake->key_n + s->handshake->id_n : 0;
    return sizeof(*s) + s->in.cap + s->out.cap + handshake + wk_acks_memory(s);
}
