/* How row files put operations into a transaction. */
#ifndef WK_STORE_TXN_H
#define WK_STORE_TXN_H
#include "store/backend.h"
#include "store/key.h"

struct wk_txn {
    struct wk_store *store; /* borrowed until the transaction is freed */
    void *batch;            /* of the back end */
    struct wk_buf ops;      /* wk_op after wk_op */
    size_t op_at;           /* the operation being written */
    int rc;                 /* first reason why commit must fail */
};

/* Starts a put and returns the buffer to append the value to; wk_txn_put_end closes it.  A key in
 * error fails the transaction at commit. */
struct wk_buf *wk_txn_put_begin(struct wk_txn *t, enum wk_column c, const struct wk_key *k,
                                size_t value_hint);
void wk_txn_put_end(struct wk_txn *t);
void wk_txn_delete(struct wk_txn *t, enum wk_column c, const struct wk_key *k);
void wk_txn_delete_range(struct wk_txn *t, enum wk_column c, const struct wk_key *lo,
                         const struct wk_key *hi);
/* The transaction can no longer be committed. */
void wk_txn_fail(struct wk_txn *t, int rc);

/* The same for reads. */
int wk_store_get(struct wk_store *s, enum wk_column c, const struct wk_key *k, wk_backend_value fn,
                 void *arg);
/* Appends the value without its first byte, which must be `format`. */
int wk_store_get_bytes(struct wk_store *s, enum wk_column c, const struct wk_key *k, uint8_t format,
                       struct wk_buf *out);
#endif
