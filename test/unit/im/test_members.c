/* Lists of uids against a plain array of flags; who holds a list sees it unchanged. */
#include "base/clock.h"
#include "im/internal.h"
#include "im_test.h"

#define UIDS 5000

static wkim_slice name(unsigned i)
{
    static char text[16];
    return wk_slice((uint8_t *)text, (size_t)snprintf(text, sizeof(text), "u%05u", i));
}

static void expect(const struct im_members *m, const bool *in)
{
    struct im_members_at at = { 0 };
    const struct im_member *v;
    uint32_t n = 0;
    wkim_slice uid;

    for (unsigned i = 0; i < UIDS; i++) {
        if (!in[i])
            continue;
        v = im_members_next(m, &at, &uid);
        assert_non_null(v);
        assert_true(wk_slice_eq(uid, name(i)));
        assert_int_equal(v->slot, wk_cluster_slot_of(c.cluster, uid));
        assert_int_equal(v->hash, im_presence_hash(uid));
        n++;
    }
    assert_null(im_members_next(m, &at, &uid));
    assert_int_equal(m->n, n);
    for (uint32_t i = 0; i < m->n_chunks; i++) {
        assert_true(m->chunks[i]->n > 0 && m->chunks[i]->n <= IM_CHUNK_MEMBERS);
        assert_true(m->chunks[i]->text.n < 4096 + 2 * 6 * (m->chunks[i]->n + 64));
    }
}

static void changes_in_any_order_keep_the_list_sorted(void **state)
{
    static bool in[UIDS], held_in[UIDS];
    struct im_members *m, *held = NULL;
    struct wk_rng r;
    (void)state;

    wk_rng_seed(&r, 7);
    assert_int_equal(im_members_new(&m), WKIM_OK);
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned k = 0; k < 1500; k++) {
            unsigned i = (unsigned)wk_rng_below(&r, UIDS);
            bool add = wk_rng_below(&r, 10) < (round < 15 ? 8 : 2);
            int rc = add ? im_members_add(&m, c.cluster, name(i)) : im_members_remove(&m, name(i));
            assert_int_equal(rc, in[i] != add);
            in[i] = add;
            assert_int_equal(im_members_has(m, name(i)), add);
        }
        expect(m, in);
        if (held)
            expect(held, held_in);
        im_members_unref(held);
        held = im_members_ref(m);
        memcpy(held_in, in, sizeof(in));
    }
    im_members_unref(held);
    im_members_unref(m);
}

static void uids_in_order_fill_their_chunks(void **state)
{
    struct im_members *m;
    (void)state;

    assert_int_equal(im_members_new(&m), WKIM_OK);
    for (unsigned i = 0; i < UIDS; i++)
        assert_int_equal(im_members_add(&m, c.cluster, name(i)), 1);
    assert_int_equal(m->n_chunks, (UIDS + IM_CHUNK_MEMBERS - 1) / IM_CHUNK_MEMBERS);
    for (unsigned i = 0; i < UIDS; i++)
        assert_int_equal(im_members_remove(&m, name(i)), 1);
    assert_int_equal(m->n_chunks, 0);
    im_members_unref(m);
}

/* What a walk that stopped goes on with, whether the uid is still there or not. */
static void a_walk_goes_on_behind_any_uid(void **state)
{
    struct im_members *m;
    wkim_slice uid = wk_slice(NULL, 0);
    (void)state;

    assert_int_equal(im_members_new(&m), WKIM_OK);
    struct im_members_at at = im_members_after(m, wk_str("x"));
    assert_null(im_members_next(m, &at, &uid));
    for (unsigned i = 0; i < UIDS; i += 2)
        assert_int_equal(im_members_add(&m, c.cluster, name(i)), 1);
    at = im_members_after(m, wk_slice(NULL, 0));
    for (unsigned i = 0; i < UIDS; i++) {
        assert_non_null(im_members_next(m, &at, &uid));
        assert_true(wk_slice_eq(uid, name((i + 1) / 2 * 2)));
        at = im_members_after(m, name(i));
        if (i + 2 >= UIDS)
            break;
    }
    im_members_unref(m);
}

/* A delivery holds the list during every change: what is copied is a chunk, not the list. */
static void a_change_of_a_held_list_copies_little(void **state)
{
    struct im_members *m, *held;
    (void)state;

    assert_int_equal(im_members_new(&m), WKIM_OK);
    for (unsigned i = 0; i < UIDS; i += 2)
        assert_int_equal(im_members_add(&m, c.cluster, name(i)), 1);
    held = im_members_ref(m);
    assert_int_equal(im_members_add(&m, c.cluster, name(2501)), 1);
    uint32_t shared = 0;
    for (uint32_t i = 0; i < m->n_chunks; i++)
        for (uint32_t k = 0; k < held->n_chunks; k++)
            shared += m->chunks[i] == held->chunks[k];
    assert_true(shared + 2 >= held->n_chunks);
    assert_int_equal(held->n + 1, m->n);
    im_members_unref(held);
    im_members_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_in_any_order_keep_the_list_sorted, fresh, gone),
        cmocka_unit_test_setup_teardown(uids_in_order_fill_their_chunks, fresh, gone),
        cmocka_unit_test_setup_teardown(a_walk_goes_on_behind_any_uid, fresh, gone),
        cmocka_unit_test_setup_teardown(a_change_of_a_held_list_copies_little, fresh, gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
