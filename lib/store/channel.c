/* channels: channel -> u8 format | u8 flags | varint fields.  Format 1 ends before erased_to. */
#include "store/txn.h"
#include "base/cursor.h"

#define FORMAT_FIRST 1
#define FORMAT 2

enum {
    FLAG_BAN = 1,
    FLAG_LARGE = 2,
    FLAG_DISBAND = 4,
    FLAG_SEND_BAN = 8,
    FLAG_ALLOW_STRANGER = 16,
    FLAG_EXISTS = 32,
    FLAG_CONVERSATIONS = 64,
    FLAGS_KNOWN = 127
};

static void channel_key(struct wk_key *k, uint32_t slot, const struct wk_channel_key *ch)
{
    wk_key_init(k, slot, WK_TABLE_CHANNEL);
    wk_key_channel(k, ch);
}

static uint8_t flags_of(const struct wk_row_channel *r)
{
    return (uint8_t)((r->ban ? FLAG_BAN : 0) | (r->large ? FLAG_LARGE : 0) |
                     (r->disband ? FLAG_DISBAND : 0) | (r->send_ban ? FLAG_SEND_BAN : 0) |
                     (r->allow_stranger ? FLAG_ALLOW_STRANGER : 0) | (r->exists ? FLAG_EXISTS : 0) |
                     (r->conversations ? FLAG_CONVERSATIONS : 0));
}

void wk_channel_put(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                    const struct wk_row_channel *row)
{
    struct wk_key k;

    channel_key(&k, slot, ch);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_METADATA, &k, 96);
    wk_buf_u8(b, FORMAT);
    wk_buf_u8(b, flags_of(row));
    wk_buf_varint(b, row->last_seq_floor);
    wk_buf_varint(b, row->retained_from);
    wk_buf_varint(b, row->members_version);
    wk_buf_varint(b, row->n_subscribers);
    wk_buf_varint(b, row->n_allow);
    wk_buf_varint(b, row->n_deny);
    wk_buf_varint(b, row->created_ms);
    wk_buf_varint(b, row->updated_ms);
    wk_buf_varint(b, row->erased_to);
    wk_buf_varint(b, row->holed_to);
    wk_buf_varint(b, row->sized_to);
    wk_buf_varint(b, row->sized_bytes);
    wk_buf_u8(b, row->keep.set);
    wk_buf_varint(b, row->keep.age_s);
    wk_buf_varint(b, row->keep.messages);
    wk_buf_varint(b, row->keep.bytes);
    wk_txn_put_end(t);
}

static void decode_history(struct wk_row_channel *row, struct wk_cursor *c)
{
    row->erased_to = wk_cursor_varint(c);
    row->holed_to = wk_cursor_varint(c);
    row->sized_to = wk_cursor_varint(c);
    row->sized_bytes = wk_cursor_varint(c);
    row->keep.set = wk_cursor_u8(c);
    row->keep.age_s = wk_cursor_varint(c);
    row->keep.messages = wk_cursor_varint(c);
    row->keep.bytes = wk_cursor_varint(c);
}

static int decode(void *arg, wkim_slice value)
{
    struct wk_cursor c = wk_cursor(value);
    uint8_t format = wk_cursor_u8(&c);

    if (format != FORMAT && format != FORMAT_FIRST)
        return WKIM_ECORRUPT;
    uint8_t flags = wk_cursor_u8(&c);
    struct wk_row_channel row = {
        .ban = flags & FLAG_BAN,
        .large = flags & FLAG_LARGE,
        .disband = flags & FLAG_DISBAND,
        .send_ban = flags & FLAG_SEND_BAN,
        .allow_stranger = flags & FLAG_ALLOW_STRANGER,
        .exists = flags & FLAG_EXISTS,
        .conversations = flags & FLAG_CONVERSATIONS,
    };
    row.last_seq_floor = wk_cursor_varint(&c);
    row.retained_from = wk_cursor_varint(&c);
    row.members_version = wk_cursor_varint(&c);
    row.n_subscribers = wk_cursor_varint(&c);
    row.n_allow = wk_cursor_varint(&c);
    row.n_deny = wk_cursor_varint(&c);
    row.created_ms = wk_cursor_varint(&c);
    row.updated_ms = wk_cursor_varint(&c);
    if (format == FORMAT)
        decode_history(&row, &c);
    else if (row.retained_from)
        row.erased_to = row.retained_from - 1; /* whoever set it deleted the rows, too */
    if (c.bad || wk_cursor_left(&c) != 0 || (flags & ~FLAGS_KNOWN))
        return WKIM_ECORRUPT;
    *(struct wk_row_channel *)arg = row;
    return WKIM_OK;
}

int wk_channel_get(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch,
                   struct wk_row_channel *out)
{
    struct wk_key k;

    channel_key(&k, slot, ch);
    return wk_store_get(s, WK_COLUMN_METADATA, &k, decode, out);
}
