/* Shared by the files of this room and by its tests. */
#ifndef WK_CRYPTO_INTERNAL_H
#define WK_CRYPTO_INTERNAL_H
#include <openssl/md5.h>
#include "crypto/crypto.h"

/* Data moves through the room in pieces of this many bytes: 48 of them are three cipher blocks, 64
 * base64 digits and one MD5 block, so no piece but the last leaves a rest anywhere. */
#define WK_PIECE_BYTES 768
#define WK_PIECE_TEXT_BYTES WK_BASE64_LEN(WK_PIECE_BYTES)
#define WK_LANES 8

/* MD5 in steps (digest.c). */
void wk_md5_init(MD5_CTX *c);
void wk_md5_update(MD5_CTX *c, const void *p, size_t n);
void wk_md5_final_hex(MD5_CTX *c, char out[32]);
void wk_hex_lower(char *out, const uint8_t *p, size_t n); /* 2n characters, no NUL */

/* The portable halves of base64.c, for comparison. */
void wk_base64_encode_scalar(char *out, const uint8_t *in, size_t n);
wkim_ssize wk_base64_decode_scalar(uint8_t *out, const uint8_t *in, size_t n);

/* AES-128 by CPU instructions (aesni.c).  Call the others only when usable. */
struct wk_aes_key {
    uint8_t round[11][16];
};
bool wk_aesni_usable(void);
void wk_aesni_expand(struct wk_aes_key *k, const uint8_t key[16]);
/* In place; iv becomes the last ciphertext block. */
void wk_aesni_cbc_encrypt(const struct wk_aes_key *k, uint8_t iv[16], uint8_t *p, size_t blocks);
void wk_aesni_cbc_decrypt(const struct wk_aes_key *k, const uint8_t iv[16], uint8_t *p,
                          size_t blocks);
/* One independent stream per lane, the same number of blocks in each. */
void wk_aesni_cbc_encrypt_lanes(const struct wk_aes_key k[WK_LANES], uint8_t iv[WK_LANES][16],
                                uint8_t *const p[WK_LANES], size_t blocks);

/* MD5 of eight streams (md5lanes.c).  Lane l advances by blocks[l] blocks of 64 bytes at p[l];
 * every p[l] must be readable for the largest of the counts. */
bool wk_md5_lanes_usable(void);
void wk_md5_lanes_init(uint32_t state[4][WK_LANES]);
void wk_md5_lanes_update(uint32_t state[4][WK_LANES], const uint8_t *const p[WK_LANES],
                         const size_t blocks[WK_LANES]);

/* Reader over joined parts followed by PKCS#7 padding. */
struct wk_gather {
    const wkim_slice *parts;
    size_t n_parts;
    wkim_slice tail; /* one more part behind the others */
    size_t part, at; /* position: part index (n_parts = the tail) and offset in it */
    size_t left;     /* bytes left, without the padding */
    uint8_t pad;     /* padding bytes still to come, 0 when all is read */
};
int wk_gather_init(struct wk_gather *g, const wkim_slice *parts, size_t n_parts, wkim_slice tail);
/* Fill a piece; returns its length, a multiple of 16 (under WK_PIECE_BYTES only at the end), or 0
 * when everything has been read. */
size_t wk_gather_piece(struct wk_gather *g, uint8_t out[WK_PIECE_BYTES]);

/* Scratch of the lanes; zeroed once, as idle lanes run over stale bytes. */
struct wk_lanes {
    struct wk_aes_key key[WK_LANES];
    uint8_t iv[WK_LANES][16];
    uint8_t piece[WK_LANES][WK_PIECE_BYTES];
    uint8_t text[WK_LANES][WK_PIECE_TEXT_BYTES + 128]; /* room for the MD5 padding */
};
struct wk_crypto {
    void *evp_cipher, *evp_encrypt, *evp_decrypt;
    bool use_aesni, use_lanes;
    bool key_valid; /* key is the expansion of key_bytes */
    uint8_t key_bytes[16];
    struct wk_aes_key key;
    uint8_t piece[WK_PIECE_BYTES];
    char text[WK_PIECE_TEXT_BYTES];
    struct wk_lanes lanes;
};
/* Use less of the CPU than there is; for tests and measurements. */
void wk_crypto_restrict(struct wk_crypto *c, bool aesni, bool lanes);
/* wk_seal into WK_SEALED_LEN(plain.n) bytes. */
int wk_seal_into(struct wk_crypto *c, const struct wk_cipher *k, wkim_slice plain, char *out);
/* wk_msg_key with one more part. */
int wk_msg_key_tail(struct wk_crypto *c, const struct wk_cipher *k, const wkim_slice *parts,
                    size_t n, wkim_slice tail, char out[32]);
#endif
