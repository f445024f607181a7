/* Conversation rows of a user, in the slot of the uid.  A row holds positions only; unread counts
 * are computed when they are asked for. */
#include "im/conversation/conversation.h"

/* ---- rows changed in the round under way: the store does not show them yet ------------------- */

struct overlay {
    struct wk_map_entry entry;
    struct wk_row_conversation row;
    bool gone;
    size_t n;
    uint8_t key[];
};

static size_t overlay_key(struct wk_buf *out, wkim_slice uid, const struct wk_channel_key *ch)
{
    wk_buf_str(out, uid);
    im_channel_key_encode(out, ch->type, ch->id);
    return out->n;
}

void im_conv_overlay_clear(struct im_slot *is)
{
    struct wk_map_entry *e;

    while (is->conv_overlay.count && (e = wk_map_next(&is->conv_overlay, NULL))) {
        wk_map_remove(&is->conv_overlay, e);
        wk_free(WK_CONTAINER(e, struct overlay, entry));
    }
}

static int overlay_set(struct im_slot *is, wkim_slice uid, const struct wk_channel_key *ch,
                       const struct wk_row_conversation *row)
{
    struct wk_buf key = WK_BUF_INIT;
    size_t n = overlay_key(&key, uid, ch);
    struct wk_map_entry *e = key.oom ? NULL : wk_map_get(&is->conv_overlay, wk_buf_slice(&key));
    struct overlay *o = e ? WK_CONTAINER(e, struct overlay, entry) : NULL;
    int rc = key.oom ? WKIM_ENOMEM : WKIM_OK;

    if (rc == WKIM_OK && !o) {
        o = wk_calloc(1, sizeof(*o) + n);
        rc = o ? WKIM_OK : WKIM_ENOMEM;
        if (o) {
            memcpy(o->key, key.p, n);
            rc = wk_map_put(&is->conv_overlay, &o->entry, wk_slice(o->key, n));
            if (rc != WKIM_OK)
                wk_free(o);
        }
    }
    wk_buf_fini(&key);
    if (rc != WKIM_OK)
        return rc;
    o->gone = row == NULL;
    if (row)
        o->row = *row;
    return WKIM_OK;
}

int im_conv_get(struct im_slot *is, wkim_slice uid, const struct wk_channel_key *ch,
                struct wk_row_conversation *out)
{
    if (is->conv_overlay.count) {
        struct wk_buf key = WK_BUF_INIT;
        overlay_key(&key, uid, ch);
        if (key.oom) {
            wk_buf_fini(&key);
            return WKIM_ENOMEM;
        }
        struct wk_map_entry *e = wk_map_get(&is->conv_overlay, wk_buf_slice(&key));
        wk_buf_fini(&key);
        if (e) {
            const struct overlay *o = WK_CONTAINER(e, struct overlay, entry);
            if (o->gone)
                return WKIM_ENOTFOUND;
            *out = o->row;
            return WKIM_OK;
        }
    }
    return wk_conversation_get(wk_slot_store(is->slot), wk_slot_id(is->slot), uid, ch, out);
}

int im_conv_put(struct im_slot *is, struct wk_txn *txn, wkim_slice uid,
                const struct wk_channel_key *ch, const struct wk_row_conversation *row)
{
    int rc = overlay_set(is, uid, ch, row);

    if (rc != WKIM_OK)
        return rc;
    if (row)
        wk_conversation_put(txn, wk_slot_id(is->slot), uid, ch, row);
    else
        wk_conversation_delete(txn, wk_slot_id(is->slot), uid, ch);
    return WKIM_OK;
}

/* ---- commands -------------------------------------------------------------------------------- */

int im_conv_ensure_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    struct wk_channel_key key;
    int rc = WKIM_OK;

    im_channel_key_decode(&c, &key);
    uint64_t read_seq = wk_cursor_u64(&c);
    (void)wk_cursor_u8(&c);
    uint64_t now = wk_cursor_u64(&c);
    bool command = !c.bad && im_is_command(key.id);
    /* Rows of commands to a list remember the newest number, so that the last ack removes them. */
    bool listed = command && key.type == WKIM_CHANNEL_TEMP;
    while (rc == WKIM_OK && wk_cursor_left(&c) && !c.bad) {
        wkim_slice uid = wk_cursor_str(&c);
        struct wk_row_conversation row;
        if (c.bad)
            break;
        rc = im_conv_get(is, uid, &key, &row);
        if (rc == WKIM_OK && listed && row.join_seq <= read_seq) {
            row.join_seq = read_seq + 1;
            rc = im_conv_put(is, txn, uid, &key, row.read_seq > read_seq ? NULL : &row);
            continue;
        }
        if (rc != WKIM_ENOTFOUND)
            continue; /* an existing row keeps its positions */
        row = (struct wk_row_conversation){ .kind = command, .read_seq = read_seq,
                                            .join_seq = listed ? read_seq + 1 : read_seq,
                                            .created_ms = now, .updated_ms = now };
        rc = im_conv_put(is, txn, uid, &key, &row);
    }
    return rc;
}

