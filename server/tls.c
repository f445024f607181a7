#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EXPIRY_WARN_S (14 * 86400)

static FILE *open_file(const char *path, char *text, size_t cap)
{
    FILE *f = fopen(path, "re");

    if (!f)
        (void)snprintf(text, cap, "cannot read \"%s\": %s", path, strerror(errno));
    return f;
}

static int check_dates(const X509 *cert, const char *file, char *text, size_t cap)
{
    time_t soon = time(NULL) + EXPIRY_WARN_S;

    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
        (void)snprintf(text, cap, "the certificate in \"%s\" has expired", file);
        return 1;
    }
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
        (void)snprintf(text, cap, "the certificate in \"%s\" is not valid yet", file);
        return 0;
    }
    if (X509_cmp_time(X509_get0_notAfter(cert), &soon) < 0) {
        (void)snprintf(text, cap, "the certificate in \"%s\" expires within 14 days", file);
        return 0;
    }
    return -1;
}

int wk_tls_check(const char *cert_file, const char *key_file, const char **which, char *text,
                 size_t cap)
{
    FILE *f = open_file(cert_file, text, cap);
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    int level = 1;

    *which = "cert";
    if (!f)
        return 1;
    cert = PEM_read_X509(f, NULL, NULL, NULL);
    (void)fclose(f);
    if (!cert) {
        (void)snprintf(text, cap, "\"%s\" holds no PEM certificate", cert_file);
        goto done;
    }
    *which = "key";
    f = open_file(key_file, text, cap);
    if (!f)
        goto done;
    key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    (void)fclose(f);
    if (!key)
        (void)snprintf(text, cap, "\"%s\" holds no PEM private key", key_file);
    else if (X509_check_private_key(cert, key) != 1)
        (void)snprintf(text, cap, "the key in \"%s\" does not belong to the certificate", key_file);
    else {
        *which = "cert";
        level = check_dates(cert, cert_file, text, cap);
    }
done:
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return level;
}

SSL_CTX *wk_tls_context(const char *cert_file, const char *key_file, wkim_error *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    err->code = WKIM_ECONFIG;
    if (!ctx) {
        (void)snprintf(err->text, sizeof(err->text), "TLS cannot be set up");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1) {
        (void)snprintf(err->text, sizeof(err->text),
                       "cannot use certificate \"%.100s\", key \"%.100s\"", cert_file, key_file);
        ERR_clear_error();
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

int64_t wk_tls_expiry(const char *cert_file)
{
    FILE *f = fopen(cert_file, "re");
    X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    struct tm end;
    int64_t until = -1;

    if (f)
        (void)fclose(f);
    if (cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) == 1)
        until = timegm(&end);
    X509_free(cert);
    return until;
}
