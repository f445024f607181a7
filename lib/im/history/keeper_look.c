/* One look of a keeper at the store, on a reader thread: which commands are due. */
#include "im/history/internal.h"
#include "im/channel/bounds.h"

#define CHANNELS_ERASED 128     /* in one look */
#define STREAMS_MAX 64          /* messages with events in one piece: each costs the shard reads */
#define READ_ROWS 65536         /* of one channel in one look */
#define READ_BYTES (16u << 20)
#define OVER_MAX 256            /* messages whose time is over in one look */
#define SIZES_WORTH 65536       /* bytes added up that are written down */

void im_look_fini(struct im_look *l)
{
    wk_buf_fini(&l->cursor);
    wk_buf_fini(&l->out);
}

static void emit(struct im_look *l, uint16_t op, struct wk_buf *body)
{
    wk_buf_u16(&l->out, op);
    wk_buf_str(&l->out, wk_buf_slice(body));
    l->out.oom |= body->oom;
    if (l->out.oom)
        l->rc = WKIM_ENOMEM;
}

static int channel_get(const struct im_look *l, const struct wk_channel_key *key,
                       struct wk_row_channel *row)
{
    *row = (struct wk_row_channel){ 0 };
    int rc = wk_channel_get(l->store, l->slot, key, row);
    return rc == WKIM_ENOTFOUND ? WKIM_OK : rc;
}

/* ---- rows below floors ----------------------------------------------------------------------- */

struct piece {
    const struct wk_channel_key *key;
    uint64_t to, sized_to, bytes, read;
    uint32_t rows, streams;
    bool full;
    struct wk_buf nos; /* repeated str */
};

static int add_row(void *arg, uint64_t seq, wkim_slice record)
{
    struct piece *p = arg;
    struct wk_record r;

    if (p->streams == STREAMS_MAX || p->rows == READ_ROWS || p->read >= READ_BYTES) {
        p->full = true;
        p->to = seq - 1;
        return 1;
    }
    p->rows++;
    p->read += record.n;
    if (seq <= p->sized_to)
        p->bytes += record.n;
    if (wk_record_decode(&r, record) == WKIM_OK && r.setting & WKIM_SETTING_STREAM &&
        r.client_msg_no.n) {
        p->streams++;
        wk_buf_str(&p->nos, r.client_msg_no);
    }
    return 0;
}

static int any_row(void *arg, wkim_slice key, wkim_slice value)
{
    (void)key;
    (void)value;
    *(bool *)arg = true;
    return 1;
}

static int has_events(const struct im_look *l, const struct wk_channel_key *key, bool *out)
{
    struct wk_buf b = WK_BUF_INIT;
    int rc = WKIM_OK;

    *out = false;
    im_channel_key_encode(&b, key->type, key->id);
    if (b.oom)
        rc = WKIM_ENOMEM;
    if (rc == WKIM_OK)
        rc = wk_row_scan(l->store, l->slot, IM_TABLE_LANE, wk_buf_slice(&b), wk_slice(NULL, 0),
                         any_row, out);
    if (rc == WKIM_OK)
        rc = wk_row_scan(l->store, l->slot, IM_TABLE_CHUNK, wk_buf_slice(&b), wk_slice(NULL, 0),
                         any_row, out);
    wk_buf_fini(&b);
    return rc < 0 ? rc : WKIM_OK;
}

static void emit_piece(struct im_look *l, struct piece *p, uint64_t from)
{
    struct wk_buf b = WK_BUF_INIT;
    struct wk_cursor c = wk_cursor(wk_buf_slice(&p->nos));

    im_channel_key_encode(&b, p->key->type, p->key->id);
    wk_buf_u64(&b, from);
    wk_buf_u64(&b, p->to);
    wk_buf_u64(&b, p->bytes);
    wk_buf_bytes(&b, p->nos.p, p->nos.n);
    emit(l, IM_ERASE, &b);
    if (p->nos.n) {
        wk_buf_clear(&b);
        while (wk_cursor_left(&c)) {
            im_channel_key_encode(&b, p->key->type, p->key->id);
            wk_buf_str(&b, wk_cursor_str(&c));
        }
        emit(l, IM_EVENTS_PURGE, &b);
    }
    wk_buf_fini(&b);
}

