/* /metrics: what the rooms count becomes one view, the table says what is shown of it. */
#include "node/hook.h"
#include "node/source.h"
#include <stdio.h>
#include <sys/statvfs.h>
#include "proto/codec.h"

enum {
    QUEUE_CALLS,
    QUEUE_READERS,
    QUEUE_BOUNDED,
    QUEUE_EFFECTS = QUEUE_BOUNDED,
    QUEUE_SLOTS,
    QUEUES
};
enum { SOURCE_CLIENT, SOURCE_API, SOURCES };
#define BUSY_PERIOD_US 2000000

struct wk_metrics_view {
    struct wk_node_counters node;
    struct im_counters im;
    struct wk_cluster_counters cluster;
    struct wk_log_counters log;
    struct wk_log_stats log_files;
    struct wk_store_stats store;
    struct {
        uint64_t connections, start_ms, ready, one;
        uint64_t slots, slots_ready, slots_idle, apply_gap, leader_changes;
        uint64_t refused, disk_used, disk_free, conversation_reads;
        uint64_t clients[WK_CLIENT_KINDS];
        uint64_t messages_in[SOURCES * IM_TYPES], messages_in_bytes[SOURCES], messages_out[2];
        uint64_t storage[3], memory[3];
        uint64_t depth[QUEUES], capacity[QUEUE_BOUNDED], rejected[QUEUE_BOUNDED];
        uint64_t busy[1];
        struct wk_histogram append[3];
    } now;
};

/* ---- labels ---------------------------------------------------------------------------------- */

static const char *const listeners[WK_LISTENERS] = { "other", "tcp", "tls", "ws", "wss" };

static const char *fixed(unsigned i, const char *const *texts)
{
    return texts[i];
}
#define FIXED(name, ...)                                                       \
    static const char *name(unsigned i, uint64_t value, char *room, size_t n) \
    {                                                                          \
        static const char *const texts[] = { __VA_ARGS__ };                    \
        (void)value;                                                           \
        (void)room;                                                            \
        (void)n;                                                               \
        return fixed(i, texts);                                                \
    }
FIXED(SOURCE, "source=\"client\"", "source=\"api\"")
FIXED(SCOPE, "scope=\"connect\"", "scope=\"ip\"", "scope=\"user\"", "scope=\"send\"")
FIXED(OUT_KIND, "kind=\"first\"", "kind=\"retry\"")
FIXED(CHANNEL_KIND, "channel_type=\"person\"", "channel_type=\"group\"", "channel_type=\"other\"")
FIXED(CACHE, "result=\"hit\"", "result=\"miss\"")
FIXED(LEADER, "role=\"leader\"")
FIXED(STAGE, "stage=\"queue\"", "stage=\"replicate\"", "stage=\"commit\"")
FIXED(AREA, "area=\"message\"", "area=\"meta\"", "area=\"log\"")
FIXED(MEMORY, "area=\"memtables\"", "area=\"block_cache\"", "area=\"log_cache\"")
FIXED(SLOT_GROUP, "group=\"slot\"")
FIXED(WON, "group=\"slot\",result=\"won\"")
FIXED(ONLINE, "state=\"online\"")
FIXED(REMOVED, "reason=\"history\"", "reason=\"expired\"", "reason=\"deleted\"")
FIXED(QUEUE, "queue=\"api_calls\"", "queue=\"readers\"", "queue=\"outbox\"", "queue=\"slot_calls\"")
FIXED(BOUNDED_QUEUE, "queue=\"api_calls\"", "queue=\"readers\"")
FIXED(POOL, "pool=\"shard\"")
#define NONE NULL

static const char *LISTENER(unsigned i, uint64_t value, char *room, size_t n)
{
    if (i == 0 && value == 0)
        return NULL;
    snprintf(room, n, "listener=\"%s\"", listeners[i]);
    return room;
}

/* Rows that were never counted are left out: most combinations never happen. */
static const char *CLIENT_KIND(unsigned i, uint64_t value, char *room, size_t n)
{
    static const char *const devices[WK_DEVICES] = { "app", "web", "pc", "other" };

    if (value == UINT64_MAX)
        return NULL;
    snprintf(room, n, "listener=\"%s\",device=\"%s\",proto=\"%s\"",
             listeners[i / WK_WIRES / WK_DEVICES], devices[i / WK_WIRES % WK_DEVICES],
             i % WK_WIRES ? "jsonrpc" : "wkproto");
    return room;
}

