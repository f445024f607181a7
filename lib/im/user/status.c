/* Connections that come and go, for user.onlinestatus: one string with -1- when a login is
 * answered, one with -0- for each of them when the connection ends, a crash of the node included.
 *
 * A command writes the string into the queue and notes (-1-) or forgets (-0-) the connection in
 * IM_TABLE_PRESENT.  The login is answered when its command is durable, so that a string is never
 * about a connection that nobody had.  Whoever is noted when the slot gets a leader is gone: the
 * node that held the connection has ended.  Only connections of this node are looked at. */
#include "im/user/user.h"
#include "store/txn.h"

#define RETRY_MS 500

enum state { COMING, HERE, LEAVING };

struct im_status {
    struct wk_call call;   /* its command, used for both strings */
    struct wk_list link;   /* im_slot.statuses */
    struct im_slot *is;    /* NULL: the slot has closed */
    struct im_conn *conn;  /* NULL: it has gone */
    struct wk_call *login; /* COMING: to be answered */
    enum state state;
    bool under_way;
    uint64_t gone_ms, device_count, user_count; /* of a -0- that waits for its -1- */
};

struct entry {
    uint8_t online, flag;
    uint64_t now_ms, node, conn, device_count, user_count;
    wkim_slice uid;
};

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--) {
        p[i] = (uint8_t)v;
        v >>= 8;
    }
}

/* The layout is in answer.h. */
static struct wk_blob *encode(const struct entry *e)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_u8(&b, e->online);
    wk_buf_u8(&b, e->flag);
    wk_buf_u64(&b, e->now_ms);
    wk_buf_u64(&b, e->node);
    wk_buf_u64(&b, e->conn);
    wk_buf_u64(&b, e->device_count);
    wk_buf_u64(&b, e->user_count);
    wk_buf_str(&b, e->uid);
    struct wk_blob *blob = b.oom ? NULL : wk_blob_copy(b.p, b.n);
    wk_buf_fini(&b);
    return blob;
}

/* What changes when the connection ends: no memory is needed then. */
static void patch(struct wk_blob *b, uint64_t now_ms, uint64_t device_count, uint64_t user_count)
{
    b->p[0] = 0;
    put_u64(b->p + 2, now_ms);
    put_u64(b->p + 26, device_count);
    put_u64(b->p + 34, user_count);
}

static int decode(struct entry *e, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);

    e->online = wk_cursor_u8(&c);
    e->flag = wk_cursor_u8(&c);
    e->now_ms = wk_cursor_u64(&c);
    e->node = wk_cursor_u64(&c);
    e->conn = wk_cursor_u64(&c);
    e->device_count = wk_cursor_u64(&c);
    e->user_count = wk_cursor_u64(&c);
    e->uid = wk_cursor_str(&c);
    return c.bad || !im_uid_valid(e->uid) ? WKIM_EPROTO : WKIM_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void present_key(struct wk_buf *b, const struct entry *e)
{
    wk_buf_str(b, e->uid);
    wk_buf_u64(b, e->node);
    wk_buf_u64(b, e->conn);
}

int im_status_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, wkim_slice in)
{
    struct wk_buf key = WK_BUF_INIT, row = WK_BUF_INIT;
    struct entry e;
    int rc = WKIM_ENOMEM;

    if (decode(&e, in) != WKIM_OK)
        return WKIM_OK;
    present_key(&key, &e);
    wk_buf_u64(&row, e.now_ms);
    wk_buf_bytes(&row, e.uid.p, e.uid.n);
    wk_buf_printf(&row, "-%u-%u-%llu-%llu-%llu", e.flag, e.online, (unsigned long long)e.conn,
                  (unsigned long long)e.device_count, (unsigned long long)e.user_count);
    if (!key.oom && !row.oom) {
        if (e.online)
            wk_row_put(txn, wk_slot_id(is->slot), IM_TABLE_PRESENT, wk_buf_slice(&key),
                       wk_slice(&e.flag, 1));
        else
            wk_row_delete(txn, wk_slot_id(is->slot), IM_TABLE_PRESENT, wk_buf_slice(&key));
        im_pending_put(is, txn, IM_PENDING_STATUS, id, wk_buf_slice(&row));
        rc = WKIM_OK;
    }
    wk_buf_fini(&key);
    wk_buf_fini(&row);
    return rc;
}

void im_status_applied(struct im_slot *is)
{
    if (is->im->opt.on_pending)
        is->im->opt.on_pending(is->im->opt.user, wk_slot_id(is->slot), IM_PENDING_STATUS);
}

/* ---- one connection -------------------------------------------------------------------------- */

static void status_free(struct im_status *st)
{
    wk_list_remove(&st->link);
    wk_call_fini(&st->call);
    wk_free(st);
}

