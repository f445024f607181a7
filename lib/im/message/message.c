/* A SEND on its way: permission, number, row, answer. */
#include "im/message/message.h"
#include "im/channel/bounds.h"
#include "im/channel/channel.h"
#include "im/channel/msgno.h"
#include "im/command/command.h"
#include "im/message/internal.h"
#include "im/outbox.h"
#include "store/txn.h"

/* ---- messages of the round under way --------------------------------------------------------- */

static uint64_t fresh_hash(const struct wk_record *r)
{
    uint64_t h = wk_hash64(r->channel_id.p, r->channel_id.n, r->channel_type);
    return wk_hash64(r->client_msg_no.p, r->client_msg_no.n, h);
}

static uint64_t content_hash(const struct wk_record *r)
{
    uint64_t h = wk_hash64(r->from_uid.p, r->from_uid.n, 1);
    return wk_hash64(r->payload.p, r->payload.n, h);
}

void im_fresh_clear(struct im_slot *is)
{
    is->n_fresh = 0;
    if (is->cap_fresh > 4096) {
        wk_free(is->fresh);
        is->fresh = NULL;
        is->cap_fresh = 0;
    }
}

static int fresh_add(struct im_slot *is, const struct wk_record *r)
{
    if (is->n_fresh == is->cap_fresh) {
        size_t cap = is->cap_fresh ? is->cap_fresh * 2 : 64;
        struct im_fresh *v = wk_realloc(is->fresh, cap * sizeof(*v));
        if (!v)
            return WKIM_ENOMEM;
        is->fresh = v;
        is->cap_fresh = cap;
    }
    is->fresh[is->n_fresh++] = (struct im_fresh){ fresh_hash(r), content_hash(r), r->message_seq,
                                                  r->message_id };
    return WKIM_OK;
}

/* Whether this very message was sent before: same sender, channel, client_msg_no and payload. */
struct known {
    struct im_slot *is;
    const struct wk_channel_key *key;
    const struct wk_record *r;
    uint64_t first; /* below: deleted */
    bool duplicate;
    uint64_t seq;
    int64_t message_id;
};

static const struct im_fresh *find_fresh(const struct known *k, uint64_t seq)
{
    uint64_t hash = fresh_hash(k->r);

    for (size_t i = 0; i < k->is->n_fresh; i++) {
        const struct im_fresh *f = &k->is->fresh[i];
        if (f->hash == hash && f->seq == seq)
            return f;
    }
    return NULL;
}

static int compare(void *arg, uint64_t seq)
{
    struct known *k = arg;
    const struct im_fresh *fresh = find_fresh(k, seq);
    struct wk_buf row = WK_BUF_INIT;
    struct wk_record old;
    bool same;
    int rc = WKIM_OK;

    if (seq < k->first)
        return WKIM_ENOTFOUND;
    if (fresh) {
        same = fresh->check == content_hash(k->r);
        k->message_id = fresh->message_id;
    } else {
        rc = wk_message_get(wk_slot_store(k->is->slot), wk_slot_id(k->is->slot), k->key, seq, &row);
        same = rc == WKIM_OK && wk_record_decode(&old, wk_buf_slice(&row)) == WKIM_OK &&
               wk_slice_eq(old.client_msg_no, k->r->client_msg_no) &&
               wk_slice_eq(old.from_uid, k->r->from_uid) && wk_slice_eq(old.payload, k->r->payload);
        k->message_id = same ? old.message_id : 0;
    }
    wk_buf_fini(&row);
    if (rc != WKIM_OK)
        return rc;
    if (!same)
        return 0;
    k->duplicate = true;
    k->seq = seq;
    return 1;
}

/* ---- last numbers per sender: one row per sender and batch ----------------------------------- */

static void sent_put(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch)
{
    struct wk_channel_key key = im_channel_key(ch);

    wk_sent_put(txn, wk_slot_id(is->slot), &key, wk_buf_slice(&ch->sent_uid), ch->sent_seq);
}

