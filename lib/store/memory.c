/* The in-memory back end: one skip list per column under one readers-writer lock.
 *
 * A scan copies up to CHUNK rows under the lock and hands them out without it, so that a callback
 * may commit; within a chunk it sees whole batches only. */
#include "store/backend.h"
#include <pthread.h>
#include "base/mem.h"

#define HEIGHT_MAX 16
#define CHUNK_ROWS 256
#define CHUNK_BYTES (1u << 20)

struct node {
    struct node *prev; /* on the lowest level; NULL: first */
    uint32_t key_bytes, value_bytes;
    int height;
    struct node *next[]; /* height pointers, then key, then value */
};

struct column {
    struct node *head[HEIGHT_MAX];
};

struct memory {
    pthread_rwlock_t lock;
    struct column columns[WK_COLUMN_COUNT];
    uint64_t random; /* state of the height generator; under the write lock */
    uint64_t bytes;
};

static const uint8_t *node_bytes(const struct node *n)
{
    return (const uint8_t *)(n->next + n->height);
}

static wkim_slice node_key(const struct node *n)
{
    return wk_slice(node_bytes(n), n->key_bytes);
}

static wkim_slice node_value(const struct node *n)
{
    return wk_slice(node_bytes(n) + n->key_bytes, n->value_bytes);
}

static size_t node_size(const struct node *n)
{
    return sizeof(*n) + sizeof(n->next[0]) * (size_t)n->height + n->key_bytes + n->value_bytes;
}

