/* A small pool of threads for reads that may touch the disk.  Bounded queue. */
#ifndef WK_STORE_READER_H
#define WK_STORE_READER_H
#include "store/store.h"

/* Intrusive; owned by the submitter until done ran. */
struct wk_read_job {
    struct wk_read_job *next;
    void (*run)(struct wk_read_job *j);  /* reader thread: does the reading */
    void (*done)(struct wk_read_job *j); /* reader thread: must only post */
};
struct wk_readers;
int wk_readers_new(struct wk_readers **out, int threads, size_t queue_max);
void wk_readers_free(struct wk_readers *r); /* finishes what was accepted, joins */
int wk_readers_submit(struct wk_readers *r, struct wk_read_job *j); /* WKIM_OK or WKIM_EBUSY */
size_t wk_readers_queued(struct wk_readers *r);
struct wk_readers_stats {
    uint64_t queued, capacity, rejected;
    uint64_t running; /* taken by a thread, whose done may not have returned yet */
};
void wk_readers_stats(struct wk_readers *r, struct wk_readers_stats *out);
#endif