void im_sent_write(struct im_slot *is, struct wk_txn *txn)
{
    struct wk_list *n;

    while ((n = wk_list_pop(&is->sent))) {
        struct im_channel *ch = WK_CONTAINER(n, struct im_channel, sent_link);
        sent_put(is, txn, ch);
        wk_buf_clear(&ch->sent_uid);
    }
}

static int sent_note(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch, wkim_slice uid,
                     uint64_t seq)
{
    bool waiting = !wk_list_empty(&ch->sent_link);

    if (waiting && wk_slice_eq(wk_buf_slice(&ch->sent_uid), uid)) {
        ch->sent_seq = seq;
        return WKIM_OK;
    }
    if (waiting)
        sent_put(is, txn, ch);
    else
        wk_list_push(&is->sent, &ch->sent_link);
    wk_buf_clear(&ch->sent_uid);
    wk_buf_bytes(&ch->sent_uid, uid.p, uid.n);
    ch->sent_seq = seq;
    return ch->sent_uid.oom ? WKIM_ENOMEM : WKIM_OK;
}

/* ---- on the leader, before the log ----------------------------------------------------------- */

static enum wk_call_result refuse(struct wk_call *c, uint8_t reason, int64_t message_id)
{
    c->reason = reason;
    c->code = WKIM_EDENIED;
    c->number[0] = (uint64_t)message_id;
    c->number[1] = 0;
    return WK_CALL_DONE;
}

enum wk_call_result im_send_peer_handle(struct im_slot *is, struct wk_call *c)
{
    return is->im->opt.source.system ? im_source_admit(is, c) : im_send_peer_admit(is, c, NULL);
}

enum wk_call_result im_send_handle(struct im_slot *is, struct wk_call *c)
{
    return is->im->opt.source.system ? im_source_admit(is, c) : im_send_admit(is, c, NULL);
}

enum wk_call_result im_send_peer_admit(struct im_slot *is, struct wk_call *c,
                                       const struct im_known *known)
{
    struct im_send_head h;
    struct wk_record r;

    if (im_send_decode(&h, wk_blob_slice(c->in)) != WKIM_OK ||
        wk_record_decode(&r, h.record) != WKIM_OK)
        return refuse(c, WKIM_REASON_SYSTEM_ERROR, 0);
    wkim_slice to = im_peer(im_base_id(r.channel_id), r.from_uid);
    uint8_t reason = im_permit_peer(is, r.from_uid, to, known);
    im_channel_trim(is);
    if (reason != WKIM_REASON_SUCCESS)
        return refuse(c, reason, r.message_id);
    struct wk_cluster *cl = wk_slot_cluster(is->slot);
    wk_call_forward(cl, c, wk_cluster_slot_of(cl, im_base_id(r.channel_id)), IM_SEND);
    return WK_CALL_PENDING;
}

/* Bits of the command, so that every replica writes the same rows whatever its configuration. */
static uint8_t leader_bits(const struct im_slot *is, uint8_t bits, const struct wk_record *r,
                           const struct im_known *known)
{
    bits &= (uint8_t)~(IM_SEND_NOTIFY | IM_SEND_OFFLINE | IM_SEND_SOURCE | IM_SEND_QUIET |
                       IM_SEND_ONCE);
    if (is->im->opt.conversations_off)
        bits |= IM_SEND_QUIET;
    if (is->im->opt.idempotent)
        bits |= IM_SEND_ONCE;
    if (is->im->opt.notify)
        bits |= IM_SEND_NOTIFY;
    if (is->im->opt.offline && r->channel_type != WKIM_CHANNEL_AGENT)
        bits |= IM_SEND_OFFLINE;
    if (known && known->members)
        bits |= IM_SEND_SOURCE;
    return bits;
}

static void count_api(struct im_slot *is, const struct im_send_head *h, const struct wk_record *r)
{
    if (!(h->bits & IM_SEND_API))
        return;
    wk_count(&is->count->api_in[im_type_index(r->channel_type)], 1);
    wk_count(&is->count->api_in_bytes, r->payload.n);
}

