/* Runs test/scenario/raft_*.txt.  A file is a list of blocks: command lines, a line "----", the
 * expected output, an empty line.  '#' begins a comment line.  WKIM_REWRITE=1 writes what came out
 * into the files.  README describes the commands. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <glob.h>
#include "raft_cluster.h"

struct args {
    char *v[64];
    int n;
};

static uint64_t num(const struct args *a, int i)
{
    return i < a->n ? strtoull(a->v[i], NULL, 10) : 0;
}

static struct node *node_at(struct cluster *c, const struct args *a, int i)
{
    const uint64_t id = num(a, i);
    return id >= 1 && id <= NODES_MAX ? &c->node[id] : NULL;
}

static void told(struct cluster *c, const struct node *n, int rc)
{
    if (rc != WKIM_OK)
        wk_buf_printf(&c->out, "%" PRIu64 ": %s\n", n->id, wkim_err_name(rc));
}

/* "1>2" one way, "1-2" both ways, "1" everything from or to it, "all". */
static bool link_matches(const char *s, uint64_t from, uint64_t to)
{
    char *end;
    if (strcmp(s, "all") == 0)
        return true;
    const uint64_t a = strtoull(s, &end, 10);
    if (*end == 0)
        return from == a || to == a;
    const uint64_t b = strtoull(end + 1, NULL, 10);
    return (from == a && to == b) || (*end == '-' && from == b && to == a);
}

static bool packet_matches(const struct args *a, const struct packet *p)
{
    if (a->n > 1 && !link_matches(a->v[1], p->from, p->to))
        return false;
    if (a->n <= 2)
        return true;
    for (int i = 2; i < a->n; i++)
        if (strcmp(a->v[i], kind_names[p->type]) == 0)
            return true;
    return false;
}

/* ---- commands ---- */
static void cmd_nodes(struct cluster *c, const struct args *a)
{
    struct wk_raft_conf conf = { 0 };
    uint64_t learners = 0;
    for (int i = 2; i + 1 < a->n; i += 2) {
        const uint64_t v = num(a, i + 1);
        if (strcmp(a->v[i], "learners") == 0)
            learners = v;
        else if (strcmp(a->v[i], "election") == 0)
            c->opt.election_ticks = (uint32_t)v;
        else if (strcmp(a->v[i], "inflight") == 0)
            c->opt.inflight_msgs_max = (uint32_t)v;
        else if (strcmp(a->v[i], "uncommitted") == 0)
            c->opt.uncommitted_bytes_max = v;
        else if (strcmp(a->v[i], "msgbytes") == 0)
            c->opt.msg_bytes_max = v;
        else if (strcmp(a->v[i], "lease") == 0)
            c->opt.lease_read = v;
        else
            wk_buf_printf(&c->out, "unknown option %s\n", a->v[i]);
    }
    for (uint64_t i = 1; i <= num(a, 1); i++)
        conf.voters[conf.n_voters++] = i;
    for (uint64_t i = 0; i < learners; i++)
        conf.learners[conf.n_learners++] = conf.n_voters + i + 1;
    for (uint64_t i = 1; i <= num(a, 1) + learners; i++) {
        c->node[i].d.conf = conf;
        told(c, &c->node[i], node_start(&c->node[i]));
    }
}

