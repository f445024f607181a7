/* Dead letters: webhook requests that were given up, kept in files until an operator replays or
 * drops them.  <dir>/<id of the first>.jsonl has one JSON object a line, ids rising; <...>.done
 * beside it the ids of those that are settled.  A file without open letters goes away; when all
 * together are more than bytes_max, the oldest file is dropped and its letters are counted.
 *
 * Threads: any; one lock over all.  Errors are library codes. */
#ifndef WK_SERVER_OUT_DEAD_H
#define WK_SERVER_OUT_DEAD_H

#include <stdbool.h>
#include <wkim/hook.h>

#include "log_file.h"

struct wk_dead;

struct wk_dead_item {
    uint64_t id, time_s;
    char event[32], delivery[64];
    int target; /* enum wkim_hook_target */
    uint32_t attempts, items;
    size_t bytes; /* of the body */
    bool marked;  /* it waits for being sent again, or is on its way */
};

struct wk_dead_stats {
    uint64_t letters, marked, bytes;
    uint64_t dropped; /* by the limit, since the start */
    uint64_t lost;    /* larger than the limit */
};

/* Makes the folder, reads what is there; a last line cut off by a crash is removed. */
int wk_dead_open(struct wk_dead **out, const char *dir, uint64_t bytes_max, struct wk_log_file *log,
                 wkim_error *err);
void wk_dead_close(struct wk_dead *d); /* NULL allowed */

/* Appended, but safe from a power cut only after wk_dead_sync.  WKIM_ETOOBIG: it can never be kept
 * and is counted as lost; WKIM_EIO, WKIM_ENOMEM: perhaps later.  Logged. */
int wk_dead_add(struct wk_dead *d, const wkim_hook_request *r, uint64_t time_s);
void wk_dead_sync(struct wk_dead *d);
/* WKIM_OK, WKIM_ENOTFOUND, WKIM_EIO, WKIM_ENOMEM.  *body is owned (free); NULL: not wanted. */
int wk_dead_get(struct wk_dead *d, uint64_t id, struct wk_dead_item *out, char **body);
/* The oldest letters behind `after`; event "": any.  Returns how many. */
size_t wk_dead_list(struct wk_dead *d, uint64_t after, const char *event, struct wk_dead_item *out,
                    size_t max, bool *more);
int wk_dead_remove(struct wk_dead *d, uint64_t id);
/* All of that event that are there now ("": of any). */
uint64_t wk_dead_remove_all(struct wk_dead *d, const char *event);

/* Marks for being sent again; they do not survive a restart. */
int wk_dead_mark(struct wk_dead *d, uint64_t id, bool marked);
uint64_t wk_dead_mark_all(struct wk_dead *d, const char *event, bool marked);
uint64_t wk_dead_next_marked(struct wk_dead *d); /* the oldest; 0: none */

void wk_dead_stats_get(struct wk_dead *d, struct wk_dead_stats *out);

#endif