/* Takes at most *left numbers; what is not done is told in more. */
static void erase_channel(struct im_look *l, const struct wk_channel_key *key, uint64_t *left)
{
    struct wk_row_channel row;
    struct piece p = { .key = key };
    bool events = false;

    int rc = channel_get(l, key, &row);
    if (rc != WKIM_OK || row.erased_to + 1 >= row.retained_from) {
        l->rc = rc;
        return;
    }
    uint64_t from = row.erased_to + 1, all = row.retained_from - from;
    p.to = all > *left ? from + *left - 1 : row.retained_from - 1;
    p.sized_to = row.sized_to;
    rc = has_events(l, key, &events);
    /* Without events and sizes nobody needs to know what is erased. */
    if (rc == WKIM_OK && (events || row.sized_to >= from))
        rc = wk_message_scan(l->store, l->slot, key, from, p.to, false, add_row, &p);
    if (rc >= 0 && p.nos.oom)
        rc = WKIM_ENOMEM;
    if (rc < 0) {
        l->rc = rc;
    } else if (p.to >= from) {
        emit_piece(l, &p, from);
        l->erase += p.to - from + 1;
        *left -= p.to - from + 1;
    }
    if (p.to + 1 < row.retained_from)
        l->more = true;
    wk_buf_fini(&p.nos);
}

struct channels {
    struct wk_buf keys; /* repeated key */
    uint32_t n;
};

static int add_channel(void *arg, wkim_slice key, wkim_slice value)
{
    struct channels *c = arg;
    (void)value;

    c->n++;
    wk_buf_bytes(&c->keys, key.p, key.n);
    return c->keys.oom ? WKIM_ENOMEM : c->n == CHANNELS_ERASED;
}

void im_look_erase(struct im_look *l)
{
    struct channels ch = { .n = 0 };
    uint32_t trim = l->opt->retention.trim;
    uint64_t left = trim && trim < IM_ERASE_MAX ? trim : IM_ERASE_MAX;
    int rc = wk_row_scan(l->store, l->slot, IM_TABLE_ERASE, wk_slice(NULL, 0), wk_slice(NULL, 0),
                         add_channel, &ch);
    struct wk_cursor c = wk_cursor(wk_buf_slice(&ch.keys));

    l->rc = rc < 0 ? rc : WKIM_OK;
    l->more = rc == 1;
    while (l->rc == WKIM_OK && wk_cursor_left(&c) && !c.bad) {
        struct wk_channel_key key;
        if (left == 0) {
            l->more = true;
            break;
        }
        im_channel_key_decode(&c, &key);
        if (!c.bad)
            erase_channel(l, &key, &left);
    }
    wk_buf_fini(&ch.keys);
}

/* ---- messages whose time is over ------------------------------------------------------------- */

struct over {
    uint64_t now_ms;
    uint32_t n;
    struct wk_buf keys; /* repeated key of IM_TABLE_EXPIRY */
};

static int add_over(void *arg, wkim_slice key, wkim_slice value)
{
    struct over *o = arg;
    struct wk_cursor c = wk_cursor(key);
    (void)value;

    if (wk_cursor_u64(&c) > o->now_ms)
        return 2;
    if (o->n == OVER_MAX)
        return 1;
    o->n++;
    wk_buf_bytes(&o->keys, key.p, key.n);
    return o->keys.oom ? WKIM_ENOMEM : 0;
}

static void over_one(struct im_look *l, struct wk_cursor *c, struct wk_buf *b)
{
    struct wk_buf row = WK_BUF_INIT;
    struct wk_channel_key key;
    struct wk_record r;

    uint64_t time = wk_cursor_u64(c);
    im_channel_key_decode(c, &key);
    uint64_t seq = wk_cursor_u64(c);
    int rc = c->bad ? WKIM_ECORRUPT : wk_message_get(l->store, l->slot, &key, seq, &row);
    if (rc == WKIM_OK || rc == WKIM_ENOTFOUND) {
        wk_buf_u64(b, time);
        im_channel_key_encode(b, key.type, key.id);
        wk_buf_u64(b, seq);
        if (rc == WKIM_OK && wk_record_decode(&r, wk_buf_slice(&row)) == WKIM_OK &&
            im_expired(&r, l->now_ms)) {
            im_drop_encode(b, &r, row.n);
            l->over++;
        } else { /* deleted before: only the row goes */
            im_drop_encode(b, &(struct wk_record){ .setting = 0 }, 0);
        }
        rc = WKIM_OK;
    }
    if (rc != WKIM_OK)
        l->rc = rc;
    wk_buf_fini(&row);
}