static void cmd_simple(struct cluster *c, const struct args *a)
{
    struct node *n = node_at(c, a, 1);
    struct wk_raft_event ev = { .type = WK_RAFT_TICK };
    uint64_t times = 1;
    if (strcmp(a->v[0], "campaign") == 0) {
        ev.type = WK_RAFT_CAMPAIGN;
    } else if (strcmp(a->v[0], "transfer") == 0) {
        ev.type = WK_RAFT_TRANSFER;
        ev.u.transfer = num(a, 2);
    } else if (strcmp(a->v[0], "read") == 0) {
        ev.type = WK_RAFT_READ_INDEX;
        ev.u.read = num(a, 2);
    } else if (strcmp(a->v[0], "unreachable") == 0) {
        ev.type = WK_RAFT_UNREACHABLE;
        ev.u.peer = num(a, 2);
    } else if (strcmp(a->v[0], "compact") == 0) {
        ev.type = WK_RAFT_COMPACTED;
        ev.u.compacted = num(a, 2);
        node_compact(n, num(a, 2));
    } else {
        times = a->n > 2 ? num(a, 2) : 1;
    }
    int rc = WKIM_OK;
    for (uint64_t i = 0; i < times && rc == WKIM_OK; i++)
        rc = node_step(n, &ev);
    told(c, n, rc);
}

static void cmd_propose(struct cluster *c, const struct args *a)
{
    wkim_slice data[62];
    uint32_t n = 0;
    for (int i = 2; i < a->n; i++)
        data[n++] = wk_str(a->v[i]);
    struct wk_raft_event ev = { .type = WK_RAFT_PROPOSE };
    ev.u.propose.data = data;
    ev.u.propose.n = n;
    told(c, node_at(c, a, 1), node_step(node_at(c, a, 1), &ev));
}

static bool id_remove(uint64_t *v, uint8_t *n, uint64_t id)
{
    for (uint8_t i = 0; i < *n; i++) {
        if (v[i] == id) {
            memmove(v + i, v + i + 1, (size_t)(*n - i - 1) * sizeof(*v));
            v[--*n] = 0;
            return true;
        }
    }
    return false;
}

static void cmd_conf(struct cluster *c, const struct args *a)
{
    struct wk_raft_status st;
    wk_raft_status(node_at(c, a, 1)->r, &st);
    struct wk_raft_conf to = st.conf;
    for (int i = 2; i + 1 < a->n; i += 2) {
        const uint64_t id = num(a, i + 1);
        id_remove(to.voters, &to.n_voters, id);
        id_remove(to.learners, &to.n_learners, id);
        if (strcmp(a->v[i], "learner") == 0 || strcmp(a->v[i], "demote") == 0)
            to.learners[to.n_learners++] = id;
        else if (strcmp(a->v[i], "promote") == 0 || strcmp(a->v[i], "voter") == 0)
            to.voters[to.n_voters++] = id;
    }
    const struct wk_raft_event ev = { .type = WK_RAFT_PROPOSE_CONF, .u.conf = &to };
    told(c, node_at(c, a, 1), node_step(node_at(c, a, 1), &ev));
}

static void queue_close(struct cluster *c, const bool *gone, uint32_t upto)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < c->n_queue; i++)
        if (i >= upto || !gone[i])
            c->queue[k++] = c->queue[i];
    c->n_queue = k;
}

/* Passes once over what is queued now; returns how many were taken out. */
static uint32_t queue_pass(struct cluster *c, const struct args *a, bool deliver)
{
    static bool gone[QUEUE_MAX];
    const uint32_t upto = c->n_queue;
    uint32_t k = 0;
    memset(gone, 0, sizeof(gone));
    for (uint32_t i = 0; i < upto; i++) {
        if (c->queue[i].held || !packet_matches(a, &c->queue[i]))
            continue;
        gone[i] = true;
        k++;
        struct packet p = c->queue[i];
        if (deliver)
            packet_deliver(c, &p);
        else
            packet_fini(&p);
    }
    queue_close(c, gone, upto);
    return k;
}

static void cmd_queue(struct cluster *c, const struct args *a)
{
    const char *what = a->v[0];
    if (strcmp(what, "deliver") == 0 || strcmp(what, "drop") == 0) {
        queue_pass(c, a, what[1] == 'e');
        return;
    }
    for (uint32_t i = 0, n = c->n_queue; i < n; i++) {
        if (!packet_matches(a, &c->queue[i]))
            continue;
        if (strcmp(what, "duplicate") == 0) {
            struct packet p = c->queue[i];
            p.bytes = (struct wk_buf)WK_BUF_INIT;
            wk_buf_bytes(&p.bytes, c->queue[i].bytes.p, c->queue[i].bytes.n);
            network_push(c, p);
        } else {
            c->queue[i].held = strcmp(what, "hold") == 0;
        }
    }
}