int im_conv_remove_apply(struct im_slot *is, struct wk_txn *txn, bool leave, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    struct wk_channel_key key;
    int rc = WKIM_OK;

    struct wk_buf commands = WK_BUF_INIT;
    im_channel_key_decode(&c, &key);
    uint64_t now_ms = leave ? wk_cursor_u64(&c) : 0;
    wk_buf_bytes(&commands, key.id.p, key.id.n);
    wk_buf_bytes(&commands, IM_CMD_SUFFIX, sizeof(IM_CMD_SUFFIX) - 1);
    if (commands.oom)
        rc = WKIM_ENOMEM;
    const struct wk_channel_key command = { key.type, wk_buf_slice(&commands) };
    while (rc == WKIM_OK && wk_cursor_left(&c) && !c.bad) {
        wkim_slice uid = wk_cursor_str(&c);
        struct wk_row_conversation row;
        if (c.bad)
            break;
        rc = leave ? im_conv_get(is, uid, &key, &row) : WKIM_ENOTFOUND;
        if (rc == WKIM_OK)
            rc = im_left_note(is, txn, uid, &key, now_ms);
        if (rc == WKIM_OK || rc == WKIM_ENOTFOUND)
            rc = im_conv_put(is, txn, uid, &key, NULL);
        /* who left has no right to later commands */
        if (rc == WKIM_OK && key.type != WKIM_CHANNEL_PERSON)
            rc = im_conv_put(is, txn, uid, &command, NULL);
    }
    wk_buf_fini(&commands);
    return rc;
}

struct position {
    wkim_slice uid;
    struct wk_channel_key key;
    uint8_t kind;
    uint64_t n, now_ms, last;
};

static int decode(struct position *p, wkim_slice in, bool with_last)
{
    struct wk_cursor c = wk_cursor(in);

    p->uid = wk_cursor_str(&c);
    im_channel_key_decode(&c, &p->key);
    p->kind = wk_cursor_u8(&c);
    p->n = wk_cursor_u64(&c);
    p->now_ms = wk_cursor_u64(&c);
    p->last = with_last ? wk_cursor_u64(&c) : 0;
    return c.bad || p->uid.n == 0 || p->uid.n > WK_ID_BYTES_MAX ? WKIM_EPROTO : WKIM_OK;
}

/* Who comes to a channel starts with nothing unread and with the commands sent from now on. */
static void show(struct wk_row_conversation *row, const struct position *p, bool fresh)
{
    if (fresh) {
        row->kind = im_is_command(p->key.id);
        row->read_seq = row->join_seq = p->last;
    }
    row->activated = row->kind == 0;
    row->deleted = false;
}

int im_conv_position_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct position p;
    struct wk_row_conversation row;

    if (decode(&p, in, true) != WKIM_OK)
        return WKIM_OK;
    int rc = im_conv_get(is, p.uid, &p.key, &row);
    bool fresh = rc == WKIM_ENOTFOUND;
    if (fresh) {
        if (p.kind == IM_CONV_HIDE || p.kind == IM_CONV_DROP ||
            (p.last == 0 && p.kind != IM_CONV_SHOW))
            return WKIM_OK;
        row = (struct wk_row_conversation){ .created_ms = p.now_ms };
    } else if (rc != WKIM_OK) {
        return rc;
    }
    if (p.kind == IM_CONV_DROP)
        return im_conv_put(is, txn, p.uid, &p.key, NULL);
    if (p.kind == IM_CONV_HIDE) {
        row.deleted_seq = p.last;
        row.deleted = true;
        row.activated = false;
    } else if (p.kind == IM_CONV_SHOW) {
        show(&row, &p, fresh);
    } else if (p.kind == IM_CONV_SET && p.n > 0) {
        /* Exactly n unread, also when own messages are among them: they count as read only from the
         * number that was the last when this was set. */
        row.read_seq = p.n < p.last ? p.last - p.n : 0;
        row.unread_shift = (int64_t)p.last;
    } else {
        if (p.last > row.read_seq)
            row.read_seq = p.last;
        row.unread_shift = 0;
    }
    row.updated_ms = p.now_ms;
    return im_conv_put(is, txn, p.uid, &p.key, &row);
}

/* ---- clear, set unread, delete: ask the channel's slot for its last number, then write ------- */

struct ask {
    struct wk_call call;
    struct im_slot *is;
    struct wk_call *waiting;
};

static void asked(struct wk_call *c)
{
    struct ask *a = WK_CONTAINER(c, struct ask, call);
    struct wk_call *w = a->waiting;
    struct im_slot *is = a->is;
    uint64_t last = c->number[0];
    int rc = c->code;

    wk_call_fini(c);
    wk_free(a);
    if (rc != WKIM_OK) {
        w->code = rc;
        wk_call_finish(w);
        return;
    }
    struct wk_buf in = WK_BUF_INIT;
    wk_buf_bytes(&in, w->in->p, w->in->n);
    wk_buf_u64(&in, last);
    im_propose_next(is, w, IM_CONV_POSITION, &in);
}

enum wk_call_result im_conv_move_handle(struct im_slot *is, struct wk_call *c)
{
    struct wk_cluster *cl = wk_slot_cluster(is->slot);
    struct position p;
    struct wk_buf b = WK_BUF_INIT;

    c->code = decode(&p, wk_blob_slice(c->in), false);
    if (c->code != WKIM_OK || (is->im->opt.conversations_off && !im_is_command(p.key.id)))
        return WK_CALL_DONE; /* without conversations there is nothing to move */
    im_channel_key_encode(&b, p.key.type, p.key.id);
    wk_buf_u8(&b, 0);
    struct ask *a = wk_calloc(1, sizeof(*a));
    struct wk_blob *in = a && !b.oom ? wk_blob_copy(b.p, b.n) : NULL;
    wk_buf_fini(&b);
    if (!in) {
        wk_free(a);
        c->code = WKIM_ENOMEM;
        return WK_CALL_DONE;
    }
    a->is = is;
    a->waiting = c;
    wk_call_init(&a->call, IM_MESSAGE_LAST, in, asked);
    a->call.slot = wk_cluster_slot_of(cl, im_base_id(p.key.id));
    a->call.origin = wk_slot_shard(is->slot);
    wk_call_send(cl, &a->call);
    return WK_CALL_PENDING;
}
