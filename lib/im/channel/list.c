/* Subscribers, allow and deny lists, and what their changes mean for conversations. */
#include "im/channel/channel.h"
#include <wkim/channel.h>
#include "im/outbox.h"

/* *n: how many uids. */
static int decode(struct im_list_change *ch, wkim_slice in, bool source, size_t *n)
{
    struct wk_cursor c = wk_cursor(in);
    uint8_t first = source ? WK_LIST_SOURCE : WK_LIST_SUBSCRIBER;
    uint8_t last = source ? WK_LIST_SOURCE : WK_LIST_DENY;

    im_channel_key_decode(&c, &ch->key);
    ch->list = wk_cursor_u8(&c);
    ch->op_at = (size_t)(c.p - in.p);
    ch->op = wk_cursor_u8(&c);
    ch->quiet = ch->op & IM_LIST_QUIET;
    ch->op &= (uint8_t)~IM_LIST_QUIET;
    ch->now_ms = wk_cursor_u64(&c);
    ch->uids = wk_cursor_rest(&c);
    if (c.bad || ch->list < first || ch->list > last)
        return WKIM_EPROTO;
    struct wk_cursor u = wk_cursor(ch->uids);
    for (*n = 0; wk_cursor_left(&u); ++*n) {
        wkim_slice uid = wk_cursor_str(&u);
        /* A blank uid must never enter the log. */
        if (u.bad || uid.n > WK_ID_BYTES_MAX || wk_slice_blank(uid))
            return WKIM_EPROTO;
    }
    return WKIM_OK;
}

enum wk_call_result im_list_change_handle(struct im_slot *is, struct wk_call *c)
{
    struct im_list_change ch;
    struct im_channel *channel;
    struct im_members *m;
    size_t n;

    if (decode(&ch, wk_blob_slice(c->in), c->op == IM_SOURCE_SET, &n) != WKIM_OK) {
        c->code = WKIM_EINVAL;
        return WK_CALL_DONE;
    }
    if (ch.op == WKIM_LIST_SET && ch.key.type == WKIM_CHANNEL_TEMP)
        ch.quiet = true; /* who is to receive, not who takes part */
    if (ch.op == WKIM_LIST_SET || ch.op == WKIM_LIST_CLEAR) {
        c->code = im_channel_get(is, ch.key.type, ch.key.id, &channel);
        if (c->code == WKIM_OK)
            c->code = im_channel_list(is, channel, ch.list, &m);
        if (c->code != WKIM_OK)
            return WK_CALL_DONE;
        n += m->n;
    }
    if (n > IM_LIST_PIECE)
        return im_list_split(is, c, &ch);
    /* In the command, so that every replica writes the same rows whatever its configuration. */
    ch.quiet |= is->im->opt.conversations_off;
    c->in->p[ch.op_at] = (uint8_t)(ch.op | (ch.quiet ? IM_LIST_QUIET : 0));
    return WK_CALL_PROPOSE;
}

static void set_count(struct wk_row_channel *row, uint8_t list, uint64_t n)
{
    if (list == WK_LIST_SUBSCRIBER)
        row->n_subscribers = n;
    else if (list == WK_LIST_ALLOW)
        row->n_allow = n;
    else if (list == WK_LIST_DENY)
        row->n_deny = n;
}

struct lists {
    struct im_slot *is;
    struct wk_txn *txn;
    struct im_channel *channel;
    const struct im_list_change *change;
    struct wk_buf added, removed; /* repeated str */
};

static int add_all(struct lists *l, struct im_members **m)
{
    struct wk_cursor u = wk_cursor(l->change->uids);
    bool allow = l->change->list == WK_LIST_ALLOW && l->change->key.type == WKIM_CHANNEL_PERSON;

    while (wk_cursor_left(&u)) {
        wkim_slice uid = wk_cursor_str(&u);
        int rc = im_members_add(m, wk_slot_cluster(l->is->slot), uid);
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        wk_count(&l->is->count->members_added, 1);
        struct wk_row_member row = { .id = wk_hash64(uid.p, uid.n, l->change->list) >> 1,
                                     .created_ms = l->change->now_ms,
                                     .updated_ms = l->change->now_ms,
                                     .join_seq = l->channel->last_seq + 1 };
        wk_member_put(l->txn, wk_slot_id(l->is->slot), &l->change->key, l->change->list, uid, &row);
        /* Owners of a list may allow themselves; that makes no conversation. */
        if (!allow || !wk_slice_eq(uid, l->change->key.id))
            wk_buf_str(&l->added, uid);
    }
    return WKIM_OK;
}

