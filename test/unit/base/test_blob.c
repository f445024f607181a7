#include "base/blob.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include "oom.h"

static void the_last_unref_frees(void **state)
{
    (void)state;
    struct wk_blob *b = wk_blob_copy("abc", 3);
    assert_true(wk_slice_eq(wk_blob_slice(b), WK_LIT("abc")));
    assert_ptr_equal(wk_blob_ref(b), b);
    wk_blob_unref(b);
    assert_int_equal(oom_live(), 1);
    wk_blob_unref(b);
    assert_int_equal(oom_live(), 0);
    wk_blob_unref(NULL);
    assert_int_equal(wk_blob_slice(NULL).n, 0);
}

static void empty_and_impossible_sizes(void **state)
{
    (void)state;
    struct wk_blob *b = wk_blob_copy(NULL, 0);
    assert_int_equal(wk_blob_slice(b).n, 0);
    wk_blob_unref(b);
    assert_null(wk_blob_new((size_t)UINT32_MAX + 1));
    oom_fail_at(1);
    assert_null(wk_blob_new(8));
    oom_fail_at(0);
    assert_int_equal(oom_live(), 0);
}

static void *many_refs(void *arg)
{
    for (int i = 0; i < 20000; i++)
        wk_blob_unref(wk_blob_ref(arg));
    wk_blob_unref(arg);
    return NULL;
}

static void threads_share_one_blob(void **state)
{
    (void)state;
    struct wk_blob *b = wk_blob_copy("shared", 6);
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, many_refs, wk_blob_ref(b)), 0);
    wk_blob_unref(b);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(oom_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_unref_frees),
        cmocka_unit_test(empty_and_impossible_sizes),
        cmocka_unit_test(threads_share_one_blob),
    };
    oom_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
