/* The storage API: typed tables of the slots over an ordered key-value back end.
 *
 * Every row belongs to a slot; keys start with the slot so that a slot is a few key ranges.  State
 * is written with the back end's own log off: the slot log is the redo log.  One transaction per
 * applied batch carries the rows and the applied index of each slot in it.
 *
 * Threads: a wk_txn belongs to one thread; commit, gets and scans may run on any thread at once.
 * Commit and gets that hit memory do not block; scans belong on a reader thread (reader.h). */
#ifndef WK_STORE_STORE_H
#define WK_STORE_STORE_H
#include "base/buf.h"
#include "base/error.h"

struct wk_store;
/* NULL or 0: defaults (256 MB, 128 MB, 2).  Up to three more memtables may wait to be written. */
enum wk_store_compression { WK_STORE_LZ4, WK_STORE_ZSTD, WK_STORE_PLAIN };
struct wk_store_options {
    uint64_t cache_bytes;        /* block cache */
    uint64_t memtable_bytes;     /* state kept in memory before it is written out */
    int background_threads;
    /* Of new tables; what is there stays readable.  One that the library was built without is
     * replaced by the next lighter. */
    enum wk_store_compression compression;
};
/* dir NULL: the in-memory back end.  WKIM_EVERSION when the directory was written by a newer
 * format, ECORRUPT, EIO; err names the path. */
int wk_store_open(struct wk_store **out, const char *dir, const struct wk_store_options *opt,
                  struct wkim_error *err);
void wk_store_close(struct wk_store *s);
/* Make everything committed before the call durable (all tables atomically).  Blocks: maintenance
 * thread only. */
int wk_store_flush(struct wk_store *s, struct wkim_error *err);
/* Consistent copy into a new directory, after a flush (hard links where possible).  WKIM_EEXIST;
 * WKIM_EUNSUPPORTED in memory. */
int wk_store_checkpoint(struct wk_store *s, const char *dir, struct wkim_error *err);
/* True while the back end asks writers to slow down: proposals should answer EBUSY. */
bool wk_store_stalled(struct wk_store *s);
struct wk_store_stats {
    uint64_t memtable_bytes, disk_bytes, cache_bytes, bytes_written /* flush + compaction */;
    uint64_t message_bytes;        /* of disk_bytes */
    uint64_t compaction_debt_bytes;
    uint64_t compactions, flushes; /* under way */
    uint64_t memtables, snapshots; /* not written out yet, held open */
};
void wk_store_stats(struct wk_store *s, struct wk_store_stats *out);

/* A channel as stored: type and stored id. */
struct wk_channel_key {
    uint8_t type;
    wkim_slice id;
};

/* ---- transactions ---------------------------------------------------------------------------- */
struct wk_txn;
int wk_txn_new(struct wk_txn **out, struct wk_store *s);  /* reusable: commit and clear empty it */
void wk_txn_free(struct wk_txn *t);
void wk_txn_clear(struct wk_txn *t);
size_t wk_txn_bytes(const struct wk_txn *t);
/* Drops what was appended since wk_txn_bytes said `bytes`, and any failure since then. */
void wk_txn_cut(struct wk_txn *t, size_t bytes);
int wk_txn_commit(struct wk_txn *t, struct wkim_error *err); /* all or nothing, visible at return */
/* Puts and deletes cannot fail before commit, which reports WKIM_ENOMEM. */

/* ---- slot progress --------------------------------------------------------------------------- */
struct wk_row_applied { uint64_t index, term; };
void wk_applied_put(struct wk_txn *t, uint32_t slot, const struct wk_row_applied *row);
int wk_applied_get(struct wk_store *s, uint32_t slot, struct wk_row_applied *out); /* ENOTFOUND */
/* Small named values: cluster id, slot count, raft configuration of a slot ... */
void wk_value_put(struct wk_txn *t, uint32_t slot, wkim_slice name, wkim_slice value);
int wk_value_get(struct wk_store *s, uint32_t slot, wkim_slice name, struct wk_buf *out);

/* ---- messages -------------------------------------------------------------------------------- */
/* `record` is a message record (proto/record.h) with its message_seq patched; stored as it is. */
void wk_message_put(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch, uint64_t seq,
                    wkim_slice record);
