/* Certificates and the server side TLS context. */
#ifndef WK_SERVER_TLS_H
#define WK_SERVER_TLS_H

#include <openssl/ssl.h>
#include <wkim/error.h>

/* Looks at a certificate and its key.  -1: fine; 1 error, 0 warning with *which "cert" or "key" and
 * the reason in text. */
int wk_tls_check(const char *cert_file, const char *key_file, const char **which, char *text,
                 size_t cap);
/* Unix time at which the certificate ends, -1 when it cannot be read. */
int64_t wk_tls_expiry(const char *cert_file);
/* TLS 1.2 and later; owned: SSL_CTX_free.  NULL with err filled. */
SSL_CTX *wk_tls_context(const char *cert_file, const char *key_file, wkim_error *err);

#endif