static int compare(wkim_slice a, wkim_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* The first node with a key >= key.  links, when given, takes on each level the pointer that leads
 * over the place of key; *before the last node below key. */
static struct node *find(struct column *c, wkim_slice key, struct node **links[HEIGHT_MAX],
                         struct node **before)
{
    struct node *at = NULL;

    for (int level = HEIGHT_MAX - 1; level >= 0; level--) {
        struct node **link = at ? &at->next[level] : &c->head[level];
        while (*link && compare(node_key(*link), key) < 0) {
            at = *link;
            link = &at->next[level];
        }
        if (links)
            links[level] = link;
    }
    if (before)
        *before = at;
    return at ? at->next[0] : c->head[0];
}

/* Takes n, the node behind links, out of the list and frees it. */
static void unlink_node(struct memory *m, struct node *n, struct node **links[HEIGHT_MAX])
{
    for (int level = 0; level < n->height; level++)
        *links[level] = n->next[level];
    if (n->next[0])
        n->next[0]->prev = n->prev;
    m->bytes -= node_size(n);
    wk_free(n);
}

static void apply_put(struct memory *m, struct column *c, struct node *fresh)
{
    struct node **links[HEIGHT_MAX], *before;
    struct node *n = find(c, node_key(fresh), links, &before);

    if (n && compare(node_key(n), node_key(fresh)) == 0)
        unlink_node(m, n, links);
    for (int level = 0; level < fresh->height; level++) {
        fresh->next[level] = *links[level];
        *links[level] = fresh;
    }
    fresh->prev = before;
    if (fresh->next[0])
        fresh->next[0]->prev = fresh;
    m->bytes += node_size(fresh);
}

static void apply_delete(struct memory *m, struct column *c, wkim_slice lo, wkim_slice hi)
{
    struct node **links[HEIGHT_MAX];
    struct node *n = find(c, lo, links, NULL);

    while (n && compare(node_key(n), hi) < 0) {
        struct node *next = n->next[0];
        unlink_node(m, n, links);
        n = next;
    }
}

static void apply_delete_one(struct memory *m, struct column *c, wkim_slice key)
{
    struct node **links[HEIGHT_MAX];
    struct node *n = find(c, key, links, NULL);

    if (n && compare(node_key(n), key) == 0)
        unlink_node(m, n, links);
}

static int random_height(struct memory *m)
{
    uint64_t x = m->random;
    int height = 1;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    m->random = x;
    for (x >>= 16; height < HEIGHT_MAX && (x & 3) == 0; x >>= 2)
        height++;
    return height;
}

static struct node *node_new(struct memory *m, wkim_slice key, wkim_slice value)
{
    int height = random_height(m);
    struct node *n = wk_malloc(sizeof(*n) + sizeof(n->next[0]) * (size_t)height + key.n + value.n);

    if (!n)
        return NULL;
    n->height = height;
    n->key_bytes = (uint32_t)key.n;
    n->value_bytes = (uint32_t)value.n;
    uint8_t *p = (uint8_t *)(n->next + height);
    memcpy(p, key.p, key.n);
    if (value.n)
        memcpy(p + key.n, value.p, value.n);
    return n;
}

/* Allocates the nodes of all puts, chained by prev in order; NULL in *first when there are none. */
static int prepare(struct memory *m, wkim_slice ops, struct node **first)
{
    struct node **tail = first;
    struct wk_op op;
    wkim_slice key, value;

    *first = NULL;
    while (wk_op_next(&ops, &op, &key, &value)) {
        if (op.kind != WK_OP_PUT)
            continue;
        struct node *n = node_new(m, key, value);
        *tail = n;
        if (!n)
            return WKIM_ENOMEM;
        n->prev = NULL;
        tail = &n->prev;
    }
    return WKIM_OK;
}

static void apply(struct memory *m, wkim_slice ops, struct node *puts)
{
    struct wk_op op;
    wkim_slice key, value;

    while (wk_op_next(&ops, &op, &key, &value)) {
        struct column *c = &m->columns[op.column];
        if (op.kind == WK_OP_PUT) {
            struct node *n = puts;
            puts = n->prev;
            apply_put(m, c, n);
        } else if (op.kind == WK_OP_DELETE) {
            apply_delete_one(m, c, key);
        } else {
            apply_delete(m, c, key, value);
        }
    }
}

static int memory_write(void *self, void *batch, wkim_slice ops, struct wkim_error *err)
{
    struct memory *m = self;
    struct node *puts;

    (void)batch;
    pthread_rwlock_wrlock(&m->lock);
    int rc = prepare(m, ops, &puts);
    if (rc == WKIM_OK)
        apply(m, ops, puts);
    pthread_rwlock_unlock(&m->lock);
    while (rc != WKIM_OK && puts) {
        struct node *n = puts;
        puts = n->prev;
        wk_free(n);
    }
    return rc == WKIM_OK ? rc : wk_fail(err, rc, "store in memory: out of memory");
}

static int memory_get(void *self, enum wk_column c, wkim_slice key, wk_backend_value fn, void *arg)
{
    struct memory *m = self;
    int rc = WKIM_ENOTFOUND;

    pthread_rwlock_rdlock(&m->lock);
    struct node *n = find(&m->columns[c], key, NULL, NULL);
    if (n && compare(node_key(n), key) == 0)
        rc = fn(arg, node_value(n));
    pthread_rwlock_unlock(&m->lock);
    return rc;
}

/* One chunk of a scan: copies in the order they are handed out. */
struct chunk {
    struct wk_buf rows; /* struct wk_op header | key | value */
    size_t n;
    bool last;
};

static void chunk_add(struct chunk *ch, const struct node *n)
{
    struct wk_op op = { .key_bytes = n->key_bytes, .value_bytes = n->value_bytes };

    wk_buf_bytes(&ch->rows, &op, sizeof(op));
    wk_buf_bytes(&ch->rows, node_bytes(n), (size_t)n->key_bytes + n->value_bytes);
    ch->n++;
}

static int chunk_fill(struct memory *m, enum wk_column c, const struct wk_range *r,
                      struct chunk *ch)
{
    struct node *before, *n;

    wk_buf_clear(&ch->rows);
    ch->n = 0;
    pthread_rwlock_rdlock(&m->lock);
    n = find(&m->columns[c], r->descending ? r->hi : r->lo, NULL, &before);
    if (r->descending)
        n = before;
    while (n && ch->n < CHUNK_ROWS && ch->rows.n < CHUNK_BYTES && !ch->rows.oom) {
        if (r->descending ? compare(node_key(n), r->lo) < 0 : compare(node_key(n), r->hi) >= 0)
            break;
        chunk_add(ch, n);
        n = r->descending ? n->prev : n->next[0];
    }
    ch->last = ch->n < CHUNK_ROWS && ch->rows.n < CHUNK_BYTES;
    pthread_rwlock_unlock(&m->lock);
    return ch->rows.oom ? WKIM_ENOMEM : WKIM_OK;
}

/* Hands out the rows; *last_key (in ch->rows) is where the next chunk goes on. */
static int chunk_give(const struct chunk *ch, wk_backend_each fn, void *arg, wkim_slice *last_key)
{
    wkim_slice rows = wk_buf_slice(&ch->rows), value;
    struct wk_op op;
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_op_next(&rows, &op, last_key, &value))
        rc = fn(arg, *last_key, value);
    return rc;
}

