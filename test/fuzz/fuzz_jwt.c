/* Console accounts and tokens: any text as an account, a token, a name and a password.  A token
 * that is taken was signed with the secret and names an account; what is signed right is read as
 * far as its claims allow, whatever they are.
 * Input: u8 what, then texts separated by NUL: account, name, password, header, claims or token. */
#include "../../server/http/auth/accounts.c"
#include "../../server/http/auth/jwt.c"
#include "../../server/http/auth/password.c"
#include "../../server/http/text.c"

#include "base/error.h"

#define NOW 1700000000

static wkim_slice cut(wkim_slice *rest)
{
    wkim_slice left = *rest, right = {NULL, 0};

    wk_text_split(*rest, 0, &left, &right);
    *rest = right;
    return left;
}

static void set(wkim_config *cfg, const char *key, const char *value)
{
    wkim_error err;

    WK_ASSERT(wkim_config_set(cfg, key, value, WKIM_SOURCE_FLAG, NULL, &err) == WKIM_OK);
}

/* header and claims as given, signed with the right key; owned */
static char *sign_given(wkim_slice head, wkim_slice claims)
{
    const size_t room = (head.n + claims.n + MAC_BYTES) * 2 + 32;
    char *out = malloc(room);
    uint8_t mac[MAC_BYTES];

    WK_ASSERT(out);
    size_t n = base64url(out, head.p, head.n);
    out[n++] = '.';
    n += base64url(out + n, claims.p, claims.n);
    WK_ASSERT(sign((wkim_slice){(const uint8_t *)out, n}, wk_text_slice("secret"), mac));
    out[n++] = '.';
    base64url(out + n, mac, sizeof(mac));
    return out;
}

static void own_token_is_taken(const struct wk_accounts *a, wkim_slice name)
{
    int64_t expires;
    char *token = wk_accounts_token(a, name, NOW, &expires);

    /* A name beyond the room of a token gets none. */
    WK_ASSERT(token || name.n > WK_JWT_NAME_MAX || wk_accounts_permissions(a, name) == NULL);
    if (token && wk_accounts_permissions(a, name)) {
        WK_ASSERT(wk_accounts_of_token(a, wk_text_slice(token), NOW) || name.n == 0);
        WK_ASSERT(!wk_accounts_of_token(a, wk_text_slice(token), expires));
    }
    free(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wk_accounts *a;
    wkim_config *cfg;
    wkim_error err;

    if (size < 1 || wkim_config_new(&cfg) != WKIM_OK)
        return 0;
    wkim_slice rest = {data + 1, size - 1};
    const wkim_slice account = cut(&rest), name = cut(&rest), password = cut(&rest);

    set(cfg, "jwt.secret", "secret");
    WK_ASSERT(wkim_config_add(cfg, "auth.users", "admin:pwd:*", WKIM_SOURCE_FLAG, NULL, &err) == 0);
    char *text = strndup((const char *)account.p, account.n);
    WK_ASSERT(text);
    (void)wkim_config_add(cfg, "auth.users", text, WKIM_SOURCE_FLAG, NULL, &err);
    WK_ASSERT(wk_accounts_new(&a, cfg) == WKIM_OK);
    if (wk_accounts_login(a, name, password, "127.0.0.1", NOW) == WK_LOGIN_OK)
        WK_ASSERT(wk_accounts_permissions(a, name));
    (void)wk_accounts_allow(a, name, "slot", data[0] & 2 ? 'r' : 'w');
    own_token_is_taken(a, name);
    if (data[0] & 1) {
        const wkim_slice head = cut(&rest);
        char *token = sign_given(head, rest);

        (void)wk_accounts_of_token(a, wk_text_slice(token), NOW);
        free(token);
    } else {
        /* Nobody makes a MAC of the secret by chance. */
        WK_ASSERT(!wk_accounts_of_token(a, rest, NOW));
    }
    wk_accounts_free(a);
    wkim_config_free(cfg);
    free(text);
    return 0;
}
