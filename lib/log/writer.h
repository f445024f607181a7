/* Group commit: one thread owns a wk_log_store, writes what queued while the previous sync ran,
 * syncs once, then reports each batch.  No timer is in the path.
 *
 * Thread-safe: submit, compact, and the read functions (term, entries) may be called from any
 * thread; reads are served from the in-memory index and cache under a short lock, and from the
 * files outside the lock. */
#ifndef WK_LOG_WRITER_H
#define WK_LOG_WRITER_H
#include "base/metric.h"
#include "log/log.h"

/* Of the writer's rounds; written by its thread, read with wk_metric_sum. */
struct wk_log_counters {
    struct wk_histogram round;   /* us from taking what waits to the end of its sync */
    struct wk_histogram sync;    /* us in fdatasync */
    struct wk_histogram records; /* submissions of a round */
};

/* One submission: intrusive, owned by the submitter, must stay valid until done() ran. */
struct wk_log_submit {
    struct wk_log_submit *next; /* of the writer */
    struct wk_log_batch batch;
    int rc;                     /* result, set before done */
    uint64_t begun_us;          /* when the round that holds it began; set before done */
    void (*done)(struct wk_log_submit *s); /* writer thread; must only post */
    bool reset;                 /* of the writer: wk_log_writer_reset() */
    uint64_t reset_index, reset_term;
};

struct wk_log_writer;
struct wk_log_writer_options {
    struct wk_log_options log;
    bool sync;             /* false only for measurements: report without fdatasync */
    /* Called on the writer thread after all done() of one sync round (wake shards once). */
    void (*round_end)(void *user);
    void *user;
};
int wk_log_writer_new(struct wk_log_writer **out, const struct wk_fs *fs,
                      const struct wk_log_writer_options *opt, struct wkim_error *err);
/* Finishes what was submitted, syncs, joins. */
void wk_log_writer_free(struct wk_log_writer *w);
/* Never fails and never blocks on I/O; order of calls per thread is the order in the log. */
void wk_log_writer_submit(struct wk_log_writer *w, struct wk_log_submit *s);
/* wk_log_reset of s->batch.group in the order of submissions; done() when durable. */
void wk_log_writer_reset(struct wk_log_writer *w, struct wk_log_submit *s, uint64_t index,
                         uint64_t term);
int wk_log_writer_term(struct wk_log_writer *w, uint32_t group, uint64_t index, uint64_t *term);
wkim_ssize wk_log_writer_entries(struct wk_log_writer *w, uint32_t group, uint64_t lo, uint64_t hi,
                                 uint64_t bytes_max, struct wk_log_entry *out, size_t out_max);
int wk_log_writer_group_find(struct wk_log_writer *w, uint32_t group,
                             struct wk_log_group_state *out);
/* Asynchronous: mark and purge on the writer thread. */
void wk_log_writer_compact(struct wk_log_writer *w, uint32_t group, uint64_t index);
/* wk_log_prepare; beside the writing thread, by one thread at a time. */
int wk_log_writer_prepare(struct wk_log_writer *w);
void wk_log_writer_stats(struct wk_log_writer *w, struct wk_log_stats *out);
const struct wk_log_counters *wk_log_writer_counters(const struct wk_log_writer *w);
#endif
