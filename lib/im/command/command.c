/* Commands for users who are away: rows of kind 1 in the slot of the uid, what was
 * handed out to whom, and its acknowledgement. */
#include "im/command/command.h"
#include "base/clock.h"
#include "cluster/scatter.h"
#include "im/channel/bounds.h"
#include "im/channel/channel.h"
#include "im/conversation/conversation.h"
#include "im/outbox.h"

#define ROWS_MAX 20000
#define LIMIT_DEFAULT 200
#define LIMIT_MAX 10000
#define ANSWER_BYTES_MAX (64u << 20)
#define GENERATIONS 4             /* answers of sync that an acknowledgement can still mean */
#define HANDED_BYTES_MAX (1u << 20)
#define HANDED_FORMAT 1

/* ---- rows of the receivers ------------------------------------------------------------------- */

static void add_named(struct wk_buf *uids, uint8_t type, wkim_slice id)
{
    wkim_slice parts[2];
    size_t n = im_named_uids(type, id, parts);

    for (size_t i = 0; i < n; i++) {
        if (parts[i].n && !wk_slice_eq(parts[i], WK_LIT(IM_SYSTEM_UID)))
            wk_buf_str(uids, parts[i]);
    }
}

static int receivers(struct im_slot *is, struct im_channel *base, uint8_t list,
                     struct wk_buf *uids)
{
    bool listed = base->type == WKIM_CHANNEL_PERSON || base->type == WKIM_CHANNEL_AGENT ||
                  base->type == WKIM_CHANNEL_LIVE;
    struct im_members *m;

    add_named(uids, base->type, im_channel_id(base));
    if (listed)
        return WKIM_OK;
    int rc = im_channel_list(is, base, list, &m);
    struct im_members_at at = { 0 };
    wkim_slice uid;
    while (rc == WKIM_OK && im_members_next(m, &at, &uid))
        wk_buf_str(uids, uid);
    return rc;
}

/* Rows come with the first command and again after each change of the members: who joins later
 * starts at the first command that is sent then. */
int im_command_rows(struct im_slot *is, struct wk_txn *txn, uint64_t id, struct im_channel *ch,
                    const struct wk_record *r, const struct im_send_head *h, struct wk_call *c)
{
    uint8_t kind = h->bits & IM_SEND_SOURCE ? WK_LIST_SOURCE : WK_LIST_SUBSCRIBER;
    wkim_slice list = h->uids;
    struct im_effect_spec e = { .kind = IM_EFFECT_ENSURE, .key = im_channel_key(ch),
                                .read_seq = r->message_seq - 1, .now_ms = r->timestamp_ms };
    struct wk_buf uids = WK_BUF_INIT;
    struct im_channel *base;
    int rc = WKIM_OK;

    if (!list.n) {
        rc = im_channel_get(is, ch->type, im_base_id(im_channel_id(ch)), &base);
        if (rc != WKIM_OK)
            return rc;
        if (ch->row.conversations && ch->row.members_version == base->row.members_version)
            return WKIM_OK;
        rc = receivers(is, base, kind, &uids);
        if (rc == WKIM_OK && uids.oom)
            rc = WKIM_ENOMEM;
        if (rc == WKIM_OK) {
            ch->row.conversations = true;
            ch->row.members_version = base->row.members_version;
            im_channel_save(is, txn, ch);
        }
        list = wk_buf_slice(&uids);
    }
    if (rc == WKIM_OK && list.n) {
        im_outbox_put(is, txn, id, &e, list);
        if (c)
            c->stage |= 1;
    }
    wk_buf_fini(&uids);
    return rc;
}

/* ---- /message/sync --------------------------------------------------------------------------- */

struct item {
    uint32_t off, len; /* stored id in text */
    uint32_t slot;
    uint8_t type;
    uint64_t from;
    uint64_t n;
    wkim_slice records; /* borrowed from the answers of the channels' slots */
};

struct sync {
    struct im_slot *is;
    struct wk_call *call;
    wkim_slice uid;    /* borrowed from call->in */
    uint32_t limit;
    struct wk_buf text, handed;
    struct item *items;
    size_t n, cap;
    int rc;
    struct wk_scatter *heads; /* the records are borrowed from it */
};

static void free_sync(struct sync *s)
{
    wk_scatter_free(s->heads);
    wk_buf_fini(&s->text);
    wk_buf_fini(&s->handed);
    wk_free(s->items);
    wk_free(s);
}

static wkim_slice item_id(const struct sync *s, const struct item *it)
{
    return wk_slice(s->text.p ? s->text.p + it->off : NULL, it->len);
}

