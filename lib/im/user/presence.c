/* Who is connected: kept by the leader of the uid's slot, in memory. */
#include "im/user/user.h"
#include <wkim/channel.h>
#include "im/channel/channel.h"

#define KICK_DELAY_MS 2000

struct im_user *im_user_find(struct im_slot *is, wkim_slice uid)
{
    struct wk_map_entry *e = wk_map_get(&is->users, uid);
    return e ? WK_CONTAINER(e, struct im_user, entry) : NULL;
}

static uint8_t *presence_cell(struct im_slot *is, wkim_slice uid)
{
    return &is->im->shards[wk_slot_shard(is->slot)->index]
                .presence[im_presence_hash(uid) % IM_PRESENCE_CELLS];
}

static void forget_user(struct im_slot *is, struct im_user *u)
{
    uint8_t *cell = presence_cell(is, wk_slice(u->uid, u->uid_len));

    if (*cell != UINT8_MAX)
        --*cell;
    wk_map_remove(&is->users, &u->entry);
    wk_count(&is->count->users, (uint64_t)-1);
    wk_free(u);
}

static struct im_user *user_get(struct im_slot *is, wkim_slice uid)
{
    struct im_user *u = im_user_find(is, uid);

    if (u)
        return u;
    u = wk_calloc(1, sizeof(*u) + uid.n + 1);
    if (!u)
        return NULL;
    u->uid_len = (uint16_t)uid.n;
    memcpy(u->uid, uid.p, uid.n);
    wk_list_init(&u->conns);
    if (wk_map_put(&is->users, &u->entry, wk_slice(u->uid, uid.n)) != WKIM_OK) {
        wk_free(u);
        return NULL;
    }
    wk_count(&is->count->users, 1);
    uint8_t *cell = presence_cell(is, uid);
    if (*cell != UINT8_MAX)
        ++*cell;
    return u;
}

static void user_release(struct im_slot *is, struct im_user *u)
{
    if (!wk_list_empty(&u->conns))
        return;
    forget_user(is, u);
}

void im_users_drop_all(struct im_slot *is)
{
    struct wk_map_entry *e;
    struct wk_list *n;

    while ((e = wk_map_next(&is->users, NULL))) {
        struct im_user *u = WK_CONTAINER(e, struct im_user, entry);
        while ((n = wk_list_pop(&u->conns))) {
            WK_CONTAINER(n, struct im_conn, link)->registered = false;
            wk_count(&is->count->devices, (uint64_t)-1);
        }
        forget_user(is, u);
    }
}

static uint64_t count_flag(const struct im_user *u, uint8_t flag)
{
    uint64_t n = 0;
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &u->conns) {
        if (WK_CONTAINER(it, struct im_conn, link)->device_flag == flag)
            n++;
    }
    return n;
}

static void tell_online(struct im *im, const struct im_user *u, const struct im_conn *c,
                        bool online)
{
    if (im->opt.on_online)
        im->opt.on_online(im->opt.user, c->uid, c->device_flag, online, c->id,
                          count_flag(u, c->device_flag), u->n_conns);
}

static void take_out(struct im_slot *is, struct im_user *u, struct im_conn *c)
{
    wk_list_remove(&c->link);
    c->registered = false;
    wk_count(&is->count->devices, (uint64_t)-1);
    u->n_conns--;
}

void im_conn_gone(struct im *im, struct im_conn *c)
{
    if (!c->registered)
        return;
    struct wk_cluster *cl = im->opt.cluster;
    struct im_slot *is = im_slot_of(wk_cluster_slot(cl, wk_cluster_slot_of(cl, c->uid)));
    struct im_user *u = is ? im_user_find(is, c->uid) : NULL;
    WK_ASSERT(u != NULL);
    take_out(is, u, c);
    if (!c->coming)
        tell_online(im, u, c, false);
    if (c->status)
        im_status_gone(c, count_flag(u, c->device_flag), u->n_conns);
    user_release(is, u);
}

/* A kicked connection no longer counts as online and its SENDs are refused at once; it receives
 * until its socket closes after the delay, so that the client can read why. */
static void kick(struct im_conn *c, const char *text, uint32_t delay_ms, bool silent)
{
    c->kicked = true;
    c->ops->kick(c, WKIM_REASON_KICK, text, delay_ms, silent);
}