void wk_message_delete(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                       uint64_t seq);
void wk_message_delete_range(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                             uint64_t from_seq, uint64_t to_seq); /* [from, to] */
/* The commit of a deleted range costs about 1 us per row in it: take long histories in pieces. */
int wk_message_get(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch, uint64_t seq,
                   struct wk_buf *out); /* appended */
/* Calls each() for rows with from <= seq <= to, ascending or descending, until it returns non-zero
 * (returned) or the range ends (WKIM_OK).  record is borrowed until each() returns. */
typedef int (*wk_message_each)(void *arg, uint64_t seq, wkim_slice record);
int wk_message_scan(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch,
                    uint64_t from_seq, uint64_t to_seq, bool descending, wk_message_each each,
                    void *arg);
/* Highest stored row from from_seq on; WKIM_ENOTFOUND when none.  Deleted rows cost time until they
 * are merged away: a from_seq behind them spares the walk over them. */
int wk_message_last_seq(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch,
                        uint64_t from_seq, uint64_t *seq);
/* Channels that have messages, one by one in the order of their keys, backwards: the one before
 * *before (NULL: the last of the slot).  id: cleared, then its bytes, which out->id borrows.
 * WKIM_ENOTFOUND: there is none. */
int wk_message_channel_before(struct wk_store *s, uint32_t slot,
                              const struct wk_channel_key *before, struct wk_channel_key *out,
                              struct wk_buf *id);

/* Last message_seq a uid sent to a channel (unread is computed from it). */
void wk_sent_put(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch, wkim_slice uid,
                 uint64_t seq);
int wk_sent_get(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch, wkim_slice uid,
                uint64_t *seq); /* ENOTFOUND */

/* ---- channels -------------------------------------------------------------------------------- */
/* Limits of a channel's history: those that are set hold instead of the node's; 0: none. */
enum wk_keep_bits { WK_KEEP_AGE = 1, WK_KEEP_MESSAGES = 2, WK_KEEP_BYTES = 4 };
struct wk_keep {
    uint8_t set; /* enum wk_keep_bits */
    uint64_t age_s, messages, bytes;
};
struct wk_row_channel {
    bool ban, large, disband, send_ban, allow_stranger;
    /* created through the API (a log alone does not make a channel exist) */
    bool exists;
    bool conversations;       /* conversation rows of the pair were made */
    uint64_t last_seq_floor;  /* numbers up to here were given out, also when rows are deleted */
    uint64_t retained_from;   /* numbers below are deleted: readers do not see them any more */
    uint64_t members_version; /* grows with every change of subscribers or lists */
    uint64_t n_subscribers, n_allow, n_deny;
    uint64_t created_ms, updated_ms;
    uint64_t erased_to;       /* rows up to here have left the store; below retained_from */
    uint64_t holed_to;        /* highest number that was deleted by itself; 0: none */
    /* Bytes of the records with erased_to < seq <= sized_to, as far as they were added up. */
    uint64_t sized_to, sized_bytes;
    struct wk_keep keep;
};
void wk_channel_put(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                    const struct wk_row_channel *row);
int wk_channel_get(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch,
                   struct wk_row_channel *out);

/* Three lists of uids per channel. */
enum wk_list_kind {
    WK_LIST_SUBSCRIBER = 1,
    WK_LIST_ALLOW = 2,
    WK_LIST_DENY = 3,
    WK_LIST_SOURCE = 4, /* who the data source last named as subscribers */
    WK_LIST_KINDS = 5
};
struct wk_row_member { uint64_t id, created_ms, updated_ms; uint64_t join_seq; };
void wk_member_put(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch, uint8_t list,
                   wkim_slice uid, const struct wk_row_member *row);
void wk_member_delete(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                      uint8_t list, wkim_slice uid);
void wk_member_delete_all(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                          uint8_t list);
int wk_member_get(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch, uint8_t list,
                  wkim_slice uid, struct wk_row_member *out);
/* Ascending by uid bytes, starting after `after` (empty: from the first). */
typedef int (*wk_member_each)(void *arg, wkim_slice uid, const struct wk_row_member *row);
int wk_member_scan(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch, uint8_t list,
                   wkim_slice after, wk_member_each each, void *arg);

