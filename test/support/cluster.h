/* A node without threads of its own and without network: shards polled by the test, rows in memory,
 * the log in a folder of its own, the im machine on top.  While one shard is polled the others
 * count as foreign, so that everything that crosses shards travels by post and the test decides the
 * order. The clock is the test's.  Every function ends the process with a message when it cannot do
 * its part. */
#ifndef TEST_CLUSTER_H
#define TEST_CLUSTER_H
#include <semaphore.h>
#include "im/answer.h"
#include "im/im.h"
#include "tmpdir.h"

#define CL_SHARDS_MAX 4

struct cl;
struct cl_options {
    uint32_t shards, slots;
    bool token_auth, strict_allow, not_idempotent;
    uint64_t idle_channels_max;            /* 0: 64 */
    const struct wk_slot_machine *machine; /* NULL: im */
    struct im_retention retention;
    const struct im_source_options *source; /* NULL: no data source */
    void *source_user;
    void (*tune)(struct cl *c, struct im_options *o); /* last word; NULL: none */
};

struct cl {
    struct cl_options opt;
    struct tmpdir dir;
    struct wk_shard shards[CL_SHARDS_MAX];
    struct wk_store *store;
    struct wk_readers *readers;
    struct wk_fs posix, fs;
    struct im *im;
    struct wk_cluster *cluster;
    struct wk_log log;
    sem_t wake;
    uint64_t now_ms, wall_ms;
    _Atomic bool dead;         /* the disk refuses every write */
    _Atomic int dead_code;     /* with this; 0: WKIM_EIO */
    _Atomic uint32_t dead_for; /* the disk refuses the next write only */
    int64_t next_id;
};

/* What a call was answered. */
struct cl_answer {
    int code;
    int reason;
    uint64_t number[2];
    struct wk_buf out;
};

/* opt NULL: 2 shards, 8 slots; ready at return */
void cl_new(struct cl *c, const struct cl_options *opt);
void cl_free(struct cl *c);
/* Stop the cluster; wipe: what was not flushed is lost, as after a power cut (the log stays). */
void cl_down(struct cl *c, bool wipe);
int cl_try_up(struct cl *c); /* WKIM_OK or why the cluster cannot be made; not yet served */
void cl_up(struct cl *c);    /* serves when it returns */
void cl_restart(struct cl *c, bool wipe);
/* The process dies now: nothing that is still under way becomes durable. */
void cl_crash(struct cl *c);
void cl_wipe_log(struct cl *c); /* between down and up */

bool cl_poll(struct cl *c, uint32_t shard); /* one round of one shard; true: it has more to do */
/* until nothing moves any more; waits for disk and readers */
void cl_settle(struct cl *c);
void cl_advance(struct cl *c, uint64_t ms); /* the clock goes on, then as settle */
/* Until cond(arg) holds. */
void cl_until(struct cl *c, bool (*cond)(void *arg), void *arg);

/* A call under way; fini'd by cl_take or cl_drop. */
struct cl_call {
    struct wk_call call;
    bool done;
};
void cl_begin(struct cl *c, struct cl_call *out, uint16_t op, uint32_t slot,
              struct wk_buf *in_take);
struct cl_answer cl_take(struct cl *c, struct cl_call *call); /* waits */
/* Begin and take.  The answer's bytes are freed by cl_answer_fini. */
struct cl_answer cl_do(struct cl *c, uint16_t op, uint32_t slot, struct wk_buf *in_take);
int cl_do_code(struct cl *c, uint16_t op, uint32_t slot, struct wk_buf *in_take);
void cl_answer_fini(struct cl_answer *a);

uint32_t cl_slot(const struct cl *c, const char *key);
uint32_t cl_shard_index(const struct cl *c, const char *key);
/* The n-th text prefix0, prefix1 ... whose slot lives on the shard; in out. */
const char *cl_name_on(const struct cl *c, char *out, size_t cap, const char *prefix,
                       uint32_t shard, unsigned n);
uint64_t cl_hash(struct cl *c);                /* of every row but the applied indexes */
size_t cl_outbox(struct cl *c, uint32_t slot); /* rows that wait there */

/* ---- the product's calls --------------------------------------------------------------------- */
struct cl_send {
    const char *from, *to;
    uint8_t type, flags;
    const char *no, *payload; /* NULL: empty */
    uint32_t expire_s;
    bool api;
    uint64_t conn_id;
    const char *const *list; /* receivers by name, NULL-terminated */
    bool cmd;                /* to the command channel */
};
void cl_send_begin(struct cl *c, struct cl_call *out, const struct cl_send *s);
struct cl_answer cl_send(struct cl *c, const struct cl_send *s);
/* Reason; *seq may be NULL. */
int cl_text(struct cl *c, const char *from, uint8_t type, const char *to, const char *payload,
            uint64_t *seq);
int cl_flags(struct cl *c, uint8_t type, const char *id, uint32_t flags);
/* uids: separated by spaces, may be empty. */
int cl_list(struct cl *c, uint8_t type, const char *id, uint8_t list, uint8_t op, const char *uids);
int cl_system(struct cl *c, bool add, const char *uids);
int cl_token(struct cl *c, const char *uid, uint8_t flag, uint8_t level, const char *token);

struct cl_conversation {
    bool found;
    uint64_t unread, read_seq, last_seq, n_recents;
    char channel_id[64];
};
struct cl_conversation cl_conversation(struct cl *c, const char *uid, uint8_t type,
                                       const char *peer);
size_t cl_conversations(struct cl *c, const char *uid); /* rows that exist */
int cl_conv_move(struct cl *c, const char *uid, uint8_t type, const char *peer, uint8_t kind,
                 uint64_t n);
/* "1,2,3": the message numbers found; `more` may be NULL. */
void cl_history(struct cl *c, uint8_t type, const char *stored, uint64_t start, uint64_t end,
                uint32_t limit, bool up, char *out, size_t cap, bool *more);

/* ---- a connected client ---------------------------------------------------------------------- */
struct cl_push {
    int64_t message_id;
    uint64_t seq;
    uint8_t flags;
    char from[64], channel[64], payload[64];
};
struct cl_conn {
    struct im_conn im;
    struct cl *c;
    char uid[64], device[64];
    struct cl_push *pushes;
    size_t n_pushes, cap;
    unsigned kicks, events;
    uint8_t kick_reason;
    uint32_t kick_delay;
    bool kick_silent;
    char kick_text[128];
};
/* Not waited for: done says when it was answered, call.reason how.  cl_login_end follows. */
void cl_login_begin(struct cl *c, struct cl_conn *out, struct cl_call *call, const char *uid,
                    const char *device, uint8_t flag, const char *token);
int cl_login_end(struct cl *c, struct cl_call *call);
/* Returns the reason of the login. */
int cl_login(struct cl *c, struct cl_conn *out, const char *uid, const char *device, uint8_t flag,
             const char *token);
void cl_logout(struct cl_conn *conn); /* harmless when not registered */
#endif