/* Only connections of the same device flag are touched. */
static void kick_older(struct im_user *u, const struct im_conn *fresh)
{
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &u->conns) {
        struct im_conn *old = WK_CONTAINER(it, struct im_conn, link);
        if (old == fresh || old->kicked || old->coming || old->device_flag != fresh->device_flag)
            continue;
        bool same = wk_slice_eq(old->device_id, fresh->device_id);
        if (same)
            kick(old, "", KICK_DELAY_MS, true);
        else if (fresh->level == WKIM_DEVICE_MASTER)
            kick(old, "login in other device", KICK_DELAY_MS, false);
    }
}

/* Whether the limit is reached by those that this login leaves alone. */
static bool too_many(const struct im_slot *is, struct im_user *u, const struct im_conn *fresh)
{
    uint64_t max = is->im->opt.user_connections_max, n = 0;
    struct wk_list *it, *tmp;

    if (!max || !u)
        return false;
    WK_LIST_EACH(it, tmp, &u->conns) {
        const struct im_conn *old = WK_CONTAINER(it, struct im_conn, link);
        bool goes = old->kicked || (old->device_flag == fresh->device_flag &&
                                    (fresh->level == WKIM_DEVICE_MASTER ||
                                     wk_slice_eq(old->device_id, fresh->device_id)));
        n += !goes;
    }
    return n >= max;
}

void im_user_kick(struct im_slot *is, wkim_slice uid, uint8_t flag, const char *text,
                  uint32_t delay_ms)
{
    struct im_user *u = im_user_find(is, uid);
    struct wk_list *it, *tmp;

    if (!u)
        return;
    WK_LIST_EACH(it, tmp, &u->conns) {
        struct im_conn *c = WK_CONTAINER(it, struct im_conn, link);
        if (!c->kicked && c->device_flag == flag)
            kick(c, text, delay_ms, false);
    }
}

void im_user_gate(struct im_slot *is, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    struct wk_channel_key key;
    struct wk_list *it, *tmp;

    im_channel_key_decode(&c, &key);
    uint32_t flags = wk_cursor_u32(&c);
    struct im_user *u =
        c.bad || key.type != WKIM_CHANNEL_PERSON ? NULL : im_user_find(is, key.id);
    if (!u)
        return;
    WK_LIST_EACH(it, tmp, &u->conns)
        WK_CONTAINER(it, struct im_conn, link)->send_ban = flags & WKIM_CHANNEL_SEND_BAN;
}

/* 1, or the reason; *level from the stored token. */
static uint8_t authenticate(struct im_slot *is, uint8_t flag, wkim_slice uid, wkim_slice token,
                            uint8_t *level)
{
    const struct im_options *o = &is->im->opt;
    struct wk_row_device row;
    struct wk_buf text = WK_BUF_INIT;

    *level = WKIM_DEVICE_SLAVE;
    if (wk_slice_eq(uid, o->manager_uid))
        return o->manager_token.n && !wk_slice_eq_ct(token, o->manager_token)
                   ? WKIM_REASON_AUTH_FAIL
                   : WKIM_REASON_SUCCESS;
    if (!o->token_auth || (o->visitor_suffix.n && wk_slice_ends_with(uid, o->visitor_suffix)))
        return WKIM_REASON_SUCCESS;
    int rc = wk_device_get(wk_slot_store(is->slot), wk_slot_id(is->slot), uid, flag, &row, &text);
    uint8_t reason = WKIM_REASON_AUTH_FAIL;
    if (rc == WKIM_OK && token.n && row.token.n && wk_slice_eq_ct(token, row.token)) {
        reason = WKIM_REASON_SUCCESS;
        *level = row.level;
    } else if (rc != WKIM_OK && rc != WKIM_ENOTFOUND) {
        reason = WKIM_REASON_TOKEN_QUERY;
    }
    wk_buf_fini(&text);
    return reason;
}

