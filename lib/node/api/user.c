#include "node/reply.h"
#include <stdlib.h>
#include "base/limits.h"
#include "cluster/scatter.h"
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
    struct wk_scatter *slots;
    uint8_t layout;
    void (*sort)(struct wkim_reply *r);
};

static void gather_end(struct gather *g, int code)
{
    struct wkim_reply *r = g->queue ? wk_reply_new(WKIM_REPLY_CALL, g->user) : NULL;
    struct wk_buf out = WK_BUF_INIT;

    if (r && code == WKIM_OK) {
        wk_scatter_join(g->slots, g->layout == WK_REPLY_TEXT ? ',' : 0, &out);
        code = out.oom ? WKIM_ENOMEM : WKIM_OK;
    }
    if (r) {
        wk_reply_result(r, code, 0);
        if (code == WKIM_OK)
            wk_reply_fill(r, &out, g->layout);
        if (g->sort)
            g->sort(r);
        wk_queue_put(g->queue, r);
    } else if (g->queue) {
        wk_log(&g->node->log, WK_LOG_ERROR, "node", "answer_lost", "reason=\"out of memory\"");
    }
    wk_buf_fini(&out);
    wk_queue_unref(g->queue);
    wk_scatter_free(g->slots);
    wk_api_leave(g->node);
    wk_free(g);
}

static void gathered(struct wk_scatter *slots)
{
    gather_end(wk_scatter_user(slots), wk_scatter_code(slots));
}

static int gather_new(struct gather **out, struct wkim_node *n, uint8_t layout,
                      void (*sort)(struct wkim_reply *r), wkim_queue *q, void *user)
{
    int rc = wk_api_enter(n);

    if (rc != WKIM_OK)
        return rc;
    struct gather *g = wk_calloc(1, sizeof(*g));
    if (!g || wk_scatter_new(&g->slots, n->cluster, NULL) != WKIM_OK) {
        wk_free(g);
        wk_api_leave(n);
        return WKIM_ENOMEM;
    }
    g->node = n;
    g->queue = wk_queue_ref(q);
    g->user = user;
    g->layout = layout;
    g->sort = sort;
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
    for (size_t i = 0; i < n_uids; i++) {
        if (uids[i].n == 0 || uids[i].n > WK_ID_BYTES_MAX)
            continue; /* nobody has such a uid */
        struct wk_buf *b = wk_scatter_request(g->slots, wk_api_slot(n, uids[i]));
        wk_buf_str(b, uids[i]);
        wk_buf_u64(b, i);
    }
    wk_scatter_send(g->slots, IM_ONLINE, gathered, g);
    return WKIM_OK;
}

int wkim_node_connections(wkim_node *n, wkim_slice uid, wkim_queue *q, void *user)
{
    struct gather *g;

    if (uid.n > WK_ID_BYTES_MAX)
        return WKIM_ETOOBIG;
    int rc = gather_new(&g, n, WK_REPLY_TEXT, NULL, q, user);
    if (rc != WKIM_OK)
        return rc;
    for (uint32_t i = 0; i < wk_cluster_slot_count(n->cluster); i++)
        wk_buf_str(wk_scatter_request(g->slots, i), uid);
    wk_scatter_send(g->slots, IM_CONN_LIST, gathered, g);
    return WKIM_OK;
}

int wkim_channel_tags(wkim_node *n, wkim_slice key, wkim_slice channel_id, uint8_t channel_type,
                      int drop, wkim_queue *q, void *user)
{
    struct gather *g;

    if (key.n > WK_ID_BYTES_MAX || channel_id.n > 2 * WK_ID_BYTES_MAX)
        return WKIM_ETOOBIG;
    int rc = gather_new(&g, n, WK_REPLY_TEXT, NULL, q, user);
    if (rc != WKIM_OK)
        return rc;
    uint32_t slots = wk_cluster_slot_count(n->cluster);
    uint32_t only = channel_id.n ? wk_api_slot(n, im_base_id(channel_id)) : slots;
    for (uint32_t i = 0; i < slots; i++) {
        if (only != slots && only != i)
            continue;
        struct wk_buf *b = wk_scatter_request(g->slots, i);
        wk_buf_str(b, key);
        wk_buf_u8(b, channel_type);
        wk_buf_str(b, channel_id);
        wk_buf_u8(b, drop != 0);
    }
    wk_scatter_send(g->slots, IM_TAGS, gathered, g);
    return WKIM_OK;
}

/* ---- plugins of a uid ------------------------------------------------------------------------ */

int wkim_user_plugin_bind(wkim_node *n, wkim_slice uid, wkim_slice plugin_no, int kind,
                          wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc == WKIM_OK && plugin_no.n > WK_PLUGIN_NO_BYTES_MAX)
        rc = WKIM_ETOOBIG;
    if (rc == WKIM_OK &&
        (kind < WKIM_PLUGIN_BIND || kind > WKIM_PLUGIN_SET ||
         (kind != WKIM_PLUGIN_SET && plugin_no.n == 0)))
        rc = WKIM_EINVAL;
    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    wk_buf_u8(&in, (uint8_t)kind);
    wk_buf_str(&in, plugin_no);
    wk_buf_u64(&in, wk_wall_ms());
    return wk_api_send(n, IM_PLUGIN_BIND, wk_api_slot(n, uid), &in, WK_REPLY_NONE, NULL,
                       wk_slice(NULL, 0), q, user);
}

int wkim_user_plugins(wkim_node *n, wkim_slice uid, wkim_slice plugin_no, wkim_queue *q, void *user)
{
    struct gather *g;

    if (uid.n > WK_ID_BYTES_MAX || plugin_no.n > WK_PLUGIN_NO_BYTES_MAX)
        return WKIM_ETOOBIG;
    int rc = gather_new(&g, n, WK_REPLY_ROWS, NULL, q, user);
    if (rc != WKIM_OK)
        return rc;
    for (uint32_t i = 0; i < wk_cluster_slot_count(n->cluster); i++) {
        if (uid.n && wk_api_slot(n, uid) != i)
            continue;
        wk_buf_str(wk_scatter_request(g->slots, i), uid);
        wk_buf_str(wk_scatter_request(g->slots, i), plugin_no);
    }
    wk_scatter_send(g->slots, IM_PLUGIN_BINDINGS, gathered, g);
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
