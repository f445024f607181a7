/* Tokens, devices and system accounts. */
#include "im/user/user.h"
#include <wkim/channel.h>
#include "im/channel/channel.h"

#define TOKEN_KICK_DELAY_MS 10000
#define QUIT_KICK_DELAY_MS 2000

struct token {
    wkim_slice uid, token;
    uint8_t flag, level;
    uint64_t now_ms;
};

static int decode_token(struct token *t, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);

    t->uid = wk_cursor_str(&c);
    t->flag = wk_cursor_u8(&c);
    t->level = wk_cursor_u8(&c);
    t->token = wk_cursor_str(&c);
    t->now_ms = wk_cursor_u64(&c);
    return c.bad || !im_uid_valid(t->uid) || t->token.n > WK_PROTO_STRING_BYTES_MAX ? WKIM_EINVAL
                                                                                    : WKIM_OK;
}

enum wk_call_result im_token_set_handle(struct im_slot *is, struct wk_call *c)
{
    struct token t;
    struct im_channel *person;

    c->code = decode_token(&t, wk_blob_slice(c->in));
    if (c->code == WKIM_OK)
        c->code = im_channel_get(is, WKIM_CHANNEL_PERSON, t.uid, &person);
    if (c->code != WKIM_OK)
        return WK_CALL_DONE;
    bool ban = person->row.ban, disband = person->row.disband;
    im_channel_trim(is);
    if (!ban && !disband)
        return WK_CALL_PROPOSE;
    c->code = WKIM_EDENIED;
    c->reason = ban ? WKIM_REASON_BAN : WKIM_REASON_DISBAND;
    return WK_CALL_DONE;
}

/* The device as the commands of this round left it; text holds its token. */
static int device_get(struct im_slot *is, wkim_slice uid, uint8_t flag, struct wk_row_device *row,
                      struct wk_buf *text)
{
    struct wk_buf key = WK_BUF_INIT;
    wkim_slice value;

    wk_buf_u8(&key, flag);
    wk_buf_bytes(&key, uid.p, uid.n);
    int rc = key.oom ? WKIM_ENOMEM
                     : im_round_get(is, IM_ROUND_DEVICE, wk_buf_slice(&key), &value);
    wk_buf_fini(&key);
    if (rc == WKIM_ENOTFOUND)
        return wk_device_get(wk_slot_store(is->slot), wk_slot_id(is->slot), uid, flag, row, text);
    if (rc != WKIM_OK)
        return rc;
    struct wk_cursor c = wk_cursor(value);
    *row = (struct wk_row_device){ .flag = flag, .level = wk_cursor_u8(&c) };
    row->created_ms = wk_cursor_u64(&c);
    row->updated_ms = wk_cursor_u64(&c);
    wk_buf_clear(text);
    wkim_slice token = wk_cursor_rest(&c);
    wk_buf_bytes(text, token.p, token.n);
    row->token = wk_buf_slice(text);
    return text->oom ? WKIM_ENOMEM : WKIM_OK;
}

static int device_put(struct im_slot *is, struct wk_txn *txn, wkim_slice uid,
                      const struct wk_row_device *row)
{
    struct wk_buf key = WK_BUF_INIT, value = WK_BUF_INIT;

    wk_buf_u8(&key, row->flag);
    wk_buf_bytes(&key, uid.p, uid.n);
    wk_buf_u8(&value, row->level);
    wk_buf_u64(&value, row->created_ms);
    wk_buf_u64(&value, row->updated_ms);
    wk_buf_bytes(&value, row->token.p, row->token.n);
    int rc = key.oom || value.oom
                 ? WKIM_ENOMEM
                 : im_round_put(is, IM_ROUND_DEVICE, wk_buf_slice(&key), wk_buf_slice(&value));
    wk_buf_fini(&key);
    wk_buf_fini(&value);
    if (rc == WKIM_OK)
        wk_device_put(txn, wk_slot_id(is->slot), uid, row);
    return rc;
}

