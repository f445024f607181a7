/* What the files of this room share: segments, records, the per-group index and the cache. */
#ifndef WK_LOG_INTERNAL_H
#define WK_LOG_INTERNAL_H
#include <pthread.h>
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "log/log.h"

#define WK_LOG_VERSION 1
#define WK_LOG_DATA_OFF 4096 /* records start here; two header copies lie before */
#define WK_LOG_HEAD_COPY_OFF 2048
#define WK_LOG_HEAD_BYTES 64  /* of a segment header and of a record header */
#define WK_LOG_STATE_BYTES 64 /* one group in a state record */
#define WK_LOG_HARD_BYTES 24
#define WK_LOG_RUN_BYTES 12
#define WK_LOG_WORD_BYTES 4
#define WK_LOG_RECORD_ENTRIES_MAX 32768
#define WK_LOG_ENTRY_BYTES_MAX (WK_LOG_RECORD_BYTES_MAX - 65536)
#define WK_LOG_SCRATCH_BYTES (1u << 20) /* gathered before a write */
#define WK_LOG_COPY_BYTES_MAX 2048 /* smaller entries are copied, larger ones go by reference */
#define WK_LOG_CALL_BYTES_MAX (1ull << 31)
#define WK_LOG_SPARES_MAX 6 /* segments kept to be written again: what one purge gives back */
#define WK_LOG_PREPARED_MAX 1 /* segments written ahead in the life of a process */
#define WK_LOG_PREPARE_PART 16 /* once a segment is used by this part */
#define WK_LOG_SEGMENT_BYTES_MAX (1ull << 30)
#define WK_LOG_NO_GROUP UINT32_MAX

enum wk_log_kind { WK_LOG_BATCH = 1, WK_LOG_STATE = 2 };
enum wk_log_flag {
    WK_LOG_HAS_HARD = 1, /* batch */
    WK_LOG_FULL = 2,     /* state: lists every group, opens a segment */
    WK_LOG_DAMAGED = 4   /* state: groups unknown to this log may have been lost */
};
enum wk_log_state_flag { WK_LOG_STATE_RESET = 1, WK_LOG_STATE_CORRUPT = 2 };

/* A place in the log: segment number in the high half, byte offset in the low half. */
static inline uint64_t wk_log_pos(uint32_t seq, uint64_t off)
{
    return (uint64_t)seq << 32 | off;
}
static inline uint32_t wk_log_pos_seq(uint64_t pos)
{
    return (uint32_t)(pos >> 32);
}
static inline uint64_t wk_log_pos_off(uint64_t pos)
{
    return pos & UINT32_MAX;
}
static inline uint64_t wk_log_align(uint64_t n)
{
    return (n + 7) & ~7ull;
}

struct wk_log_seg {
    uint32_t seq;
    uint32_t crc_seed; /* of the salt: bytes of an earlier life of the file never verify */
    int fd;
    uint32_t refs; /* readers outside the lock */
    bool dead;     /* purged; the last reader closes */
    bool fresh;    /* its blocks are being written for the first time */
    uint64_t salt, next_salt;
    uint64_t head_end; /* header and state of all groups */
    uint64_t end;      /* bytes in use */
};

/* One record's entries.  Its index range ends where the next node begins (or at the group's last).
 */
struct wk_log_node {
    uint64_t pos;
    uint32_t rel; /* first index minus the group's rel_base */
    uint32_t len;
};
struct wk_log_run {
    uint64_t first, term;
};
struct wk_log_cached {
    struct wk_blob *data;
    uint8_t type;
};

struct wk_log_group {
    uint32_t id;
    bool known;      /* something of it is in the log */
    bool mark_dirty; /* first/base_term moved since the last state record */
    int code;
    uint64_t hard_term, hard_vote, hard_commit;
    uint64_t first, last, base_term;
    uint64_t recno;  /* records of this group so far: a gap shows a lost record */
    uint64_t proven; /* recovery: damage count up to which nothing of this group is missing */
    uint64_t want;   /* writer: compaction mark not applied yet */
    struct wk_log_node *nodes;
    size_t node_head, n_nodes, node_cap; /* nodes[node_head .. node_head + n_nodes) */
    uint64_t rel_base;
    struct wk_log_run *runs;
    size_t n_runs, run_cap;
    struct wk_log_cached *ring; /* entry i at ring[i & (ring_cap - 1)], cache_first <= i <= last */
    uint64_t ring_cap, cache_first;
    /* The call of wk_log_append that is being planned. */
    uint64_t call, v_last, v_recno, v_commit;
    size_t v_nodes, v_runs, v_entries;
};

struct wk_log_fifo_item {
    struct wk_log_group *group;
    uint64_t last;
};

