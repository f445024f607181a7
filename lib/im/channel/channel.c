/* Channel objects in memory, and their flags. */
#include "im/channel/channel.h"
#include <wkim/channel.h>
#include "im/channel/msgno.h"

static void free_channel(struct im_channel *ch)
{
    for (int i = 0; i < WK_LIST_KINDS; i++)
        im_members_unref(ch->lists[i]);
    wk_list_remove(&ch->sent_link);
    im_msgnos_fini(&ch->msgnos);
    wk_buf_fini(&ch->sent_uid);
    wk_free(ch);
}

void im_channel_drop_all(struct im_slot *is)
{
    struct wk_list *n;

    while ((n = wk_list_pop(&is->lru))) {
        struct im_channel *ch = WK_CONTAINER(n, struct im_channel, lru);
        wk_map_remove(&is->channels, &ch->entry);
        wk_count(&is->count->channels, (uint64_t)-1);
        free_channel(ch);
    }
}

/* Called between commands only: whatever is dropped is in the store. */
void im_channel_trim(struct im_slot *is)
{
    while (is->channels.count > is->im->opt.idle_channels_max) {
        struct im_channel *ch = WK_CONTAINER(is->lru.next, struct im_channel, lru);
        wk_list_remove(&ch->lru);
        wk_map_remove(&is->channels, &ch->entry);
        wk_count(&is->count->channels, (uint64_t)-1);
        wk_count(&is->count->evicted, 1);
        free_channel(ch);
    }
}

static int load(struct im_slot *is, struct im_channel *ch)
{
    struct wk_store *st = wk_slot_store(is->slot);
    uint32_t slot = wk_slot_id(is->slot);
    struct wk_channel_key key = im_channel_key(ch);

    int rc = wk_channel_get(st, slot, &key, &ch->row);
    ch->row_stored = rc == WKIM_OK;
    if (rc != WKIM_OK && rc != WKIM_ENOTFOUND)
        return rc;
    rc = wk_message_last_seq(st, slot, &key, ch->row.retained_from, &ch->last_seq);
    if (rc == WKIM_ENOTFOUND)
        ch->last_seq = 0;
    else if (rc != WKIM_OK)
        return rc;
    if (ch->row.last_seq_floor > ch->last_seq)
        ch->last_seq = ch->row.last_seq_floor;
    return WKIM_OK;
}

int im_channel_get(struct im_slot *is, uint8_t type, wkim_slice id, struct im_channel **out)
{
    uint8_t stack[256];
    uint8_t *key = id.n + 1 <= sizeof(stack) ? stack : wk_malloc(id.n + 1);

    if (!key)
        return WKIM_ENOMEM;
    key[0] = type;
    if (id.n)
        memcpy(key + 1, id.p, id.n);
    struct wk_map_entry *e = wk_map_get(&is->channels, wk_slice(key, id.n + 1));
    struct im_channel *ch = e ? WK_CONTAINER(e, struct im_channel, entry) : NULL;
    int rc = WKIM_OK;
    if (ch) {
        wk_list_remove(&ch->lru);
    } else {
        ch = wk_calloc(1, sizeof(*ch) + id.n + 1);
        if (ch) {
            ch->type = type;
            ch->id_len = (uint16_t)id.n;
            memcpy(ch->key, key, id.n + 1);
            wk_list_init(&ch->lru);
            wk_list_init(&ch->sent_link);
            rc = load(is, ch);
            if (rc == WKIM_OK)
                rc = wk_map_put(&is->channels, &ch->entry, wk_slice(ch->key, id.n + 1));
            if (rc != WKIM_OK)
                free_channel(ch);
            else
                wk_count(&is->count->channels, 1);
        } else {
            rc = WKIM_ENOMEM;
        }
    }
    if (key != stack)
        wk_free(key);
    if (rc != WKIM_OK)
        return rc;
    wk_list_push(&is->lru, &ch->lru);
    *out = ch;
    return WKIM_OK;
}

struct load_list {
    struct im_members *m;
    struct wk_cluster *c;
};

static int load_member(void *arg, wkim_slice uid, const struct wk_row_member *row)
{
    struct load_list *l = arg;
    (void)row;
    int rc = im_members_add(&l->m, l->c, uid);
    return rc < 0 ? rc : 0;
}

int im_channel_list(struct im_slot *is, struct im_channel *ch, uint8_t list,
                    struct im_members **out)
{
    struct load_list l = { .c = wk_slot_cluster(is->slot) };
    struct wk_channel_key key = im_channel_key(ch);

    wk_count(&is->count->lists[ch->lists[list] == NULL], 1);
    if (!ch->lists[list]) {
        int rc = im_members_new(&l.m);
        if (rc == WKIM_OK && ch->row_stored)
            rc = wk_member_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), &key, list,
                                wk_slice(NULL, 0), load_member, &l);
        if (rc != WKIM_OK) {
            im_members_unref(l.m);
            return rc;
        }
        ch->lists[list] = l.m;
    }
    *out = ch->lists[list];
    return WKIM_OK;
}

void im_channel_save(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch)
{
    struct wk_channel_key key = im_channel_key(ch);

    wk_channel_put(txn, wk_slot_id(is->slot), &key, &ch->row);
    ch->row_stored = true;
}

static uint32_t flags_of(const struct wk_row_channel *r)
{
    return (r->ban ? WKIM_CHANNEL_BAN : 0u) | (r->disband ? WKIM_CHANNEL_DISBAND : 0u) |
           (r->send_ban ? WKIM_CHANNEL_SEND_BAN : 0u) | (r->large ? WKIM_CHANNEL_LARGE : 0u) |
           (r->allow_stranger ? WKIM_CHANNEL_ALLOW_STRANGER : 0u);
}

enum wk_call_result im_channel_get_handle(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct wk_channel_key key;
    struct im_channel *ch;

    im_channel_key_decode(&cur, &key);
    c->code = cur.bad ? WKIM_EPROTO : im_channel_get(is, key.type, key.id, &ch);
    if (c->code == WKIM_OK && !ch->row.exists)
        c->code = WKIM_ENOTFOUND;
    if (c->code == WKIM_OK) {
        c->number[0] = ch->row.n_subscribers;
        c->number[1] = flags_of(&ch->row);
    }
    im_channel_trim(is);
    return WK_CALL_DONE;
}

int im_channel_set_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    struct wk_channel_key key;
    struct im_channel *ch;

    im_channel_key_decode(&c, &key);
    uint32_t flags = wk_cursor_u32(&c);
    uint64_t now = wk_cursor_u64(&c);
    if (c.bad)
        return WKIM_OK; /* refused before it was proposed; nothing to do */
    int rc = im_channel_get(is, key.type, key.id, &ch);
    if (rc != WKIM_OK)
        return rc;
    ch->row.ban = flags & WKIM_CHANNEL_BAN;
    ch->row.disband = flags & WKIM_CHANNEL_DISBAND;
    ch->row.send_ban = flags & WKIM_CHANNEL_SEND_BAN;
    ch->row.large = flags & WKIM_CHANNEL_LARGE;
    ch->row.allow_stranger = flags & WKIM_CHANNEL_ALLOW_STRANGER;
    ch->row.exists = true;
    if (!ch->row.created_ms)
        ch->row.created_ms = now;
    ch->row.updated_ms = now;
    im_channel_save(is, txn, ch);
    return WKIM_OK;
}