static void propose(struct im_status *st)
{
    st->under_way = true;
    st->call.code = WKIM_OK;
    wk_call_send(wk_slot_cluster(st->is->slot), &st->call);
}

static void leave(struct im_status *st, uint64_t now_ms, uint64_t device_count, uint64_t user_count)
{
    patch(st->call.in, now_ms, device_count, user_count);
    st->state = LEAVING;
    propose(st);
}

static void try_again(struct wk_timer *t);

static void retry_later(struct im_slot *is)
{
    struct wk_shard *s = wk_slot_shard(is->slot);

    is->status_retry.fire = try_again;
    if (!is->status_retry.pos &&
        wk_timer_arm(&s->timers, &is->status_retry, s->now_ms + RETRY_MS) != WKIM_OK)
        wk_log(is->im->opt.log, WK_LOG_ERROR, "im", "status_waits_for_next", "slot=%u",
               wk_slot_id(is->slot));
}

/* Of a -0-.  Without a leader or with a damaged log the row says enough: who leads the slot next
 * tells of it. */
static void left(struct im_status *st)
{
    struct im_slot *is = st->is;

    if (!is || (st->call.code != WKIM_EBUSY && st->call.code != WKIM_ENOMEM)) {
        status_free(st);
        return;
    }
    retry_later(is);
}

/* Of a -1-: the login is answered. */
static void came(struct im_status *st)
{
    struct wk_call *login = st->login;
    struct im_conn *conn = st->conn;
    bool ok = st->call.code == WKIM_OK && st->is;

    st->login = NULL;
    login->code = ok ? WKIM_OK : st->call.code != WKIM_OK ? st->call.code : WKIM_ENOTLEADER;
    st->state = HERE;
    if (conn && ok) {
        im_login_done(st->is, conn);
    } else if (conn) {
        conn->status = NULL;
        if (st->is && conn->registered)
            im_login_undone(st->is, conn);
        conn->coming = false;
    }
    if (!ok)
        status_free(st);
    else if (!conn)
        leave(st, st->gone_ms, st->device_count, st->user_count); /* it went before it had come */
    wk_call_finish(login);
}

static void answered(struct wk_call *c)
{
    struct im_status *st = WK_CONTAINER(c, struct im_status, call);

    st->under_way = false;
    if (st->state == COMING)
        came(st);
    else
        left(st);
}

static struct im_status *status_new(struct im_slot *is, const struct entry *e)
{
    struct im_status *st = wk_calloc(1, sizeof(*st));
    struct wk_blob *in = st ? encode(e) : NULL;

    if (!in) {
        wk_free(st);
        return NULL;
    }
    wk_call_init(&st->call, IM_STATUS, in, answered);
    st->call.slot = wk_slot_id(is->slot);
    st->call.origin = wk_slot_shard(is->slot);
    st->is = is;
    wk_list_push(&is->statuses, &st->link);
    return st;
}

enum wk_call_result im_status_login(struct im_slot *is, struct im_conn *conn, struct wk_call *c,
                                    uint64_t device_count, uint64_t user_count)
{
    struct entry e = { .online = 1,
                       .flag = conn->device_flag,
                       .now_ms = wk_slot_shard(is->slot)->wall_ms,
                       .node = is->im->opt.node_id,
                       .conn = conn->id,
                       .device_count = device_count,
                       .user_count = user_count,
                       .uid = conn->uid };
    struct im_status *st = status_new(is, &e);

    if (!st) {
        im_login_undone(is, conn);
        c->reason = WKIM_REASON_SYSTEM_ERROR;
        return WK_CALL_DONE;
    }
    st->conn = conn;
    st->login = c;
    conn->coming = true;
    conn->status = st;
    propose(st);
    return WK_CALL_PENDING;
}

void im_status_gone(struct im_conn *conn, uint64_t device_count, uint64_t user_count)
{
    struct im_status *st = conn->status;

    conn->status = NULL;
    conn->coming = false;
    st->conn = NULL;
    st->gone_ms = wk_slot_shard(st->is->slot)->wall_ms;
    st->device_count = device_count;
    st->user_count = user_count;
    if (st->state != COMING) /* else its command is under way */
        leave(st, st->gone_ms, device_count, user_count);
}

/* ---- connections of an earlier leader -------------------------------------------------------- */

struct noted {
    struct wk_buf rows; /* repeated (u8 flag, str key) */
    struct im_slot *is;
    bool any; /* connections of this leader are among the rows */
};

