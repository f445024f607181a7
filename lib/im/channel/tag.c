/* Receiver tags: which receivers the slot holds in memory for the channels that were sent to.  A
 * tag is the loaded list of a channel object, its key names the channel and the list's version. */
#include "im/channel/channel.h"
#include <stdio.h>
#include "proto/jsonrpc.h"

#define TAG_UIDS_MAX 10000          /* shown of one tag; uid_count tells all */
#define ANSWER_BYTES_MAX (8u << 20) /* of one slot */

struct query {
    wkim_slice key; /* empty: any */
    uint8_t type;
    wkim_slice id; /* empty: every channel of the slot */
    bool drop;
};

void im_tag_used(struct im_slot *is, struct im_channel *ch)
{
    uint64_t now = wk_slot_shard(is->slot)->wall_ms;

    if (!ch->tag_uses++)
        ch->tag_made_ms = now;
    ch->tag_used_ms = now;
}

static void tag_key(const struct im_channel *ch, char out[33])
{
    uint64_t a = wk_hash64(ch->key, (size_t)ch->id_len + 1, 1);
    uint64_t b = wk_hash64(ch->key, (size_t)ch->id_len + 1, ch->row.members_version + 2);

    snprintf(out, 33, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
}

static void drop_tag(struct im_channel *ch)
{
    im_members_unref(ch->lists[WK_LIST_SUBSCRIBER]); /* loaded again when it is needed */
    ch->lists[WK_LIST_SUBSCRIBER] = NULL;
    ch->tag_uses = 0;
}

static void put_uids(struct im_slot *is, const struct im_channel *ch, struct wk_buf *out)
{
    const struct im_members *m = ch->lists[WK_LIST_SUBSCRIBER];
    struct wk_cluster *cl = wk_slot_cluster(is->slot);
    bool pair = ch->type == WKIM_CHANNEL_PERSON || ch->type == WKIM_CHANNEL_AGENT;
    wkim_slice named[2];
    size_t n_named = pair ? im_named_uids(ch->type, im_channel_id(ch), named) : 0;
    uint32_t n = m && !pair ? m->n : 0;

    wk_buf_printf(out, ",\"uid_count\":%zu,\"uids\":[", n_named + n);
    if (n > TAG_UIDS_MAX)
        n = TAG_UIDS_MAX;
    struct im_members_at at = { 0 };
    wkim_slice uid;
    struct wk_buf slots = WK_BUF_INIT;
    for (uint32_t i = 0; i < n_named + n; i++) {
        if (i < n_named)
            uid = named[i];
        else if (!im_members_next(m, &at, &uid))
            break;
        if (i)
            wk_buf_u8(out, ',');
        wk_json_string(out, uid);
        wk_buf_printf(&slots, "%s%u", i ? "," : "", wk_cluster_slot_of(cl, uid));
    }
    wk_buf_printf(out, "],\"slot_ids\":[");
    wk_buf_bytes(out, slots.p, slots.n);
    out->oom |= slots.oom;
    wk_buf_fini(&slots);
    wk_buf_u8(out, ']');
}

static void put_tag(struct im_slot *is, const struct im_channel *ch, const char *key,
                    struct wk_buf *out)
{
    if (out->n)
        wk_buf_u8(out, ',');
    wk_buf_printf(out, "{\"key\":\"%s\",\"channel_id\":", key);
    wk_json_string(out, im_channel_id(ch));
    wk_buf_printf(out, ",\"channel_type\":%u", ch->type);
    put_uids(is, ch, out);
    wk_buf_printf(out, ",\"made_ms\":%llu,\"used_ms\":%llu,\"uses\":%llu,\"version\":%llu}",
                  (unsigned long long)ch->tag_made_ms, (unsigned long long)ch->tag_used_ms,
                  (unsigned long long)ch->tag_uses, (unsigned long long)ch->row.members_version);
}

static void look_at(struct im_slot *is, struct im_channel *ch, const struct query *q,
                    struct wk_buf *out)
{
    char key[33];

    if (ch->tag_uses &&
        ch->tag_used_ms + is->im->opt.tag_expire_ms <= wk_slot_shard(is->slot)->wall_ms)
        drop_tag(ch);
    if (!ch->tag_uses || im_is_command(im_channel_id(ch)))
        return;
    tag_key(ch, key);
    if (q->key.n && !wk_slice_eq(q->key, wk_str(key)))
        return;
    if (q->drop)
        drop_tag(ch);
    else if (out->n < ANSWER_BYTES_MAX)
        put_tag(is, ch, key, out);
}

/* The oldest channels are at the head of the list: what nobody used for tag.expire is freed. */
void im_tags_expire(struct im_slot *is)
{
    uint64_t now = wk_slot_shard(is->slot)->wall_ms;
    struct im_channel *ch =
        wk_list_empty(&is->lru) ? NULL : WK_CONTAINER(is->lru.next, struct im_channel, lru);

    if (ch && ch->tag_uses && ch->tag_used_ms + is->im->opt.tag_expire_ms <= now) {
        drop_tag(ch);
        wk_list_remove(&ch->lru); /* the next one is looked at the next time */
        wk_list_push(&is->lru, &ch->lru);
    }
}

enum wk_call_result im_tags_handle(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct query q = { .key = wk_cursor_str(&cur) };
    struct wk_list *it, *tmp;

    q.type = wk_cursor_u8(&cur);
    q.id = wk_cursor_str(&cur);
    q.drop = wk_cursor_u8(&cur);
    if (cur.bad) {
        c->code = WKIM_EPROTO;
        return WK_CALL_DONE;
    }
    WK_LIST_EACH(it, tmp, &is->lru) {
        struct im_channel *ch = WK_CONTAINER(it, struct im_channel, lru);
        if (!q.id.n || (ch->type == q.type && wk_slice_eq(im_channel_id(ch), q.id)))
            look_at(is, ch, &q, &c->out);
    }
    c->code = c->out.oom ? WKIM_ENOMEM : WKIM_OK;
    return WK_CALL_DONE;
}