static int remove_one(struct lists *l, struct im_members **m, wkim_slice uid)
{
    int rc = im_members_remove(m, uid);

    if (rc > 0) {
        wk_member_delete(l->txn, wk_slot_id(l->is->slot), &l->change->key, l->change->list, uid);
        wk_buf_str(&l->removed, uid);
    }
    return rc < 0 ? rc : WKIM_OK;
}

static int remove_listed(struct lists *l, struct im_members **m)
{
    struct wk_cursor u = wk_cursor(l->change->uids);
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_cursor_left(&u))
        rc = remove_one(l, m, wk_cursor_str(&u));
    return rc;
}

/* Keep what is listed (a set keeps its members' rows and conversations), remove the rest. */
static int remove_others(struct lists *l, struct im_members **m)
{
    struct im_members *keep = NULL;
    struct wk_cursor u =
        wk_cursor(l->change->op == WKIM_LIST_SET ? l->change->uids : wk_slice(NULL, 0));
    int rc = im_members_new(&keep);

    while (rc >= 0 && wk_cursor_left(&u))
        rc = im_members_add(&keep, wk_slot_cluster(l->is->slot), wk_cursor_str(&u));
    struct im_members *before = rc >= 0 ? im_members_ref(*m) : NULL;
    struct im_members_at at = { 0 };
    wkim_slice uid;
    while (rc >= 0 && im_members_next(before, &at, &uid)) {
        if (!im_members_has(keep, uid))
            rc = remove_one(l, m, uid);
    }
    im_members_unref(before);
    im_members_unref(keep);
    return rc < 0 ? rc : WKIM_OK;
}

static bool is_visitor(const struct wk_channel_key *key, wkim_slice uid)
{
    if (key->type == WKIM_CHANNEL_VISITORS)
        return wk_slice_eq(key->id, uid);
    return key->type == WKIM_CHANNEL_CUSTOMER_SERVICE && key->id.n > uid.n &&
           key->id.p[uid.n] == '|' && wk_slice_eq(wk_slice(key->id.p, uid.n), uid);
}

/* Who leaves the deny list gets the conversation back only when taking part: it shows messages. */
static int keep_members(struct lists *l)
{
    struct im_members *subscribers, *named;
    struct wk_buf kept = WK_BUF_INIT;
    struct wk_cursor u = wk_cursor(wk_buf_slice(&l->removed));
    int rc = im_channel_list(l->is, l->channel, WK_LIST_SUBSCRIBER, &subscribers);

    if (rc == WKIM_OK)
        rc = im_channel_list(l->is, l->channel, WK_LIST_SOURCE, &named);
    while (rc == WKIM_OK && wk_cursor_left(&u)) {
        wkim_slice uid = wk_cursor_str(&u);
        if (im_members_has(subscribers, uid) || im_members_has(named, uid) ||
            is_visitor(&l->change->key, uid))
            wk_buf_str(&kept, uid);
    }
    wk_buf_fini(&l->removed);
    l->removed = kept;
    return rc;
}

