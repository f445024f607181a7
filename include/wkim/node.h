/* A node: shards, slots, storage, client connections.  Several may live in one process.
 *
 * Threads: new/start/stop/free by one thread; every other call from any thread.  Calls that take a
 * queue copy their arguments before they return, never block and answer once through the queue
 * (queue NULL: the answer is dropped).  They return WKIM_OK when the answer will come, or at once
 * WKIM_EINVAL, WKIM_ETOOBIG, WKIM_EBUSY (too many calls under way), WKIM_ESTOPPED, WKIM_ENOMEM
 * without an answer. */
#ifndef WKIM_NODE_H
#define WKIM_NODE_H

#include <wkim/config.h>
#include <wkim/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wkim_node wkim_node;

enum wkim_log_level {
    WKIM_LOG_DEBUG = 1,
    WKIM_LOG_INFO = 2,
    WKIM_LOG_WARN = 3,
    WKIM_LOG_ERROR = 4
};
/* Structured events; `fields` is "key=value key=value".  Any thread; must not call the library. */
typedef void (*wkim_log_fn)(void *user, int level, const char *room, const char *event,
                            const char *fields);

/* Copies what it needs of cfg. */
WKIM_API int wkim_node_new(wkim_node **out, const wkim_config *cfg, wkim_error *err);
/* Before start. */
WKIM_API void wkim_node_set_log(wkim_node *n, int level, wkim_log_fn fn, void *user);
/* Any thread, any time. */
WKIM_API void wkim_node_set_log_level(wkim_node *n, int level);
/* Opens the data directory, recovers, starts the threads.  Returns once they run; slots become
 * ready on their own. */
WKIM_API int wkim_node_start(wkim_node *n, wkim_error *err);
WKIM_API int wkim_node_ready(const wkim_node *n);                         /* 1: every slot serves */
/* WKIM_OK or WKIM_ETIMEOUT */
WKIM_API int wkim_node_wait_ready(wkim_node *n, int timeout_ms);
WKIM_API uint32_t wkim_node_slots_ready(const wkim_node *n, uint32_t *total);
/* Refuse new work, flush, close clients (plain close, so that SDKs reconnect elsewhere), stop the
 * threads.  Bounded by timeout_ms; nothing acknowledged is lost in any case. */
WKIM_API int wkim_node_stop(wkim_node *n, int timeout_ms);
WKIM_API void wkim_node_free(wkim_node *n);

/* Events of the node (WKIM_EVENT_*) into a queue; mask bits 1 << kind; NULL stops.  Bounded: when
 * the reader lags by more than `max` the oldest events are dropped and counted. */
WKIM_API int wkim_node_events(wkim_node *n, wkim_queue *q, uint32_t mask, size_t max);

/* Hand over a connected stream socket (TCP or Unix): the node reads, writes and closes it.  WKIM_OK
 * takes fd; on failure it stays with the caller. `proxy`: 1 when a PROXY protocol header may come
 * first.  `remote` is text "ip:port", may be NULL. */
WKIM_API int wkim_node_attach(wkim_node *n, int fd, int proxy, const char *remote);

/* Counters for /varz and the banner. */
typedef struct wkim_node_stats {
    size_t size; /* sizeof, set by the caller */
    uint64_t node_id;
    uint64_t connections;         /* all, also not logged in */
    uint64_t users_online;
    uint64_t in_msgs, out_msgs, in_bytes, out_bytes;
    uint64_t in_packets, out_packets;
    uint64_t retry_queue;
    uint64_t start_unix_ms;
    uint64_t slow_clients;
    uint64_t log_bytes, log_syncs, store_bytes_written;
} wkim_node_stats;
WKIM_API int wkim_node_stats_get(wkim_node *n, wkim_node_stats *out);
/* Prometheus text of all metrics; owned: wkim_text_free. */
WKIM_API int wkim_node_metrics(wkim_node *n, char **out);
WKIM_API void wkim_text_free(char *text);
/* Connections of this node as a JSON array text (string 0), for /connz: rows carry the fields that
 * version 2 shows; sorted and cut by the caller.  uid: substring filter, may be empty. */
WKIM_API int wkim_node_connections(wkim_node *n, wkim_slice uid, wkim_queue *q, void *user);
/* Kick (DISCONNECT 12 "server kick") or drop without a word one connection of uid. Unknown: OK. */
WKIM_API int wkim_node_conn_kick(wkim_node *n, wkim_slice uid, int64_t conn_id, int silent,
                                 wkim_queue *q, void *user);
/* For threads that make many calls in a row: calls between the two reach their slots at release at
 * the latest, and cost one wake-up together.  Per thread; may be nested; release before the node is
 * freed. */
WKIM_API void wkim_calls_hold(void);
WKIM_API void wkim_calls_release(void);
WKIM_API const char *wkim_version(void);

#ifdef __cplusplus
}
#endif
#endif