static void look_over(struct im_look *l)
{
    struct over o = { .now_ms = l->now_ms };
    struct wk_buf b = WK_BUF_INIT;
    int rc = wk_row_scan(l->store, l->slot, IM_TABLE_EXPIRY, wk_slice(NULL, 0), wk_slice(NULL, 0),
                         add_over, &o);
    struct wk_cursor c = wk_cursor(wk_buf_slice(&o.keys));

    l->rc = rc < 0 ? rc : WKIM_OK;
    l->more = rc == 1;
    while (l->rc == WKIM_OK && wk_cursor_left(&c))
        over_one(l, &c, &b);
    if (l->rc == WKIM_OK && b.n)
        emit(l, IM_OVER, &b);
    wk_buf_fini(&b);
    wk_buf_fini(&o.keys);
}

/* ---- limits ---------------------------------------------------------------------------------- */

struct history {
    const struct wk_channel_key *key;
    struct wk_row_channel row;
    struct wk_keep keep;
    uint64_t first, last;
    uint64_t target;            /* the floor is to be raised to here */
    uint64_t after, to, bytes;  /* sizes that were added up */
};

struct oldest {
    uint64_t seq, timestamp_ms;
};

static int take_oldest(void *arg, uint64_t seq, wkim_slice record)
{
    struct oldest *o = arg;
    struct wk_record r;

    o->seq = seq;
    o->timestamp_ms = wk_record_decode(&r, record) == WKIM_OK ? r.timestamp_ms : 0;
    return 1;
}

/* The first message from..last: 1 found, 0 none, < 0 failed. */
static int oldest_of(const struct im_look *l, const struct history *h, uint64_t from,
                     struct oldest *o)
{
    return wk_message_scan(l->store, l->slot, h->key, from, h->last, false, take_oldest, o);
}

static void lift(struct history *h, uint64_t target)
{
    if (target > h->target)
        h->target = target;
}

/* Times grow with the numbers up to the clock skew of leaders: the border is found by halving. */
static int by_age(const struct im_look *l, struct history *h)
{
    uint64_t age_ms = h->keep.age_s < UINT64_MAX / 1000 ? h->keep.age_s * 1000 : UINT64_MAX;
    uint64_t border = l->now_ms > age_ms ? l->now_ms - age_ms : 0; /* older ones go */
    struct oldest o;

    int rc = oldest_of(l, h, h->first, &o);
    if (rc < 1 || o.timestamp_ms >= border)
        return rc < 0 ? rc : WKIM_OK;
    uint64_t lo = o.seq + 1, hi = h->last + 1;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        rc = oldest_of(l, h, mid, &o);
        if (rc < 0)
            return rc;
        if (rc == 1 && o.timestamp_ms < border)
            lo = o.seq + 1;
        else
            hi = mid;
    }
    lift(h, lo - 1);
    return WKIM_OK;
}

struct sum {
    uint64_t bytes, rows, last, enough;
};

static int add_size(void *arg, uint64_t seq, wkim_slice record)
{
    struct sum *s = arg;

    s->bytes += record.n;
    s->last = seq;
    return s->bytes >= s->enough || ++s->rows == READ_ROWS;
}

/* What was stored since the last time is added up, then the oldest are counted off. */
static int by_size(struct im_look *l, struct history *h)
{
    uint64_t at = h->row.sized_to > h->row.erased_to ? h->row.sized_to : h->row.erased_to;
    uint64_t total = h->row.sized_to > h->row.erased_to ? h->row.sized_bytes : 0;
    struct sum s = { .enough = READ_BYTES, .last = at };

    int rc = wk_message_scan(l->store, l->slot, h->key, at + 1, h->last, false, add_size, &s);
    if (rc < 0)
        return rc;
    h->after = at;
    h->to = rc == 1 ? s.last : h->last;
    h->bytes = s.bytes;
    total += s.bytes;
    if (h->to < h->last) {
        l->more = true; /* the rest of this channel comes in the next look */
        return WKIM_OK;
    }
    bool erasing = h->row.erased_to + 1 < h->row.retained_from;
    if (erasing || total <= h->keep.bytes)
        return WKIM_OK;
    s = (struct sum){ .enough = total - h->keep.bytes };
    rc = wk_message_scan(l->store, l->slot, h->key, h->first, h->last, false, add_size, &s);
    if (rc >= 0)
        lift(h, s.last);
    return rc < 0 ? rc : WKIM_OK;
}