static void effects(struct lists *l, uint64_t id, struct wk_call *call)
{
    const struct im_list_change *c = l->change;
    struct im_effect_spec e = { .key = c->key,
                                .now_ms = c->now_ms,
                                .read_seq = l->channel->last_seq };
    wkim_slice uids = wk_slice(NULL, 0);
    bool person = c->key.type == WKIM_CHANNEL_PERSON;

    if (c->key.type == WKIM_CHANNEL_LIVE)
        return;
    if (c->list == WK_LIST_SUBSCRIBER || c->list == WK_LIST_SOURCE) {
        /* A set may remove and add: the removals get the next id. */
        if (l->removed.n) {
            e.kind = IM_EFFECT_REMOVE;
            im_outbox_put(l->is, l->txn, id | 0x8000, &e, wk_buf_slice(&l->removed));
            if (call)
                call->stage |= 2;
        }
        e.kind = IM_EFFECT_ENSURE;
        uids = wk_buf_slice(&l->added);
    } else if (c->list == WK_LIST_DENY) {
        /* A list as a whole only ever grows or shrinks in one command, except set. */
        if (person) /* who may not write may still be written to and must find it */
            return;
        e.kind = l->added.n ? IM_EFFECT_REMOVE : IM_EFFECT_ENSURE;
        uids = l->added.n ? wk_buf_slice(&l->added) : wk_buf_slice(&l->removed);
    } else if (person) {
        e.kind = IM_EFFECT_ENSURE;
        e.bits = IM_ENSURE_PAIR | IM_ENSURE_OWNER;
        uids = wk_buf_slice(&l->added);
    }
    if (uids.n == 0 || (c->quiet && e.kind == IM_EFFECT_ENSURE))
        return;
    im_outbox_put(l->is, l->txn, id, &e, uids);
    if (call)
        call->stage |= 1;
}

int im_list_change_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, bool source,
                         wkim_slice in, struct wk_call *call)
{
    struct im_list_change c;
    size_t n;
    struct lists l = { .is = is, .txn = txn, .change = &c };
    struct im_members *m;

    if (decode(&c, in, source, &n) != WKIM_OK)
        return WKIM_OK;
    int rc = im_channel_get(is, c.key.type, c.key.id, &l.channel);
    if (rc == WKIM_OK)
        rc = im_channel_list(is, l.channel, c.list, &m);
    if (rc != WKIM_OK)
        return rc;
    struct im_members **slot = &l.channel->lists[c.list];
    if (c.op == WKIM_LIST_SET || c.op == WKIM_LIST_CLEAR)
        rc = remove_others(&l, slot);
    if (rc == WKIM_OK && c.op == WKIM_LIST_REMOVE)
        rc = remove_listed(&l, slot);
    if (rc == WKIM_OK && (c.op == WKIM_LIST_ADD || c.op == WKIM_LIST_SET))
        rc = add_all(&l, slot);
    if (rc == WKIM_OK && c.list == WK_LIST_DENY && c.key.type != WKIM_CHANNEL_PERSON &&
        l.removed.n && !l.removed.oom)
        rc = keep_members(&l);
    if (rc == WKIM_OK && (l.added.oom || l.removed.oom))
        rc = WKIM_ENOMEM;
    if (rc == WKIM_OK) {
        struct wk_row_channel *row = &l.channel->row;
        set_count(row, c.list, (*slot)->n);
        row->members_version++;
        row->updated_ms = c.now_ms;
        if (c.list == WK_LIST_SUBSCRIBER && c.op == WKIM_LIST_ADD)
            row->exists = true;
        im_channel_save(is, txn, l.channel);
        effects(&l, id, call);
    }
    wk_buf_fini(&l.added);
    wk_buf_fini(&l.removed);
    return rc;
}

struct get_list {
    struct wk_buf *out;
    uint32_t limit, n;
    bool more;
};

static int get_row(void *arg, wkim_slice uid, const struct wk_row_member *row)
{
    struct get_list *g = arg;

    if (g->n == g->limit) {
        g->more = true;
        return 1;
    }
    g->n++;
    im_row_a(g->out, uid, row->id, row->created_ms, row->updated_ms);
    return 0;
}

static void list_get_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct wk_channel_key key;
    struct get_list g = { .out = &c->out };

    im_channel_key_decode(&cur, &key);
    uint8_t list = wk_cursor_u8(&cur);
    wkim_slice after = wk_cursor_str(&cur);
    g.limit = wk_cursor_u32(&cur);
    if (g.limit == 0 || g.limit > WK_LIST_UIDS_MAX)
        g.limit = WK_LIST_UIDS_MAX;
    if (cur.bad || list < WK_LIST_SUBSCRIBER || list > WK_LIST_DENY) {
        c->code = WKIM_EINVAL;
        return;
    }
    int rc = wk_member_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), &key, list, after,
                            get_row, &g);
    c->code = rc < 0 ? rc : WKIM_OK;
    c->number[1] = g.more;
}

enum wk_call_result im_list_get_handle(struct im_slot *is, struct wk_call *c)
{
    return im_read(is, c, list_get_read);
}