static int row_found(void *arg, const struct wk_channel_key *key,
                     const struct wk_row_conversation *row)
{
    struct sync *s = arg;

    if (row->kind != 1)
        return 0;
    if (s->n == ROWS_MAX)
        return 1;
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        struct item *v = wk_realloc(s->items, cap * sizeof(*v));
        if (!v)
            return WKIM_ENOMEM;
        s->items = v;
        s->cap = cap;
    }
    s->items[s->n] = (struct item){ .off = (uint32_t)s->text.n, .len = (uint32_t)key->id.n,
                                    .type = key->type, .from = row->read_seq + 1 };
    wk_buf_bytes(&s->text, key->id.p, key->id.n);
    if (s->text.oom)
        return WKIM_ENOMEM;
    s->n++;
    return 0;
}

/* Reader thread. */
static void read_rows(struct im_slot *is, struct wk_call *c)
{
    struct sync *s = c->mark;
    struct wk_store *st = wk_slot_store(is->slot);
    int rc = wk_conversation_scan(st, wk_slot_id(is->slot), s->uid, row_found, s);

    if (rc >= 0 && s->n)
        rc = wk_row_get(st, wk_slot_id(is->slot), IM_TABLE_HANDED, s->uid, &s->handed);
    s->rc = rc < 0 && rc != WKIM_ENOTFOUND ? rc : WKIM_OK;
}

/* One answered sync: the number of its last message, its highest number, and (key, u64 last handed
 * out) for each channel in it. */
struct generation {
    uint64_t last, max;
    wkim_slice positions;
};

static int decode_generation(struct generation *g, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);

    g->last = wk_cursor_u64(&c);
    g->max = wk_cursor_u64(&c);
    g->positions = wk_cursor_rest(&c);
    return c.bad ? WKIM_EPROTO : WKIM_OK;
}

/* The answer, and in gen what it hands out. */
static void collect(struct sync *s, struct wk_buf *gen)
{
    struct wk_buf positions = WK_BUF_INIT;
    struct wk_buf *out = &s->call->out;
    uint64_t left = s->limit, last = 0, max = 0;

    for (size_t i = 0; i < s->n && left && out->n < ANSWER_BYTES_MAX; i++) {
        const struct item *it = &s->items[i];
        struct wk_cursor cur = wk_cursor(it->records);
        bool any = false;
        for (; left && wk_cursor_left(&cur) && !cur.bad; left--) {
            wkim_slice bytes = wk_cursor_str(&cur);
            struct wk_record r;
            if (wk_record_decode(&r, bytes) != WKIM_OK)
                continue;
            wk_buf_str(out, bytes);
            last = r.message_seq;
            max = last > max ? last : max;
            any = true;
        }
        if (any) {
            im_channel_key_encode(&positions, it->type, item_id(s, it));
            wk_buf_u64(&positions, last);
        }
    }
    if (positions.n) {
        wk_buf_u64(gen, last);
        wk_buf_u64(gen, max);
        wk_buf_bytes(gen, positions.p, positions.n);
    }
    gen->oom |= positions.oom;
    wk_buf_fini(&positions);
}

/* The new row: this answer first, then the earlier ones.  False: it says nothing new. */
static bool handed_row(const struct sync *s, const struct wk_buf *gen, struct wk_buf *row)
{
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&s->handed));
    uint32_t n = 1;

    wk_buf_u8(row, HANDED_FORMAT);
    wk_buf_str(row, wk_buf_slice(gen));
    if (wk_cursor_u8(&cur) != HANDED_FORMAT)
        return true;
    while (wk_cursor_left(&cur) && !cur.bad && n < GENERATIONS) {
        wkim_slice old = wk_cursor_str(&cur);
        if (cur.bad)
            break;
        if (wk_slice_eq(old, wk_buf_slice(gen))) {
            if (n == 1)
                return false;
            continue;
        }
        if (row->n + old.n > HANDED_BYTES_MAX)
            break;
        wk_buf_str(row, old);
        n++;
    }
    return true;
}

static void answer(struct sync *s)
{
    struct wk_call *c = s->call;
    struct im_slot *is = s->is;
    struct wk_buf gen = WK_BUF_INIT, row = WK_BUF_INIT, in = WK_BUF_INIT;
    bool propose = false;

    if (s->rc == WKIM_OK)
        collect(s, &gen);
    if (s->rc == WKIM_OK && gen.n && handed_row(s, &gen, &row)) {
        wk_buf_str(&in, s->uid);
        wk_buf_bytes(&in, row.p, row.n);
        propose = true;
    }
    if (gen.oom || row.oom || in.oom || c->out.oom)
        s->rc = WKIM_ENOMEM;
    c->code = s->rc;
    free_sync(s);
    wk_buf_fini(&gen);
    wk_buf_fini(&row);
    if (propose && c->code == WKIM_OK) {
        im_propose_next(is, c, IM_CMD_HANDED, &in);
        return;
    }
    wk_buf_fini(&in);
    wk_call_finish(c);
}