static void cmd_stabilize(struct cluster *c, const struct args *a)
{
    const struct args all = { { a->v[0] }, 1 };
    int rounds = 0;
    while (queue_pass(c, &all, true) > 0)
        if (++rounds == 500) {
            wk_buf_printf(&c->out, "messages never end\n");
            return;
        }
}

static void cmd_cut(struct cluster *c, const struct args *a)
{
    const bool on = strcmp(a->v[0], "cut") == 0;
    for (int k = 1; k < (a->n > 1 ? a->n : 2); k++)
        for (uint64_t i = 1; i <= NODES_MAX; i++)
            for (uint64_t j = 1; j <= NODES_MAX; j++)
                if (link_matches(k < a->n ? a->v[k] : "all", i, j))
                    c->cut[i][j] = on;
}

static void cmd_node(struct cluster *c, const struct args *a)
{
    struct node *n = node_at(c, a, 1);
    const char *what = a->v[0];
    if (strcmp(what, "crash") == 0) {
        node_crash(n);
    } else if (strcmp(what, "restart") == 0) {
        node_crash(n);
        told(c, n, node_start(n));
    } else if (strcmp(what, "new") == 0) {
        told(c, n, node_start(n));
    } else if (strcmp(what, "slow") == 0) {
        n->slow = true;
    } else if (strcmp(what, "lazy") == 0) {
        n->lazy = true;
    } else if (strcmp(what, "absent") == 0) {
        n->absent = true;
    } else if (strcmp(what, "resident") == 0) {
        n->absent = false;
    } else if (strcmp(what, "persist") == 0) {
        for (uint64_t k = a->n > 2 ? num(a, 2) : 1; k > 0 && n->n_batches; k--)
            batch_complete(n);
        node_settle(n);
    } else if (strcmp(what, "fast") == 0) {
        n->slow = n->lazy = false;
        node_settle(n);
    } else if (strcmp(what, "apply") == 0) {
        node_apply(n, a->n > 2 ? num(a, 2) : n->apply_to);
        node_settle(n);
    } else if (strcmp(what, "install") == 0) {
        told(c, n, node_install(n, a->n < 3 || strcmp(a->v[2], "fail") != 0));
    }
}

static void peers_print(struct cluster *c, const struct wk_raft_status *st)
{
    static const char *const states[] = { "probe", "replicate", "snapshot" };
    for (uint64_t id = 1; id <= NODES_MAX; id++) {
        for (uint8_t i = 0; i < st->n_peers; i++) {
            if (st->peers[i].id != id || id == st->id)
                continue;
            wk_buf_printf(&c->out, "\n    %" PRIu64 "%s %s match %" PRIu64 " next %" PRIu64, id,
                          st->peers[i].learner ? " learner" : "", states[st->peers[i].state],
                          st->peers[i].match, st->peers[i].next);
            if (st->peers[i].inflight)
                wk_buf_printf(&c->out, " inflight %u", st->peers[i].inflight);
            if (!st->peers[i].recent_active)
                wk_buf_printf(&c->out, " silent");
        }
    }
}

