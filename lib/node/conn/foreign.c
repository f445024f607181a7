/* wkim_session: a connection whose bytes come from a transport of the caller.
 *
 * Input and output lie in two buffers under one short lock; one notification per direction is under
 * way at most, so neither side can be flooded with posts. */
#include "node/conn/conn.h"
#include <pthread.h>
#include "base/limits.h"

#define IN_BYTES_MAX (1048576u + 65536u)
#define OUT_BYTES_MAX 4194304u

struct wkim_session {
    pthread_mutex_t lock;
    _Atomic uint32_t refs;       /* transport side, shard side, notification under way */
    struct wkim_node *node;
    struct wk_conn *conn;        /* shard side; NULL once it closed */
    struct wk_shard *shard;      /* where conn lives */
    void (*on_ready)(void *user);
    void *user;
    struct wk_buf in, out;       /* out: u32 length, u8 text, frame ... */
    struct wk_buf current;       /* transport side: frames being drained */
    size_t current_at;
    bool posted;                 /* notification under way */
    bool started, ended, closing, starved, out_full;
    bool alive;                  /* a sign of life without bytes: nothing was fed */
    struct wk_post post;
};

static void unref(struct wkim_session *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&s->lock);
    wk_buf_fini(&s->in);
    wk_buf_fini(&s->out);
    wk_buf_fini(&s->current);
    wk_free(s);
}

/* Under the lock. */
static void notify_shard(struct wkim_session *s)
{
    if (s->posted || s->ended || !s->shard)
        return;
    s->posted = true;
    atomic_fetch_add(&s->refs, 1);
    wk_shard_post(s->shard, &s->post);
}

static void tell_transport(struct wkim_session *s)
{
    void (*fn)(void *) = s->on_ready;
    if (fn)
        fn(s->user);
}

/* ---- shard side ------------------------------------------------------------------------------ */

static void on_post(struct wk_shard *sh, struct wk_post *p)
{
    struct wkim_session *s = WK_CONTAINER(p, struct wkim_session, post);
    struct wk_buf in = WK_BUF_INIT;

    pthread_mutex_lock(&s->lock);
    if (s->shard != sh && !s->ended) { /* the connection moved meanwhile, or is on its way */
        bool arrived = s->shard != NULL;
        if (arrived)
            wk_shard_post(s->shard, &s->post);
        else
            s->posted = false;
        pthread_mutex_unlock(&s->lock);
        if (!arrived)
            unref(s);
        return;
    }
    s->posted = false;
    struct wk_conn *c = s->conn;
    bool start = c && !s->started;
    s->started = true;
    bool blocked = c && !start && !c->want_in && !s->closing;
    if (!blocked) {
        in = s->in;
        s->in = (struct wk_buf)WK_BUF_INIT;
    }
    bool closing = s->closing, starved = s->starved && !blocked, alive = s->alive;
    s->alive = false;
    if (starved)
        s->starved = false;
    pthread_mutex_unlock(&s->lock);
    if (c) {
        if (start)
            wk_conn_start(c);
        if (alive && wk_session_state(c->session) == WK_SESSION_OPEN)
            c->last_in_ms = wk_now_ms();
        if (in.n && !c->closed)
            wk_conn_input(c, wk_buf_slice(&in));
        if (closing && !c->closed)
            wk_conn_destroy(c);
        else if (!c->closed)
            wk_conn_wake(c);
    }
    wk_buf_fini(&in);
    if (starved) {
        pthread_mutex_lock(&s->lock);
        tell_transport(s);
        pthread_mutex_unlock(&s->lock);
    }
    unref(s);
}