static bool next_noted(struct wk_cursor *c, struct entry *e)
{
    *e = (struct entry){ .flag = wk_cursor_u8(c) };
    struct wk_cursor key = wk_cursor(wk_cursor_str(c));
    e->uid = wk_cursor_str(&key);
    e->node = wk_cursor_u64(&key);
    e->conn = wk_cursor_u64(&key);
    return !c->bad && !key.bad;
}

static bool is_known(const struct im_slot *is, uint64_t conn)
{
    for (const struct wk_list *it = is->statuses.next; it != &is->statuses; it = it->next) {
        struct entry e;
        if (decode(&e, wk_blob_slice(WK_CONTAINER(it, struct im_status, link)->call.in)) ==
                WKIM_OK &&
            e.conn == conn)
            return true;
    }
    return false;
}

static int note_row(void *arg, wkim_slice key, wkim_slice value)
{
    struct noted *n = arg;
    size_t before = n->rows.n;
    struct entry e;

    wk_buf_u8(&n->rows, value.n ? value.p[0] : 0);
    wk_buf_str(&n->rows, key);
    if (n->rows.oom)
        return WKIM_ENOMEM;
    struct wk_cursor c = wk_cursor(wk_slice(n->rows.p + before, n->rows.n - before));
    if (!next_noted(&c, &e) || e.node != n->is->im->opt.node_id ||
        (n->any && is_known(n->is, e.conn)))
        n->rows.n = before;
    return 0;
}

/* Rows of one uid stand together: each string says how many of them are left. */
static int tell_group(struct im_slot *is, struct wk_cursor from, size_t n)
{
    uint64_t by_flag[256] = { 0 };
    struct wk_cursor c = from;
    struct entry e;

    for (size_t i = 0; i < n && next_noted(&c, &e); i++)
        by_flag[e.flag]++;
    c = from;
    for (size_t i = 0; i < n && next_noted(&c, &e); i++) {
        e.now_ms = wk_slot_shard(is->slot)->wall_ms;
        e.device_count = --by_flag[e.flag];
        e.user_count = n - 1 - i;
        struct im_status *st = status_new(is, &e);
        if (!st)
            return WKIM_ENOMEM;
        leave(st, e.now_ms, e.device_count, e.user_count);
    }
    return WKIM_OK;
}

static int tell_all(struct im_slot *is, wkim_slice noted)
{
    struct wk_cursor c = wk_cursor(noted), from = c;
    struct entry e, first = { 0 };
    size_t n = 0;
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_cursor_left(&c)) {
        struct wk_cursor here = c;
        (void)next_noted(&c, &e);
        bool same = n && wk_slice_eq(e.uid, first.uid);
        if (!same && n)
            rc = tell_group(is, from, n);
        if (!same) {
            from = here;
            first = e;
            n = 0;
        }
        n++;
    }
    return rc == WKIM_OK && n ? tell_group(is, from, n) : rc;
}

void im_status_recover(struct im_slot *is)
{
    struct noted n = { .is = is, .any = !wk_list_empty(&is->statuses) };
    int rc = wk_row_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), IM_TABLE_PRESENT,
                         wk_slice(NULL, 0), wk_slice(NULL, 0), note_row, &n);

    if (rc == WKIM_OK)
        rc = tell_all(is, wk_buf_slice(&n.rows));
    wk_buf_fini(&n.rows);
    is->status_scan = rc != WKIM_OK;
    if (rc != WKIM_OK) {
        wk_log(is->im->opt.log, WK_LOG_ERROR, "im", "connections_not_recovered", "slot=%u code=%s",
               wk_slot_id(is->slot), wkim_err_name(rc));
        retry_later(is);
    }
}

static void try_again(struct wk_timer *t)
{
    struct im_slot *is = WK_CONTAINER(t, struct im_slot, status_retry);
    struct wk_list again, *n;

    wk_list_init(&again);
    while ((n = wk_list_pop(&is->statuses)))
        wk_list_push(&again, n);
    while ((n = wk_list_pop(&again))) {
        struct im_status *st = WK_CONTAINER(n, struct im_status, link);
        wk_list_push(&is->statuses, n);
        if (st->state == LEAVING && !st->under_way)
            propose(st); /* may free it */
    }
    if (is->status_scan)
        im_status_recover(is);
}

void im_status_drop_all(struct im_slot *is)
{
    struct wk_list *n;

    wk_timer_disarm(&wk_slot_shard(is->slot)->timers, &is->status_retry);
    while ((n = wk_list_pop(&is->statuses))) {
        struct im_status *st = WK_CONTAINER(n, struct im_status, link);
        st->is = NULL;
        if (st->conn) {
            st->conn->status = NULL;
            st->conn->coming = false;
        }
        st->conn = NULL;
        if (!st->under_way)
            status_free(st);
        /* Otherwise its answer still comes and frees it. */
    }
}