static void heads_done(struct wk_scatter *heads)
{
    struct sync *s = wk_scatter_user(heads);

    s->rc = wk_scatter_code(heads);
    for (size_t i = 0; s->rc == WKIM_OK && i < s->n; i++) {
        struct wk_cursor *cur = wk_scatter_answer(heads, s->items[i].slot);
        s->items[i].records = wk_cursor_str(cur);
        if (cur->bad)
            s->rc = WKIM_EPROTO;
    }
    answer(s);
}

static void rows_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cluster *cl = wk_slot_cluster(is->slot);
    struct sync *s = c->mark;

    if (s->rc == WKIM_OK)
        s->rc = wk_scatter_new(&s->heads, cl, wk_slot_shard(is->slot));
    if (s->rc != WKIM_OK) {
        answer(s);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        struct item *it = &s->items[i];
        it->slot = wk_cluster_slot_of(cl, im_base_id(item_id(s, it)));
        struct wk_buf *b = wk_scatter_request(s->heads, it->slot);
        if (!b->n)
            wk_buf_u32(b, s->limit);
        im_channel_key_encode(b, it->type, item_id(s, it));
        wk_buf_u64(b, it->from);
    }
    wk_scatter_send(s->heads, IM_CMD_HEADS, heads_done, s);
}

enum wk_call_result im_cmd_sync_handle(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct sync *s = wk_calloc(1, sizeof(*s));

    if (!s) {
        c->code = WKIM_ENOMEM;
        return WK_CALL_DONE;
    }
    s->is = is;
    s->call = c;
    s->uid = wk_cursor_str(&cur);
    s->limit = wk_cursor_u32(&cur);
    s->limit = s->limit == 0 ? LIMIT_DEFAULT : s->limit > LIMIT_MAX ? LIMIT_MAX : s->limit;
    c->mark = s;
    c->code = cur.bad || s->uid.n == 0 ? WKIM_EINVAL : WKIM_OK;
    enum wk_call_result res =
        c->code == WKIM_OK ? im_read_then(is, c, read_rows, rows_read) : WK_CALL_DONE;
    if (res == WK_CALL_DONE)
        free_sync(s);
    return res;
}

/* ---- the channels' slots: commands from a number on, oldest first ---------------------------- */

struct oldest {
    struct wk_buf *out;
    uint64_t n, limit, now_ms;
    size_t room;
};

static int take(void *arg, uint64_t seq, wkim_slice record)
{
    struct oldest *o = arg;
    struct wk_record r;
    (void)seq;

    if (o->n == o->limit || o->out->n + record.n > o->room)
        return 1;
    if (wk_record_decode(&r, record) != WKIM_OK || im_expired(&r, o->now_ms))
        return 0;
    o->n++;
    wk_buf_str(o->out, record);
    return 0;
}

static void heads_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    uint32_t limit = wk_cursor_u32(&cur);
    struct wk_buf rows = WK_BUF_INIT;
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_cursor_left(&cur) && !cur.bad) {
        struct wk_channel_key key;
        im_channel_key_decode(&cur, &key);
        uint64_t from = wk_cursor_u64(&cur);
        struct im_bounds bounds;
        if (cur.bad)
            break;
        rc = im_bounds_get(is, &key, &bounds);
        if (rc != WKIM_OK)
            break;
        wk_buf_clear(&rows);
        struct oldest o = { .out = &rows, .limit = limit, .now_ms = wk_wall_ms() };
        o.room = c->out.n < ANSWER_BYTES_MAX ? ANSWER_BYTES_MAX - c->out.n : 0;
        if (from < bounds.first)
            from = bounds.first;
        rc = wk_message_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), &key, from, UINT64_MAX,
                             false, take, &o);
        rc = rc > 0 ? WKIM_OK : rc == WKIM_OK && rows.oom ? WKIM_ENOMEM : rc;
        wk_buf_str(&c->out, wk_buf_slice(&rows));
    }
    wk_buf_fini(&rows);
    c->code = cur.bad ? WKIM_EPROTO : rc;
}