static void status_print(struct cluster *c, const struct node *n)
{
    struct wk_raft_status st;
    if (!n->r) {
        wk_buf_printf(&c->out, "%" PRIu64 " down\n", n->id);
        return;
    }
    wk_raft_status(n->r, &st);
    wk_buf_printf(&c->out,
                  "%" PRIu64 " %s t%" PRIu64 " vote %" PRIu64 " leader %" PRIu64 " last %" PRIu64
                  " durable %" PRIu64 " commit %" PRIu64 " applied %" PRIu64,
                  st.id, role_names[st.role], st.term, st.vote, st.leader, st.last_index,
                  st.durable_index, st.commit, st.applied);
    if (st.first_index > 1)
        wk_buf_printf(&c->out, " first %" PRIu64, st.first_index);
    if (st.transferring)
        wk_buf_printf(&c->out, " transferring to %" PRIu64, st.transferee);
    if (st.installing)
        wk_buf_printf(&c->out, " installing %" PRIu64, st.install_index);
    if (st.role == WK_RAFT_LEADER)
        peers_print(c, &st);
    wk_buf_printf(&c->out, "\n");
}

static void message_print(struct cluster *c, const struct packet *p)
{
    struct wk_raft_msg m;
    if (wk_raft_msg_decode(&m, wk_buf_slice(&p->bytes)) != WKIM_OK)
        return;
    wk_buf_printf(&c->out, "%" PRIu64 ">%" PRIu64 " %s t%" PRIu64, m.from, m.to, kind_names[m.type],
                  m.term);
    if (m.type == WK_RAFT_MSG_APPEND)
        wk_buf_printf(&c->out, " after %" PRIu64 "/t%" PRIu64 " +%u commit %" PRIu64, m.index,
                      m.log_term, m.n_entries, m.commit);
    else if (m.type == WK_RAFT_MSG_VOTE || m.type == WK_RAFT_MSG_PREVOTE ||
             m.type == WK_RAFT_MSG_SNAPSHOT)
        wk_buf_printf(&c->out, " %" PRIu64 "/t%" PRIu64 "%s", m.index, m.log_term,
                      m.force ? " forced" : "");
    else if (m.type == WK_RAFT_MSG_APPEND_RESP && m.reject)
        wk_buf_printf(&c->out, " refuses %" PRIu64 " hint %" PRIu64 "/t%" PRIu64 "%s", m.index,
                      m.hint, m.hint_term, m.force ? " needs snapshot" : "");
    else if (m.type == WK_RAFT_MSG_APPEND_RESP || m.type == WK_RAFT_MSG_SNAPSHOT_STATUS)
        wk_buf_printf(&c->out, " %" PRIu64 "%s", m.index, m.reject ? " failed" : "");
    else if (m.type == WK_RAFT_MSG_HEARTBEAT)
        wk_buf_printf(&c->out, " commit %" PRIu64, m.commit);
    else if (m.reject)
        wk_buf_printf(&c->out, " refuses");
    wk_buf_printf(&c->out, "%s\n", p->held ? " (held)" : "");
    wk_raft_msg_fini(&m);
}

static void conf_print(struct cluster *c, const struct node *n)
{
    struct wk_raft_status st;
    wk_raft_status(n->r, &st);
    wk_buf_printf(&c->out, "%" PRIu64 " voters", n->id);
    for (uint8_t i = 0; i < st.conf.n_voters; i++)
        wk_buf_printf(&c->out, " %" PRIu64, st.conf.voters[i]);
    wk_buf_printf(&c->out, " learners");
    for (uint8_t i = 0; i < st.conf.n_learners; i++)
        wk_buf_printf(&c->out, " %" PRIu64, st.conf.learners[i]);
    wk_buf_printf(&c->out, "\n");
}

