/* The load client: shared structs.  One `load` per process, one `worker` per thread; a connection,
 * its views and its senders belong to one worker and are touched by its thread only.  Counters are
 * written by their worker and read by the main thread (relaxed).  Times are microseconds of the
 * monotonic clock since the start of the process. */
#ifndef WKLOAD_H
#define WKLOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include <wkim/codec.h>

#include "histogram.h"
#include "sequence.h"

#define STAMP_CHARS 32u            /* client_msg_no and head of the payload: 16 bytes as hex */
#define FILLER_BYTES 65536u
#define READ_BYTES (256u * 1024u)
#define FRAME_BYTES_MAX (1024u * 1024u + 5u)
#define NAME_BYTES 48u
#define PING_AFTER_US 45000000u    /* a connection that wrote nothing this long sends PING */
#define FLIGHT_MAX (1u << 20)      /* unacknowledged SENDs of one connection */

/* X(name, text): everything that makes a run fail. */
#define FAIL_MAP(X)                                                    \
    X(CONNECT, "connections that could not be made")                   \
    X(LOGIN, "logins refused")                                         \
    X(REFUSED, "SENDs refused")                                        \
    X(CLOSED, "connections closed by the server")                      \
    X(PROTOCOL, "packets that make no sense")                          \
    X(GAP, "gaps in message_seq")                                      \
    X(REPEAT, "message_seq repeated or out of order")                  \
    X(VERIFY, "messages that do not verify")                           \
    X(MISSING_ACK, "SENDs without SENDACK at the end")                 \
    X(MISSING_RECV, "deliveries missing at the end")                   \
    X(SURPLUS_RECV, "deliveries more than were due")                   \
    X(MISSING_PONG, "PINGs without PONG")                              \
    X(SETUP, "steps of the set-up that failed")                        \
    X(SAMPLE, "figures that could not be read")
enum fail {
#define FAIL_ENUM(name, text) FAIL_##name,
    FAIL_MAP(FAIL_ENUM)
#undef FAIL_ENUM
    FAIL_KINDS
};

struct options {
    const char *scenario, *http, *prefix, *token, *json, *data_dir;
    char tcp_host[128], tcp_port[16];
    uint32_t pairs, groups, members, offline, senders, users, connections, concurrency;
    uint32_t window, size, threads, verify, proto, login_window;
    double rate; /* messages (connect: logins) per second in all, 0: as the window allows */
    double duration_s, warmup_s, drain_s, login_s;
    int pid; /* 0: no server figures */
    bool both, apart, encrypt, persist, quiet, no_source_spread;
};

/* What the main thread shows while the workers run. */
struct counters {
    _Atomic uint64_t ready, sent, acked, received, expected;
    _Atomic uint64_t connects, pings, pongs, in_flight;
    _Atomic uint64_t acked_in_window, received_in_window, connects_in_window, verified;
    _Atomic uint64_t login_done, second_ack_p50, second_ack_p99, second_recv_p99;
};
/* Single writer, so a plain load and store do. */
#define COUNT(field, n)                                                                            \
    atomic_store_explicit(&(field), atomic_load_explicit(&(field), memory_order_relaxed) + (n),    \
                          memory_order_relaxed)
#define COUNTED(field) atomic_load_explicit(&(field), memory_order_relaxed)

struct channel {
    char id[NAME_BYTES];
    uint32_t id_n, index;
    uint32_t online; /* connections that receive its messages */
    uint32_t senders;
};

/* One channel as one connection sees it. */
struct view {
    struct channel *channel;
    struct sequence sequence;
    uint32_t *counters; /* last counter of each sender (no-persist runs); owned */
    bool sends;         /* this connection also sends to the channel */
};

struct sender {
    struct conn *conn;
    struct channel *channel;
    struct view *own;        /* NULL: the connection does not receive from the channel */
    char target[NAME_BYTES]; /* channel_id as the client names it */
    uint32_t target_n, id /* within the load */, slot /* within its channel */, counter;
    uint32_t deliveries; /* RECVs each accepted message causes */
    uint32_t in_flight;
    uint8_t channel_type;
};

/* An unacknowledged SEND.  seq 0: free. */
struct flight {
    uint32_t seq;
    struct sender *sender;
    uint64_t intended_us;
};

struct bytes {
    uint8_t *p;
    size_t n, off, cap; /* valid: [off, n) */
};

enum conn_state { CONN_NEW, CONN_CONNECTING, CONN_LOGIN, CONN_READY, CONN_CLOSED };

struct conn {
    bool is_sender;
    int fd;
    uint8_t state, version;
    bool dirty, wants_out, ping_open;
    uint32_t index; /* within the load: also chooses the loopback source address */
    char uid[NAME_BYTES];
    uint32_t uid_n;
    wkim_cipher *cipher; /* NULL when the server does not encrypt */
    struct bytes in, out;
    uint64_t opened_us, wrote_us;
    uint32_t next_seq, in_flight, flight_cap;
    struct flight *flights; /* ring of flight_cap (a power of two), by client_seq; owned */
    struct view *views;     /* sorted by channel index; owned by the load */
    uint32_t n_views;
};

