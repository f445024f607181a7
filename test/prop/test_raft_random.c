/* Random schedules on the scenario cluster: loss, reordering, duplication, partitions, crashes,
 * slow disks, transfers, membership changes, compaction.  Safety is checked at every step; after
 * all is healed the group must elect and commit.  WKIM_SEEDS and WKIM_SEED choose others,
 * WKIM_TRACE prints what happens. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "../scenario/raft_cluster.h"

static uint64_t rng;
static uint64_t below(uint64_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (rng >> 11) % n;
}

static void one_packet(struct cluster *c)
{
    if (c->n_queue == 0)
        return;
    const uint32_t i = below(4) ? 0 : (uint32_t)below(c->n_queue);
    struct packet p = c->queue[i];
    const uint64_t what = below(20);
    if (what == 0 && c->n_queue < QUEUE_MAX) { /* duplicate: deliver a copy, keep it */
        p.bytes = (struct wk_buf)WK_BUF_INIT;
        wk_buf_bytes(&p.bytes, c->queue[i].bytes.p, c->queue[i].bytes.n);
    } else {
        memmove(&c->queue[i], &c->queue[i + 1], (--c->n_queue - i) * sizeof(p));
    }
    if (what == 1)
        packet_fini(&p);
    else
        packet_deliver(c, &p);
}

static void propose(struct node *n)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, below(1u << 30));
    const wkim_slice data = wk_str(text);
    struct wk_raft_event ev = { .type = WK_RAFT_PROPOSE };
    ev.u.propose.data = &data;
    ev.u.propose.n = 1;
    if (n->d.last < LOG_MAX - 600)
        node_step(n, &ev);
}

static void change(struct node *n)
{
    struct wk_raft_status st;
    if (!n->r)
        return;
    wk_raft_status(n->r, &st);
    struct wk_raft_conf *c = &st.conf;
    const uint64_t what = below(4);
    if (what == 0 && c->n_learners) { /* promote */
        c->voters[c->n_voters++] = c->learners[--c->n_learners];
    } else if (what == 1 && c->n_voters > 2) { /* demote */
        c->learners[c->n_learners++] = c->voters[--c->n_voters];
    } else if (what == 2 && c->n_learners && c->n_voters + c->n_learners > 3) {
        c->n_learners--;
    } else {
        const uint64_t id = 1 + below(5);
        for (uint8_t i = 0; i < c->n_voters; i++)
            if (c->voters[i] == id)
                return;
        for (uint8_t i = 0; i < c->n_learners; i++)
            if (c->learners[i] == id)
                return;
        c->learners[c->n_learners++] = id;
    }
    const struct wk_raft_event ev = { .type = WK_RAFT_PROPOSE_CONF, .u.conf = c };
    if (n->d.last < LOG_MAX - 600)
        node_step(n, &ev);
}

static void compact(struct node *n)
{
    if (!n->r || n->d.installing || n->d.applied <= n->d.first + 2 || n->n_batches)
        return;
    const uint64_t first = n->d.first + below(n->d.applied - n->d.first) + 1;
    const struct wk_raft_event ev = { .type = WK_RAFT_COMPACTED, .u.compacted = first };
    node_compact(n, first);
    node_step(n, &ev);
}

static void fault(struct cluster *c, struct node *n)
{
    const struct wk_raft_event to = { .type = WK_RAFT_TRANSFER, .u.transfer = 1 + below(5) };
    switch (below(12)) {
    case 0:
        c->cut[1 + below(5)][1 + below(5)] = true;
        break;
    case 1:
    case 2:
        memset(c->cut, 0, sizeof(c->cut));
        break;
    case 3:
        node_crash(n);
        break;
    case 4:
    case 5:
        node_crash(n);
        assert_int_equal(node_start(n), WKIM_OK);
        break;
    case 6:
        n->slow = true;
        break;
    case 7:
        n->slow = n->lazy = n->absent = false;
        node_settle(n);
        break;
    case 8:
        n->lazy = true;
        break;
    case 9:
        n->absent = true;
        break;
    case 10:
        compact(n);
        break;
    default:
        node_step(n, &to);
    }
}

static void tick(struct node *n)
{
    node_step(n, &(struct wk_raft_event){ .type = WK_RAFT_TICK });
}

