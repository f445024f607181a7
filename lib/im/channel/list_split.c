/* A change of a long list as a row of small commands, each with its effects, so that neither an
 * entry of the log nor a round is long.  The whole is not atomic: after a failure it may be asked
 * for again, what was done is found done. */
#include "im/channel/channel.h"
#include <wkim/channel.h>

#define KEEP_PER_ROUND 2048 /* uids of a set sorted per round */

struct split {
    struct wk_call piece;
    struct wk_post post;
    struct im_slot *is;
    struct wk_call *call;         /* what was asked for */
    struct im_list_change change; /* borrowed from call->in */
    struct wk_cursor uids;        /* of change, not looked at yet */
    struct im_members *keep;      /* of a set: who stays */
    struct wk_buf after;          /* last uid of the list that was looked at */
    bool removed;                 /* whoever is too many is gone */
};

static void step(struct split *s);

static void finish(struct split *s, int code)
{
    struct wk_call *call = s->call;

    im_members_unref(s->keep);
    wk_buf_fini(&s->after);
    wk_free(s);
    call->code = code;
    wk_call_finish(call);
}

static void piece_done(struct wk_call *c)
{
    struct split *s = WK_CONTAINER(c, struct split, piece);
    int code = c->code;

    wk_call_fini(c);
    if (code != WKIM_OK)
        finish(s, code);
    else
        step(s);
}

static void send_piece(struct split *s, uint8_t op, const struct wk_buf *uids)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, s->change.key.type, s->change.key.id);
    wk_buf_u8(&b, s->change.list);
    wk_buf_u8(&b, (uint8_t)(op | (s->change.quiet ? IM_LIST_QUIET : 0)));
    wk_buf_u64(&b, s->change.now_ms);
    wk_buf_bytes(&b, uids->p, uids->n);
    struct wk_blob *in = b.oom || uids->oom ? NULL : wk_blob_copy(b.p, b.n);
    wk_buf_fini(&b);
    if (!in) {
        finish(s, WKIM_ENOMEM);
        return;
    }
    wk_call_init(&s->piece, s->call->op, in, piece_done);
    s->piece.slot = wk_slot_id(s->is->slot);
    s->piece.origin = wk_slot_shard(s->is->slot);
    wk_call_send(wk_slot_cluster(s->is->slot), &s->piece);
}

static void later(struct wk_shard *sh, struct wk_post *p)
{
    (void)sh;
    step(WK_CONTAINER(p, struct split, post));
}

/* Some more of the set; false: not all yet. */
static bool collect_keep(struct split *s, int *rc)
{
    for (uint32_t n = 0; n < KEEP_PER_ROUND && wk_cursor_left(&s->uids); n++) {
        *rc = im_members_add(&s->keep, wk_slot_cluster(s->is->slot), wk_cursor_str(&s->uids));
        if (*rc < 0)
            return true;
    }
    return wk_cursor_left(&s->uids) == 0;
}

/* The next members that are to go; 0: none is left. */
static int collect_surplus(struct split *s, struct wk_buf *uids, uint32_t *n)
{
    struct im_channel *ch;
    struct im_members *m;
    wkim_slice uid;
    int rc = im_channel_get(s->is, s->change.key.type, s->change.key.id, &ch);

    if (rc == WKIM_OK)
        rc = im_channel_list(s->is, ch, s->change.list, &m);
    if (rc != WKIM_OK)
        return rc;
    struct im_members_at at = im_members_after(m, wk_buf_slice(&s->after));
    *n = 0;
    while (*n < IM_LIST_PIECE && im_members_next(m, &at, &uid)) {
        if (s->keep && im_members_has(s->keep, uid))
            continue;
        wk_buf_str(uids, uid);
        wk_buf_clear(&s->after);
        wk_buf_bytes(&s->after, uid.p, uid.n);
        ++*n;
    }
    return uids->oom || s->after.oom ? WKIM_ENOMEM : WKIM_OK;
}

static void step_removal(struct split *s)
{
    struct wk_buf uids = WK_BUF_INIT;
    uint32_t n = 0;
    int rc = WKIM_OK;

    if (s->change.op == WKIM_LIST_SET && !collect_keep(s, &rc)) {
        s->post.run = later;
        wk_shard_post(wk_slot_shard(s->is->slot), &s->post);
        return;
    }
    if (rc >= 0)
        rc = collect_surplus(s, &uids, &n);
    if (rc != WKIM_OK) {
        finish(s, rc);
    } else if (n) {
        send_piece(s, WKIM_LIST_REMOVE, &uids);
    } else {
        s->removed = true;
        s->uids = wk_cursor(s->change.uids);
        step(s);
    }
    wk_buf_fini(&uids);
}

static void step(struct split *s)
{
    const uint8_t op = s->change.op;
    struct wk_buf uids = WK_BUF_INIT;

    if (!s->removed) {
        step_removal(s);
        return;
    }
    for (uint32_t n = 0; n < IM_LIST_PIECE && wk_cursor_left(&s->uids); n++)
        wk_buf_str(&uids, wk_cursor_str(&s->uids));
    if (uids.n == 0 && !uids.oom)
        finish(s, WKIM_OK);
    else
        send_piece(s, op == WKIM_LIST_REMOVE ? WKIM_LIST_REMOVE : WKIM_LIST_ADD, &uids);
    wk_buf_fini(&uids);
}

enum wk_call_result im_list_split(struct im_slot *is, struct wk_call *c,
                                  const struct im_list_change *ch)
{
    struct split *s = wk_calloc(1, sizeof(*s));

    if (!s || im_members_new(&s->keep) != WKIM_OK) {
        wk_free(s);
        c->code = WKIM_ENOMEM;
        return WK_CALL_DONE;
    }
    s->is = is;
    s->call = c;
    s->change = *ch;
    s->uids = wk_cursor(ch->uids);
    s->removed = ch->op == WKIM_LIST_ADD || ch->op == WKIM_LIST_REMOVE;
    s->post.run = later; /* not within the handler: it must be able to say pending first */
    wk_shard_post(wk_slot_shard(is->slot), &s->post);
    return WK_CALL_PENDING;
}
