/* Effects in other slots while their own slot changes hands. */
#include "im_test.h"
#include "base/list.h"
#include "im/internal.h"
#include "im/message/message.h"

static struct cl c;

static int setup(void **state)
{
    (void)state;
    cl_new(&c, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cl_free(&c);
    return 0;
}

/* Two people of shard 1 whose pair lives on shard 0. */
struct pair {
    char a[16], b[16], id[40];
    uint32_t slot;
};

static void find_pair(struct pair *p)
{
    struct wk_buf sid = WK_BUF_INIT;

    for (unsigned n = 0;; n++) {
        cl_name_on(&c, p->a, sizeof(p->a), "a", 1, n);
        cl_name_on(&c, p->b, sizeof(p->b), "b", 1, n / 2);
        wk_buf_clear(&sid);
        im_stored_id(&sid, PERSON, wk_str(p->a), wk_str(p->b));
        snprintf(p->id, sizeof(p->id), "%.*s", (int)sid.n, (const char *)sid.p);
        if (cl_shard_index(&c, p->id) == 0)
            break;
    }
    wk_buf_fini(&sid);
    p->slot = cl_slot(&c, p->id);
}

static struct im_slot *state_of(uint32_t slot)
{
    return wk_slot_state(wk_cluster_slot(c.cluster, slot));
}

/* A first message whose conversation rows are on their way to shard 1, which does not run. */
static void begin_send(const struct pair *p, struct cl_call *call)
{
    struct wk_record r = { .channel_type = PERSON,
                           .message_id = 1,
                           .channel_id = wk_str(p->id),
                           .from_uid = wk_str(p->a),
                           .payload = wk_str("x") };
    struct wk_buf in = WK_BUF_INIT;

    im_send_encode(&in, &(struct im_send_head){ .bits = IM_SEND_API }, &r);
    cl_begin(&c, call, IM_SEND, p->slot, &in);
    for (unsigned i = 0; wk_list_empty(&state_of(p->slot)->effects); i++) {
        (void)cl_poll(&c, 0);
        assert_true(i < 100000000);
    }
    assert_false(call->done);
}

/* What losing and taking the lead does to the machine. */
static void change_leader(uint32_t slot)
{
    const struct wk_slot_machine m = im_machine(c.im);
    struct wk_slot *s = wk_cluster_slot(c.cluster, slot);

    m.close(m.user, s);
    assert_int_equal(m.open(m.user, s), WKIM_OK);
    m.lead(m.user, s);
}

/* The command is stored, so its answer is success; the row brings the rest of its effects. */
static void a_slot_that_closes_answers_whose_effects_are_under_way(void **state)
{
    (void)state;
    struct pair p;
    struct cl_call call;

    find_pair(&p);
    begin_send(&p, &call);
    change_leader(p.slot);
    for (unsigned i = 0; !call.done && i < 1000; i++)
        (void)cl_poll(&c, 0);
    assert_true(call.done);
    assert_int_equal(call.call.code, WKIM_OK);
    wk_call_fini(&call.call);
}

/* Answers to a run of before find nobody; the run of the next leader does the work once. */
static void late_answers_to_a_closed_slot_touch_nothing(void **state)
{
    (void)state;
    struct pair p;
    struct cl_call call;
    struct cl_conversation seen;

    find_pair(&p);
    begin_send(&p, &call);
    change_leader(p.slot);
    assert_false(wk_list_empty(&state_of(p.slot)->effects));
    change_leader(p.slot); /* two runs without a slot, and a third */
    cl_settle(&c);
    assert_true(wk_list_empty(&state_of(p.slot)->effects));
    assert_int_equal(state_of(p.slot)->count->effects, 0);
    assert_int_equal(cl_outbox(&c, p.slot), 0);
    assert_int_equal(cl_conversations(&c, p.a), 1);
    seen = cl_conversation(&c, p.b, PERSON, p.a);
    assert_true(seen.found);
    assert_int_equal(seen.unread, 1);
    assert_true(call.done);
    wk_call_fini(&call.call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_slot_that_closes_answers_whose_effects_are_under_way,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(late_answers_to_a_closed_slot_touch_nothing, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
