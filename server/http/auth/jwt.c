#include "http/auth/jwt.h"

#include "http/text.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 4096u /* longer ones are none of ours */
#define MAC_BYTES 32u

/* URL alphabet without padding.  Room: (n + 2) / 3 * 4 + 1. */
static size_t base64url(char *out, const uint8_t *p, size_t n)
{
    size_t len = (size_t)EVP_EncodeBlock((unsigned char *)out, p, (int)n);

    while (len && out[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
    out[len] = 0;
    return len;
}

/* Bytes written to out (room: TOKEN_MAX), -1 for anything that is not base64url. */
static wkim_ssize unbase64url(wkim_slice s, uint8_t *out)
{
    uint8_t padded[TOKEN_MAX + 4];
    size_t n = s.n;

    if (n > TOKEN_MAX || n % 4 == 1)
        return -1;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = s.p[i];

        if (c == '+' || c == '/' || c == '=' || c == '\n' || c == '\r')
            return -1;
        padded[i] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    while (n % 4)
        padded[n++] = '=';
    return wk_text_base64((wkim_slice){padded, n}, out);
}

static int sign(wkim_slice text, wkim_slice secret, uint8_t mac[MAC_BYTES])
{
    unsigned n = MAC_BYTES;

    return secret.n && secret.n <= INT32_MAX &&
           HMAC(EVP_sha256(), secret.p, (int)secret.n, text.p, text.n, mac, &n) && n == MAC_BYTES;
}

/* head "." claims "." mac into one owned text. */
static char *put_together(const char *claims, wkim_slice secret)
{
    static const char head[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    size_t n = strlen(claims), room = (sizeof(head) + n + MAC_BYTES) * 2 + 32, at;
    char *out = malloc(room);
    uint8_t mac[MAC_BYTES];

    if (!out)
        return NULL;
    at = base64url(out, (const uint8_t *)head, sizeof(head) - 1);
    out[at++] = '.';
    at += base64url(out + at, (const uint8_t *)claims, n);
    if (!sign((wkim_slice){(const uint8_t *)out, at}, secret, mac)) {
        free(out);
        return NULL;
    }
    out[at++] = '.';
    base64url(out + at, mac, sizeof(mac));
    return out;
}

char *wk_jwt_make(const struct wk_jwt_claims *c, wkim_slice secret)
{
    json_t *o = json_pack("{s:I,s:I,s:s,s:s}", "exp", (json_int_t)c->expires_s, "iat",
                          (json_int_t)c->issued_s, "iss", c->issuer, "username", c->username);
    char *claims = o ? json_dumps(o, JSON_COMPACT) : NULL;
    char *out = claims && strlen(claims) < TOKEN_MAX / 2 ? put_together(claims, secret) : NULL;

    free(claims);
    json_decref(o);
    return out;
}

static json_t *part_json(wkim_slice part)
{
    uint8_t bytes[TOKEN_MAX + 4];
    wkim_ssize n = unbase64url(part, bytes);

    return n < 0 ? NULL : json_loadb((const char *)bytes, (size_t)n, 0, NULL);
}

static int is_hs256(wkim_slice head)
{
    json_t *o = part_json(head);
    const char *alg = json_string_value(json_object_get(o, "alg"));
    int yes = alg && strcmp(alg, "HS256") == 0;

    json_decref(o);
    return yes;
}

static int read_claims(wkim_slice part, int64_t now_s, struct wk_jwt_claims *out)
{
    json_t *o = part_json(part);
    const char *name = json_string_value(json_object_get(o, "username"));
    const char *issuer = json_string_value(json_object_get(o, "iss"));
    const json_t *exp = json_object_get(o, "exp");
    int good = name && *name && strlen(name) <= WK_JWT_NAME_MAX && json_is_integer(exp) &&
               json_integer_value(exp) > now_s;

    *out = (struct wk_jwt_claims){0};
    if (good) {
        memcpy(out->username, name, strlen(name));
        if (issuer && strlen(issuer) <= WK_JWT_NAME_MAX)
            memcpy(out->issuer, issuer, strlen(issuer));
        out->expires_s = json_integer_value(exp);
        out->issued_s = json_integer_value(json_object_get(o, "iat"));
    }
    json_decref(o);
    return good;
}

int wk_jwt_read(wkim_slice token, wkim_slice secret, int64_t now_s, struct wk_jwt_claims *out)
{
    wkim_slice head, rest, claims, mac;
    uint8_t want[MAC_BYTES], have[TOKEN_MAX + 4];

    if (token.n > TOKEN_MAX || !wk_text_split(token, '.', &head, &rest) ||
        !wk_text_split(rest, '.', &claims, &mac))
        return 0;
    wkim_slice text = {token.p, head.n + 1 + claims.n};

    if (!sign(text, secret, want) || unbase64url(mac, have) != MAC_BYTES ||
        !wk_text_same_secret((wkim_slice){have, MAC_BYTES}, (wkim_slice){want, MAC_BYTES}))
        return 0;
    return is_hs256(head) && read_claims(claims, now_s, out);
}
