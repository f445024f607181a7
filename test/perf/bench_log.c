/* Throughput of the log writer: entries of 350 bytes from one submitting thread, a window of
 * batches in flight per group.  usage: bench_log [folder] [seconds]. */
#include "log/writer.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/clock.h"

#define ENTRY_BYTES 350
#define BATCH_MAX 16
#define WINDOW 4

struct slot {
    struct wk_log_submit submit;
    struct wk_log_entry entries[BATCH_MAX];
    atomic_bool busy;
};
struct bench {
    struct wk_log_writer *writer;
    pthread_mutex_t mu;
    pthread_cond_t wake;
    uint64_t rounds;
};

static void on_done(struct wk_log_submit *s)
{
    struct slot *slot = (struct slot *)(void *)s;

    if (s->rc) {
        fprintf(stderr, "append failed: %d\n", s->rc);
        exit(1);
    }
    atomic_store(&slot->busy, false);
}

static void on_round(void *user)
{
    struct bench *b = user;

    pthread_mutex_lock(&b->mu);
    b->rounds++;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->mu);
}

static double cpu_us(int who, bool user_only)
{
    struct rusage u;

    getrusage(who, &u);
    double t = (double)u.ru_utime.tv_sec * 1e6 + (double)u.ru_utime.tv_usec;
    return user_only ? t : t + (double)u.ru_stime.tv_sec * 1e6 + (double)u.ru_stime.tv_usec;
}

static void fill(struct slot *s, uint32_t group, uint64_t *next, unsigned batch,
                 const uint8_t *bytes)
{
    for (unsigned i = 0; i < batch; i++)
        s->entries[i] = (struct wk_log_entry){
            .term = 1, .index = (*next)++, .data = wk_blob_copy(bytes, ENTRY_BYTES)};
    s->submit.batch = (struct wk_log_batch){.group = group,
                                            .has_hard = true,
                                            .hard_term = 1,
                                            .hard_commit = *next - batch - 1,
                                            .entries = s->entries,
                                            .n_entries = batch};
    s->submit.done = on_done;
    atomic_store(&s->busy, true);
}

static void run(const char *dir, unsigned groups, unsigned batch, bool sync, double seconds)
{
    struct bench b = {.mu = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    struct wk_log_writer_options opt = {
        .log = {.segment_bytes = 64u << 20, .cache_bytes = 32u << 20},
        .sync = sync,
        .round_end = on_round,
        .user = &b};
    struct slot *slots = calloc(groups * WINDOW, sizeof(*slots));
    uint64_t *next = calloc(groups, sizeof(*next)), done = 0;
    uint8_t bytes[ENTRY_BYTES] = {7};
    struct wk_fs fs;
    struct wkim_error err;
    struct wk_log_stats st;
    char path[512], cmd[600];

    snprintf(path, sizeof(path), "%s/bench_log.%d", dir, (int)getpid());
    if (wk_fs_posix_new(&fs, path, &err) || wk_log_writer_new(&b.writer, &fs, &opt, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    for (unsigned g = 0; g < groups; g++)
        next[g] = 1;
    const double user0 = cpu_us(RUSAGE_SELF, true), all0 = cpu_us(RUSAGE_SELF, false);
    const uint64_t t0 = wk_now_us();
    while ((double)(wk_now_us() - t0) < seconds * 1e6) {
        const uint64_t rounds = b.rounds;
        uint64_t before = done;
        for (unsigned i = 0; i < groups * WINDOW; i++) {
            if (atomic_load(&slots[i].busy))
                continue;
            for (unsigned k = 0; slots[i].submit.done && k < batch; k++)
                wk_blob_unref(slots[i].entries[k].data);
            const unsigned g = i / WINDOW;
            fill(&slots[i], g, &next[g], batch, bytes);
            wk_log_writer_submit(b.writer, &slots[i].submit);
            done += batch;
            if (next[g] > 200000 && next[g] % 65536 < batch)
                wk_log_writer_compact(b.writer, g, next[g] - 100000);
        }
        pthread_mutex_lock(&b.mu);
        while (before == done && rounds == b.rounds)
            pthread_cond_wait(&b.wake, &b.mu);
        pthread_mutex_unlock(&b.mu);
    }
    wk_log_writer_stats(b.writer, &st);
    const double us = (double)(wk_now_us() - t0), user = cpu_us(RUSAGE_SELF, true) - user0;
    const double all = cpu_us(RUSAGE_SELF, false) - all0;
    printf("groups=%-3u batch=%-3u sync=%d  %9.0f entries/s  cpu %.2f us/entry (user %.2f)  "
           "%.2f bytes written per payload byte  %llu syncs  %.0f entries/sync\n",
           groups, batch, sync, (double)done / us * 1e6, all / (double)done, user / (double)done,
           (double)st.bytes_written / ((double)done * ENTRY_BYTES), (unsigned long long)st.syncs,
           (double)done / (double)(st.syncs ? st.syncs : 1));
    wk_log_writer_free(b.writer);
    wk_fs_posix_free(&fs);
    for (unsigned i = 0; i < groups * WINDOW; i++)
        for (unsigned k = 0; slots[i].submit.done && k < batch; k++)
            wk_blob_unref(slots[i].entries[k].data);
    free(slots);
    free(next);
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", path);
    if (system(cmd) != 0)
        fprintf(stderr, "cannot remove %s\n", path);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    const double seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
    static const unsigned groups[] = {1, 16, 64};

    for (int i = 0; i < 3; i++) {
        run(dir, groups[i], 1, true, seconds);
        run(dir, groups[i], BATCH_MAX, true, seconds);
    }
    run(dir, 64, BATCH_MAX, false, seconds);
    return 0;
}
