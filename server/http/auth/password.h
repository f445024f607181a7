/* Passwords of console accounts, in clear or as {scrypt}LN.R.P.SALT.HASH: N is 2^LN, salt and hash
 * are hexadecimal.  A check of a hash takes 128 * N * R bytes and some hundredths of a second. */
#ifndef WK_HTTP_AUTH_PASSWORD_H
#define WK_HTTP_AUTH_PASSWORD_H

#include <wkim/types.h>

#define WK_PASSWORD_SCHEME "{scrypt}"
#define WK_PASSWORD_HASH_MAX 160 /* bytes of the text, NUL included */

/* 1: `given` is the password behind `stored`.  Its duration tells of neither. */
int wk_password_is(const char *stored, wkim_slice given);
/* 1: it is a hash and well-formed. */
int wk_password_hashed(const char *stored);
/* A hash with a fresh salt.  0, or -1 when there is no memory or no randomness. */
int wk_password_hash(wkim_slice password, char out[WK_PASSWORD_HASH_MAX]);

#endif