static const char *CLOSED(unsigned i, uint64_t value, char *room, size_t n)
{
    static const char *const reasons[WK_CLOSE_REASONS] = { "client", "idle", "kick",
                                                           "protocol", "refused", "slow",
                                                           "unacked", "stop", "error" };
    if (value == 0 && i / WK_CLOSE_REASONS != WKIM_LISTENER_TCP)
        return NULL;
    snprintf(room, n, "listener=\"%s\",reason=\"%s\"", listeners[i / WK_CLOSE_REASONS],
             reasons[i % WK_CLOSE_REASONS]);
    return room;
}

static const char *AUTH(unsigned i, uint64_t value, char *room, size_t n)
{
    const char *text = wk_reason_name((uint8_t)i);

    if (value == 0 && i != WKIM_REASON_SUCCESS && i != WKIM_REASON_AUTH_FAIL &&
        i != WKIM_REASON_BAN)
        return NULL;
    switch (i) {
    case WKIM_REASON_SUCCESS: text = "ok"; break;
    case WKIM_REASON_AUTH_FAIL: text = "bad_token"; break;
    case WKIM_REASON_BAN: text = "banned"; break;
    case WKIM_REASON_CLIENT_KEY_EMPTY: text = "bad_key"; break;
    default: break;
    }
    snprintf(room, n, "result=\"%s\"", text);
    return room;
}

static const char *REASON(unsigned i, uint64_t value, char *room, size_t n)
{
    if (value == 0 && i != WKIM_REASON_SUCCESS)
        return NULL;
    snprintf(room, n, "reason=\"%s\"", wk_reason_name((uint8_t)i));
    return room;
}

static const char *MESSAGES_IN(unsigned i, uint64_t value, char *room, size_t n)
{
    unsigned type = i % IM_TYPES;

    if (value == 0 && type != WKIM_CHANNEL_PERSON && type != WKIM_CHANNEL_GROUP)
        return NULL;
    const char *source = i / IM_TYPES == SOURCE_API ? "api" : "client";
    if (type == IM_TYPES - 1)
        snprintf(room, n, "channel_type=\"other\",source=\"%s\"", source);
    else
        snprintf(room, n, "channel_type=\"%u\",source=\"%s\"", type, source);
    return room;
}