enum wk_call_result im_send_admit(struct im_slot *is, struct wk_call *c,
                                  const struct im_known *known)
{
    struct im_send_head h;
    struct wk_record r;
    struct im_channel *ch;

    if (im_send_decode(&h, wk_blob_slice(c->in)) != WKIM_OK ||
        wk_record_decode(&r, h.record) != WKIM_OK)
        return refuse(c, WKIM_REASON_SYSTEM_ERROR, 0);
    /* Commands obey the flags and lists of the channel they belong to. */
    if (im_channel_get(is, r.channel_type, im_base_id(r.channel_id), &ch) != WKIM_OK)
        return refuse(c, WKIM_REASON_SYSTEM_ERROR, r.message_id);
    uint8_t reason = im_permit_channel(is, ch, &r, h.bits & IM_SEND_API, known);
    if (reason == WKIM_REASON_SUCCESS && known && known->failed & 1u << IM_SOURCE_SUBSCRIBERS)
        reason = WKIM_REASON_SYSTEM_ERROR; /* nobody could be told of the message */
    const struct im_members *told = known ? known->lists[WK_LIST_SUBSCRIBER] : NULL;
    if (reason == WKIM_REASON_SUCCESS && im_fanout_full(is->im, ch, told))
        reason = WKIM_REASON_RATE_LIMIT; /* its receivers are behind: memory has a bound */
    if (reason != WKIM_REASON_SUCCESS) {
        count_api(is, &h, &r);
        im_channel_trim(is);
        return refuse(c, reason, r.message_id);
    }
    if (known && !(r.flags & WKIM_FLAG_NO_PERSIST) && !im_source_settled(is, ch, known))
        return IM_SEND_WAITS;
    count_api(is, &h, &r);
    c->reason = WKIM_REASON_SUCCESS;
    wk_record_patch(c->in->p + (h.record.p - c->in->p), 0, wk_slot_shard(is->slot)->wall_ms);
    if (r.flags & WKIM_FLAG_NO_PERSIST) {
        c->number[0] = (uint64_t)r.message_id;
        c->number[1] = 0;
        im_fanout(is, ch, c->in, &h, &(struct im_offline_row){ 0 }, false);
        im_channel_trim(is);
        return WK_CALL_DONE;
    }
    c->in->p[0] = leader_bits(is, h.bits, &r, known);
    im_channel_trim(is);
    return WK_CALL_PROPOSE;
}

/* ---- apply ----------------------------------------------------------------------------------- */

/* The first message of a pair makes the conversations of both sides. */
static void first_message(struct im_slot *is, struct wk_txn *txn, uint64_t id,
                          struct im_channel *ch, const struct wk_record *r, struct wk_call *c)
{
    struct im_effect_spec e = { .kind = IM_EFFECT_ENSURE, .key = im_channel_key(ch),
                                .now_ms = r->timestamp_ms };
    wkim_slice parts[2];

    size_t n =
        ch->type == WKIM_CHANNEL_AGENT ? 0 : im_named_uids(ch->type, im_channel_id(ch), parts);
    if (ch->row.conversations || n == 0)
        return;
    struct wk_buf uids = WK_BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n && !wk_slice_eq(parts[i], WK_LIT(IM_SYSTEM_UID)))
            wk_buf_str(&uids, parts[i]);
    }
    ch->row.conversations = true;
    im_channel_save(is, txn, ch);
    if (uids.n) {
        im_outbox_put(is, txn, id, &e, wk_buf_slice(&uids));
        if (c)
            c->stage |= 1;
    }
    if (uids.oom)
        wk_txn_fail(txn, WKIM_ENOMEM); /* or a conversation would be missing for ever */
    wk_buf_fini(&uids);
}

static int store_message(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch,
                         struct wk_record *r, uint8_t *bytes, size_t n)
{
    struct wk_channel_key key = im_channel_key(ch);
    uint32_t slot = wk_slot_id(is->slot);

