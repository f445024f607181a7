/* Cost of the store per message: what a shard thread pays for the commit, what the disk pays in
 * bytes, and how fast the newest messages of a channel are read.
 *
 *   bench_store [-d dir] [-n messages] [-b batch] [-t threads] [-c channels] [-p payload bytes]
 *               [-m memtable MB] [-s scan seconds] [-e messages per sent row] [-M (in memory)]
 * Without -b it runs batches of 1, 16, 64 and 256, each on a fresh store. */
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"

#define HEAD_BYTES 40
#define SCAN_ROWS 100

struct bench {
    const char *dir;
    uint64_t messages, memtable_mb;
    size_t batch, payload;
    int threads, scan_s;
    uint32_t sent_every; /* a channel writes its sender's position once in so many; 0: never */
    uint32_t channels;
    bool in_memory;
    struct wk_store *store;
    uint64_t *seqs; /* last seq of each channel; a channel belongs to one thread */
};

struct worker {
    struct bench *b;
    int no;
    uint64_t commit_ns, commit_cpu_ns, max_commit_ns, scans, rows;
};

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void check(int rc, const char *what)
{
    if (rc != WKIM_OK) {
        fprintf(stderr, "%s: %s\n", what, wkim_err_name(rc));
        exit(1);
    }
}

struct message {
    uint32_t channel;
    uint64_t seq;
    char channel_id[32], uid[24];
    uint8_t record[4096];
    size_t n;
};

static void add_text(struct message *m, const char *s)
{
    size_t n = strlen(s);

    m->record[m->n++] = (uint8_t)(n >> 8);
    m->record[m->n++] = (uint8_t)n;
    memcpy(m->record + m->n, s, n);
    m->n += n;
}

/* A record as the product stores it: fixed head, ids, a UUID, random payload. */
static void make_message(struct worker *w, struct wk_rng *r, struct message *m)
{
    struct bench *b = w->b;
    uint32_t per_thread = b->channels / (uint32_t)b->threads;
    uint64_t x = wk_rng_next(r), y = wk_rng_next(r), now = 1700000000000u;
    char msgno[40];

    m->channel = (uint32_t)w->no * per_thread + (uint32_t)wk_rng_below(r, per_thread);
    m->seq = ++b->seqs[m->channel];
    snprintf(m->channel_id, sizeof(m->channel_id), "group%06u", m->channel);
    snprintf(m->uid, sizeof(m->uid), "user%07u", m->channel * 7 + (unsigned)wk_rng_below(r, 16));
    snprintf(msgno, sizeof(msgno), "%08x-%04x-%04x-%04x-%012llx", (unsigned)(x >> 32),
             (unsigned)(x >> 16 & 0xffff), (unsigned)(x & 0xffff), (unsigned)(y >> 48),
             (unsigned long long)(y & 0xffffffffffffu));
    memset(m->record, 0, HEAD_BYTES);
    m->record[0] = 1;
    m->record[3] = 2;
    now += m->seq * 1000 + (x & 1023);
    uint64_t id = now << 22 | (y & 0x3fffff);
    for (int i = 0; i < 8; i++) {
        m->record[4 + i] = (uint8_t)(id >> (56 - 8 * i));
        m->record[12 + i] = (uint8_t)(m->seq >> (56 - 8 * i));
        m->record[20 + i] = (uint8_t)(now >> (56 - 8 * i));
    }
    m->n = HEAD_BYTES;
    add_text(m, m->channel_id);
    add_text(m, m->uid);
    add_text(m, msgno);
    add_text(m, "");
    add_text(m, "");
    for (size_t i = 0; i < b->payload; i += 8) {
        uint64_t v = wk_rng_next(r);
        memcpy(m->record + m->n, &v, 8);
        m->n += b->payload - i < 8 ? b->payload - i : 8;
    }
}

static void commit_batch(struct worker *w, struct wk_txn *t, const struct message *ms, size_t n,
                         uint64_t index)
{
    uint32_t slot = (uint32_t)w->no, every = w->b->sent_every;
    uint64_t t0 = clock_ns(CLOCK_MONOTONIC), c0 = clock_ns(CLOCK_THREAD_CPUTIME_ID);

    for (size_t i = 0; i < n; i++) {
        struct wk_channel_key ch = { 2, wk_str(ms[i].channel_id) };
        wk_message_put(t, slot, &ch, ms[i].seq, wk_slice(ms[i].record, ms[i].n));
        if (every && ms[i].seq % every == 0)
            wk_sent_put(t, slot, &ch, wk_str(ms[i].uid), ms[i].seq);
    }
    wk_applied_put(t, slot, &(struct wk_row_applied){ index, 1 });
    check(wk_txn_commit(t, NULL), "commit");
    uint64_t took = clock_ns(CLOCK_MONOTONIC) - t0;
    w->commit_ns += took;
    w->commit_cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - c0;
    if (took > w->max_commit_ns)
        w->max_commit_ns = took;
}

