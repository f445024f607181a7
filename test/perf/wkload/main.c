/* Load client for a running server: see test/perf/README. */
#include "wkload.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

struct totals {
    uint64_t ready, sent, acked, received, expected, in_flight, connects;
    uint64_t ack_p50, ack_p99, recv_p99;
    bool login_done;
};

static void sum_up(const struct load *l, struct totals *t)
{
    *t = (struct totals){.login_done = true};
    for (uint32_t i = 0; i < l->options.threads; i++) {
        const struct counters *n = &l->workers[i].counters;
        /* Deliveries before what causes them, so that they are never ahead of the expectation. */
        t->received += COUNTED(n->received);
        t->connects += COUNTED(n->connects);
        t->in_flight += COUNTED(n->in_flight);
        t->ready += COUNTED(n->ready);
        t->acked += COUNTED(n->acked);
        t->expected += COUNTED(n->expected);
        t->sent += COUNTED(n->sent);
        if (COUNTED(n->second_ack_p50) > t->ack_p50)
            t->ack_p50 = COUNTED(n->second_ack_p50);
        if (COUNTED(n->second_ack_p99) > t->ack_p99)
            t->ack_p99 = COUNTED(n->second_ack_p99);
        if (COUNTED(n->second_recv_p99) > t->recv_p99)
            t->recv_p99 = COUNTED(n->second_recv_p99);
        t->login_done &= atomic_load_explicit(&n->login_done, memory_order_acquire) != 0;
    }
}

static void nap_until(uint64_t us)
{
    uint64_t now = load_now_us();

    if (us <= now)
        return;
    const struct timespec t = {(time_t)((us - now) / 1000000u),
                               (long)((us - now) % 1000000u) * 1000};
    nanosleep(&t, NULL);
}

/* One line per second since the last. */
static void progress(struct load *l, const char *what, uint64_t since_us)
{
    static struct totals last;
    static uint64_t last_us;
    static double last_cpu_s;
    struct totals t;
    struct sample s;
    uint64_t now = load_now_us();
    double span = (double)(now - last_us) / 1e6;

    sum_up(l, &t);
    sample_take(l, &s, false);
    double cpu_s = s.user_s + s.system_s;
    if (!l->options.quiet && last_us) {
        fprintf(stderr, "%-7s %5.1f s  conns %llu", what, (double)(now - since_us) / 1e6,
                (unsigned long long)t.ready);
        if (l->n_senders)
            fprintf(stderr,
                    "  send %.0f/s  ack %.0f/s  recv %.0f/s  flight %llu  ack p50 %.2f p99 %.2f  "
                    "recv p99 %.2f ms",
                    (double)(t.sent - last.sent) / span, (double)(t.acked - last.acked) / span,
                    (double)(t.received - last.received) / span, (unsigned long long)t.in_flight,
                    (double)t.ack_p50 / 1e3, (double)t.ack_p99 / 1e3, (double)t.recv_p99 / 1e3);
        else
            fprintf(stderr, "  logins %.0f/s", (double)(t.connects - last.connects) / span);
        if (s.has_cpu)
            fprintf(stderr, "  server %.0f %% %.0f MiB", 100 * (cpu_s - last_cpu_s) / span,
                    (double)s.rss_bytes / 1048576.0);
        fprintf(stderr, "  failures %llu\n", (unsigned long long)load_fail_count(l));
    }
    last = t;
    last_us = now;
    last_cpu_s = cpu_s;
}

static int log_in(struct load *l, struct outcome *o)
{
    const uint64_t from = load_now_us();
    const uint64_t limit = from + (uint64_t)(l->options.login_s * 1e6);
    uint64_t next_line = from + 1000000u;
    struct totals t;

    if (l->scenario == &scenario_connect)
        return 0;
    for (;;) {
        sum_up(l, &t);
        uint64_t now = load_now_us();
        if (t.login_done)
            break;
        if (now > limit) {
            load_fail(l, FAIL_LOGIN, "%llu of %u logged in after %.0f s",
                      (unsigned long long)t.ready, l->n_conns, l->options.login_s);
            return -1;
        }
        if (now >= next_line) {
            progress(l, "login", from);
            next_line += 1000000u;
        }
        nap_until(now + 5000);
    }
    o->login_s = (double)(load_now_us() - from) / 1e6;
    return t.ready == l->n_conns ? 0 : -1;
}

static void wait_with_lines(struct load *l, const char *what, uint64_t from, uint64_t until)
{
    static uint64_t line_us;

    if (line_us == 0)
        line_us = from + 1000000u;
    for (; line_us < until; line_us += 1000000u) {
        nap_until(line_us);
        progress(l, what, from);
    }
    nap_until(until);
}

static void owed(struct load *l, enum fail kind, uint64_t more, uint64_t less, const char *what,
                 double waited_s)
{
    if (more <= less)
        return;
    load_fail(l, kind, "%llu %s %.1f s after the last SEND",
              (unsigned long long)(more - less), what, waited_s);
    load_fail_times(l, kind, more - less);
}

