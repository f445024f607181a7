#include "base/map.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "oom.h"

#define KEYS 2000

struct item {
    struct wk_map_entry entry;
    char key[16];
    bool in;
    bool seen;
};

static struct item *items_new(void)
{
    struct item *items = calloc(KEYS, sizeof(*items));
    for (int i = 0; i < KEYS; i++)
        snprintf(items[i].key, sizeof(items[i].key), "k%d", i);
    return items;
}

static void check_iteration(struct wk_map *m, struct item *items)
{
    size_t n = 0;
    for (int i = 0; i < KEYS; i++)
        items[i].seen = false;
    for (struct wk_map_entry *e = wk_map_next(m, NULL); e; e = wk_map_next(m, e)) {
        struct item *it = WK_CONTAINER(e, struct item, entry);
        assert_true(it->in && !it->seen);
        it->seen = true;
        n++;
    }
    assert_int_equal(n, m->count);
}

static void behaves_like_a_set_of_flags(void **state)
{
    (void)state;
    struct item *items = items_new();
    struct wk_rng rng;
    struct wk_map m;
    size_t count = 0;
    wk_rng_seed(&rng, 7);
    wk_map_init(&m, 99);
    assert_null(wk_map_next(&m, NULL));
    assert_null(wk_map_get(&m, WK_LIT("k0")));
    for (int step = 0; step < 40000; step++) {
        struct item *it = &items[wk_rng_below(&rng, KEYS)];
        struct wk_map_entry *e = wk_map_get(&m, wk_str(it->key));
        assert_ptr_equal(e, it->in ? &it->entry : NULL);
        if (it->in) {
            wk_map_remove(&m, e);
            count--;
        } else {
            assert_int_equal(wk_map_put(&m, &it->entry, wk_str(it->key)), WKIM_OK);
            count++;
        }
        it->in = !it->in;
        assert_int_equal(m.count, count);
        if (step % 4000 == 0)
            check_iteration(&m, items);
    }
    wk_map_fini(&m);
    assert_int_equal(oom_live(), 0);
    free(items);
}

static void failed_growth_only_slows_it_down(void **state)
{
    (void)state;
    struct item *items = items_new();
    struct wk_map m;
    wk_map_init(&m, 1);
    oom_fail_at(1);
    assert_int_equal(wk_map_put(&m, &items[0].entry, wk_str(items[0].key)), WKIM_ENOMEM);
    assert_int_equal(m.count, 0);
    assert_null(wk_map_get(&m, wk_str(items[0].key)));
    oom_fail_at(0);
    assert_int_equal(wk_map_put(&m, &items[0].entry, wk_str(items[0].key)), WKIM_OK);
    oom_fail_from(1);
    for (int i = 1; i < KEYS; i++)
        assert_int_equal(wk_map_put(&m, &items[i].entry, wk_str(items[i].key)), WKIM_OK);
    assert_true(oom_hit());
    for (int i = 0; i < KEYS; i++)
        assert_ptr_equal(wk_map_get(&m, wk_str(items[i].key)), &items[i].entry);
    oom_fail_at(0);
    wk_map_fini(&m);
    assert_int_equal(oom_live(), 0);
    free(items);
}

static void keys_are_bytes(void **state)
{
    (void)state;
    struct wk_map m;
    struct wk_map_entry a, b, c;
    wk_map_init(&m, 5);
    assert_int_equal(wk_map_put(&m, &a, wk_slice(NULL, 0)), WKIM_OK);
    assert_int_equal(wk_map_put(&m, &b, wk_slice("\0", 1)), WKIM_OK);
    assert_int_equal(wk_map_put(&m, &c, wk_slice("\0\0", 2)), WKIM_OK);
    assert_ptr_equal(wk_map_get(&m, wk_slice(NULL, 0)), &a);
    assert_ptr_equal(wk_map_get(&m, wk_slice("\0", 1)), &b);
    assert_ptr_equal(wk_map_get(&m, wk_slice("\0\0", 2)), &c);
    assert_null(wk_map_get(&m, wk_slice("\0\0\0", 3)));
    wk_map_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_like_a_set_of_flags),
        cmocka_unit_test(failed_growth_only_slows_it_down),
        cmocka_unit_test(keys_are_bytes),
    };
    oom_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