static void cmd_show(struct cluster *c, const struct args *a)
{
    if (strcmp(a->v[0], "messages") == 0) {
        for (uint32_t i = 0; i < c->n_queue; i++)
            message_print(c, &c->queue[i]);
        return;
    }
    for (uint64_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = &c->node[id];
        if (!n->exists || (a->n > 1 && num(a, 1) != id))
            continue;
        if (strcmp(a->v[0], "status") == 0) {
            status_print(c, n);
        } else if (strcmp(a->v[0], "members") == 0 && n->r) {
            conf_print(c, n);
        } else if (strcmp(a->v[0], "log") == 0) {
            wk_buf_printf(&c->out, "%" PRIu64 " disk", id);
            for (uint64_t i = n->d.first; i <= n->d.last; i++) {
                const wkim_slice s = wk_blob_slice(n->d.log[i].data);
                const bool conf = n->d.log[i].type == WK_RAFT_ENTRY_CONF;
                wk_buf_printf(&c->out, " %" PRIu64 "/t%" PRIu64 ":%.*s", i, n->d.log[i].term,
                              conf ? 4 : s.n ? (int)s.n : 1,
                              conf ? "conf" : s.n ? (const char *)s.p : "-");
            }
            wk_buf_printf(&c->out, " | t%" PRIu64 " vote %" PRIu64 "\n", n->d.hard.term,
                          n->d.hard.vote);
        }
    }
}

static const struct {
    const char *key;
    size_t at;
} inject_keys[] = {
    { "from", offsetof(struct wk_raft_msg, from) },
    { "term", offsetof(struct wk_raft_msg, term) },
    { "index", offsetof(struct wk_raft_msg, index) },
    { "log_term", offsetof(struct wk_raft_msg, log_term) },
    { "commit", offsetof(struct wk_raft_msg, commit) },
};

/* inject 2 append from 1 term 3 index 4 log_term 2 commit 0 entry 3 data */
static void cmd_inject(struct cluster *c, const struct args *a)
{
    struct wk_raft_entry entries[16];
    struct wk_raft_msg m = { .to = num(a, 1), .entries = entries };
    for (uint8_t t = 1; t <= WK_RAFT_MSG_PROPOSE; t++)
        if (strcmp(a->v[2], kind_names[t]) == 0)
            m.type = t;
    m.conf = node_at(c, a, 1)->d.conf;
    for (int i = 3; i + 1 < a->n; i += 2) {
        for (size_t k = 0; k < sizeof(inject_keys) / sizeof(inject_keys[0]); k++)
            if (strcmp(a->v[i], inject_keys[k].key) == 0)
                *(uint64_t *)(void *)((char *)&m + inject_keys[k].at) = num(a, i + 1);
        if (strcmp(a->v[i], "entry") == 0 && i + 2 < a->n) {
            entries[m.n_entries] = (struct wk_raft_entry){
                .term = num(a, i + 1), .index = m.index + 1 + m.n_entries,
                .data = wk_blob_copy(a->v[i + 2], strlen(a->v[i + 2]))
            };
            m.n_entries++;
            i++;
        }
    }
    const struct wk_raft_event ev = { .type = WK_RAFT_RECEIVE, .u.msg = &m };
    told(c, node_at(c, a, 1), node_step(node_at(c, a, 1), &ev));
    for (uint32_t i = 0; i < m.n_entries; i++)
        wk_blob_unref(entries[i].data);
}

static const struct {
    const char *name;
    void (*run)(struct cluster *, const struct args *);
    int args_min;
} commands[] = {
    { "nodes", cmd_nodes, 2 },      { "campaign", cmd_simple, 2 }, { "transfer", cmd_simple, 3 },
    { "read", cmd_simple, 3 },      { "compact", cmd_simple, 3 },  { "tick", cmd_simple, 2 },
    { "unreachable", cmd_simple, 3 }, { "propose", cmd_propose, 3 }, { "conf", cmd_conf, 4 },
    { "deliver", cmd_queue, 1 },    { "drop", cmd_queue, 1 },      { "hold", cmd_queue, 2 },
    { "release", cmd_queue, 1 },    { "duplicate", cmd_queue, 1 },
    { "stabilize", cmd_stabilize, 1 },
    { "cut", cmd_cut, 2 },          { "heal", cmd_cut, 1 },        { "crash", cmd_node, 2 },
    { "restart", cmd_node, 2 },     { "new", cmd_node, 2 },        { "slow", cmd_node, 2 },
    { "fast", cmd_node, 2 },        { "lazy", cmd_node, 2 },       { "persist", cmd_node, 2 },
    { "apply", cmd_node, 2 },       { "install", cmd_node, 2 },    { "absent", cmd_node, 2 },
    { "resident", cmd_node, 2 },    { "status", cmd_show, 1 },     { "log", cmd_show, 1 },
    { "messages", cmd_show, 1 },    { "members", cmd_show, 1 },    { "inject", cmd_inject, 3 },
};

