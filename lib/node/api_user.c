#include "node/reply.h"
#include <stdlib.h>
#include "base/limits.h"
#include "im/answer.h"
#include "node/node.h"

int wkim_user_token_set(wkim_node *n, wkim_slice uid, wkim_slice token, uint8_t device_flag,
                        uint8_t device_level, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc == WKIM_OK && !im_uid_valid(uid))
        rc = WKIM_EINVAL;
    if (rc == WKIM_OK && token.n > WK_PROTO_STRING_BYTES_MAX)
        rc = WKIM_ETOOBIG;
    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    wk_buf_u8(&in, device_flag);
    wk_buf_u8(&in, device_level);
    wk_buf_str(&in, token);
    wk_buf_u64(&in, wk_wall_ms());
    return wk_api_send(n, IM_TOKEN_SET, wk_api_slot(n, uid), &in, WK_REPLY_NONE, NULL,
                       wk_slice(NULL, 0), q, user);
}

int wkim_user_device_quit(wkim_node *n, wkim_slice uid, int device_flag, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    wk_buf_u32(&in, (uint32_t)device_flag);
    wk_buf_u64(&in, wk_wall_ms());
    return wk_api_send(n, IM_DEVICE_QUIT, wk_api_slot(n, uid), &in, WK_REPLY_NONE, NULL,
                       wk_slice(NULL, 0), q, user);
}

/* ---- calls to several slots, one answer ------------------------------------------------------ */

struct gather {
    struct wkim_node *node;
    struct wkim_queue *queue;
    void *user;
    _Atomic uint32_t waiting;
    _Atomic int code;
    pthread_mutex_t lock;
    struct wk_buf out;
    uint8_t layout;
    void (*sort)(struct wkim_reply *r);
};

struct gather_call {
    struct wk_call call;
    struct gather *g;
};

static void gather_put(struct gather *g)
{
    if (atomic_fetch_sub(&g->waiting, 1) != 1)
        return;
    struct wkim_reply *r = g->queue ? wk_reply_new(WKIM_REPLY_CALL, g->user) : NULL;
    if (r) {
        int code = atomic_load(&g->code);
        wk_reply_result(r, g->out.oom ? WKIM_ENOMEM : code, 0);
        if (r->code == WKIM_OK)
            wk_reply_fill(r, &g->out, g->layout);
        if (g->sort)
            g->sort(r);
        wk_queue_put(g->queue, r);
    }
    wk_queue_unref(g->queue);
    wk_buf_fini(&g->out);
    pthread_mutex_destroy(&g->lock);
    wk_api_leave(g->node);
    wk_free(g);
}

static void gather_done(struct wk_call *c)
{
    struct gather_call *gc = WK_CONTAINER(c, struct gather_call, call);
    struct gather *g = gc->g;

    pthread_mutex_lock(&g->lock);
    if (c->code != WKIM_OK) {
        atomic_store(&g->code, c->code);
    } else if (c->out.n) {
        if (g->layout == WK_REPLY_TEXT && g->out.n)
            wk_buf_u8(&g->out, ',');
        wk_buf_bytes(&g->out, c->out.p, c->out.n);
    }
    pthread_mutex_unlock(&g->lock);
    wk_call_fini(c);
    wk_free(gc);
    gather_put(g);
}

static void gather_send(struct gather *g, uint16_t op, uint32_t slot, const struct wk_buf *in)
{
    struct gather_call *gc = wk_calloc(1, sizeof(*gc));
    struct wk_blob *blob = gc && !in->oom ? wk_blob_copy(in->p, in->n) : NULL;

    if (!blob) {
        wk_free(gc);
        atomic_store(&g->code, WKIM_ENOMEM);
        return;
    }
    gc->g = g;
    wk_call_init(&gc->call, op, blob, gather_done);
    gc->call.slot = slot;
    atomic_fetch_add(&g->waiting, 1);
    wk_call_send(g->node->cluster, &gc->call);
}

static int gather_new(struct gather **out, struct wkim_node *n, uint8_t layout,
                      void (*sort)(struct wkim_reply *r), wkim_queue *q, void *user)
{
    int rc = wk_api_enter(n);

    if (rc != WKIM_OK)
        return rc;
    struct gather *g = wk_calloc(1, sizeof(*g));
    if (!g) {
        wk_api_leave(n);
        return WKIM_ENOMEM;
    }
    g->node = n;
    g->queue = wk_queue_ref(q);
    g->user = user;
    g->layout = layout;
    g->sort = sort;
    pthread_mutex_init(&g->lock, NULL);
    atomic_init(&g->waiting, 1);
    *out = g;
    return WKIM_OK;
}

