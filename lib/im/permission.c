/* Who may send where: messaging.md 3.2, first hit decides. */
#include "im/internal.h"

static bool pair_has(wkim_slice stored_id, wkim_slice uid)
{
    return im_peer(stored_id, uid).p != NULL;
}

static uint8_t check_lists(struct im_slot *is, struct im_channel *ch, wkim_slice uid)
{
    struct im_members *m;

    if (ch->row.n_deny) {
        if (im_channel_list(is, ch, WK_LIST_DENY, &m) != WKIM_OK)
            return WKIM_REASON_SYSTEM_ERROR;
        if (im_members_has(m, uid))
            return WKIM_REASON_IN_DENYLIST;
    }
    if (im_channel_list(is, ch, WK_LIST_SUBSCRIBER, &m) != WKIM_OK)
        return WKIM_REASON_SYSTEM_ERROR;
    if (!im_members_has(m, uid))
        return WKIM_REASON_NOT_SUBSCRIBER;
    if (ch->row.n_allow) {
        if (im_channel_list(is, ch, WK_LIST_ALLOW, &m) != WKIM_OK)
            return WKIM_REASON_SYSTEM_ERROR;
        if (!im_members_has(m, uid))
            return WKIM_REASON_NOT_IN_ALLOWLIST;
    }
    return WKIM_REASON_SUCCESS;
}

uint8_t im_permit_channel(struct im_slot *is, struct im_channel *ch, const struct wk_record *r,
                          bool api)
{
    bool open_type =
        r->channel_type == WKIM_CHANNEL_CUSTOMER_SERVICE || r->channel_type == WKIM_CHANNEL_INFO ||
        r->channel_type == WKIM_CHANNEL_VISITORS || r->channel_type == WKIM_CHANNEL_AGENT;

    if (!open_type && ch->row.ban)
        return WKIM_REASON_BAN;
    if (!open_type && ch->row.disband)
        return WKIM_REASON_DISBAND;
    if (r->channel_type == WKIM_CHANNEL_INFO || r->channel_type == WKIM_CHANNEL_CUSTOMER_SERVICE)
        return WKIM_REASON_SUCCESS;
    if (r->channel_type == WKIM_CHANNEL_AGENT && pair_has(im_base_id(r->channel_id), r->from_uid))
        return WKIM_REASON_SUCCESS;
    if (r->channel_type == WKIM_CHANNEL_VISITORS && wk_slice_eq(r->channel_id, r->from_uid))
        return WKIM_REASON_SUCCESS;
    if (api || im_is_system(is->im, wk_slot_shard(is->slot)->index, r->from_uid))
        return WKIM_REASON_SUCCESS;
    if (r->channel_type == WKIM_CHANNEL_PERSON)
        return WKIM_REASON_SUCCESS; /* the receiver's lists were checked in the receiver's slot */
    if (r->channel_type == 0)
        return WKIM_REASON_CHANNEL_TYPE;
    if (ch->row.send_ban)
        return WKIM_REASON_SEND_BAN;
    return check_lists(is, ch, r->from_uid);
}

uint8_t im_permit_peer(struct im_slot *is, wkim_slice from, wkim_slice to)
{
    uint32_t shard = wk_slot_shard(is->slot)->index;
    struct im_channel *ch;
    struct im_members *m;

    if (im_is_system(is->im, shard, from) || im_is_system(is->im, shard, to))
        return WKIM_REASON_SUCCESS;
    if (im_channel_get(is, WKIM_CHANNEL_PERSON, to, &ch) != WKIM_OK)
        return WKIM_REASON_SYSTEM_ERROR;
    if (ch->row.n_deny) {
        if (im_channel_list(is, ch, WK_LIST_DENY, &m) != WKIM_OK)
            return WKIM_REASON_SYSTEM_ERROR;
        if (im_members_has(m, from))
            return WKIM_REASON_IN_DENYLIST;
    }
    if (is->im->opt.allowlist_off_of_person || ch->row.allow_stranger)
        return WKIM_REASON_SUCCESS;
    if (im_channel_list(is, ch, WK_LIST_ALLOW, &m) != WKIM_OK)
        return WKIM_REASON_SYSTEM_ERROR;
    return im_members_has(m, from) ? WKIM_REASON_SUCCESS : WKIM_REASON_NOT_IN_ALLOWLIST;
}
