#include "store/key.h"

void wk_key_init(struct wk_key *k, uint32_t slot, uint8_t table)
{
    k->rc = slot <= UINT16_MAX ? WKIM_OK : WKIM_EINVAL;
    k->n = WK_KEY_HEAD_BYTES;
    k->p[0] = (uint8_t)(slot >> 8);
    k->p[1] = (uint8_t)slot;
    k->p[2] = table;
}

static uint8_t *extend(struct wk_key *k, size_t n)
{
    if (WK_KEY_BYTES_MAX - k->n < n) {
        k->rc = WKIM_ETOOBIG;
        return NULL;
    }
    uint8_t *at = k->p + k->n;
    k->n += n;
    return at;
}

void wk_key_u8(struct wk_key *k, uint8_t v)
{
    uint8_t *at = extend(k, 1);
    if (at)
        *at = v;
}

void wk_key_u32(struct wk_key *k, uint32_t v)
{
    uint8_t *at = extend(k, 4);
    for (int i = 0; at && i < 4; i++)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
}

void wk_key_u64(struct wk_key *k, uint64_t v)
{
    uint8_t *at = extend(k, 8);
    for (int i = 0; at && i < 8; i++)
        at[i] = (uint8_t)(v >> (56 - 8 * i));
}

void wk_key_tail(struct wk_key *k, wkim_slice id)
{
    uint8_t *at = extend(k, id.n);
    if (at && id.n)
        memcpy(at, id.p, id.n);
}

void wk_key_id(struct wk_key *k, wkim_slice id)
{
    if (id.n > WK_ID_BYTES_MAX) {
        k->rc = WKIM_ETOOBIG;
        return;
    }
    wk_key_u8(k, (uint8_t)(id.n >> 8));
    wk_key_u8(k, (uint8_t)id.n);
    wk_key_tail(k, id);
}

void wk_key_channel(struct wk_key *k, const struct wk_channel_key *ch)
{
    wk_key_u8(k, ch->type);
    wk_key_id(k, ch->id);
}

void wk_key_after_prefix(struct wk_key *k)
{
    while (k->n > 0 && k->p[k->n - 1] == 0xff)
        k->n--;
    /* Table numbers stay below 255, so a byte that can grow is always left. */
    WK_ASSERT(k->n > 0);
    k->p[k->n - 1]++;
}
