#include "crypto/crypto.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static void md5_known_answers(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "", "d41d8cd98f00b204e9800998ecf8427e" },
        { "abc", "900150983cd24fb0d6963f7d28e17f72" },
        { "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
          "57edf4a22be3c955ac49da2e2107b67a" },
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char hex[33] = { 0 };
        uint8_t raw[16];
        wk_md5_hex(hex, wk_str(pairs[i][0]));
        assert_string_equal(hex, pairs[i][1]);
        wk_md5(raw, wk_str(pairs[i][0]));
        for (size_t k = 0; k < 16; k++) {
            static const char digits[] = "0123456789abcdef";
            assert_int_equal(hex[2 * k], digits[raw[k] >> 4]);
            assert_int_equal(hex[2 * k + 1], digits[raw[k] & 15]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(md5_known_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