/* A record written by the call under way, not yet in the index. */
struct wk_log_pending {
    struct wk_log_group *group;
    const struct wk_log_batch *batch;
    uint32_t from, n; /* entries of the batch */
    bool last;        /* of its batch: carries the real commit */
    uint64_t pos;
    uint32_t len;
};

struct wk_log_store {
    pthread_mutex_t mu; /* index, cache, segment table; never held over I/O */
    struct wk_fs fs;
    struct wk_log_options opt;
    int failed;        /* code of the first failed write or sync: nothing is written any more */
    bool damaged;      /* damage that cannot be told to concern known groups only */
    struct wk_rng rng; /* salts */
    struct wk_log_seg **segs; /* consecutive, oldest first; the last one is written */
    size_t n_segs, seg_cap;
    uint32_t spares[WK_LOG_SPARES_MAX];
    size_t n_spares;
    uint32_t prepared; /* spares made by wk_log_prepare */
    uint64_t durable;             /* position before which everything is on stable storage */
    uint32_t purged_to;           /* segments below are gone or leftovers */
    struct wk_log_group **groups; /* in order of appearance */
    size_t n_groups, group_cap;
    uint32_t *table; /* open addressing: group number + 1 */
    size_t table_cap;
    uint64_t cache_bytes;
    struct wk_log_fifo_item *fifo; /* ring */
    size_t fifo_head, n_fifo, fifo_cap;
    /* The writing thread's own. */
    uint64_t call;
    uint8_t *scratch;
    size_t scratch_n, scratch_cap;
    wkim_slice *parts;
    size_t n_parts, part_cap;
    struct wk_log_pending *pending;
    size_t n_pending, pending_cap;
    uint64_t parts_bytes;
    uint64_t bytes_written, syncs;
};

static inline struct wk_log_seg *wk_log_current(const struct wk_log_store *l)
{
    return l->segs[l->n_segs - 1];
}

/* index.c: grow `*p` of `size`-byte items to hold `need`. */
int wk_log_grow(void *p, size_t *cap, size_t need, size_t size);

/* record.c */
struct wk_log_record {
    uint32_t len, group;
    uint8_t kind, flags;
    uint64_t recno, durable, first;
    uint32_t n, n_runs, body_crc;
};
struct wk_log_group_line { /* of a state record */
    uint32_t group, flags;
    uint64_t recno, hard_term, hard_vote, hard_commit, first, base_term, last;
};
struct wk_log_seg_head {
    uint32_t version, seq;
    uint64_t salt, next_salt, prev_end;
};
/* Cursor over the body of a batch record. */
struct wk_log_body {
    const uint8_t *hard, *runs, *words, *data; /* hard: NULL when absent */
    uint32_t n, n_runs;
};
void wk_log_put32(uint8_t *p, uint32_t v);
void wk_log_put64(uint8_t *p, uint64_t v);
uint32_t wk_log_get32(const uint8_t *p);
uint64_t wk_log_get64(const uint8_t *p);
uint32_t wk_log_crc_seed(uint64_t salt, uint32_t seq);
void wk_log_record_encode(uint8_t *p, const struct wk_log_record *r, uint32_t seed);
bool wk_log_record_magic(const uint8_t *p); /* at least looks like one, whatever the salt */
/* False: no record header of this segment. `len` is within [64, WK_LOG_RECORD_BYTES_MAX]. */
bool wk_log_record_decode(struct wk_log_record *out, const uint8_t *p, uint32_t seed);
/* False: sizes do not add up (cannot happen after the checksum matched, but never trusted). */
bool wk_log_body_decode(struct wk_log_body *out, const struct wk_log_record *r, const uint8_t *p);
void wk_log_line_encode(uint8_t *p, const struct wk_log_group_line *s);
void wk_log_line_decode(struct wk_log_group_line *out, const uint8_t *p);
void wk_log_seg_head_encode(uint8_t *p, const struct wk_log_seg_head *h);
bool wk_log_seg_head_decode(struct wk_log_seg_head *out, const uint8_t *p);

/* index.c: all under the lock. */
struct wk_log_group *wk_log_group_get(const struct wk_log_store *l, uint32_t id);
struct wk_log_group *wk_log_group_make(struct wk_log_store *l, uint32_t id); /* NULL: no memory */
void wk_log_group_free(struct wk_log_store *l, struct wk_log_group *g);
int wk_log_group_reserve(struct wk_log_group *g, size_t nodes, size_t runs, size_t entries);
void wk_log_group_truncate(struct wk_log_store *l, struct wk_log_group *g, uint64_t from);
void wk_log_group_node(struct wk_log_group *g, uint64_t pos, uint64_t first, uint32_t len);
void wk_log_group_run(struct wk_log_group *g, uint64_t first, uint64_t term);
void wk_log_group_front(struct wk_log_store *l, struct wk_log_group *g, uint64_t first,
                        uint64_t base_term);
