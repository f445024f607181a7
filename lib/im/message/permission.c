/* Who may send where: the first refusal in the order of the code decides which reason is told. */
#include "im/message/internal.h"
#include "im/channel/channel.h"

static bool pair_has(wkim_slice stored_id, wkim_slice uid)
{
    return im_peer(stored_id, uid).p != NULL;
}

/* The list as the data source said it, or as it is stored.  NULL: nobody is on it. */
static uint8_t list_of(struct im_slot *is, struct im_channel *ch, uint8_t list, uint64_t stored,
                       const struct im_known *k, struct im_members **out)
{
    *out = NULL;
    if (k && k->members) {
        *out = k->lists[list];
        return k->failed & 1u << list ? WKIM_REASON_SYSTEM_ERROR : WKIM_REASON_SUCCESS;
    }
    if (!stored || im_channel_list(is, ch, list, out) == WKIM_OK)
        return WKIM_REASON_SUCCESS;
    return WKIM_REASON_SYSTEM_ERROR;
}

static uint8_t check_lists(struct im_slot *is, struct im_channel *ch, wkim_slice uid,
                           const struct im_known *k)
{
    struct im_members *m;
    uint8_t reason = list_of(is, ch, WK_LIST_DENY, ch->row.n_deny, k, &m);

    if (reason != WKIM_REASON_SUCCESS)
        return reason;
    if (m && im_members_has(m, uid))
        return WKIM_REASON_IN_DENYLIST;
    reason = list_of(is, ch, WK_LIST_SUBSCRIBER, 1, k, &m);
    if (reason != WKIM_REASON_SUCCESS)
        return reason;
    if (!m || !im_members_has(m, uid))
        return WKIM_REASON_NOT_SUBSCRIBER;
    reason = list_of(is, ch, WK_LIST_ALLOW, ch->row.n_allow, k, &m);
    if (reason != WKIM_REASON_SUCCESS)
        return reason;
    return m && m->n && !im_members_has(m, uid) ? WKIM_REASON_NOT_IN_ALLOWLIST
                                                : WKIM_REASON_SUCCESS;
}

bool im_open_type(uint8_t type)
{
    return type == WKIM_CHANNEL_CUSTOMER_SERVICE || type == WKIM_CHANNEL_INFO ||
           type == WKIM_CHANNEL_VISITORS || type == WKIM_CHANNEL_AGENT;
}

/* Who is stopped here is stopped by either: the operator's flag or the data source's. */
static uint8_t check_flags(const struct im_channel *ch, const struct im_known *k)
{
    if (ch->row.ban || (k && k->flags & IM_SOURCE_BAN))
        return WKIM_REASON_BAN;
    if (ch->row.disband || (k && k->flags & IM_SOURCE_DISBAND))
        return WKIM_REASON_DISBAND;
    return k && k->failed & 1u << IM_SOURCE_INFO ? WKIM_REASON_SYSTEM_ERROR : WKIM_REASON_SUCCESS;
}

/* Channels that a back-end creates. */
static bool is_made(uint8_t type)
{
    return type != 0 && type != WKIM_CHANNEL_PERSON && type != WKIM_CHANNEL_TEMP &&
           !im_open_type(type);
}

uint8_t im_permit_channel(struct im_slot *is, struct im_channel *ch, const struct wk_record *r,
                          bool api, const struct im_known *k)
{
    uint8_t reason = im_open_type(r->channel_type) ? WKIM_REASON_SUCCESS : check_flags(ch, k);

    if (reason != WKIM_REASON_SUCCESS)
        return reason;
    if (is->im->opt.channels_must_exist && !ch->row.exists && !(k && k->members) &&
        is_made(r->channel_type))
        return WKIM_REASON_CHANNEL_NOT_EXIST;
    bool trusted = api || im_is_system(is->im, wk_slot_shard(is->slot)->index, r->from_uid);
    if (ch->row.send_ban && !trusted && r->channel_type != WKIM_CHANNEL_PERSON)
        return WKIM_REASON_SEND_BAN; /* everybody: those of the open types as well */
    if (r->channel_type == WKIM_CHANNEL_INFO || r->channel_type == WKIM_CHANNEL_CUSTOMER_SERVICE)
        return WKIM_REASON_SUCCESS;
    if (r->channel_type == WKIM_CHANNEL_AGENT && pair_has(im_base_id(r->channel_id), r->from_uid))
        return WKIM_REASON_SUCCESS;
    if (r->channel_type == WKIM_CHANNEL_VISITORS && wk_slice_eq(r->channel_id, r->from_uid))
        return WKIM_REASON_SUCCESS;
    if (trusted)
        return WKIM_REASON_SUCCESS;
    if (r->channel_type == WKIM_CHANNEL_PERSON)
        return WKIM_REASON_SUCCESS; /* the receiver's lists were checked in the receiver's slot */
    if (r->channel_type == 0)
        return WKIM_REASON_CHANNEL_TYPE;
    return check_lists(is, ch, r->from_uid, k);
}

uint8_t im_permit_peer(struct im_slot *is, wkim_slice from, wkim_slice to, const struct im_known *k)
{
    uint32_t shard = wk_slot_shard(is->slot)->index;
    struct im_channel *ch;
    struct im_members *m;

    if (im_is_system(is->im, shard, from) || im_is_system(is->im, shard, to))
        return WKIM_REASON_SUCCESS;
    if (im_channel_get(is, WKIM_CHANNEL_PERSON, to, &ch) != WKIM_OK)
        return WKIM_REASON_SYSTEM_ERROR;
    uint8_t reason = list_of(is, ch, WK_LIST_DENY, ch->row.n_deny, k, &m);
    if (reason != WKIM_REASON_SUCCESS)
        return reason;
    if (m && im_members_has(m, from))
        return WKIM_REASON_IN_DENYLIST;
    if (is->im->opt.allowlist_off_of_person || ch->row.allow_stranger)
        return WKIM_REASON_SUCCESS;
    reason = list_of(is, ch, WK_LIST_ALLOW, 1, k, &m);
    if (reason != WKIM_REASON_SUCCESS)
        return reason;
    return m && im_members_has(m, from) ? WKIM_REASON_SUCCESS : WKIM_REASON_NOT_IN_ALLOWLIST;
}
