/* Questions of one shard to the data source: what was answered, which questions are
 * under way, how long an answer holds.  A pure machine: time comes in as a parameter; requests,
 * answers and wake-ups go out through wk_source_ops.
 *
 * A question is asked once at a time, whoever wants to know.  The last answer is kept until room is
 * needed: it serves when the data source fails.
 *
 * Threads: one.  Only wk_source_take may run elsewhere, on a request that was handed out. */
#ifndef WK_HOOK_DATASOURCE_H
#define WK_HOOK_DATASOURCE_H
#include <stdatomic.h>
#include "base/buf.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/metric.h"
#include "shard/shard.h"

enum wk_source_cmd {
    WK_SOURCE_SYSTEM, /* of the node: no channel, never asked again once answered */
    WK_SOURCE_SUBSCRIBERS,
    WK_SOURCE_ALLOW,
    WK_SOURCE_DENY,
    WK_SOURCE_INFO,
    WK_SOURCE_CMDS
};
enum wk_source_flag { WK_SOURCE_LARGE = 1, WK_SOURCE_BAN = 2, WK_SOURCE_DISBAND = 4 };

#define WK_SOURCE_UIDS_MAX 4194304 /* in one answer */
#define WK_SOURCE_WHY_BYTES 128

const char *wk_source_cmd_name(int cmd); /* "getSubscribers" */

struct wk_source_question {
    uint8_t cmd, type;
    uint32_t slot; /* its answers go away with the slot */
    wkim_slice id; /* borrowed */
};

/* ---- text (datasource_text.c) ---------------------------------------------------------------- */
/* The JSON of a question, appended. */
void wk_source_request_text(struct wk_buf *out, const struct wk_source_question *q);
/* An answer ["uid",...] as repeated str, appended; null counts as [].  Items that cannot be uids
 * (blank, too long, with @ # &) are left out and counted.  WKIM_OK, WKIM_ENOMEM, WKIM_ETOOBIG or
 * WKIM_EPROTO; `why` (WK_SOURCE_WHY_BYTES) then says what is wrong. */
int wk_source_parse_uids(struct wk_buf *out, wkim_slice body, uint32_t *n, uint32_t *skipped,
                         char *why);
/* An answer {"large":0|1,"ban":0|1,"disband":0|1} as bits of wk_source_flag; missing: 0. */
int wk_source_parse_info(uint32_t *flags, wkim_slice body, char *why);

/* ---- requests -------------------------------------------------------------------------------- */
/* One HTTP request.  While it is out it belongs to its sender, until wk_source_answer. */
struct wk_source_request {
    struct wk_list link;  /* private */
    struct wk_post post;  /* of the composition root, for the way back */
    void *owner;          /* of the composition root */
    uint8_t cmd;
    uint32_t slot;
    uint64_t sent_ms;
    struct wk_buf body;
    struct wk_source_entry *entry; /* private; NULL: nobody waits for it any more */
    /* The answer, set by its sender. */
    int code;             /* WKIM_OK, or `why` says what happened */
    int status;           /* of HTTP; 0: none */
    void *value;          /* of a list; counted through the ops */
    size_t bytes;         /* of the value in memory */
    uint32_t n, skipped, flags;
    char why[WK_SOURCE_WHY_BYTES];
};
void wk_source_fail(struct wk_source_request *r, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What is known.  The value is counted for who asked. */
struct wk_source_known {
    void *value;
    uint32_t flags;
};

struct wk_source_ops {
    void (*send)(void *user, struct wk_source_request *r);
    /* The question has an answer, or none is to be had; not from inside wk_source_get. */
    void (*answered)(void *user, const struct wk_source_question *q);
    /* wk_source_run is wanted at that time; a later call moves it. */
    void (*wake)(void *user, uint64_t at_ms);
    void *(*ref)(void *value);    /* NULL allowed */
    void (*unref)(void *value);   /* NULL allowed */
};

struct wk_source_options {
    struct wk_source_ops ops;
    void *user;
    const struct wk_log *log;
    const char *address;    /* for the log, without secrets; borrowed */
    uint64_t expire_ms;     /* an answer holds so long */
    uint64_t negative_ms;   /* a failure, and an empty list of subscribers */
    uint64_t timeout_ms;    /* from the question to its failure */
    uint32_t out_max;       /* requests under way; others wait in line */
    size_t bytes_max;       /* of what is kept, of all machines that share `bytes` */
    _Atomic size_t *bytes;
};

/* Written by the machine's thread, read by any; nothing but words (wk_metric_sum). */
struct wk_source_counts {
    uint64_t results[3]; /* answered, failed, not in time */
    uint64_t found[3];   /* questions of the node: answer kept, asked for, an old one served */
    uint64_t evicted;
    uint64_t out, entries;
    struct wk_histogram time; /* us */
};

struct wk_source;
int wk_source_new(struct wk_source **out, const struct wk_source_options *opt);
void wk_source_free(struct wk_source *s);
const struct wk_source_counts *wk_source_counts(const struct wk_source *s);

/* A moment, later than every earlier one. */
uint64_t wk_source_mark(struct wk_source *s);
/* WKIM_OK: *out.  WKIM_EAGAIN: it was asked, ops.answered follows.  WKIM_EIO: there is no answer
 * now.  WKIM_ENOMEM.  What came after the moment `since` counts as fresh, so that who waits for
 * several answers comes to an end. */
int wk_source_get(struct wk_source *s, const struct wk_source_question *q, uint64_t since,
                  uint64_t now_ms, struct wk_source_known *out);
/* The last answer, however old; asks nobody. */
bool wk_source_peek(struct wk_source *s, const struct wk_source_question *q,
                    struct wk_source_known *out);
/* Somebody changed the channel: what is known of it is asked again when it is next wanted. */
void wk_source_forget(struct wk_source *s, uint8_t type, wkim_slice id);
void wk_source_drop_slot(struct wk_source *s, uint32_t slot);
void wk_source_answer(struct wk_source *s, struct wk_source_request *r_take, uint64_t now_ms);
void wk_source_run(struct wk_source *s, uint64_t now_ms);
#endif