struct worker {
    struct load *load;
    uint32_t index;
    int epoll_fd;
    pthread_t thread;
    struct conn **conns;
    uint32_t n_conns, next_conn, logging_in;
    struct conn **free_conns; /* `connect`: slots that wait for their next login */
    uint32_t n_free;
    struct sender **senders;
    uint32_t n_senders;
    struct conn **dirty;
    uint32_t n_dirty;
    uint64_t now_us;
    uint64_t paced, second_us; /* messages (logins) scheduled so far; end of the running second */
    uint32_t until_verify;
    bool filled;
    uint8_t *read_buf, *plain;
    struct histogram ack, recv, lateness, connect, second_ack, second_recv;
    struct counters counters;
};

enum phase { PHASE_LOGIN, PHASE_RUN, PHASE_STOP };

struct load {
    struct options options;
    const struct scenario *scenario;
    struct sockaddr_storage address;
    socklen_t address_n;
    uint32_t run; /* random, 24 bits: names and stamps of this run */
    char prefix[24];
    uint8_t *filler;
    struct conn *conns;
    struct channel *channels;
    struct sender *senders;
    struct view *views;
    uint32_t n_conns, n_channels, n_senders, n_views;
    struct worker *workers;
    _Atomic int phase;
    _Atomic uint64_t t0_us; /* start of the run: valid in PHASE_RUN */
    uint64_t warm_us, end_us; /* relative to t0 */
    pthread_mutex_t fail_lock;
    uint64_t fails[FAIL_KINDS], refused[256];
    char fail_text[FAIL_KINDS][3][200];
};

/* A scenario makes channels, connections, senders and views; what runs them is common. */
struct scenario {
    const char *name, *help;
    int (*build)(struct load *l); /* 0, or -1 after load_fail */
};
extern const struct scenario scenario_pairs, scenario_groups, scenario_fanout, scenario_idle,
    scenario_connect;

/* load.c */
uint64_t load_now_us(void);
void load_fail(struct load *l, enum fail kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* After load_fail: the failure stands for n. */
void load_fail_times(struct load *l, enum fail kind, uint64_t n);
uint64_t load_fail_count(struct load *l);
const char *load_reason_name(uint8_t reason);
void *load_alloc(size_t n, size_t size); /* zeroed; ends the process when memory is out */
void load_reserve(struct load *l, uint32_t conns, uint32_t channels, uint32_t senders,
                  uint32_t views);
void load_conn_name(struct load *l, uint32_t conn, const char *uid);
int load_view_init(struct load *l, struct view *v, struct channel *ch, bool sends);
int load_start(struct load *l); /* filler, workers and their shares */
void load_free(struct load *l);

/* options.c: 0 to go on, > 0: exit code + 1. */
int options_parse(struct options *o, const struct scenario *const *all, int argc, char **argv);

/* worker.c */
void *worker_main(void *arg);
void worker_wants_flush(struct worker *w, struct conn *c);
void worker_logged_in(struct worker *w, struct conn *c);
/* Called once per connection that closes, with the state it had. */
void worker_lost(struct worker *w, struct conn *c, uint8_t was);

/* client.c: one connection */
void conn_open(struct worker *w, struct conn *c);
void conn_event(struct worker *w, struct conn *c, uint32_t events);
void conn_flush(struct worker *w, struct conn *c);
void conn_close(struct worker *w, struct conn *c);
void conn_put(struct worker *w, struct conn *c, const wkim_packet *p);
void conn_ping(struct worker *w, struct conn *c);

/* outbound.c, inbound.c */
void conn_send(struct worker *w, struct sender *s, uint64_t intended_us);
void conn_packet(struct worker *w, struct conn *c, const wkim_packet *p);

/* stamp.c: what identifies a message: run, sender, counter, intended time */
struct stamp {
    uint32_t run, sender, counter;
    uint64_t intended_us;
};
void stamp_write(const struct stamp *s, uint8_t out[STAMP_CHARS]);
int stamp_read(struct stamp *s, wkim_slice text); /* 0, -1 */
const uint8_t *stamp_filler(const struct load *l, const struct stamp *s);

/* http.c: a blocking connection to the HTTP API, kept alive. */
struct http {
    int fd;
    char host[128], port[16];
    char error[400];
    char *body; /* answer of the last call, NUL-terminated; owned */
    size_t body_cap;
};
int http_open(struct http *h, const char *url); /* 0, -1 with error */
/* Status of the answer, or -1 with error. */
int http_post(struct http *h, const char *path, const char *json, size_t json_n);
void http_close(struct http *h);
/* Group channel with subscribers, in pieces; 0, or -1 after load_fail. */
int http_make_group(struct load *l, struct http *h, const struct channel *ch,
                    const char *(*name)(struct load *l, uint32_t channel, uint32_t member),
                    uint32_t members);
int http_give_tokens(struct load *l);

/* sample.c: figures of the server process */
struct sample {
    bool has_cpu, has_rss, has_io, has_disk;
    double user_s, system_s;
    uint64_t rss_bytes, rss_peak_bytes, write_bytes, disk_bytes;
    uint32_t threads;
};
void sample_take(struct load *l, struct sample *s, bool with_disk);
double sample_own_cpu_s(void);

/* report.c */
struct outcome {
    struct sample before, logged_in, warm, window_end, end;
    double login_s, window_s, total_s, own_cpu_s;
    uint64_t sent, acked, received, expected, acked_window, received_window, connects,
        connects_window, pings, pongs, verified;
    struct histogram ack, recv, lateness, connect;
};
void report_text(const struct load *l, const struct outcome *o, FILE *f);
int report_json(const struct load *l, const struct outcome *o, const char *path);
#endif
