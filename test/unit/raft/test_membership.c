#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "raft/internal.h"

static int decode(struct wk_raft_conf *out, const uint8_t *p, size_t n)
{
    return wk_raft_conf_decode(out, wk_slice(p, n));
}

static void a_configuration_survives_its_encoding_for_every_size(void **state)
{
    (void)state;
    for (uint8_t v = 0; v <= WK_RAFT_PEERS_MAX; v++) {
        for (uint8_t l = 0; v + l <= WK_RAFT_PEERS_MAX; l++) {
            struct wk_raft_conf c = { .n_voters = v, .n_learners = l }, got;
            struct wk_buf b = WK_BUF_INIT;
            for (uint8_t i = 0; i < v; i++)
                c.voters[i] = UINT64_MAX - i;
            for (uint8_t i = 0; i < l; i++)
                c.learners[i] = i + 1u;
            wk_raft_conf_encode(&b, &c);
            assert_int_equal(decode(&got, b.p, b.n), WKIM_OK);
            assert_memory_equal(&got, &c, sizeof(c));
            for (size_t n = 0; n < b.n; n++)
                assert_int_equal(decode(&got, b.p, n), WKIM_EPROTO);
            wk_buf_u8(&b, 0);
            assert_int_equal(decode(&got, b.p, b.n), WKIM_EPROTO);
            wk_buf_fini(&b);
        }
    }
}

static void a_configuration_that_cannot_be_is_refused(void **state)
{
    (void)state;
    struct wk_raft_conf got;
    const uint8_t version[] = { 2, 0, 0 };
    const uint8_t too_many[3 + 17 * 8] = { 1, 9, 8 };
    uint8_t two[3 + 16] = { 1, 1, 1 };
    assert_int_equal(decode(&got, version, sizeof(version)), WKIM_EPROTO);
    assert_int_equal(decode(&got, too_many, sizeof(too_many)), WKIM_EPROTO);
    assert_int_equal(decode(&got, two, sizeof(two)), WKIM_EPROTO); /* id 0 */
    two[10] = two[18] = 5;
    assert_int_equal(decode(&got, two, sizeof(two)), WKIM_EPROTO); /* twice the same */
    two[18] = 6;
    assert_int_equal(decode(&got, two, sizeof(two)), WKIM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_survives_its_encoding_for_every_size),
        cmocka_unit_test(a_configuration_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