/* ---- users ----------------------------------------------------------------------------------- */
struct wk_row_device { uint8_t flag, level; wkim_slice token; uint64_t created_ms, updated_ms; };
void wk_device_put(struct wk_txn *t, uint32_t slot, wkim_slice uid,
                   const struct wk_row_device *row);
/* token is copied into *token (cleared first); row->token is borrowed from it. */
int wk_device_get(struct wk_store *s, uint32_t slot, wkim_slice uid, uint8_t flag,
                  struct wk_row_device *out, struct wk_buf *token);
void wk_system_uid_put(struct wk_txn *t, uint32_t slot, wkim_slice uid);
void wk_system_uid_delete(struct wk_txn *t, uint32_t slot, wkim_slice uid);
int wk_system_uid_scan(struct wk_store *s, uint32_t slot, int (*each)(void *arg, wkim_slice uid),
                       void *arg);

/* ---- conversations --------------------------------------------------------------------------- */
struct wk_row_conversation {
    uint8_t kind;              /* 0 chat, 1 command */
    bool deleted;              /* row removed by the user; hidden until a newer message */
    uint64_t read_seq, deleted_seq, join_seq;
    int64_t unread_shift;      /* setUnread upward beyond what positions say; normally 0 */
    uint64_t created_ms, updated_ms;
    bool activated;            /* shown also without a message */
};
void wk_conversation_put(struct wk_txn *t, uint32_t slot, wkim_slice uid,
                         const struct wk_channel_key *ch, const struct wk_row_conversation *row);
void wk_conversation_delete(struct wk_txn *t, uint32_t slot, wkim_slice uid,
                            const struct wk_channel_key *ch);
int wk_conversation_get(struct wk_store *s, uint32_t slot, wkim_slice uid,
                        const struct wk_channel_key *ch, struct wk_row_conversation *out);
typedef int (*wk_conversation_each)(void *arg, const struct wk_channel_key *ch,
                                    const struct wk_row_conversation *row);
int wk_conversation_scan(struct wk_store *s, uint32_t slot, wkim_slice uid,
                         wk_conversation_each each, void *arg);
/* Ascending by key, those behind `after` (NULL: from the first; it need not exist). */
int wk_conversation_scan_after(struct wk_store *s, uint32_t slot, wkim_slice uid,
                               const struct wk_channel_key *after, wk_conversation_each each,
                               void *arg);

/* ---- queues ---------------------------------------------------------------------------------- */
/* Durable effects that live in another slot; id is the raft index << 16 | number within the
 * entry. */
void wk_outbox_put(struct wk_txn *t, uint32_t slot, uint64_t id, wkim_slice body);
void wk_outbox_delete(struct wk_txn *t, uint32_t slot, uint64_t id);
int wk_outbox_scan(struct wk_store *s, uint32_t slot, uint64_t from_id,
                   int (*each)(void *arg, uint64_t id, wkim_slice body), void *arg);

/* Generic rows of rooms whose tables come later (events, hook queue, command positions): the room
 * owns `table` numbers from 64 up. Same rules. */
void wk_row_put(struct wk_txn *t, uint32_t slot, uint8_t table, wkim_slice key, wkim_slice value);
void wk_row_delete(struct wk_txn *t, uint32_t slot, uint8_t table, wkim_slice key);
/* Keys from `from` up to, without, `end`; its cost does not depend on how many there could be. */
void wk_row_delete_range(struct wk_txn *t, uint32_t slot, uint8_t table, wkim_slice from,
                         wkim_slice end);
/* Every key with the prefix. */
void wk_row_delete_prefix(struct wk_txn *t, uint32_t slot, uint8_t table, wkim_slice prefix);
int wk_row_get(struct wk_store *s, uint32_t slot, uint8_t table, wkim_slice key,
               struct wk_buf *out);
/* Keys with `prefix`, ascending, starting at `from` (empty: the first). */
int wk_row_scan(struct wk_store *s, uint32_t slot, uint8_t table, wkim_slice prefix,
                wkim_slice from, int (*each)(void *arg, wkim_slice key, wkim_slice value),
                void *arg);
#endif