static void random_step(struct cluster *c)
{
    struct node *n = &c->node[1 + below(5)];
    const uint64_t what = below(100);
    if (what < 55)
        one_packet(c);
    else if (what < 75)
        tick(n);
    else if (what < 84)
        propose(n);
    else if (what < 85)
        change(n);
    else if (what < 93 && n->n_batches && n->r)
        batch_complete(n), node_settle(n);
    else if (what < 95 && n->r)
        node_apply(n, n->apply_to), node_settle(n);
    else if (what < 97)
        node_install(n, below(4) > 0);
    else if (below(3) == 0)
        fault(c, n);
    for (int i = 1; i <= 5; i++) { /* no disk hangs for ever */
        while (c->node[i].r && c->node[i].n_batches > BATCHES_MAX / 2)
            batch_complete(&c->node[i]);
        node_settle(&c->node[i]);
    }
}

static uint64_t best_commit(const struct cluster *c)
{
    uint64_t best = 0;
    for (int i = 1; i <= 5; i++) {
        struct wk_raft_status st;
        wk_raft_status(c->node[i].r, &st);
        if (st.role == WK_RAFT_LEADER && st.commit > best)
            best = st.commit;
    }
    return best;
}

static bool healed_group_commits(struct cluster *c)
{
    memset(c->cut, 0, sizeof(c->cut));
    for (int i = 1; i <= 5; i++) {
        struct node *n = &c->node[i];
        n->slow = n->lazy = n->absent = false;
        if (!n->r)
            assert_int_equal(node_start(n), WKIM_OK);
        node_settle(n);
    }
    uint64_t before = 0;
    for (int t = 0; t < 600; t++) {
        for (int i = 1; i <= 5; i++) {
            tick(&c->node[i]);
            node_install(&c->node[i], true);
            if (t % 50 == 49)
                propose(&c->node[i]);
        }
        for (int k = 0; k < 2000 && c->n_queue; k++) {
            struct packet p = c->queue[0];
            memmove(&c->queue[0], &c->queue[1], --c->n_queue * sizeof(p));
            packet_deliver(c, &p);
        }
        if (t == 300)
            before = best_commit(c);
    }
    const uint64_t after = best_commit(c);
    for (int i = 1; i <= 5; i++) {
        struct wk_raft_status st;
        bool named = false;
        wk_raft_status(c->node[i].r, &st);
        for (uint8_t k = 0; k < st.conf.n_voters; k++)
            named |= st.conf.voters[k] == (uint64_t)i;
        if (wk_raft_fault(c->node[i].r))
            return false;
        if (named && st.leader && st.commit + 2 < after)
            return false;
    }
    return before > 0 && after > before;
}

static bool seed_run(uint64_t seed)
{
    struct cluster *c = cluster_new();
    struct wk_raft_conf conf = { .voters = { 1, 2, 3 }, .n_voters = 3 };
    rng = seed * 0x9e3779b97f4a7c15ull + 1;
    c->quiet = getenv("WKIM_TRACE") == NULL;
    c->opt.inflight_msgs_max = 1 + (uint32_t)below(4);
    c->opt.msg_bytes_max = 40 + below(400);
    c->opt.apply_bytes_max = 40 + below(400);
    for (int i = 1; i <= 5; i++) {
        if (i <= 3)
            c->node[i].d.conf = conf;
        assert_int_equal(node_start(&c->node[i]), WKIM_OK);
    }
    for (int k = 0; k < 6000 && !c->unsafe; k++) {
        wk_buf_clear(&c->out);
        random_step(c);
        if (!c->quiet && c->out.n)
            fprintf(stderr, "%d %.*s", k, (int)c->out.n, (const char *)c->out.p);
    }
    const bool safe = !c->unsafe;
    const bool live = safe && healed_group_commits(c);
    const bool ok = safe && live && !c->unsafe;
    if (!ok)
        print_error("seed %" PRIu64 ": %s\n%.*s", seed, !live && safe ? "no progress" : "unsafe",
                    (int)(c->out.n < 400 ? c->out.n : 400), (const char *)c->out.p);
    cluster_free(c);
    return ok;
}

static void random_schedules_are_safe_and_end_in_progress(void **state)
{
    (void)state;
    const char *one = getenv("WKIM_SEED"), *many = getenv("WKIM_SEEDS");
    const uint64_t from = one ? strtoull(one, NULL, 10) : 1;
    const uint64_t n = one ? 1 : many ? strtoull(many, NULL, 10) : 60;
    uint64_t bad = 0;
    for (uint64_t s = from; s < from + n; s++)
        bad += !seed_run(s);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_schedules_are_safe_and_end_in_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
