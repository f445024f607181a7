/* Rows that commands of the round under way wrote: the store does not show them yet, so a command
 * that reads what it changes looks here first.  Replaying a log puts more commands into a round
 * than came in one when they were answered. */
#include "im/internal.h"

struct row {
    struct wk_map_entry entry;
    struct wk_buf value;
    size_t n;
    uint8_t key[]; /* kind, key */
};

void im_round_clear(struct im_slot *is)
{
    struct wk_map_entry *e;

    while (is->round.count && (e = wk_map_next(&is->round, NULL))) {
        struct row *r = WK_CONTAINER(e, struct row, entry);
        wk_map_remove(&is->round, e);
        wk_buf_fini(&r->value);
        wk_free(r);
    }
}

static int full_key(struct wk_buf *out, enum im_round_kind kind, wkim_slice key)
{
    wk_buf_u8(out, (uint8_t)kind);
    wk_buf_bytes(out, key.p, key.n);
    return out->oom ? WKIM_ENOMEM : WKIM_OK;
}

int im_round_get(struct im_slot *is, enum im_round_kind kind, wkim_slice key, wkim_slice *value)
{
    struct wk_buf k = WK_BUF_INIT;

    if (!is->round.count)
        return WKIM_ENOTFOUND;
    int rc = full_key(&k, kind, key);
    struct wk_map_entry *e = rc == WKIM_OK ? wk_map_get(&is->round, wk_buf_slice(&k)) : NULL;
    wk_buf_fini(&k);
    if (rc != WKIM_OK || !e)
        return rc != WKIM_OK ? rc : WKIM_ENOTFOUND;
    *value = wk_buf_slice(&WK_CONTAINER(e, struct row, entry)->value);
    return WKIM_OK;
}

int im_round_put(struct im_slot *is, enum im_round_kind kind, wkim_slice key, wkim_slice value)
{
    struct wk_buf k = WK_BUF_INIT, copy = WK_BUF_INIT;
    int rc = full_key(&k, kind, key);

    wk_buf_bytes(&copy, value.p, value.n);
    struct wk_map_entry *e = rc == WKIM_OK ? wk_map_get(&is->round, wk_buf_slice(&k)) : NULL;
    struct row *r = e ? WK_CONTAINER(e, struct row, entry) : NULL;
    if (rc == WKIM_OK && copy.oom)
        rc = WKIM_ENOMEM;
    if (rc == WKIM_OK && !r) {
        r = wk_calloc(1, sizeof(*r) + k.n);
        rc = r ? WKIM_OK : WKIM_ENOMEM;
        if (r) {
            r->n = k.n;
            memcpy(r->key, k.p, k.n);
            rc = wk_map_put(&is->round, &r->entry, wk_slice(r->key, r->n));
            if (rc != WKIM_OK)
                wk_free(r);
        }
    }
    wk_buf_fini(&k);
    if (rc != WKIM_OK) {
        wk_buf_fini(&copy);
        return rc;
    }
    wk_buf_fini(&r->value);
    r->value = copy;
    return WKIM_OK;
}