static int foreign_flush(struct wk_conn *c)
{
    struct wkim_session *s = c->foreign;
    wkim_slice frame;
    bool any = false;
    int rc = WKIM_OK;

    pthread_mutex_lock(&s->lock);
    while (s->out.n < OUT_BYTES_MAX && wk_session_next_frame(c->session, &frame) == 1) {
        wk_buf_u32(&s->out, (uint32_t)frame.n);
        wk_buf_u8(&s->out, wk_session_is_json(c->session));
        wk_buf_bytes(&s->out, frame.p, frame.n);
        any = true;
        c->out_bytes += frame.n;
        wk_count(&wk_node_shard(c->node, c->shard)->count.out_bytes, frame.n);
    }
    if (s->out.oom)
        rc = WKIM_EIO;
    else if (wk_session_out(c->session).n) {
        s->out_full = true; /* drain asks for more */
        rc = WKIM_EAGAIN;
    }
    if (any)
        tell_transport(s);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static void foreign_want_input(struct wk_conn *c, bool on)
{
    struct wkim_session *s = c->foreign;

    if (c->want_in == on)
        return;
    c->want_in = on;
    if (!on)
        return;
    pthread_mutex_lock(&s->lock);
    if (s->in.n || s->starved)
        notify_shard(s);
    pthread_mutex_unlock(&s->lock);
}

static void foreign_detach(struct wk_conn *c)
{
    struct wkim_session *s = c->foreign;

    pthread_mutex_lock(&s->lock);
    s->shard = NULL; /* no shard may touch conn until it arrives */
    pthread_mutex_unlock(&s->lock);
}

static int foreign_attach(struct wk_conn *c)
{
    struct wkim_session *s = c->foreign;

    c->want_in = true;
    pthread_mutex_lock(&s->lock);
    s->shard = c->shard;
    if (s->in.n || s->closing || s->starved || s->out_full)
        notify_shard(s);
    pthread_mutex_unlock(&s->lock);
    return WKIM_OK;
}

static void foreign_close(struct wk_conn *c)
{
    struct wkim_session *s = c->foreign;

    pthread_mutex_lock(&s->lock);
    s->ended = true;
    s->conn = NULL;
    tell_transport(s);
    pthread_mutex_unlock(&s->lock);
    unref(s);
}

static const struct wk_transport_ops foreign_ops = {
    .flush = foreign_flush, .want_input = foreign_want_input, .detach = foreign_detach,
    .attach = foreign_attach, .close = foreign_close,
};

/* ---- transport side -------------------------------------------------------------------------- */

int wkim_session_open(wkim_session **out, wkim_node *n, const wkim_session_options *opt)
{
    struct wkim_session *s;

    if (!out || !n || !opt || opt->size < offsetof(wkim_session_options, remote))
        return WKIM_EINVAL;
    wkim_session_options o = { 0 };
    memcpy(&o, opt, opt->size < sizeof(o) ? opt->size : sizeof(o));
    if (!n->started || atomic_load(&n->stopping))
        return WKIM_ESTOPPED;
    if (n->set.connections_max && atomic_load(&n->connections) >= n->set.connections_max)
        return WKIM_EBUSY;
    s = wk_calloc(1, sizeof(*s));
    if (!s)
        return WKIM_ENOMEM;
    int rc = wk_conn_new(&s->conn, n, &foreign_ops, o.remote, o.proxy != 0);
    if (rc != WKIM_OK) {
        wk_free(s);
        return rc;
    }
    pthread_mutex_init(&s->lock, NULL);
    atomic_init(&s->refs, 2);
    s->node = n;
    s->on_ready = o.on_ready;
    s->user = o.user;
    s->post.run = on_post;
    s->conn->foreign = s;
    if (o.listener >= 0 && o.listener < WK_LISTENERS)
        s->conn->listener = (uint8_t)o.listener;
    uint32_t i = atomic_fetch_add(&n->next_shard, 1) % n->n_shards;
    s->shard = s->conn->shard = &n->shards[i];
    atomic_fetch_add(&n->connections, 1);
    pthread_mutex_lock(&s->lock);
    notify_shard(s);
    pthread_mutex_unlock(&s->lock);
    *out = s;
    return WKIM_OK;
}

int wkim_session_feed(wkim_session *s, const void *p, size_t n)
{
    int rc = WKIM_OK;

    if (!s || (!p && n))
        return WKIM_EINVAL;
    pthread_mutex_lock(&s->lock);
    if (s->ended || s->closing) {
        rc = WKIM_ESTOPPED;
    } else if (s->in.n && s->in.n + n > IN_BYTES_MAX) {
        s->starved = true;
        rc = WKIM_EBUSY;
    } else if (wk_buf_reserve(&s->in, n) != WKIM_OK) {
        rc = WKIM_ENOMEM;
    } else {
        wk_buf_bytes(&s->in, p, n);
        s->alive |= n == 0;
        notify_shard(s);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int wkim_session_drain(wkim_session *s, wkim_slice *out, int *text)
{
    if (!s || !out)
        return WKIM_EINVAL;
    if (s->current_at == s->current.n) {
        wk_buf_fini(&s->current);
        s->current_at = 0;
        pthread_mutex_lock(&s->lock);
        s->current = s->out;
        s->out = (struct wk_buf)WK_BUF_INIT;
        bool ended = s->ended;
        if (s->out_full) {
            s->out_full = false;
            notify_shard(s);
        }
        pthread_mutex_unlock(&s->lock);
        if (s->current.n == 0)
            return ended ? WKIM_ESTOPPED : 0;
    }
    struct wk_cursor c =
        wk_cursor(wk_slice(s->current.p + s->current_at, s->current.n - s->current_at));
    uint32_t n = wk_cursor_u32(&c);
    uint8_t is_text = wk_cursor_u8(&c);
    *out = wk_cursor_bytes(&c, n);
    s->current_at = s->current.n - wk_cursor_left(&c);
    if (text)
        *text = is_text;
    return 1;
}

void wkim_session_close(wkim_session *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->on_ready = NULL;
    s->closing = true;
    notify_shard(s);
    pthread_mutex_unlock(&s->lock);
    unref(s);
}
