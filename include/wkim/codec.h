/* The binary client protocol for clients, tools and tests: packets <-> bytes, keys, sealing.
 * Pure functions; slices are borrowed from the input bytes. */
#ifndef WKIM_CODEC_H
#define WKIM_CODEC_H

#include <wkim/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum wkim_packet_type {
    WKIM_PACKET_CONNECT = 1,
    WKIM_PACKET_CONNACK = 2,
    WKIM_PACKET_SEND = 3,
    WKIM_PACKET_SENDACK = 4,
    WKIM_PACKET_RECV = 5,
    WKIM_PACKET_RECVACK = 6,
    WKIM_PACKET_PING = 7,
    WKIM_PACKET_PONG = 8,
    WKIM_PACKET_DISCONNECT = 9,
    WKIM_PACKET_SUB = 10,
    WKIM_PACKET_SUBACK = 11,
    WKIM_PACKET_EVENT = 12
};

/* One packet; fields that a type or version does not have are zero. */
typedef struct wkim_packet {
    uint8_t type;         /* enum wkim_packet_type */
    uint8_t flags;        /* WKIM_FLAG_*; CONNACK: bit 0 = has server version */
    uint8_t version;      /* CONNECT offered, CONNACK negotiated */
    uint8_t reason;
    uint8_t device_flag;
    uint8_t setting;
    uint8_t channel_type;
    uint8_t action;
    uint32_t client_seq;
    uint32_t expire_s;
    int64_t timestamp;    /* CONNECT ms, CONNACK time difference ms, RECV s, EVENT ms */
    int64_t message_id;
    uint64_t message_seq;
    uint64_t node_id;
    wkim_slice uid;       /* CONNECT uid, RECV from_uid */
    wkim_slice device_id;
    wkim_slice token;
    wkim_slice key;       /* CONNECT client key, CONNACK server key, SEND/RECV msg key */
    wkim_slice salt;
    wkim_slice channel_id;
    wkim_slice client_msg_no;
    wkim_slice topic;
    wkim_slice id;        /* EVENT id, SUB sub_no */
    wkim_slice name;      /* EVENT type, DISCONNECT text, SUB param */
    wkim_slice payload;   /* SEND, RECV, EVENT: as on the wire */
} wkim_packet;

/* Bytes used, 0: more are needed, < 0: WKIM_EPROTO, WKIM_ETOOBIG, WKIM_EUNSUPPORTED. */
WKIM_API wkim_ssize wkim_packet_decode(wkim_packet *out, const void *in, size_t n, uint8_t version,
                                       wkim_error *err);
/* Writes at most cap bytes.  Returns the size, also when cap is too small and nothing was written;
 * or an error. */
WKIM_API wkim_ssize wkim_packet_encode(const wkim_packet *p, uint8_t version, void *out,
                                       size_t cap);

/* Keys of one connection, client side. */
typedef struct wkim_cipher wkim_cipher; /* one thread at a time */
/* Makes a key pair; client_key gets the 44 characters (and a NUL) for CONNECT. */
WKIM_API int wkim_cipher_new(wkim_cipher **out, char client_key[45]);
WKIM_API void wkim_cipher_free(wkim_cipher *c);
/* After CONNACK: server key and salt as received. */
WKIM_API int wkim_cipher_derive(wkim_cipher *c, wkim_slice server_key, wkim_slice salt);
/* Seal a plain payload / open a received one into buffers of the cipher: *out is borrowed until the
 * next call on c.  WKIM_ECRYPTO when it is no proper sealing. */
WKIM_API int wkim_cipher_seal(wkim_cipher *c, wkim_slice plain, wkim_slice *out);
WKIM_API int wkim_cipher_open(wkim_cipher *c, wkim_slice sealed, wkim_slice *out);
/* msgKey of a SEND or RECV whose payload is already sealed (32 characters). */
WKIM_API int wkim_cipher_sign(wkim_cipher *c, const wkim_packet *p, char out[32]);

#ifdef __cplusplus
}
#endif
#endif
