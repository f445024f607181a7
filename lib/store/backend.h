/* What a key-value back end gives to the store.  Two exist: rocks.c (disk) and memory.c.
 *
 * Keys are ordered by unsigned bytes inside a column.  A batch is applied completely or not at all
 * and its rows become visible together.  All calls may run on any thread at once, except close. */
#ifndef WK_STORE_BACKEND_H
#define WK_STORE_BACKEND_H
#include "store/store.h"

/* Columns by life cycle; one RocksDB column family each. */
enum wk_column {
    WK_COLUMN_MESSAGES, /* written once, read in ranges of one channel; applied indexes */
    WK_COLUMN_METADATA, /* channels, lists, users, conversations */
    WK_COLUMN_INDEX,    /* positions of senders: small rows found by their whole key */
    WK_COLUMN_QUEUES,   /* named values, outbox, generic rows */
    WK_COLUMN_COUNT
};

/* value is borrowed until the call returns; the result is returned by get. */
typedef int (*wk_backend_value)(void *arg, wkim_slice value);
/* key and value are borrowed until the call returns; non-zero ends the scan and is returned. */
typedef int (*wk_backend_each)(void *arg, wkim_slice key, wkim_slice value);

struct wk_range {
    wkim_slice lo, hi; /* lo <= key < hi */
    bool descending;
    bool one_prefix;   /* messages only: lo and hi belong to the same channel */
};

enum wk_op_kind { WK_OP_PUT = 1, WK_OP_DELETE = 2, WK_OP_DELETE_RANGE = 3 };
/* One operation as it lies in a transaction's bytes: this header, the key, the value (the end key
 * of [key, end) for a range). */
struct wk_op {
    uint8_t kind, column;
    uint16_t reserved;
    uint32_t key_bytes, value_bytes;
};

struct wk_backend_ops {
    void (*close)(void *self);
    int (*get)(void *self, enum wk_column c, wkim_slice key, wk_backend_value fn, void *arg);
    int (*scan)(void *self, enum wk_column c, const struct wk_range *r, wk_backend_each fn,
                void *arg);
    /* State a transaction keeps for the back end; may be NULL when the back end has none. */
    int (*batch_new)(void *self, void **out);
    void (*batch_free)(void *batch);
    int (*write)(void *self, void *batch, wkim_slice ops, struct wkim_error *err);
    int (*flush)(void *self, struct wkim_error *err);
    int (*checkpoint)(void *self, const char *dir, struct wkim_error *err);
    bool (*stalled)(void *self);
    void (*stats)(void *self, struct wk_store_stats *out);
};

struct wk_store {
    const struct wk_backend_ops *ops;
    void *self; /* owned: freed by ops->close */
};

int wk_rocks_open(struct wk_store *s, const char *dir, const struct wk_store_options *opt,
                  struct wkim_error *err);
int wk_memory_open(struct wk_store *s, struct wkim_error *err);

/* The FORMAT file of a store directory. */
#define WK_STORE_FORMAT 2u
/* Checks the file of an existing store or creates directory and file of a new one. */
int wk_format_open(const char *dir, struct wkim_error *err);
/* Writes the file durably; in a checkpoint it is the last thing and marks it complete. */
int wk_format_write(const char *dir, struct wkim_error *err);

/* Takes the next operation off *ops; false at the end.  The bytes are our own. */
static inline bool wk_op_next(wkim_slice *ops, struct wk_op *op, wkim_slice *key, wkim_slice *value)
{
    if (ops->n == 0)
        return false;
    WK_ASSERT(ops->n >= sizeof(*op));
    memcpy(op, ops->p, sizeof(*op));
    WK_ASSERT(ops->n - sizeof(*op) >= (size_t)op->key_bytes + op->value_bytes);
    *key = wk_slice(ops->p + sizeof(*op), op->key_bytes);
    *value = wk_slice(key->p + key->n, op->value_bytes);
    size_t used = sizeof(*op) + key->n + value->n;
    ops->p += used;
    ops->n -= used;
    return true;
}
#endif