enum wk_call_result im_cmd_heads_handle(struct im_slot *is, struct wk_call *c)
{
    return im_read(is, c, heads_read);
}

int im_cmd_handed_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    wkim_slice uid = wk_cursor_str(&c);
    wkim_slice row = wk_cursor_rest(&c);

    if (!c.bad)
        wk_row_put(txn, wk_slot_id(is->slot), IM_TABLE_HANDED, uid, row);
    return WKIM_OK;
}

/* ---- /message/syncack ------------------------------------------------------------------------ */

/* Positions (repeated key, u64 seq) that an acknowledgement means; WKIM_ENOTFOUND: none.  Clients
 * name the last number of the answer they mean; when no answer ends with it, the newest is meant,
 * as in version 2. */
static int choose(wkim_slice row, uint64_t number, wkim_slice *positions)
{
    struct wk_cursor cur = wk_cursor(row);
    struct generation g, newest = { .positions = wk_slice(NULL, 0) };
    bool first = true;

    if (wk_cursor_u8(&cur) != HANDED_FORMAT)
        return WKIM_ENOTFOUND;
    while (wk_cursor_left(&cur) && !cur.bad) {
        if (decode_generation(&g, wk_cursor_str(&cur)) != WKIM_OK)
            return WKIM_ECORRUPT;
        if (first)
            newest = g;
        first = false;
        if (g.last == number || g.max == number) {
            *positions = g.positions;
            return WKIM_OK;
        }
    }
    *positions = newest.positions;
    return cur.bad ? WKIM_ECORRUPT : positions->n ? WKIM_OK : WKIM_ENOTFOUND;
}

static void read_handed(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    wkim_slice uid = wk_cursor_str(&cur);

    c->code = cur.bad ? WKIM_EPROTO
                      : wk_row_get(wk_slot_store(is->slot), wk_slot_id(is->slot), IM_TABLE_HANDED,
                                   uid, &c->out);
}

static void handed_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    wkim_slice uid = wk_cursor_str(&cur), positions = { NULL, 0 };
    uint64_t number = wk_cursor_u64(&cur), now = wk_cursor_u64(&cur);
    struct wk_buf in = WK_BUF_INIT;

    if (c->code == WKIM_OK && cur.bad)
        c->code = WKIM_EPROTO;
    if (c->code == WKIM_OK)
        c->code = choose(wk_buf_slice(&c->out), number, &positions);
    if (c->code == WKIM_OK) {
        wk_buf_str(&in, uid);
        wk_buf_u8(&in, 0);
        wk_buf_u64(&in, now);
        wk_buf_bytes(&in, positions.p, positions.n);
    }
    wk_buf_fini(&c->out);
    if (c->code == WKIM_OK) {
        im_propose_next(is, c, IM_CMD_READ, &in);
        return;
    }
    if (c->code == WKIM_ENOTFOUND)
        c->code = WKIM_OK; /* nothing was handed out: nothing to acknowledge */
    wk_call_finish(c);
}

enum wk_call_result im_cmd_ack_handle(struct im_slot *is, struct wk_call *c)
{
    return im_read_then(is, c, read_handed, handed_read);
}

static int advance(struct im_slot *is, struct wk_txn *txn, wkim_slice uid,
                   const struct wk_channel_key *key, uint64_t seq, bool create, uint64_t now)
{
    struct wk_row_conversation row;
    int rc = im_conv_get(is, uid, key, &row);

    if (rc == WKIM_ENOTFOUND) {
        if (!create)
            return WKIM_OK;
        row = (struct wk_row_conversation){ .kind = 1, .created_ms = now };
    } else if (rc != WKIM_OK) {
        return rc;
    } else if (seq <= row.read_seq) {
        return WKIM_OK;
    }
    row.read_seq = seq;
    row.updated_ms = now;
    /* Each list of receivers has a channel of its own: rows with nothing left would pile up. */
    bool done = key->type == WKIM_CHANNEL_TEMP && rc == WKIM_OK && seq >= row.join_seq;
    return im_conv_put(is, txn, uid, key, done ? NULL : &row);
}

int im_cmd_read_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    wkim_slice uid = wk_cursor_str(&c);
    bool create = wk_cursor_u8(&c);
    uint64_t now = wk_cursor_u64(&c);
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_cursor_left(&c) && !c.bad) {
        struct wk_channel_key key;
        im_channel_key_decode(&c, &key);
        uint64_t seq = wk_cursor_u64(&c);
        if (!c.bad && uid.n)
            rc = advance(is, txn, uid, &key, seq, create, now);
    }
    return rc;
}
