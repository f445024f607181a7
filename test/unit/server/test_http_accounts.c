/* Console accounts and their tokens. */
#include "../../../server/http/auth/accounts.c"
#include "../../../server/http/auth/jwt.c"
#include "../../../server/http/auth/password.c"
#include "../../../server/http/text.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW 1700000000

static wkim_slice S(const char *text)
{
    return wk_text_slice(text);
}

struct room {
    char dir[64], path[96];
    wkim_config *cfg;
    struct wk_accounts *a;
};

static void set(struct room *t, const char *key, const char *value)
{
    wkim_error err;

    assert_int_equal(wkim_config_set(t->cfg, key, value, WKIM_SOURCE_FLAG, NULL, &err), WKIM_OK);
}

static int setup(void **state)
{
    static struct room t;
    const char *tmp = getenv("TMPDIR");
    wkim_error err;

    t = (struct room){0};
    snprintf(t.dir, sizeof(t.dir), "%s/wkacc-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(t.dir) || wkim_config_new(&t.cfg) != WKIM_OK)
        return 1;
    snprintf(t.path, sizeof(t.path), "%s/jwt.secret", t.dir);
    set(&t, "rootDir", t.dir);
    set(&t, "jwt.expire", "1h");
    if (wkim_config_add(t.cfg, "auth.users", "admin:pwd:*", WKIM_SOURCE_FILE, NULL, &err) ||
        wkim_config_add(t.cfg, "auth.users", "guest:guest:[*:r]", WKIM_SOURCE_FILE, NULL, &err) ||
        wkim_config_add(t.cfg, "auth.users", "ops:o:[slot:rw,plugin:*,node:r]", WKIM_SOURCE_FILE,
                        NULL, &err))
        return 1;
    *state = &t;
    return 0;
}

static int teardown(void **state)
{
    struct room *t = *state;

    wk_accounts_free(t->a);
    wkim_config_free(t->cfg);
    unlink(t->path);
    return rmdir(t->dir);
}

static void open_accounts(struct room *t)
{
    assert_int_equal(wk_accounts_new(&t->a, t->cfg), WKIM_OK);
}

static void a_login_needs_the_right_pair(void **state)
{
    struct room *t = *state;

    open_accounts(t);
    assert_int_equal(wk_accounts_login(t->a, S("admin"), S("pwd"), "1.1.1.1", NOW), WK_LOGIN_OK);
    assert_int_equal(wk_accounts_login(t->a, S("admin"), S("guest"), "1.1.1.1", NOW),
                     WK_LOGIN_WRONG);
    assert_int_equal(wk_accounts_login(t->a, S("nobody"), S("pwd"), "1.1.1.1", NOW),
                     WK_LOGIN_WRONG);
    assert_int_equal(wk_accounts_login(t->a, S("nobody"), S("no such account"), "1.1.1.1", NOW),
                     WK_LOGIN_WRONG);
    assert_int_equal(wk_accounts_login(t->a, S("admin"), S(""), "1.1.1.1", NOW), WK_LOGIN_WRONG);
}

static void ten_failures_close_the_door_for_the_rest_of_the_minute(void **state)
{
    struct room *t = *state;

    open_accounts(t);
    for (int i = 0; i < 10; i++)
        assert_int_equal(wk_accounts_login(t->a, S("admin"), S("x"), "1.1.1.1", NOW),
                         WK_LOGIN_WRONG);
    assert_int_equal(wk_accounts_login(t->a, S("admin"), S("pwd"), "1.1.1.1", NOW + 59),
                     WK_LOGIN_TOO_OFTEN);
    assert_int_equal(wk_accounts_login(t->a, S("admin"), S("pwd"), "1.1.1.2", NOW + 59),
                     WK_LOGIN_OK);
    assert_int_equal(wk_accounts_login(t->a, S("admin"), S("pwd"), "1.1.1.1", NOW + 60),
                     WK_LOGIN_OK);
}

/* RFC 7914, 12: "pleaseletmein" with the salt "SodiumChloride". */
#define RFC_HASH                                                                                   \
    "{scrypt}14.8.1.536f6469756d43686c6f72696465.7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3e" \
    "a9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"

static void a_hash_stands_for_its_password(void **state)
{
    struct room *t = *state;
    char hash[WK_PASSWORD_HASH_MAX];
    wkim_error err;

    assert_true(wk_password_is(RFC_HASH, S("pleaseletmein")));
    assert_false(wk_password_is(RFC_HASH, S("pleaseletmeiN")));
    assert_false(wk_password_is(RFC_HASH, S(RFC_HASH)));
    assert_int_equal(wk_password_hash(S("secret"), hash), 0);
    assert_true(wk_password_hashed(hash) && wk_password_is(hash, S("secret")));
    assert_false(wk_password_is(hash, S("")));
    assert_int_equal(wkim_config_add(t->cfg, "auth.users", "hashed:" RFC_HASH ":[*:r]",
                                     WKIM_SOURCE_FILE, NULL, &err),
                     WKIM_OK);
    open_accounts(t);
    assert_int_equal(wk_accounts_login(t->a, S("hashed"), S("pleaseletmein"), "1", NOW),
                     WK_LOGIN_OK);
    assert_int_equal(wk_accounts_login(t->a, S("hashed"), S("x"), "1", NOW), WK_LOGIN_WRONG);
    assert_int_equal(wk_accounts_login(t->a, S("nobody"), S("pleaseletmein"), "1", NOW),
                     WK_LOGIN_WRONG);
    assert_int_equal(wk_accounts_login(t->a, S("admin"), S("pwd"), "1", NOW), WK_LOGIN_OK);
}

static void a_hash_that_is_none_opens_nothing(void **state)
{
    static const char *const bad[] = {
        "{scrypt}",          "{scrypt}14.8.1.00",        "{scrypt}14.8.1.00.00",
        "{scrypt}14.8.1..",  "{scrypt}0.8.1.00.%",       "{scrypt}20.32.1.00.%",
        "{scrypt}x.8.1.0.%", "{scrypt}14.8.1.00.0g%",    "{scrypt}14.8.99.00.%",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[200];
        const char *rest = strchr(bad[i], '%');

        snprintf(text, sizeof(text), "%.*s%s", (int)strcspn(bad[i], "%"), bad[i],
                 rest ? "00000000000000000000000000000000" : "");
        assert_false(wk_password_hashed(text));
        assert_false(wk_password_is(text, S(text)));
        assert_false(wk_password_is(text, S("")));
    }
}

static void grants_name_resource_and_action(void **state)
{
    struct room *t = *state;

    open_accounts(t);
    assert_string_equal(wk_accounts_permissions(t->a, S("admin")), "*:*");
    assert_string_equal(wk_accounts_permissions(t->a, S("guest")), "*:r");
    assert_null(wk_accounts_permissions(t->a, S("nobody")));
    assert_true(wk_accounts_allow(t->a, S("admin"), "plugin", 'w'));
    assert_true(wk_accounts_allow(t->a, S("guest"), "plugin", 'r'));
    assert_false(wk_accounts_allow(t->a, S("guest"), "plugin", 'w'));
    assert_true(wk_accounts_allow(t->a, S("ops"), "slot", 'w'));
    assert_true(wk_accounts_allow(t->a, S("ops"), "plugin", 'w'));
    assert_false(wk_accounts_allow(t->a, S("ops"), "node", 'w'));
    assert_false(wk_accounts_allow(t->a, S("ops"), "other", 'r'));
    assert_false(wk_accounts_allow(t->a, S("nobody"), "slot", 'r'));
}

static void a_token_names_its_account_until_it_expires(void **state)
{
    struct room *t = *state;
    int64_t expires = 0;

    open_accounts(t);
    char *token = wk_accounts_token(t->a, S("guest"), NOW, &expires);

    assert_non_null(token);
    assert_int_equal(expires, NOW + 3600);
    assert_string_equal(wk_accounts_of_token(t->a, S(token), NOW), "guest");
    assert_string_equal(wk_accounts_of_token(t->a, S(token), NOW + 3599), "guest");
    assert_null(wk_accounts_of_token(t->a, S(token), NOW + 3600));
    free(token);
    token = wk_accounts_token(t->a, S("nobody"), NOW, &expires);
    assert_non_null(token);
    assert_null(wk_accounts_of_token(t->a, S(token), NOW));
    free(token);
}

static void the_secret_is_made_once_and_kept_private(void **state)
{
    struct room *t = *state;
    int64_t expires;
    struct stat st;

    open_accounts(t);
    char *token = wk_accounts_token(t->a, S("admin"), NOW, &expires);

    assert_int_equal(stat(t->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 64);
    wk_accounts_free(t->a);
    open_accounts(t);
    assert_non_null(wk_accounts_of_token(t->a, S(token), NOW));
    wk_accounts_free(t->a);
    set(t, "jwt.secret", "another");
    open_accounts(t);
    assert_null(wk_accounts_of_token(t->a, S(token), NOW));
    free(token);
}

static void a_cut_off_secret_is_made_anew(void **state)
{
    struct room *t = *state;
    FILE *f = fopen(t->path, "w");
    struct stat st;

    assert_non_null(f);
    fputs("abc", f);
    fclose(f);
    open_accounts(t);
    assert_int_equal(stat(t->path, &st), 0);
    assert_int_equal(st.st_size, 64);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* Made by the reference with the secret "spec-secret". */
static void a_token_of_the_reference_is_read(void **state)
{
    static const char token[] =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3OTc4NDQyOTIsImlhdCI6MTc5NTI1MjI5MiwiaXNz"
        "Ijoid3Vrb25naW0iLCJ1c2VybmFtZSI6ImFkbWluIn0.-I9YACJnLkGSu8wsjlgMOHrRCprcWpeTKmDE3jv14M4";
    struct wk_jwt_claims c;
    char *own;

    (void)state;
    assert_true(wk_jwt_read(S(token), S("spec-secret"), NOW, &c));
    assert_string_equal(c.username, "admin");
    assert_string_equal(c.issuer, "wukongim");
    assert_int_equal(c.expires_s, 1797844292);
    assert_int_equal(c.issued_s, 1795252292);
    own = wk_jwt_make(&c, S("spec-secret"));
    assert_string_equal(own, token);
    free(own);
    assert_false(wk_jwt_read(S(token), S("spec-secreT"), NOW, &c));
    assert_false(wk_jwt_read(S(token), S(""), NOW, &c));
}

static char *forge(const char *head, const char *claims, const char *secret)
{
    static char out[1024];
    uint8_t mac[MAC_BYTES];
    size_t n = base64url(out, (const uint8_t *)head, strlen(head));

    out[n++] = '.';
    n += base64url(out + n, (const uint8_t *)claims, strlen(claims));
    assert_true(sign((wkim_slice){(const uint8_t *)out, n}, S(secret), mac));
    out[n++] = '.';
    base64url(out + n, mac, sizeof(mac));
    return out;
}

static void only_hs256_with_expiry_and_name_is_accepted(void **state)
{
    static const char good[] = "{\"alg\":\"HS256\"}";
    struct wk_jwt_claims c;

    (void)state;
    assert_true(wk_jwt_read(S(forge(good, "{\"exp\":9999999999,\"username\":\"a\"}", "k")), S("k"),
                            NOW, &c));
    assert_false(wk_jwt_read(
        S(forge("{\"alg\":\"none\"}", "{\"exp\":9999999999,\"username\":\"a\"}", "k")), S("k"), NOW,
        &c));
    assert_false(wk_jwt_read(
        S(forge("{\"alg\":\"HS512\"}", "{\"exp\":9999999999,\"username\":\"a\"}", "k")), S("k"),
        NOW, &c));
    assert_false(wk_jwt_read(S(forge(good, "{\"username\":\"a\"}", "k")), S("k"), NOW, &c));
    assert_false(wk_jwt_read(S(forge(good, "{\"exp\":9999999999}", "k")), S("k"), NOW, &c));
    assert_false(wk_jwt_read(S(forge(good, "{\"exp\":9999999999,\"username\":7}", "k")), S("k"),
                             NOW, &c));
    assert_false(wk_jwt_read(S(forge(good, "[]", "k")), S("k"), NOW, &c));
    assert_false(wk_jwt_read(S(forge("x", "{\"exp\":9999999999,\"username\":\"a\"}", "k")), S("k"),
                             NOW, &c));
}

static void nobody_without_a_name_gets_a_token(void **state)
{
    struct room *t = *state;
    int64_t expires;

    open_accounts(t);
    assert_null(wk_accounts_token(t->a, (wkim_slice){NULL, 0}, NOW, &expires));
}

static void a_changed_byte_anywhere_breaks_a_token(void **state)
{
    const char *token =
        forge("{\"alg\":\"HS256\"}", "{\"exp\":9999999999,\"username\":\"a\"}", "k");
    size_t n = strlen(token);
    char copy[1024];
    struct wk_jwt_claims c;

    (void)state;
    /* The last character carries four spare bits, so it is left out. */
    for (size_t i = 0; i + 1 < n; i++) {
        memcpy(copy, token, n + 1);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        assert_false(wk_jwt_read(S(copy), S("k"), NOW, &c));
        assert_false(wk_jwt_read((wkim_slice){(const uint8_t *)token, i}, S("k"), NOW, &c));
    }
    assert_false(wk_jwt_read(S(""), S("k"), NOW, &c));
    assert_false(wk_jwt_read(S(".."), S("k"), NOW, &c));
    assert_false(wk_jwt_read(S("..."), S("k"), NOW, &c));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_login_needs_the_right_pair),
        T(ten_failures_close_the_door_for_the_rest_of_the_minute),
        T(grants_name_resource_and_action),
        T(a_token_names_its_account_until_it_expires),
        T(the_secret_is_made_once_and_kept_private),
        T(a_cut_off_secret_is_made_anew),
        T(nobody_without_a_name_gets_a_token),
        T(a_hash_stands_for_its_password),
        cmocka_unit_test(a_hash_that_is_none_opens_nothing),
        cmocka_unit_test(a_token_of_the_reference_is_read),
        cmocka_unit_test(only_hs256_with_expiry_and_name_is_accepted),
        cmocka_unit_test(a_changed_byte_anywhere_breaks_a_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
