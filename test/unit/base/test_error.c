#include "base/error.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void every_code_has_name_text_and_retryability(void **state)
{
    (void)state;
#define CHECK(name, value, retry, text)                    \
    assert_int_equal(WKIM_##name, value);                  \
    assert_string_equal(wkim_err_name(value), #name);      \
    assert_string_equal(wkim_strerror(value), text);       \
    assert_int_equal(wkim_err_retryable(value), retry);
    WKIM_ERR_MAP(CHECK)
#undef CHECK
    assert_string_equal(wkim_err_name(WKIM_OK), "OK");
    assert_int_equal(wkim_err_retryable(WKIM_OK), 0);
}

static void unknown_codes_still_get_a_text(void **state)
{
    (void)state;
    static const int codes[] = { 1, -9999, INT_MIN, INT_MAX };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_string_equal(wkim_err_name(codes[i]), "EUNKNOWN");
        assert_string_equal(wkim_strerror(codes[i]), "unknown error");
        assert_int_equal(wkim_err_retryable(codes[i]), 0);
    }
}

static void fail_returns_its_code_and_cuts_long_text(void **state)
{
    (void)state;
    wkim_error err;
    assert_int_equal(wk_fail(&err, WKIM_ETOOBIG, "payload %d > %d", 7, 3), WKIM_ETOOBIG);
    assert_int_equal(err.code, WKIM_ETOOBIG);
    assert_string_equal(err.text, "payload 7 > 3");
    assert_int_equal(wk_fail(NULL, WKIM_EIO, "nobody listens %s", "here"), WKIM_EIO);
    assert_int_equal(wk_fail(&err, WKIM_EIO, "%0400d", 1), WKIM_EIO);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void a_broken_invariant_aborts(void **state)
{
    (void)state;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        WK_ASSERT(pid != 0);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_name_text_and_retryability),
        cmocka_unit_test(unknown_codes_still_get_a_text),
        cmocka_unit_test(fail_returns_its_code_and_cuts_long_text),
        cmocka_unit_test(a_broken_invariant_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
