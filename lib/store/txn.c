#include "store/txn.h"
#include "base/mem.h"

/* A transaction that once grew very large gives its memory back. */
#define OPS_KEEP_BYTES (4u << 20)

int wk_txn_new(struct wk_txn **out, struct wk_store *s)
{
    struct wk_txn *t = wk_calloc(1, sizeof(*t));
    if (!t)
        return WKIM_ENOMEM;
    t->store = s;
    int rc = s->ops->batch_new(s->self, &t->batch);
    if (rc != WKIM_OK) {
        wk_free(t);
        return rc;
    }
    *out = t;
    return WKIM_OK;
}

void wk_txn_free(struct wk_txn *t)
{
    if (!t)
        return;
    t->store->ops->batch_free(t->batch);
    wk_buf_fini(&t->ops);
    wk_free(t);
}

void wk_txn_clear(struct wk_txn *t)
{
    if (t->ops.cap > OPS_KEEP_BYTES)
        wk_buf_fini(&t->ops);
    else
        wk_buf_clear(&t->ops);
    t->rc = WKIM_OK;
}

size_t wk_txn_bytes(const struct wk_txn *t)
{
    return t->ops.n;
}

void wk_txn_cut(struct wk_txn *t, size_t bytes)
{
    WK_ASSERT(bytes <= t->ops.n);
    t->ops.n = bytes;
    t->ops.oom = false;
    t->rc = WKIM_OK;
}

int wk_txn_commit(struct wk_txn *t, struct wkim_error *err)
{
    int rc = t->rc;

    if (rc == WKIM_OK && t->ops.oom)
        rc = WKIM_ENOMEM;
    if (rc != WKIM_OK)
        wk_fail(err, rc, "transaction of %zu bytes: %s", t->ops.n, wkim_strerror(rc));
    else if (t->ops.n > 0)
        rc = t->store->ops->write(t->store->self, t->batch, wk_buf_slice(&t->ops), err);
    wk_txn_clear(t);
    return rc;
}

void wk_txn_fail(struct wk_txn *t, int rc)
{
    if (t->rc == WKIM_OK)
        t->rc = rc;
}

static void op_begin(struct wk_txn *t, uint8_t kind, enum wk_column c, const struct wk_key *k,
                     size_t value_hint)
{
    struct wk_op op = { .kind = kind, .column = (uint8_t)c, .key_bytes = (uint32_t)k->n };

    if (k->rc != WKIM_OK)
        wk_txn_fail(t, k->rc);
    t->op_at = t->ops.n;
    if (wk_buf_reserve(&t->ops, sizeof(op) + k->n + value_hint) != WKIM_OK) {
        wk_txn_fail(t, WKIM_ENOMEM);
        return;
    }
    wk_buf_bytes(&t->ops, &op, sizeof(op));
    wk_buf_bytes(&t->ops, k->p, k->n);
}

/* Fills in the length of what was appended since op_begin; drops the operation when it failed. */
static void op_end(struct wk_txn *t)
{
    struct wk_op op;

    if (t->rc != WKIM_OK || t->ops.oom) {
        wk_txn_fail(t, WKIM_ENOMEM);
        t->ops.n = t->op_at;
        return;
    }
    memcpy(&op, t->ops.p + t->op_at, sizeof(op));
    size_t value = t->ops.n - t->op_at - sizeof(op) - op.key_bytes;
    if (value > UINT32_MAX) {
        wk_txn_fail(t, WKIM_ETOOBIG);
        t->ops.n = t->op_at;
        return;
    }
    op.value_bytes = (uint32_t)value;
    memcpy(t->ops.p + t->op_at, &op, sizeof(op));
}

struct wk_buf *wk_txn_put_begin(struct wk_txn *t, enum wk_column c, const struct wk_key *k,
                                size_t value_hint)
{
    op_begin(t, WK_OP_PUT, c, k, value_hint);
    return &t->ops;
}

void wk_txn_put_end(struct wk_txn *t)
{
    op_end(t);
}

void wk_txn_delete(struct wk_txn *t, enum wk_column c, const struct wk_key *k)
{
    op_begin(t, WK_OP_DELETE, c, k, 0);
    op_end(t);
}

void wk_txn_delete_range(struct wk_txn *t, enum wk_column c, const struct wk_key *lo,
                         const struct wk_key *hi)
{
    if (hi->rc != WKIM_OK)
        wk_txn_fail(t, hi->rc);
    op_begin(t, WK_OP_DELETE_RANGE, c, lo, hi->n);
    wk_buf_bytes(&t->ops, hi->p, hi->n);
    op_end(t);
}