int im_token_set_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct token t;
    struct wk_row_device old, row;
    struct wk_buf text = WK_BUF_INIT;

    if (decode_token(&t, in) != WKIM_OK)
        return WKIM_OK;
    row = (struct wk_row_device){ t.flag, t.level, t.token, t.now_ms, t.now_ms };
    int rc = device_get(is, t.uid, t.flag, &old, &text);
    if (rc == WKIM_OK)
        row.created_ms = old.created_ms;
    wk_buf_fini(&text);
    if (rc != WKIM_OK && rc != WKIM_ENOTFOUND)
        return rc;
    return device_put(is, txn, t.uid, &row);
}

void im_token_set_applied(struct im_slot *is, wkim_slice in)
{
    struct token t;

    if (decode_token(&t, in) == WKIM_OK && t.level == WKIM_DEVICE_MASTER)
        im_user_kick(is, t.uid, t.flag, "账号在其他设备上登录", TOKEN_KICK_DELAY_MS);
}

static int decode_quit(wkim_slice in, wkim_slice *uid, int *flag, uint64_t *now)
{
    struct wk_cursor c = wk_cursor(in);

    *uid = wk_cursor_str(&c);
    *flag = (int)wk_cursor_u32(&c);
    *now = wk_cursor_u64(&c);
    if (*flag != -1)
        *flag &= 0xff;
    return c.bad ? WKIM_EPROTO : WKIM_OK;
}

/* -1 stands for app, web and pc. */
static int first_flag(int flag)
{
    return flag == -1 ? WKIM_DEVICE_APP : flag;
}

static int last_flag(int flag)
{
    return flag == -1 ? WKIM_DEVICE_PC : flag;
}

int im_device_quit_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    wkim_slice uid;
    int flag;
    uint64_t now;

    if (decode_quit(in, &uid, &flag, &now) != WKIM_OK)
        return WKIM_OK;
    for (int f = first_flag(flag); f <= last_flag(flag); f++) {
        struct wk_row_device row;
        struct wk_buf text = WK_BUF_INIT;
        int rc = device_get(is, uid, (uint8_t)f, &row, &text);
        if (rc == WKIM_OK) {
            row.token = wk_slice(NULL, 0);
            row.level = WKIM_DEVICE_MASTER;
            row.updated_ms = now;
            rc = device_put(is, txn, uid, &row);
        }
        wk_buf_fini(&text);
        if (rc != WKIM_OK && rc != WKIM_ENOTFOUND)
            return rc;
    }
    return WKIM_OK;
}

void im_device_quit_applied(struct im_slot *is, wkim_slice in)
{
    wkim_slice uid;
    int flag;
    uint64_t now;

    if (decode_quit(in, &uid, &flag, &now) != WKIM_OK)
        return;
    for (int f = first_flag(flag); f <= last_flag(flag); f++) {
        struct wk_row_device row;
        struct wk_buf text = WK_BUF_INIT;
        /* Who was never given a token has no device that could quit. */
        if (device_get(is, uid, (uint8_t)f, &row, &text) != WKIM_ENOTFOUND)
            im_user_kick(is, uid, (uint8_t)f, "", QUIT_KICK_DELAY_MS);
        wk_buf_fini(&text);
    }
}

/* ---- system accounts: rows in slot 0, a copy on every shard ---------------------------------- */

struct im_system_uid {
    struct wk_map_entry entry;
    bool removed; /* the data source may say otherwise */
    uint16_t n;
    uint8_t uid[];
};

bool im_is_system(struct im *im, uint32_t shard, wkim_slice uid)
{
    const struct im_shard *sh = &im->shards[shard];
    const struct wk_map_entry *e;

    if (wk_slice_eq(uid, WK_LIT(IM_SYSTEM_UID)))
        return true;
    e = wk_map_get(&sh->system_uids, uid);
    if (e)
        return !WK_CONTAINER(e, struct im_system_uid, entry)->removed;
    return sh->system_source && im_members_has(sh->system_source, uid);
}

