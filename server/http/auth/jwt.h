/* Console tokens: JSON Web Tokens signed with HMAC-SHA-256, and nothing else. */
#ifndef WK_HTTP_AUTH_JWT_H
#define WK_HTTP_AUTH_JWT_H

#include <wkim/types.h>

#define WK_JWT_NAME_MAX 128

struct wk_jwt_claims {
    char username[WK_JWT_NAME_MAX + 1];
    char issuer[WK_JWT_NAME_MAX + 1];
    int64_t issued_s, expires_s; /* Unix time */
};

/* Owned text (free), NULL without memory or when a name does not fit. */
char *wk_jwt_make(const struct wk_jwt_claims *claims, wkim_slice secret);
/* 1: signed with the secret, not expired at now_s, with a username.  0: anything else. */
int wk_jwt_read(wkim_slice token, wkim_slice secret, int64_t now_s, struct wk_jwt_claims *out);

#endif