static void emit_trim(struct im_look *l, const struct history *h)
{
    bool trim = h->target >= h->first;
    bool sizes = h->to > h->after && (trim || h->to < h->last || h->bytes >= SIZES_WORTH);
    struct wk_buf b = WK_BUF_INIT;

    if (!trim && !sizes)
        return;
    im_channel_key_encode(&b, h->key->type, h->key->id);
    wk_buf_u64(&b, trim ? h->target : 0);
    wk_buf_u64(&b, sizes ? h->after : 0);
    wk_buf_u64(&b, sizes ? h->to : 0);
    wk_buf_u64(&b, sizes ? h->bytes : 0);
    emit(l, IM_TRIM, &b);
    wk_buf_fini(&b);
}

/* Commands obey the limits of the channel they belong to. */
static int limits_of(const struct im_look *l, struct history *h)
{
    const struct wk_channel_key base = { h->key->type, im_base_id(h->key->id) };
    struct wk_row_channel row = h->row;
    int rc = WKIM_OK;

    if (im_is_command(h->key->id))
        rc = channel_get(l, &base, &row);
    h->keep = im_limits_of(l->opt, &row.keep);
    return rc;
}

static int look_channel(struct im_look *l, const struct wk_channel_key *key)
{
    struct history h = { .key = key };
    struct oldest o;
    int rc = channel_get(l, key, &h.row);

    if (rc == WKIM_OK)
        rc = limits_of(l, &h);
    h.first = h.row.retained_from ? h.row.retained_from : 1;
    if (rc == WKIM_OK)
        rc = wk_message_last_seq(l->store, l->slot, key, h.first, &h.last);
    if (rc != WKIM_OK)
        return rc == WKIM_ENOTFOUND ? WKIM_OK : rc;
    if (h.keep.messages && h.last - h.first >= h.keep.messages)
        lift(&h, h.last - h.keep.messages);
    if (h.keep.age_s)
        rc = by_age(l, &h);
    if (rc == WKIM_OK && h.keep.bytes)
        rc = by_size(l, &h);
    /* Holes at the beginning become part of what is cut off. */
    if (rc == WKIM_OK && h.target < h.first && h.row.holed_to >= h.first) {
        rc = oldest_of(l, &h, h.first, &o);
        if (rc == 1 && o.seq > h.first)
            lift(&h, o.seq - 1);
        rc = rc < 0 ? rc : WKIM_OK;
    }
    if (rc == WKIM_OK)
        emit_trim(l, &h);
    return rc;
}

void im_look_pass(struct im_look *l)
{
    struct wk_buf id = WK_BUF_INIT;
    struct wk_channel_key key;
    uint32_t batch = l->opt->retention.batch;

    l->more = false;
    if (!l->behind)
        look_over(l);
    for (uint32_t n = 0; l->rc == WKIM_OK && !l->more; n++) {
        const struct wk_channel_key at = { l->cursor_type, wk_buf_slice(&l->cursor) };
        int rc = wk_message_channel_before(l->store, l->slot, l->behind ? &at : NULL, &key, &id);
        if (rc == WKIM_ENOTFOUND)
            break;
        l->rc = rc == WKIM_OK ? look_channel(l, &key) : rc;
        if (l->more) /* with this channel again */
            break;
        wk_buf_clear(&l->cursor);
        wk_buf_bytes(&l->cursor, key.id.p, key.id.n);
        l->cursor_type = key.type;
        l->behind = true;
        if (l->cursor.oom)
            l->rc = WKIM_ENOMEM;
        l->more = n + 1 >= batch;
    }
    wk_buf_fini(&id);
}
