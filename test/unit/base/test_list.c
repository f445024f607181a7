#include "base/list.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

struct item {
    int value;
    struct wk_list link;
};

static void keeps_order_and_survives_removal_while_walking(void **state)
{
    (void)state;
    struct wk_list head, *it, *tmp;
    struct item items[10];
    wk_list_init(&head);
    assert_true(wk_list_empty(&head));
    assert_null(wk_list_pop(&head));
    for (int i = 0; i < 10; i++) {
        items[i].value = i;
        wk_list_push(&head, &items[i].link);
    }
    WK_LIST_EACH(it, tmp, &head)
        if (WK_CONTAINER(it, struct item, link)->value % 2)
            wk_list_remove(it);
    wk_list_remove(&items[1].link);
    for (int i = 0; i < 10; i += 2)
        assert_ptr_equal(wk_list_pop(&head), &items[i].link);
    assert_true(wk_list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_and_survives_removal_while_walking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