static const char *ERROR(unsigned i, uint64_t value, char *room, size_t n)
{
    if (value == 0 && i != (unsigned)-WKIM_EBUSY)
        return NULL;
    snprintf(room, n, "reason=\"%s\"", wkim_err_name(-(int)i));
    return room;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define VIEW(field) (((struct wk_metrics_view *)0)->field)
#define OFF(field) offsetof(struct wk_metrics_view, field)
static const struct wk_metric table[] = {
#define WK_METRIC(kind, name, labels, unit, field, help) \
    { name, help, OFF(field), labels, sizeof(VIEW(field)) / 8, WK_##kind, 0, unit },
#define WK_TIMES(bounds, name, labels, field, help)                                            \
    { name, help, OFF(field), labels, sizeof(VIEW(field)) / sizeof(struct wk_histogram),       \
      WK_HISTOGRAM, WK_BOUNDS_##bounds, 1 },
#define WK_FRAMES(name, way, type, help)                                                       \
    { name "_count_total", help ".", OFF(node.frames.way[WK_PACKET_##type]), NULL, 1,          \
      WK_COUNTER, 0, 1 },                                                                      \
    { name "_bytes_total", "Bytes of " help ".", OFF(node.frames.way##_bytes[WK_PACKET_##type]), \
      NULL, 1, WK_COUNTER, 0, 1 },
#include "node/metrics.def"
};

/* ---- the view -------------------------------------------------------------------------------- */

/* Since the last scrape that was long enough ago. */
static uint64_t busy_permille(struct wkim_node *n)
{
    uint64_t cpu = 0, now = wk_now_us();

    for (uint32_t i = 0; n->started && i < n->n_shards; i++)
        cpu += wk_loop_cpu_us(n->per[i].loop);
    pthread_mutex_lock(&n->metrics_lock);
    if (now - n->busy_at_us >= BUSY_PERIOD_US) {
        if (n->busy_at_us && cpu >= n->busy_cpu_us)
            n->busy_permille =
                (cpu - n->busy_cpu_us) * 1000 / ((now - n->busy_at_us) * n->n_shards);
        n->busy_at_us = now;
        n->busy_cpu_us = cpu;
    }
    uint64_t out = n->busy_permille;
    pthread_mutex_unlock(&n->metrics_lock);
    return out;
}

static void look_at_messages(struct wk_metrics_view *v)
{
    for (unsigned i = 0; i < IM_TYPES; i++) {
        v->now.messages_in[SOURCE_CLIENT * IM_TYPES + i] = v->node.in_type[i];
        v->now.messages_in[SOURCE_API * IM_TYPES + i] = v->im.api_in[i];
    }
    v->now.messages_in_bytes[SOURCE_CLIENT] = v->node.in_payload;
    v->now.messages_in_bytes[SOURCE_API] = v->im.api_in_bytes;
    v->now.messages_out[0] = v->node.out_msgs;
    v->now.messages_out[1] = v->node.resends;
    for (unsigned i = 0; i < WK_CLIENT_KINDS; i++)
        v->now.clients[i] = v->node.came[i] ? v->node.came[i] - v->node.gone[i] : UINT64_MAX;
    v->now.conversation_reads = v->im.ops[IM_CONV_SYNC] + v->im.ops[IM_CONV_SYNC_CHANNELS] +
                                v->im.ops[IM_CONV_CHANNELS];
}

static void look_at_storage(struct wkim_node *n, struct wk_metrics_view *v)
{
    struct statvfs fs;

    wk_cluster_log_stats(n->cluster, &v->log_files);
    wk_store_stats(n->store, &v->store);
    v->now.storage[0] = v->store.message_bytes;
    v->now.storage[1] = v->store.disk_bytes - v->store.message_bytes;
    v->now.storage[2] = v->log_files.live_bytes;
    v->now.disk_used = v->store.disk_bytes + v->log_files.live_bytes;
    if (statvfs(n->data_dir, &fs) == 0)
        v->now.disk_free = (uint64_t)fs.f_bavail * fs.f_frsize;
    v->now.memory[0] = v->store.memtable_bytes;
    v->now.memory[1] = v->store.cache_bytes;
    v->now.memory[2] = v->log_files.cache_bytes;
}

static void look_at_slots(struct wkim_node *n, struct wk_metrics_view *v)
{
    struct wk_readers_stats r = { 0 };
    uint32_t total;

    wk_cluster_count(n->cluster, &v->cluster, &v->log);
    v->now.append[0] = v->cluster.queue;
    v->now.append[1] = v->cluster.replicate;
    v->now.append[2] = v->cluster.commit;
    for (unsigned i = 0; i < WK_CLUSTER_ERRORS; i++)
        v->now.refused += v->cluster.refused[i];
    v->now.slots_ready = wkim_node_slots_ready(n, &total);
    v->now.slots = total;
    v->now.slots_idle = total - v->now.slots_ready;
    v->now.apply_gap = wk_cluster_apply_gap(n->cluster);
    v->now.leader_changes = v->cluster.elections_won + v->cluster.leaders_lost;
    if (n->readers)
        wk_readers_stats(n->readers, &r);
    v->now.depth[QUEUE_READERS] = r.queued;
    v->now.capacity[QUEUE_READERS] = r.capacity;
    v->now.rejected[QUEUE_READERS] = r.rejected;
    v->now.depth[QUEUE_SLOTS] = wk_cluster_calls(n->cluster);
}

static void look(struct wkim_node *n, struct wk_metrics_view *v)
{
    wk_node_count(n, &v->node);
    if (n->im)
        im_count(n->im, &v->im);
    if (n->cluster) {
        look_at_slots(n, v);
        look_at_storage(n, v);
    }
    look_at_messages(v);
    v->now.connections = atomic_load(&n->connections);
    v->now.start_ms = n->start_unix_ms;
    v->now.ready = (uint64_t)wkim_node_ready(n);
    v->now.one = 1;
    v->now.depth[QUEUE_CALLS] = atomic_load(&n->api_calls);
    v->now.capacity[QUEUE_CALLS] = WK_API_CALLS_MAX;
    v->now.rejected[QUEUE_CALLS] = atomic_load(&n->api_refused);
    v->now.depth[QUEUE_EFFECTS] = v->im.effects;
    v->now.busy[0] = busy_permille(n);
}

int wkim_node_metrics(wkim_node *n, char **out)
{
    struct wk_buf b = WK_BUF_INIT;

    if (!n || !out)
        return WKIM_EINVAL;
    struct wk_metrics_view *v = wk_calloc(1, sizeof(*v));
    if (!v)
        return WKIM_ENOMEM;
    look(n, v);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        wk_metric_put(&b, &table[i], v);
    wk_free(v);
    wk_node_hook_metrics(n, &b);
    wk_node_source_metrics(n, &b);
    wk_buf_u8(&b, 0);
    if (b.oom) {
        wk_buf_fini(&b);
        return WKIM_ENOMEM;
    }
    *out = (char *)b.p;
    return WKIM_OK;
}
