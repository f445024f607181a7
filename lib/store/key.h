/* Key layout: u16 slot | u8 table | fields.  Integers are big-endian so that they sort; an id that
 * is not the last field is u16 length | bytes, so that no id is a prefix of another's range; an id
 * that is the last field stands as it is and sorts by its bytes. */
#ifndef WK_STORE_KEY_H
#define WK_STORE_KEY_H
#include "base/limits.h"
#include "store/store.h"

/* Numbers are part of the disk format: never reuse one.  64 and up: wk_row_put. */
enum wk_table {
    WK_TABLE_MESSAGE = 1,
    WK_TABLE_SENT = 3,
    WK_TABLE_CHANNEL = 4,
    WK_TABLE_MEMBER = 5,
    WK_TABLE_DEVICE = 6,
    /* 7 was kept for rows of users, which nothing wrote */
    WK_TABLE_SYSTEM_UID = 8,
    WK_TABLE_CONVERSATION = 9,
    WK_TABLE_OUTBOX = 10,
    WK_TABLE_APPLIED = 11,
    WK_TABLE_VALUE = 12,
    WK_TABLE_ROW_FIRST = 64
};

#define WK_KEY_HEAD_BYTES 3
/* Message keys carry a 32-bit hash of the channel right behind the head: a prefix of fixed length
 * then tells channels apart, which is what filters and insert hints of the back end need. */
#define WK_KEY_MESSAGE_PREFIX_BYTES (WK_KEY_HEAD_BYTES + 4)
#define WK_KEY_BYTES_MAX (2 * WK_ID_BYTES_MAX + 32)
/* Keys of the index column start with a 64-bit hash for the same reason. */
#define WK_KEY_INDEX_PREFIX_BYTES (WK_KEY_HEAD_BYTES + 8)
/* Built on the stack; p is not cleared. */
struct wk_key {
    int rc; /* WKIM_OK, or why the key cannot be: WKIM_EINVAL (slot), WKIM_ETOOBIG (id) */
    size_t n;
    uint8_t p[WK_KEY_BYTES_MAX];
};
void wk_key_init(struct wk_key *k, uint32_t slot, uint8_t table);
void wk_key_u8(struct wk_key *k, uint8_t v);
void wk_key_u32(struct wk_key *k, uint32_t v);
void wk_key_u64(struct wk_key *k, uint64_t v);
void wk_key_id(struct wk_key *k, wkim_slice id);   /* length-prefixed */
void wk_key_tail(struct wk_key *k, wkim_slice id); /* as it is; nothing may follow */
void wk_key_channel(struct wk_key *k, const struct wk_channel_key *ch);
/* The first key behind all keys that start with k. */
void wk_key_after_prefix(struct wk_key *k);
static inline wkim_slice wk_key_slice(const struct wk_key *k) { return wk_slice(k->p, k->n); }
#endif