static void *write_main(void *arg)
{
    struct worker *w = arg;
    struct bench *b = w->b;
    struct wk_rng rng;
    struct wk_txn *t;
    struct message *ms = wk_malloc(sizeof(*ms) * b->batch);

    wk_rng_seed(&rng, (uint64_t)w->no + 1);
    check(ms ? wk_txn_new(&t, b->store) : WKIM_ENOMEM, "txn");
    for (uint64_t done = 0; done < b->messages / (uint64_t)b->threads; done += b->batch) {
        for (size_t i = 0; i < b->batch; i++)
            make_message(w, &rng, &ms[i]);
        commit_batch(w, t, ms, b->batch, done);
    }
    wk_txn_free(t);
    wk_free(ms);
    return NULL;
}

static int count_row(void *arg, uint64_t seq, wkim_slice record)
{
    uint64_t *rows = arg;

    (void)seq;
    (void)record;
    return ++*rows % SCAN_ROWS == 0;
}

static void *scan_main(void *arg)
{
    struct worker *w = arg;
    struct wk_rng rng;
    uint64_t end = wk_now_ms() + (uint64_t)w->b->scan_s * 1000;
    uint32_t per_thread = w->b->channels / (uint32_t)w->b->threads;
    char id[32];

    wk_rng_seed(&rng, (uint64_t)w->no + 77);
    while (wk_now_ms() < end) {
        uint32_t slot = (uint32_t)wk_rng_below(&rng, (uint64_t)w->b->threads);
        snprintf(id, sizeof(id), "group%06u",
                 slot * per_thread + (uint32_t)wk_rng_below(&rng, per_thread));
        struct wk_channel_key ch = { 2, wk_str(id) };
        uint64_t rows = 0;
        if (wk_message_scan(w->b->store, slot, &ch, 0, UINT64_MAX, true, count_row, &rows) < 0)
            exit(1);
        w->rows += rows;
        w->scans++;
    }
    return NULL;
}

static void *get_main(void *arg)
{
    struct worker *w = arg;
    struct wk_rng rng;
    struct wk_buf out = WK_BUF_INIT;
    uint64_t end = wk_now_ms() + (uint64_t)w->b->scan_s * 1000;
    uint32_t per_thread = w->b->channels / (uint32_t)w->b->threads;
    char id[32];

    wk_rng_seed(&rng, (uint64_t)w->no + 99);
    while (wk_now_ms() < end) {
        uint32_t slot = (uint32_t)wk_rng_below(&rng, (uint64_t)w->b->threads);
        uint32_t no = slot * per_thread + (uint32_t)wk_rng_below(&rng, per_thread);
        snprintf(id, sizeof(id), "group%06u", no);
        struct wk_channel_key ch = { 2, wk_str(id) };
        if (w->b->seqs[no] == 0)
            continue;
        wk_buf_clear(&out);
        check(wk_message_get(w->b->store, slot, &ch, 1 + wk_rng_below(&rng, w->b->seqs[no]), &out),
              "get");
        w->scans++;
    }
    wk_buf_fini(&out);
    return NULL;
}

static uint64_t run(struct bench *b, struct worker *ws, void *(*main_fn)(void *))
{
    pthread_t ids[16];
    uint64_t t0 = clock_ns(CLOCK_MONOTONIC);

    for (int i = 0; i < b->threads; i++) {
        ws[i] = (struct worker){ .b = b, .no = i };
        pthread_create(&ids[i], NULL, main_fn, &ws[i]);
    }
    for (int i = 0; i < b->threads; i++)
        pthread_join(ids[i], NULL);
    return clock_ns(CLOCK_MONOTONIC) - t0;
}