/* With a data source a removal is remembered while its answer is missing or names the uid. */
static void change_copy(const struct im *im, struct im_shard *sh, bool add, wkim_slice uid)
{
    struct wk_map_entry *e = wk_map_get(&sh->system_uids, uid);
    bool remember = !add && im->opt.source.system &&
                    (!sh->system_source || im_members_has(sh->system_source, uid));

    if (e && (add || remember)) {
        WK_CONTAINER(e, struct im_system_uid, entry)->removed = !add;
    } else if (e) {
        wk_map_remove(&sh->system_uids, e);
        wk_free(WK_CONTAINER(e, struct im_system_uid, entry));
    } else if (add || remember) {
        struct im_system_uid *s = wk_calloc(1, sizeof(*s) + uid.n + 1);
        if (!s)
            return;
        s->n = (uint16_t)uid.n;
        s->removed = !add;
        if (uid.n)
            memcpy(s->uid, uid.p, uid.n);
        if (wk_map_put(&sh->system_uids, &s->entry, wk_slice(s->uid, uid.n)) != WKIM_OK)
            wk_free(s);
    }
}

struct publish {
    struct wk_post post;
    struct im *im;
    struct wk_blob *bytes;
};

static void take_publication(struct wk_shard *s, struct wk_post *p)
{
    struct publish *pub = WK_CONTAINER(p, struct publish, post);
    struct wk_cursor c = wk_cursor(wk_blob_slice(pub->bytes));
    bool add = wk_cursor_u8(&c);

    while (wk_cursor_left(&c) && !c.bad)
        change_copy(pub->im, &pub->im->shards[s->index], add, wk_cursor_str(&c));
    wk_blob_unref(pub->bytes);
    wk_free(pub);
}

int im_system_publish(struct im_slot *is, wkim_slice in)
{
    struct wk_blob *b = wk_blob_copy(in.p, in.n);
    int rc = b ? WKIM_OK : WKIM_ENOMEM;

    for (uint32_t i = 0; rc == WKIM_OK && i < is->im->opt.n_shards; i++) {
        struct publish *p = wk_calloc(1, sizeof(*p));
        if (!p) {
            rc = WKIM_ENOMEM;
            break;
        }
        p->im = is->im;
        p->bytes = wk_blob_ref(b);
        p->post.run = take_publication;
        if (wk_shard_is_owner(&is->im->opt.shards[i]))
            take_publication(&is->im->opt.shards[i], &p->post);
        else
            wk_shard_post(&is->im->opt.shards[i], &p->post);
    }
    wk_blob_unref(b);
    return rc;
}

int im_system_change_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    bool add = wk_cursor_u8(&c);

    while (wk_cursor_left(&c) && !c.bad) {
        wkim_slice uid = wk_cursor_str(&c);
        if (c.bad || uid.n == 0 || uid.n > WK_ID_BYTES_MAX)
            continue;
        if (add)
            wk_system_uid_put(txn, wk_slot_id(is->slot), uid);
        else
            wk_system_uid_delete(txn, wk_slot_id(is->slot), uid);
    }
    return WKIM_OK;
}

static int collect_row(void *arg, wkim_slice uid)
{
    im_row_a(arg, uid, 0, 0, 0);
    return 0;
}

static int collect_str(void *arg, wkim_slice uid)
{
    wk_buf_str(arg, uid);
    return 0;
}

enum wk_call_result im_system_list_handle(struct im_slot *is, struct wk_call *c)
{
    c->code =
        wk_system_uid_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), collect_row, &c->out);
    if (c->out.oom)
        c->code = WKIM_ENOMEM;
    return WK_CALL_DONE;
}

int im_system_load(struct im_slot *is)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_u8(&b, 1);
    int rc = wk_system_uid_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), collect_str, &b);
    if (rc == WKIM_OK)
        rc = b.oom ? WKIM_ENOMEM : im_system_publish(is, wk_buf_slice(&b));
    wk_buf_fini(&b);
    return rc;
}

void im_system_free(struct im *im)
{
    for (uint32_t i = 0; im->shards && i < im->opt.n_shards; i++) {
        struct wk_map *m = &im->shards[i].system_uids;
        struct wk_map_entry *e;
        while ((e = wk_map_next(m, NULL))) {
            wk_map_remove(m, e);
            wk_free(WK_CONTAINER(e, struct im_system_uid, entry));
        }
        wk_map_fini(m);
    }
}