/* Wait for what is still on its way; whatever misses then is a failure. */
static void drain(struct load *l)
{
    const uint64_t from = load_now_us();
    const uint64_t limit = from + (uint64_t)(l->options.drain_s * 1e6);
    struct totals t;

    for (;;) {
        sum_up(l, &t);
        if ((t.in_flight == 0 && t.received >= t.expected) || load_now_us() >= limit)
            break;
        nap_until(load_now_us() + 5000);
    }
    /* A moment more for deliveries nobody is owed. */
    nap_until(load_now_us() + 50000);
    sum_up(l, &t);
    const double waited_s = (double)(load_now_us() - from) / 1e6;
    owed(l, FAIL_MISSING_ACK, t.in_flight, 0, "SENDs unanswered", waited_s);
    owed(l, FAIL_MISSING_RECV, t.expected, t.received, "deliveries missing", waited_s);
    owed(l, FAIL_SURPLUS_RECV, t.received, t.expected, "deliveries too many", waited_s);
}

static void run(struct load *l, struct outcome *o)
{
    const uint64_t t0 = load_now_us() + 20000;

    atomic_store(&l->t0_us, t0);
    atomic_store_explicit(&l->phase, PHASE_RUN, memory_order_release);
    progress(l, "start", t0);
    wait_with_lines(l, "warm-up", t0, t0 + l->warm_us);
    double own = sample_own_cpu_s();
    sample_take(l, &o->warm, false);
    wait_with_lines(l, "run", t0, t0 + l->end_us);
    sample_take(l, &o->window_end, false);
    o->own_cpu_s = sample_own_cpu_s() - own;
    o->window_s = (double)(l->end_us - l->warm_us) / 1e6;
    drain(l);
}

static void stop(struct load *l, struct outcome *o)
{
    atomic_store_explicit(&l->phase, PHASE_STOP, memory_order_release);
    for (uint32_t i = 0; i < l->options.threads; i++) {
        struct worker *w = &l->workers[i];
        struct counters *n = &w->counters;
        pthread_join(w->thread, NULL);
        o->sent += COUNTED(n->sent);
        o->acked += COUNTED(n->acked);
        o->received += COUNTED(n->received);
        o->expected += COUNTED(n->expected);
        o->acked_window += COUNTED(n->acked_in_window);
        o->received_window += COUNTED(n->received_in_window);
        o->connects += COUNTED(n->connects);
        o->connects_window += COUNTED(n->connects_in_window);
        o->pings += COUNTED(n->pings);
        o->pongs += COUNTED(n->pongs);
        o->verified += COUNTED(n->verified);
        histogram_merge(&o->ack, &w->ack);
        histogram_merge(&o->recv, &w->recv);
        histogram_merge(&o->lateness, &w->lateness);
        histogram_merge(&o->connect, &w->connect);
    }
    for (uint32_t i = 0; i < l->n_views; i++) {
        const struct view *v = &l->views[i];
        uint64_t missing = sequence_missing(&v->sequence);
        if (v->sends && missing)
            load_fail(l, FAIL_GAP, "%s: %llu message_seq below %llu never came", v->channel->id,
                      (unsigned long long)missing, (unsigned long long)v->sequence.high);
    }
}

static int resolve(struct load *l)
{
    const struct addrinfo want = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(l->options.tcp_host, l->options.tcp_port, &want, &found);

    if (rc) {
        fprintf(stderr, "wkload: %s: %s\n", l->options.tcp_host, gai_strerror(rc));
        return -1;
    }
    memcpy(&l->address, found->ai_addr, found->ai_addrlen);
    l->address_n = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int prepare(struct load *l)
{
    struct rlimit files;

    if (resolve(l) || getrandom(&l->run, sizeof(l->run), 0) != sizeof(l->run))
        return -1;
    l->run = (l->run & 0xffffffu) | 1u;
    snprintf(l->prefix, sizeof(l->prefix), "%s%06x", l->options.prefix, l->run);
    l->warm_us = (uint64_t)(l->options.warmup_s * 1e6);
    l->end_us = l->warm_us + (uint64_t)(l->options.duration_s * 1e6);
    if (l->scenario->build(l) || (l->options.token && http_give_tokens(l)))
        return -1;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < l->n_conns + 64u) {
        load_fail(l, FAIL_SETUP, "%u connections need a higher limit of open files (%llu)",
                  l->n_conns, (unsigned long long)files.rlim_cur);
        return -1;
    }
    return 0;
}

static const struct scenario *const scenarios[] = {&scenario_pairs, &scenario_groups,
                                                   &scenario_fanout, &scenario_idle,
                                                   &scenario_connect, NULL};

int main(int argc, char **argv)
{
    static struct load l = {.fail_lock = PTHREAD_MUTEX_INITIALIZER};
    static struct outcome o;

    load_now_us();
    int rc = options_parse(&l.options, scenarios, argc, argv);
    if (rc)
        return rc - 1;
    for (size_t i = 0; scenarios[i]; i++)
        if (strcmp(scenarios[i]->name, l.options.scenario) == 0)
            l.scenario = scenarios[i];
    if (!l.scenario) {
        fprintf(stderr, "wkload: no scenario %s, see --help\n", l.options.scenario);
        return 2;
    }
    bool fit = prepare(&l) == 0;
    if (fit)
        sample_take(&l, &o.before, true);
    if (fit && load_start(&l) == 0) {
        if (log_in(&l, &o) == 0) {
            sample_take(&l, &o.logged_in, false);
            run(&l, &o);
        }
        stop(&l, &o);
        sample_take(&l, &o.end, true);
    }
    report_text(&l, &o, stdout);
    int failed = load_fail_count(&l) > 0 || !fit;
    if (l.options.json && report_json(&l, &o, l.options.json))
        failed = 1;
    load_free(&l);
    return failed ? 1 : 0;
}