static int memory_scan(void *self, enum wk_column c, const struct wk_range *range,
                       wk_backend_each fn, void *arg)
{
    struct memory *m = self;
    struct wk_range r = *range;
    struct chunk ch = { .rows = WK_BUF_INIT };
    struct wk_buf from = WK_BUF_INIT;
    wkim_slice last_key = { NULL, 0 };
    int rc;

    for (;;) {
        rc = chunk_fill(m, c, &r, &ch);
        if (rc == WKIM_OK)
            rc = chunk_give(&ch, fn, arg, &last_key);
        if (rc != WKIM_OK || ch.last)
            break;
        wk_buf_clear(&from);
        wk_buf_bytes(&from, last_key.p, last_key.n);
        if (!r.descending)
            wk_buf_u8(&from, 0); /* the smallest key behind the last one */
        if (from.oom) {
            rc = WKIM_ENOMEM;
            break;
        }
        *(r.descending ? &r.hi : &r.lo) = wk_buf_slice(&from);
    }
    wk_buf_fini(&from);
    wk_buf_fini(&ch.rows);
    return rc;
}

static int memory_batch_new(void *self, void **out)
{
    (void)self;
    *out = NULL;
    return WKIM_OK;
}

static void memory_batch_free(void *batch)
{
    (void)batch;
}

static int memory_flush(void *self, struct wkim_error *err)
{
    (void)self;
    (void)err;
    return WKIM_OK; /* nothing is more durable than memory here */
}

static int memory_checkpoint(void *self, const char *dir, struct wkim_error *err)
{
    (void)self;
    return wk_fail(err, WKIM_EUNSUPPORTED, "checkpoint %s: the store is in memory", dir);
}

static bool memory_stalled(void *self)
{
    (void)self;
    return false;
}

static void memory_stats(void *self, struct wk_store_stats *out)
{
    struct memory *m = self;

    pthread_rwlock_rdlock(&m->lock);
    out->memtable_bytes = m->bytes;
    pthread_rwlock_unlock(&m->lock);
}

static void memory_close(void *self)
{
    struct memory *m = self;

    for (int i = 0; i < WK_COLUMN_COUNT; i++) {
        for (struct node *n = m->columns[i].head[0], *next; n; n = next) {
            next = n->next[0];
            wk_free(n);
        }
    }
    pthread_rwlock_destroy(&m->lock);
    wk_free(m);
}

static const struct wk_backend_ops memory_ops = {
    .close = memory_close,
    .get = memory_get,
    .scan = memory_scan,
    .batch_new = memory_batch_new,
    .batch_free = memory_batch_free,
    .write = memory_write,
    .flush = memory_flush,
    .checkpoint = memory_checkpoint,
    .stalled = memory_stalled,
    .stats = memory_stats,
};

int wk_memory_open(struct wk_store *s, struct wkim_error *err)
{
    struct memory *m = wk_calloc(1, sizeof(*m));

    if (!m)
        return wk_fail(err, WKIM_ENOMEM, "store in memory: out of memory");
    pthread_rwlock_init(&m->lock, NULL);
    m->random = 0x9e3779b97f4a7c15ull;
    s->ops = &memory_ops;
    s->self = m;
    return WKIM_OK;
}