static uint64_t disk_writes(void)
{
    char line[128];
    unsigned long long v = 0;
    FILE *f = fopen("/proc/self/io", "r");

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "wchar: %llu", &v) == 1)
            break;
    if (f)
        fclose(f);
    return v;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void report_reads(struct bench *b, struct worker *ws)
{
    uint64_t scans = 0, rows = 0, gets = 0;

    for (int warm = 1; warm >= 0; warm--) {
        run(b, ws, scan_main);
        for (int i = 0; !warm && i < b->threads; i++) {
            scans += ws[i].scans;
            rows += ws[i].rows;
        }
    }
    run(b, ws, get_main);
    for (int i = 0; i < b->threads; i++)
        gets += ws[i].scans;
    printf("           scans/s %.0f (%.1f rows each)  point gets/s %.0f\n",
           (double)scans / b->scan_s, (double)rows / (double)(scans ? scans : 1),
           (double)gets / b->scan_s);
}

static void run_batch(struct bench *b)
{
    char dir[512];
    struct worker ws[16];
    struct wk_store_options opt = { .cache_bytes = 512u << 20,
                                    .memtable_bytes = b->memtable_mb << 20 };
    struct wk_store_stats st;
    struct rusage ru0, ru1;
    struct wkim_error err;

    snprintf(dir, sizeof(dir), "%s/bench_store.XXXXXX", b->dir);
    if (!mkdtemp(dir))
        exit(1);
    b->seqs = wk_calloc(b->channels, sizeof(*b->seqs));
    check(b->seqs ? wk_store_open(&b->store, b->in_memory ? NULL : dir, &opt, &err) : WKIM_ENOMEM,
          "open");
    getrusage(RUSAGE_SELF, &ru0);
    uint64_t w0 = disk_writes(), wall = run(b, ws, write_main), commit = 0, cpu = 0;
    uint64_t max = 0;
    for (int i = 0; i < b->threads; i++) {
        commit += ws[i].commit_ns;
        cpu += ws[i].commit_cpu_ns;
        max = ws[i].max_commit_ns > max ? ws[i].max_commit_ns : max;
    }
    check(wk_store_flush(b->store, &err), "flush");
    getrusage(RUSAGE_SELF, &ru1);
    double n = (double)b->messages, cpu_s = (double)(ru1.ru_utime.tv_sec - ru0.ru_utime.tv_sec) +
        (double)(ru1.ru_utime.tv_usec - ru0.ru_utime.tv_usec) / 1e6 +
        (double)(ru1.ru_stime.tv_sec - ru0.ru_stime.tv_sec) +
        (double)(ru1.ru_stime.tv_usec - ru0.ru_stime.tv_usec) / 1e6;
    printf("batch %4zu: commit %.0f ns (cpu %.0f) per message, "
           "worst commit %.1f ms, %.0f messages/s, process cpu %.0f ns per message\n", b->batch,
           (double)commit / n, (double)cpu / n,
           (double)max / 1e6, n * 1e9 / (double)wall, cpu_s * 1e9 / n);
    wk_store_stats(b->store, &st);
    double payload = n * (double)b->payload;
    printf("           bytes per payload byte: written %.2f (write calls %.2f), on disk %.2f\n",
           (double)st.bytes_written / payload, (double)(disk_writes() - w0) / payload,
           (double)st.disk_bytes / payload);
    if (b->scan_s > 0)
        report_reads(b, ws);
    fflush(stdout);
    wk_store_close(b->store);
    wk_free(b->seqs);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
    static const size_t batches[] = { 1, 16, 64, 256 };
    const char *tmp = getenv("TMPDIR");
    struct bench b = { .dir = tmp ? tmp : "/tmp",
                       .messages = 2000000,
                       .threads = 2,
                       .scan_s = 2,
                       .sent_every = 1,
                       .channels = 10000,
                       .payload = 256,
                       .memtable_mb = 128 };
    int c;

    while ((c = getopt(argc, argv, "d:n:b:t:c:p:m:s:e:M")) != -1) {
        unsigned long v = optarg ? strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 'd': b.dir = optarg; break;
        case 'n': b.messages = v; break;
        case 'b': b.batch = v; break;
        case 't': b.threads = v < 1 ? 1 : v > 16 ? 16 : (int)v; break;
        case 'c': b.channels = (uint32_t)v; break;
        case 'p': b.payload = v > 3000 ? 3000 : v; break;
        case 'm': b.memtable_mb = v; break;
        case 's': b.scan_s = (int)v; break;
        case 'e': b.sent_every = (uint32_t)v; break;
        case 'M': b.in_memory = true; break;
        default: return 2;
        }
    }
    if (b.batch) {
        run_batch(&b);
        return 0;
    }
    for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
        b.batch = batches[i];
        run_batch(&b);
    }
    return 0;
}