enum wk_call_result im_login_handle(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct im_conn *conn = c->mark;
    struct im_channel *person;

    uint8_t flag = wk_cursor_u8(&cur);
    wkim_slice uid = wk_cursor_str(&cur);
    wkim_slice device = wk_cursor_str(&cur);
    wkim_slice token = wk_cursor_str(&cur);
    (void)flag;
    c->reason = WKIM_REASON_AUTH_FAIL;
    if (cur.bad || !im_uid_valid(uid) || wk_slice_eq(device, WK_LIT(IM_SYSTEM_DEVICE)) ||
        wk_slice_eq(uid, WK_LIT(IM_SYSTEM_UID)))
        return WK_CALL_DONE;
    uint8_t reason = authenticate(is, conn->device_flag, uid, token, &conn->level);
    if (reason == WKIM_REASON_SUCCESS) {
        if (im_channel_get(is, WKIM_CHANNEL_PERSON, uid, &person) != WKIM_OK)
            reason = WKIM_REASON_SYSTEM_ERROR;
        else if (person->row.ban)
            reason = WKIM_REASON_BAN;
        else
            conn->send_ban = person->row.send_ban;
        im_channel_trim(is);
    }
    if (reason == WKIM_REASON_SUCCESS && too_many(is, im_user_find(is, uid), conn))
        reason = WKIM_REASON_RATE_LIMIT;
    struct im_user *u = reason == WKIM_REASON_SUCCESS ? user_get(is, uid) : NULL;
    if (reason == WKIM_REASON_SUCCESS && !u)
        reason = WKIM_REASON_SYSTEM_ERROR;
    c->reason = reason;
    if (reason != WKIM_REASON_SUCCESS)
        return WK_CALL_DONE;
    wk_list_push(&u->conns, &conn->link);
    conn->registered = true;
    wk_count(&is->count->devices, 1);
    u->n_conns++;
    if (is->im->opt.status)
        return im_status_login(is, conn, c, count_flag(u, conn->device_flag), u->n_conns);
    kick_older(u, conn);
    tell_online(is->im, u, conn, true);
    return WK_CALL_DONE;
}

void im_login_done(struct im_slot *is, struct im_conn *conn)
{
    struct im_user *u = im_user_find(is, conn->uid);

    WK_ASSERT(u != NULL);
    conn->coming = false;
    kick_older(u, conn);
    tell_online(is->im, u, conn, true);
}

void im_login_undone(struct im_slot *is, struct im_conn *conn)
{
    struct im_user *u = im_user_find(is, conn->uid);

    WK_ASSERT(u != NULL);
    conn->coming = false;
    take_out(is, u, conn);
    user_release(is, u);
}

enum wk_call_result im_online_handle(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));

    while (wk_cursor_left(&cur) && !cur.bad) {
        wkim_slice uid = wk_cursor_str(&cur);
        uint64_t position = wk_cursor_u64(&cur);
        struct im_user *u = cur.bad ? NULL : im_user_find(is, uid);
        struct wk_list *it, *tmp;
        if (!u)
            continue;
        WK_LIST_EACH(it, tmp, &u->conns) {
            const struct im_conn *conn = WK_CONTAINER(it, struct im_conn, link);
            if (!conn->kicked)
                im_row_a(&c->out, uid, conn->device_flag, position, conn->id);
        }
    }
    c->code = cur.bad ? WKIM_EPROTO : c->out.oom ? WKIM_ENOMEM : WKIM_OK;
    return WK_CALL_DONE;
}

enum wk_call_result im_conn_kick_handle(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    wkim_slice uid = wk_cursor_str(&cur);
    uint64_t id = wk_cursor_u64(&cur);
    bool silent = wk_cursor_u8(&cur);
    struct im_user *u = cur.bad ? NULL : im_user_find(is, uid);
    struct wk_list *it, *tmp;

    if (u) {
        WK_LIST_EACH(it, tmp, &u->conns) {
            struct im_conn *conn = WK_CONTAINER(it, struct im_conn, link);
            if (conn->id == id && !conn->kicked)
                kick(conn, "server kick", silent ? 0 : KICK_DELAY_MS, silent);
        }
    }
    return WK_CALL_DONE;
}

static bool contains(wkim_slice text, wkim_slice part)
{
    return part.n == 0 || (text.n >= part.n && memmem(text.p, text.n, part.p, part.n));
}

enum wk_call_result im_conn_list_handle(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    wkim_slice filter = wk_cursor_str(&cur);
    struct wk_list *it, *tmp;

    for (struct wk_map_entry *e = NULL; (e = wk_map_next(&is->users, e));) {
        struct im_user *u = WK_CONTAINER(e, struct im_user, entry);
        if (!contains(e->key, filter))
            continue;
        WK_LIST_EACH(it, tmp, &u->conns) {
            struct im_conn *conn = WK_CONTAINER(it, struct im_conn, link);
            if (conn->kicked)
                continue;
            if (c->out.n)
                wk_buf_u8(&c->out, ',');
            conn->ops->describe(conn, &c->out);
        }
    }
    c->code = c->out.oom ? WKIM_ENOMEM : WKIM_OK;
    return WK_CALL_DONE;
}