    r->message_seq = ch->last_seq + 1;
    wk_record_patch(bytes, r->message_seq, r->timestamp_ms);
    wk_message_put(txn, slot, &key, r->message_seq, wk_slice(bytes, n));
    int rc = im_msgno_add(is, txn, ch, r->message_seq, r->client_msg_no);
    if (rc == WKIM_OK && r->client_msg_no.n)
        rc = fresh_add(is, r);
    if (rc == WKIM_OK && r->expire_s)
        rc = im_expiry_put(is, txn, r);
    if (rc == WKIM_OK && !wk_slice_eq(r->from_uid, WK_LIT(IM_SYSTEM_UID)))
        rc = sent_note(is, txn, ch, r->from_uid, r->message_seq);
    if (rc != WKIM_OK)
        return rc;
    ch->last_seq = r->message_seq;
    wk_count(&is->count->stored, 1);
    wk_count(&is->count->stored_bytes, r->payload.n);
    return WKIM_OK;
}

int im_send_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, wkim_slice in,
                  struct wk_call *c)
{
    struct im_send_head h;
    struct wk_record r;
    struct im_channel *ch;
    struct wk_channel_key key;
    struct known k = { .is = is, .key = &key, .r = &r };
    struct wk_buf copy = WK_BUF_INIT;

    /* With a waiting call its own bytes are numbered in place: they are what is stored and sent. */
    if (im_send_decode(&h, c ? wk_blob_slice(c->in) : in) != WKIM_OK ||
        wk_record_decode(&r, h.record) != WKIM_OK)
        return WKIM_OK;
    int rc = im_channel_get(is, r.channel_type, r.channel_id, &ch);
    key = (struct wk_channel_key){ r.channel_type, r.channel_id };
    k.first = rc == WKIM_OK ? ch->row.retained_from : 0;
    if (rc == WKIM_OK && r.client_msg_no.n && h.bits & IM_SEND_ONCE)
        rc = im_msgno_find(is, ch, r.client_msg_no, compare, &k);
    if (rc < 0)
        return rc;
    if (k.duplicate) {
        if (c) {
            c->number[0] = (uint64_t)k.message_id;
            c->number[1] = k.seq;
            c->stage = 0x80;
        }
        return WKIM_OK;
    }
    uint8_t *bytes;
    if (c) {
        bytes = c->in->p + (h.record.p - c->in->p);
    } else {
        wk_buf_bytes(&copy, h.record.p, h.record.n);
        bytes = copy.p;
    }
    rc = copy.oom ? WKIM_ENOMEM : store_message(is, txn, ch, &r, bytes, h.record.n);
    if (rc == WKIM_OK && (h.bits & (IM_SEND_NOTIFY | IM_SEND_OFFLINE)))
        rc = im_pending_message(is, txn, id, &h, &key, r.message_seq);
    if (rc == WKIM_OK) {
        if (c) {
            c->number[0] = (uint64_t)r.message_id;
            c->number[1] = r.message_seq;
            c->stage = 0;
        }
        if (im_is_command(r.channel_id))
            rc = im_command_rows(is, txn, id, ch, &r, &h, c);
        else if (!(h.bits & IM_SEND_QUIET))
            first_message(is, txn, id, ch, &r, c);
    }
    wk_buf_fini(&copy);
    return rc;
}

bool im_send_applied(struct im_slot *is, uint64_t id, struct wk_call *c)
{
    struct im_send_head h;
    struct wk_record r;
    struct im_channel *ch;

    if (c->stage == 0x80)
        return true;
    if (im_send_decode(&h, wk_blob_slice(c->in)) == WKIM_OK &&
        wk_record_decode(&r, h.record) == WKIM_OK &&
        im_channel_get(is, r.channel_type, im_base_id(r.channel_id), &ch) == WKIM_OK) {
        if (is->im->opt.on_stored)
            is->im->opt.on_stored(is->im->opt.user, &r);
        if (h.bits & IM_SEND_NOTIFY && is->im->opt.on_pending)
            is->im->opt.on_pending(is->im->opt.user, wk_slot_id(is->slot), IM_PENDING_NOTIFY);
        struct im_offline_row row = { .id = id };
        if (h.bits & IM_SEND_OFFLINE && is->im->opt.on_offline_row)
            row.ticket =
                is->im->opt.on_offline_row(is->im->opt.user, wk_slot_id(is->slot), id);
        im_fanout(is, ch, c->in, &h, &row, false);
    }
    if (!c->stage)
        return true;
    im_outbox_start(is, id, c);
    return false;
}