void wk_log_group_restart(struct wk_log_store *l, struct wk_log_group *g, uint64_t index,
                          uint64_t term);
int wk_log_group_term(const struct wk_log_group *g, uint64_t index, uint64_t *term);
/* Node that holds `index`, as an offset from node_head; n_nodes when none does. */
size_t wk_log_group_find_node(const struct wk_log_group *g, uint64_t index);
void wk_log_group_line(const struct wk_log_group *g, struct wk_log_group_line *out);

/* cache.c: all under the lock. */
int wk_log_cache_reserve(struct wk_log_store *l, size_t records);
void wk_log_cache_put(struct wk_log_store *l, struct wk_log_group *g,
                      const struct wk_log_entry *e); /* g->last == e->index */
void wk_log_cache_drop(struct wk_log_store *l, struct wk_log_group *g, uint64_t below);
void wk_log_cache_cut(struct wk_log_store *l, struct wk_log_group *g, uint64_t from);
void wk_log_cache_note(struct wk_log_store *l, struct wk_log_group *g); /* after a batch; trims */

/* segment.c */
#define WK_LOG_NAME_BYTES 24
void wk_log_seg_name(char out[WK_LOG_NAME_BYTES], uint32_t seq);
void wk_log_spare_name(char out[WK_LOG_NAME_BYTES], uint32_t seq);
int wk_log_seg_switch(struct wk_log_store *l, struct wkim_error *err);  /* new current segment */
int wk_log_seg_add(struct wk_log_store *l, const struct wk_log_seg *s); /* copies; grows table */
void wk_log_seg_close(struct wk_log_store *l, struct wk_log_seg *s);
struct wk_log_seg *wk_log_seg_ref(struct wk_log_store *l, uint32_t seq); /* lock held */
void wk_log_seg_unref(struct wk_log_store *l, struct wk_log_seg *s);     /* takes the lock */
int wk_log_state_reserve(struct wk_log_store *l); /* memory for the next state record */
/* Append a state record: all groups (`full`), those with a moved mark, or only `extra`.  Memory
 * was reserved.  Writes, does not sync. */
int wk_log_state_write(struct wk_log_store *l, bool full, bool dirty_only,
                       const struct wk_log_group_line *extra, struct wkim_error *err);
/* Write the gathered parts at the end of the current segment. */
int wk_log_flush(struct wk_log_store *l, struct wkim_error *err);
int wk_log_broken(struct wk_log_store *l, struct wkim_error *err, int rc, const char *what);

/* recover.c */
int wk_log_recover(struct wk_log_store *l, struct wkim_error *err);
/* scan.c: a window over a segment file. */
struct wk_log_scan {
    struct wk_log_store *l;
    struct wk_log_seg *seg;
    uint64_t size; /* of the file */
    uint64_t off;  /* file offset of buf[0] */
    uint8_t *buf;
    size_t n, cap;
    int rc; /* first read or memory error */
};
void wk_log_scan_init(struct wk_log_scan *s, struct wk_log_store *l, struct wk_log_seg *seg,
                      uint64_t size);
void wk_log_scan_fini(struct wk_log_scan *s);
/* `n` bytes at `off`, or NULL past the end or on error (s->rc). Valid until the next call. */
const uint8_t *wk_log_scan_at(struct wk_log_scan *s, uint64_t off, size_t n);
enum wk_log_found { WK_LOG_NOTHING, WK_LOG_HEAD_ONLY, WK_LOG_WHOLE };
/* What is at `off`: a whole record, a record header with a damaged body, or neither. */
enum wk_log_found wk_log_scan_record(struct wk_log_scan *s, uint64_t off, struct wk_log_record *r,
                                     const uint8_t **p);
/* First whole record at or after `off`; WK_LOG_NOTHING at the end. */
enum wk_log_found wk_log_scan_next(struct wk_log_scan *s, uint64_t *off, struct wk_log_record *r);
/* replay.c */
struct wk_log_replay {
    struct wk_log_store *l;
    uint64_t damage;  /* damaged places so far whose owner is unknown */
    uint64_t durable; /* highest position some record tells to be synced */
    bool oldest;      /* nothing was replayed yet: a full state record starts from it */
    int rc;           /* no memory */
};
void wk_log_replay_record(struct wk_log_replay *y, const struct wk_log_record *r, uint64_t pos,
                          const uint8_t *p);
/* A record whose header survived and whose body did not. */
void wk_log_replay_lost(struct wk_log_replay *y, const struct wk_log_record *r);
void wk_log_replay_damage(struct wk_log_replay *y); /* bytes that nobody can be told to own */
void wk_log_replay_end(struct wk_log_replay *y);
#endif
