/* What goes with a deleted channel: its lists, messages, events and commands. */
#include "im/history/history.h"
#include "im/channel/channel.h"
#include "im/event/event.h"
#include "im/outbox.h"

static void add_uids(struct im_slot *is, struct im_channel *ch, uint8_t list, struct wk_buf *uids)
{
    struct im_members *m;

    if (im_channel_list(is, ch, list, &m) != WKIM_OK)
        return;
    struct im_members_at at = { 0 };
    wkim_slice uid;
    while (im_members_next(m, &at, &uid))
        wk_buf_str(uids, uid);
}

/* Commands live in a channel of their own beside the one they belong to. */
static int purge_commands(struct im_slot *is, struct wk_txn *txn, const struct wk_channel_key *key)
{
    struct wk_buf id = WK_BUF_INIT;
    struct im_channel *ch;

    if (im_is_command(key->id))
        return WKIM_OK;
    wk_buf_bytes(&id, key->id.p, key->id.n);
    wk_buf_bytes(&id, IM_CMD_SUFFIX, sizeof(IM_CMD_SUFFIX) - 1);
    int rc = id.oom ? WKIM_ENOMEM : im_channel_get(is, key->type, wk_buf_slice(&id), &ch);
    if (rc == WKIM_OK)
        im_history_trim(is, txn, ch, UINT64_MAX);
    wk_buf_fini(&id);
    return rc;
}

static int purge(struct im_slot *is, struct wk_txn *txn, uint64_t id, struct im_channel *ch,
                 uint64_t now, struct wk_call *c)
{
    struct wk_channel_key key = im_channel_key(ch);
    uint32_t slot = wk_slot_id(is->slot);
    struct wk_buf uids = WK_BUF_INIT;

    add_uids(is, ch, WK_LIST_SUBSCRIBER, &uids);
    add_uids(is, ch, WK_LIST_SOURCE, &uids);
    if (uids.n) {
        struct im_effect_spec e = { .kind = IM_EFFECT_REMOVE, .key = key, .now_ms = now };
        im_outbox_put(is, txn, id, &e, wk_buf_slice(&uids));
        if (c)
            c->stage = 1; /* effects follow */
    }
    wk_buf_fini(&uids);
    for (uint8_t l = WK_LIST_SUBSCRIBER; l < WK_LIST_KINDS; l++) {
        wk_member_delete_all(txn, slot, &key, l);
        im_members_unref(ch->lists[l]);
        ch->lists[l] = NULL;
    }
    ch->row.n_subscribers = ch->row.n_allow = ch->row.n_deny = 0;
    ch->source_serial = 0;
    im_history_trim(is, txn, ch, UINT64_MAX);
    im_events_purge_channel(is, txn, &key);
    int rc = purge_commands(is, txn, &key);
    /* Lists are loaded again from a store that does not have this batch yet: mark them empty. */
    for (uint8_t l = WK_LIST_SUBSCRIBER; l < WK_LIST_KINDS; l++)
        (void)im_members_new(&ch->lists[l]);
    return rc;
}

int im_channel_delete_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, wkim_slice in,
                            struct wk_call *call)
{
    struct wk_cursor c = wk_cursor(in);
    struct wk_channel_key key;
    struct im_channel *ch;

    im_channel_key_decode(&c, &key);
    bool all = wk_cursor_u8(&c);
    uint64_t now = wk_cursor_u64(&c);
    if (c.bad)
        return WKIM_OK;
    int rc = im_channel_get(is, key.type, key.id, &ch);
    if (rc != WKIM_OK)
        return rc;
    ch->row.disband = true;
    ch->row.exists = true;
    ch->row.updated_ms = now;
    if (all)
        rc = purge(is, txn, id, ch, now, call);
    im_channel_save(is, txn, ch);
    return rc;
}
