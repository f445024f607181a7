/* The redo log: append-only segment files shared by all groups of a node.
 *
 * One record = one (group, first index, term, hard state, entries) batch with a CRC-32C.  Groups
 * are interleaved in arrival order; one sync covers everything written before it.
 * The log keeps, per group, an in-memory index (term and file position of each retained entry)
 * and a cache of recent entries bounded in bytes; older entries are read back from the files.
 *
 * Two layers: struct wk_log_store below is synchronous, single-threaded and talks to files only
 * through struct wk_fs, so that a simulator can replace the disk.  writer.h runs it on a thread and
 * posts completions.
 *
 * Damage: a torn tail (bytes after the last synced record that do not parse) is cut at open.
 * Damage before the durable point is never cut silently: open fails for the groups concerned with
 * WKIM_ECORRUPT in their wk_log_group_state and the group must be re-seeded.
 */
#ifndef WK_LOG_LOG_H
#define WK_LOG_LOG_H
#include <stdbool.h>
#include "base/blob.h"
#include "base/error.h"

/* File operations; paths are relative to a root the implementation knows. All return WKIM_OK or a
 * negative code (EIO, ENOSPC, ENOTFOUND), reads return the count. */
struct wk_fs {
    void *user;
    int (*open)(void *user, const char *name, bool create, int *fd);
    int (*close)(void *user, int fd);
    int (*pwritev)(void *user, int fd, const wkim_slice *parts, size_t n, uint64_t off);
    wkim_ssize (*pread)(void *user, int fd, void *p, size_t n, uint64_t off);
    int (*sync)(void *user, int fd); /* fdatasync */
    int (*size)(void *user, int fd, uint64_t *n);
    int (*allocate)(void *user, int fd, uint64_t n); /* reserve space; may do nothing */
    int (*rename)(void *user, const char *from, const char *to);
    int (*unlink)(void *user, const char *name);
    int (*sync_dir)(void *user);
    int (*list)(void *user, void (*each)(void *arg, const char *name), void *arg);
    void (*forget)(void *user, int fd); /* what is cached of it is not wanted; may be NULL */
};
/* POSIX implementation rooted at `dir` (created 0750). */
int wk_fs_posix_new(struct wk_fs *out, const char *dir, struct wkim_error *err);
void wk_fs_posix_free(struct wk_fs *fs);

struct wk_log_entry {
    uint64_t term, index;
    uint8_t type;
    struct wk_blob *data; /* NULL: empty; counted */
};

struct wk_log_batch {
    uint32_t group;
    bool has_hard;
    uint64_t hard_term, hard_vote, hard_commit;
    const struct wk_log_entry *entries; /* consecutive; truncates the group from entries[0].index */
    uint32_t n_entries;
};

struct wk_log_group_state {
    uint32_t group;
    int code; /* WKIM_OK, or WKIM_ECORRUPT: needs re-seed */
    uint64_t hard_term, hard_vote, hard_commit;
    uint64_t first_index, last_index; /* last = first-1 when empty */
    uint64_t base_term;               /* term of first_index-1 */
};

struct wk_log_options {
    uint64_t segment_bytes; /* close a segment beyond this */
    uint64_t cache_bytes;   /* recent entries kept in memory, all groups together */
    uint64_t salt;          /* seed of segment salts; 0: from the kernel */
};

struct wk_log_store;
int wk_log_open(struct wk_log_store **out, const struct wk_fs *fs, const struct wk_log_options *opt,
                struct wkim_error *err);
void wk_log_close(struct wk_log_store *l);

/* Write batches in order to the current segment without sync.  On failure nothing of the call is
 * visible and the store stops accepting writes until reopened (a failed write or sync is never
 * retried on the same file: its pages may be lost). */
int wk_log_append(struct wk_log_store *l, const struct wk_log_batch *batches, size_t n,
                  struct wkim_error *err);
int wk_log_sync(struct wk_log_store *l, struct wkim_error *err);

/* Makes one spare segment file when a busy young log has none; WKIM_ENOTFOUND: none is wanted.  May
 * run beside the thread that appends, by one thread at a time; takes as long as writing
 * segment_bytes. */
int wk_log_prepare(struct wk_log_store *l);

/* One thread calls append, sync, compact, purge and reset; what follows down to wk_log_entries, and
 * wk_log_stats, may be called from any thread.
 * Groups found at open or written since; `i` from 0 until WKIM_ENOTFOUND. */
int wk_log_group(const struct wk_log_store *l, size_t i, struct wk_log_group_state *out);
int wk_log_group_find(const struct wk_log_store *l, uint32_t group, struct wk_log_group_state *out);
int wk_log_term(const struct wk_log_store *l, uint32_t group, uint64_t index, uint64_t *term);
/* Entries [lo, hi) cut to bytes_max, at least one; blobs reffed for the caller.  Count or error. */
wkim_ssize wk_log_entries(struct wk_log_store *l, uint32_t group, uint64_t lo, uint64_t hi,
                          uint64_t bytes_max, struct wk_log_entry *out, size_t out_max);

/* Everything of `group` up to `index` is in flushed state elsewhere; whole segments in which every
 * group has passed are deleted by wk_log_purge.  The mark (and base term) is made durable with the
 * segment it allows to delete. */
int wk_log_compact(struct wk_log_store *l, uint32_t group, uint64_t index);
wkim_ssize wk_log_purge(struct wk_log_store *l, struct wkim_error *err); /* segments deleted */
/* Forget the group's entries and start at index+1 with base term (snapshot installed); durable on
 * return.  Hard state stays, raised where it must be: commit to `index`, a term below `term` to
 * `term` with no vote.  Ends WKIM_ECORRUPT of the group. */
int wk_log_reset(struct wk_log_store *l, uint32_t group, uint64_t index, uint64_t term,
                 struct wkim_error *err);

struct wk_log_stats {
    uint64_t bytes_written, syncs, segments, cache_bytes, live_bytes;
};
void wk_log_stats(const struct wk_log_store *l, struct wk_log_stats *out);
#endif
