#include "store/store.h"
#include "base/mem.h"
#include "store/txn.h"

int wk_store_open(struct wk_store **out, const char *dir, const struct wk_store_options *opt,
                  struct wkim_error *err)
{
    struct wk_store *s = wk_calloc(1, sizeof(*s));
    if (!s)
        return wk_fail(err, WKIM_ENOMEM, "store %s: out of memory", dir ? dir : "in memory");
    int rc = dir ? wk_rocks_open(s, dir, opt, err) : wk_memory_open(s, err);
    if (rc != WKIM_OK) {
        wk_free(s);
        return rc;
    }
    *out = s;
    return WKIM_OK;
}

void wk_store_close(struct wk_store *s)
{
    if (!s)
        return;
    s->ops->close(s->self);
    wk_free(s);
}

int wk_store_flush(struct wk_store *s, struct wkim_error *err)
{
    return s->ops->flush(s->self, err);
}

int wk_store_checkpoint(struct wk_store *s, const char *dir, struct wkim_error *err)
{
    return s->ops->checkpoint(s->self, dir, err);
}

bool wk_store_stalled(struct wk_store *s)
{
    return s->ops->stalled(s->self);
}

void wk_store_stats(struct wk_store *s, struct wk_store_stats *out)
{
    *out = (struct wk_store_stats){ 0 };
    s->ops->stats(s->self, out);
}

int wk_store_get(struct wk_store *s, enum wk_column c, const struct wk_key *k, wk_backend_value fn,
                 void *arg)
{
    return k->rc != WKIM_OK ? k->rc : s->ops->get(s->self, c, wk_key_slice(k), fn, arg);
}

struct copy {
    struct wk_buf *out;
    uint8_t format;
};

static int copy_value(void *arg, wkim_slice value)
{
    struct copy *c = arg;

    if (value.n == 0 || value.p[0] != c->format)
        return WKIM_ECORRUPT;
    if (wk_buf_reserve(c->out, value.n) != WKIM_OK)
        return WKIM_ENOMEM;
    wk_buf_bytes(c->out, value.p + 1, value.n - 1);
    return WKIM_OK;
}

int wk_store_get_bytes(struct wk_store *s, enum wk_column c, const struct wk_key *k, uint8_t format,
                       struct wk_buf *out)
{
    struct copy copy = { out, format };

    return wk_store_get(s, c, k, copy_value, &copy);
}