static int by_position(const void *a, const void *b)
{
    const struct wk_reply_row *x = a, *y = b;

    if (x->number[1] != y->number[1])
        return x->number[1] < y->number[1] ? -1 : 1;
    return x->number[2] < y->number[2] ? -1 : x->number[2] > y->number[2];
}

static void sort_rows(struct wkim_reply *r)
{
    if (r->n_rows)
        qsort(r->rows, r->n_rows, sizeof(*r->rows), by_position);
}

int wkim_user_online(wkim_node *n, const wkim_slice *uids, size_t n_uids, wkim_queue *q, void *user)
{
    struct gather *g;

    if (!n || (!uids && n_uids))
        return WKIM_EINVAL;
    if (n_uids > WK_LIST_UIDS_MAX)
        return WKIM_ETOOBIG;
    int rc = gather_new(&g, n, WK_REPLY_ROWS, sort_rows, q, user);
    if (rc != WKIM_OK)
        return rc;
    uint32_t slots = wk_cluster_slot_count(n->cluster);
    struct wk_buf *by_slot = wk_calloc(slots, sizeof(*by_slot));
    if (!by_slot)
        atomic_store(&g->code, WKIM_ENOMEM);
    for (size_t i = 0; by_slot && i < n_uids; i++) {
        if (uids[i].n == 0 || uids[i].n > WK_ID_BYTES_MAX)
            continue; /* nobody has such a uid */
        struct wk_buf *b = &by_slot[wk_api_slot(n, uids[i])];
        wk_buf_str(b, uids[i]);
        wk_buf_u64(b, i);
    }
    for (uint32_t i = 0; by_slot && i < slots; i++) {
        if (by_slot[i].n || by_slot[i].oom)
            gather_send(g, IM_ONLINE, i, &by_slot[i]);
        wk_buf_fini(&by_slot[i]);
    }
    wk_free(by_slot);
    gather_put(g);
    return WKIM_OK;
}

int wkim_node_connections(wkim_node *n, wkim_slice uid, wkim_queue *q, void *user)
{
    struct gather *g;
    struct wk_buf in = WK_BUF_INIT;

    if (uid.n > WK_ID_BYTES_MAX)
        return WKIM_ETOOBIG;
    int rc = gather_new(&g, n, WK_REPLY_TEXT, NULL, q, user);
    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    for (uint32_t i = 0; i < wk_cluster_slot_count(n->cluster); i++)
        gather_send(g, IM_CONN_LIST, i, &in);
    wk_buf_fini(&in);
    gather_put(g);
    return WKIM_OK;
}

int wkim_node_conn_kick(wkim_node *n, wkim_slice uid, int64_t conn_id, int silent, wkim_queue *q,
                        void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    wk_buf_u64(&in, (uint64_t)conn_id);
    wk_buf_u8(&in, silent != 0);
    return wk_api_send(n, IM_CONN_KICK, wk_api_slot(n, uid), &in, WK_REPLY_NONE, NULL,
                       wk_slice(NULL, 0), q, user);
}

/* ---- system accounts ------------------------------------------------------------------------- */

int wkim_user_system_change(wkim_node *n, int add, const wkim_slice *uids, size_t n_uids,
                            wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;

    if (!n || (!uids && n_uids))
        return WKIM_EINVAL;
    if (n_uids > WK_LIST_UIDS_MAX)
        return WKIM_ETOOBIG;
    for (size_t i = 0; i < n_uids; i++) {
        if (uids[i].n > WK_ID_BYTES_MAX || wk_slice_blank(uids[i]))
            return WKIM_EINVAL;
    }
    wk_buf_u8(&in, add != 0);
    for (size_t i = 0; i < n_uids; i++)
        wk_buf_str(&in, uids[i]);
    return wk_api_send(n, IM_SYSTEM_CHANGE, 0, &in, WK_REPLY_NONE, NULL, wk_slice(NULL, 0), q,
                       user);
}

int wkim_user_system_list(wkim_node *n, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    wk_buf_u8(&in, 0);
    return wk_api_send(n, IM_SYSTEM_LIST, 0, &in, WK_REPLY_ROWS, NULL, wk_slice(NULL, 0), q, user);
}
