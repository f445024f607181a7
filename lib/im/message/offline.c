/* Who of the receivers of a message has no online master device: every shard notes its own users,
 * the last one hands the list to the shard of the channel, so that lists stay in message order. */
#include "im/message/internal.h"
#include <stdlib.h>
#include "im/channel/channel.h"

struct im_offline {
    struct wk_post post;
    _Atomic uint32_t left;
    struct im *im;
    struct wk_slot *slot;
    struct wk_blob *blob;
    struct wk_record record; /* borrowed from blob */
    struct im_offline_row row;
    bool list;
    struct wk_buf uids[]; /* by shard: repeated str */
};

static void offline_free(struct im_offline *o)
{
    for (uint32_t i = 0; i < o->im->opt.n_shards; i++)
        wk_buf_fini(&o->uids[i]);
    wk_blob_unref(o->blob);
    wk_free(o);
}

static void tell(const struct im *im, uint32_t slot, const struct im_offline_list *l)
{
    if (l->lost)
        wk_log(im->opt.log, WK_LOG_WARN, "im", "offline_list_lost",
               "slot=%u row=%llu again=%d reason=\"out of memory\"", slot,
               (unsigned long long)l->row.id, l->row.ticket != 0);
    if (l->row.ticket || (l->uids.n && !l->lost))
        im->opt.on_offline(im->opt.user, slot, l);
}

void im_offline_none(struct im_slot *is, const struct im_offline_row *row, bool lost)
{
    if (row->ticket || lost)
        tell(is->im, wk_slot_id(is->slot), &(struct im_offline_list){ .row = *row, .lost = lost });
}

int im_offline_new(struct im_offline **out, struct im_slot *is, const struct im_offline_row *row,
                   struct wk_blob *blob, const struct wk_record *r, bool list, uint32_t deliveries)
{
    uint32_t n = is->im->opt.n_shards;
    struct im_offline *o = wk_calloc(1, sizeof(*o) + n * sizeof(o->uids[0]));

    if (!o)
        return WKIM_ENOMEM;
    atomic_init(&o->left, deliveries);
    o->im = is->im;
    o->slot = is->slot;
    o->blob = wk_blob_ref(blob);
    o->record = *r;
    o->row = *row;
    o->list = list;
    *out = o;
    return WKIM_OK;
}

void im_offline_note(struct im_offline *o, uint32_t shard, wkim_slice uid, const struct im_user *u)
{
    struct wk_list *it, *tmp;

    if (wk_slice_eq(uid, o->record.from_uid) || wk_slice_eq(uid, WK_LIT(IM_SYSTEM_UID)))
        return;
    if (u) {
        WK_LIST_EACH(it, tmp, &u->conns)
        {
            const struct im_conn *c = WK_CONTAINER(it, struct im_conn, link);
            if (!c->kicked && !c->coming && c->level == WKIM_DEVICE_MASTER)
                return;
        }
    }
    wk_buf_str(&o->uids[shard], uid);
}

static int compare(const void *a, const void *b)
{
    const wkim_slice *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int d = n ? memcmp(x->p, y->p, n) : 0;

    return d ? d : x->n < y->n ? -1 : x->n > y->n;
}

/* A list of an API call may name a uid twice. */
static int unique(struct wk_buf *uids, size_t n)
{
    wkim_slice *v = wk_malloc(n * sizeof(*v));
    struct wk_cursor c = wk_cursor(wk_buf_slice(uids));
    struct wk_buf out = WK_BUF_INIT;

    if (!v)
        return WKIM_ENOMEM;
    for (size_t i = 0; i < n; i++)
        v[i] = wk_cursor_str(&c);
    qsort(v, n, sizeof(*v), compare);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !wk_slice_eq(v[i - 1], v[i]))
            wk_buf_str(&out, v[i]);
    }
    wk_free(v);
    if (out.oom) {
        wk_buf_fini(&out);
        return WKIM_ENOMEM;
    }
    wk_buf_fini(uids);
    *uids = out;
    return WKIM_OK;
}

static void hand_over(struct wk_shard *s, struct wk_post *p)
{
    struct im_offline *o = WK_CONTAINER(p, struct im_offline, post);
    struct wk_buf all = WK_BUF_INIT;
    size_t n = 0;
    (void)s;

    for (uint32_t i = 0; i < o->im->opt.n_shards; i++) {
        wk_buf_bytes(&all, o->uids[i].p, o->uids[i].n);
        all.oom |= o->uids[i].oom;
    }
    struct wk_cursor c = wk_cursor(wk_buf_slice(&all));
    while (wk_cursor_left(&c) && !c.bad) {
        (void)wk_cursor_str(&c);
        n++;
    }
    bool lost = all.oom || (o->list && n > 1 && unique(&all, n) != WKIM_OK);
    struct im_offline_list l = { .row = o->row, .blob = o->blob, .record = &o->record,
                                 .named = o->list, .lost = lost };
    if (!lost)
        l.uids = wk_buf_slice(&all);
    tell(o->im, wk_slot_id(o->slot), &l);
    wk_buf_fini(&all);
    offline_free(o);
}

/* Always by post, so that the lists of a channel arrive in the order in which they came to be
 * complete, whichever shard was the last to look. */
void im_offline_done(struct im_offline *o)
{
    bool any = o->row.ticket != 0;

    if (atomic_fetch_sub_explicit(&o->left, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < o->im->opt.n_shards; i++)
        any = any || o->uids[i].n || o->uids[i].oom;
    if (!any || o->im->ending) {
        offline_free(o);
        return;
    }
    o->post.run = hand_over;
    wk_shard_post(wk_slot_shard(o->slot), &o->post);
}

void im_offline_skipped(struct im_offline *o, uint32_t shard)
{
    o->uids[shard].oom = true;
    im_offline_done(o);
}

int im_offline_again(struct im *im, uint32_t slot, const struct im_offline_row *row,
                     wkim_slice value)
{
    struct im_slot *is = im_slot_of(wk_cluster_slot(im->opt.cluster, slot));
    struct wk_blob *blob = wk_blob_copy(value.p, value.n);
    struct im_send_head h;
    struct wk_record r;
    struct im_channel *ch;
    int rc = blob ? WKIM_OK : WKIM_ENOMEM;

    if (rc == WKIM_OK && (im_send_decode(&h, wk_blob_slice(blob)) != WKIM_OK ||
                          wk_record_decode(&r, h.record) != WKIM_OK))
        rc = WKIM_ECORRUPT;
    if (rc == WKIM_OK)
        rc = im_channel_get(is, r.channel_type, im_base_id(r.channel_id), &ch);
    if (rc == WKIM_OK) {
        im_fanout(is, ch, blob, &h, row, true);
        im_channel_trim(is);
    } else if (rc == WKIM_ECORRUPT) { /* it must not hold up those behind it */
        wk_log(im->opt.log, WK_LOG_ERROR, "im", "offline_message_damaged", "slot=%u row=%llu", slot,
               (unsigned long long)row->id);
        im_offline_none(is, row, false);
        rc = WKIM_OK;
    }
    wk_blob_unref(blob);
    return rc;
}