static void command_run(struct cluster *c, char *line)
{
    struct args a = { { NULL }, 0 };
    char *save = NULL;
    c->quiet = false;
    for (char *t = strtok_r(line, " ", &save); t && a.n < 64; t = strtok_r(NULL, " ", &save)) {
        if (strcmp(t, "quiet") == 0)
            c->quiet = true;
        else
            a.v[a.n++] = t;
    }
    for (size_t i = 0; a.n && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, a.v[0]) == 0 && a.n >= commands[i].args_min) {
            commands[i].run(c, &a);
            return;
        }
    }
    wk_buf_printf(&c->out, "cannot run \"%s\"\n", a.n ? a.v[0] : "");
}

/* ---- files ---- */
/* Runs the file's commands; *made is the file with the output that came out. */
static bool file_run(const char *text, struct wk_buf *made)
{
    struct cluster *c = cluster_new();
    bool expecting = false;
    char line[512];
    for (const char *p = text; *p;) {
        const char *end = strchr(p, '\n');
        const size_t n = end ? (size_t)(end - p) : strlen(p);
        snprintf(line, sizeof(line), "%.*s", (int)n, p);
        p += end ? n + 1 : n;
        if (expecting) {
            expecting = n > 0;
            if (n == 0)
                wk_buf_printf(made, "\n");
            continue;
        }
        wk_buf_printf(made, "%s\n", line);
        if (strcmp(line, "----") == 0) {
            wk_buf_bytes(made, c->out.p, c->out.n);
            wk_buf_clear(&c->out);
            expecting = true;
        } else if (n > 0 && line[0] != '#') {
            command_run(c, line);
        }
    }
    const bool ok = !c->unsafe;
    cluster_free(c);
    return ok;
}

static char *file_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = wk_calloc(1, 1 << 20);
    const size_t n = fread(text, 1, (1 << 20) - 1, f);
    assert_true(n < (1 << 20) - 1);
    fclose(f);
    return text;
}

static void scenario_behaves_as_written(void **state)
{
    const char *path = *state;
    char *text = file_read(path);
    struct wk_buf made = WK_BUF_INIT;
    const bool safe = file_run(text, &made);
    wk_buf_u8(&made, 0);
    assert_false(made.oom);
    if (getenv("WKIM_REWRITE") && strcmp((char *)made.p, text) != 0) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        fwrite(made.p, 1, made.n - 1, f);
        fclose(f);
    } else if (!getenv("WKIM_REWRITE") && strcmp((char *)made.p, text) != 0) {
        print_error("---- %s came out as\n%s", path, (char *)made.p);
        fail();
    }
    wk_buf_fini(&made);
    wk_free(text);
    assert_true(safe);
}

int main(void)
{
    struct CMUnitTest tests[128];
    glob_t g;
    size_t n = 0;
    const char *dir = getenv("WKIM_SCENARIOS");
    char pattern[512];
    snprintf(pattern, sizeof(pattern), "%s/raft_*.txt", dir ? dir : "test/scenario");
    if (glob(pattern, 0, NULL, &g) != 0 || g.gl_pathc > 128) {
        fprintf(stderr, "no scenarios in %s\n", pattern);
        return 1;
    }
    for (; n < g.gl_pathc; n++)
        tests[n] = (struct CMUnitTest){ g.gl_pathv[n], scenario_behaves_as_written, NULL, NULL,
                                        g.gl_pathv[n] };
    const int rc = _cmocka_run_group_tests("raft_scenario", tests, n, NULL, NULL);
    globfree(&g);
    return rc;
}
