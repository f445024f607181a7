/* Building, starting and stopping a node. */
#include "node/node.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/limits.h"
#include "config/config.h"
#include "node/hook.h"
#include "node/reply.h"
#include "node/source.h"

static char *copy_text(const wkim_config *cfg, const char *key)
{
    const char *v = wkim_config_get(cfg, key);
    return wk_strdup_n(v ? v : "", v ? strlen(v) : 0);
}

static uint64_t number(const wkim_config *cfg, const char *key)
{
    int64_t v = wkim_config_int(cfg, key);
    return v > 0 ? (uint64_t)v : 0;
}

static void read_settings(struct wkim_node *n, const wkim_config *cfg)
{
    struct wk_node_settings *s = &n->set;

    s->encrypt = !wkim_config_int(cfg, "disableEncryption");
    s->allow_json = !wkim_config_int(cfg, "disableJSONRPC");
    s->token_auth = wkim_config_int(cfg, "tokenAuthOn");
    s->event_to_old = true;
    s->version_max = (uint8_t)(number(cfg, "proto.maxVersion") == 6 ? 6 : WK_PROTO_VERSION_DEFAULT);
    s->idle_ms = number(cfg, "connIdleTime");
    s->connect_ms = number(cfg, "limits.loginTimeout");
    s->auth_ms = 2 * s->connect_ms;
    s->retry_ms = number(cfg, "messageRetry.interval");
    s->retry_scan_ms = number(cfg, "messageRetry.scanInterval");
    s->retry_max = number(cfg, "messageRetry.maxCount");
    s->unacked_max = number(cfg, "limits.maxUnacked");
    if (!s->unacked_max)
        s->unacked_max = WK_CONN_UNACKED_MAX;
    if (!wkim_config_is_set(cfg, "limits.maxUnacked") && number(cfg, "userMsgQueueMaxSize"))
        s->unacked_max = number(cfg, "userMsgQueueMaxSize");
    s->per_address_max = number(cfg, "limits.maxConnectionsPerIp");
    s->connect_rate = number(cfg, "limits.connectRate");
    s->send_rate = number(cfg, "limits.sendPerSecond");
    s->connections_max = number(cfg, "limits.maxConnections");
    s->payload_max = number(cfg, "limits.maxPayload");
    if (!s->payload_max)
        s->payload_max = WK_FRAME_BYTES_MAX;
    s->outbound_max = WK_OUTBOUND_BYTES_MAX;
    s->node_id = number(cfg, "cluster.nodeId");
}

int wkim_node_new(wkim_node **out, const wkim_config *cfg, wkim_error *err)
{
    struct wkim_node *n;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (!out || !cfg)
        return wk_fail(err, WKIM_EINVAL, "wkim_node_new: no configuration");
    n = wk_calloc(1, sizeof(*n));
    if (!n)
        return wk_fail(err, WKIM_ENOMEM, "node: out of memory");
    n->lock_fd = -1;
    pthread_mutex_init(&n->api_lock, NULL);
    int limits_rc = wk_limits_init(&n->limits);
    pthread_mutex_init(&n->metrics_lock, NULL);
    read_settings(n, cfg);
    n->n_shards = (uint32_t)number(cfg, "limits.shards");
    if (n->n_shards == 0) /* one core is left to the log, the merging of tables and the listeners */
        n->n_shards = cores > 2 ? (uint32_t)cores - 1 : 1;
    n->data_dir = copy_text(cfg, "dataDir");
    n->manager_uid = copy_text(cfg, "managerUID");
    n->manager_token = copy_text(cfg, "managerToken");
    n->visitor_suffix = copy_text(cfg, "customerService.visitorsSuffix");
    n->online_cmd = copy_text(cfg, "channel.onlineCmdChannelId");
    n->shards = wk_calloc(n->n_shards, sizeof(*n->shards));
    n->per = wk_calloc(n->n_shards, sizeof(*n->per));
    if (limits_rc != WKIM_OK || wk_config_clone(&n->cfg, cfg) != WKIM_OK || !n->data_dir ||
        !n->manager_uid || !n->manager_token || !n->visitor_suffix || !n->online_cmd ||
        !n->shards || !n->per) {
        wkim_node_free(n);
        return wk_fail(err, WKIM_ENOMEM, "node: out of memory");
    }
    for (uint32_t i = 0; i < n->n_shards; i++) {
        wk_shard_init(&n->shards[i], i, n->n_shards);
        n->per[i].node = n;
        n->per[i].shard = &n->shards[i];
        wk_list_init(&n->per[i].conns);
        wk_node_measure_init(&n->per[i]);
    }
    *out = n;
    return WKIM_OK;
}

void wkim_node_set_log(wkim_node *n, int level, wkim_log_fn fn, void *user)
{
    n->log = (struct wk_log){ level, fn, user };
}

void wkim_node_set_log_level(wkim_node *n, int level)
{
    atomic_store_explicit(&n->log.level, level, memory_order_relaxed);
}

/* ---- start ----------------------------------------------------------------------------------- */

static int make_dirs(const char *path, wkim_error *err)
{
    char buf[4096];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof(buf))
        return wk_fail(err, WKIM_ECONFIG, "dataDir: \"%.100s\" is not a usable path", path);
    memcpy(buf, path, n + 1);
    for (char *p = buf + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        (void)mkdir(buf, 0750);
        *p = '/';
    }
    if (mkdir(buf, 0750) != 0 && errno != EEXIST)
        return wk_fail(err, WKIM_EIO, "dataDir: cannot create \"%.150s\": %s", path,
                       strerror(errno));
    return WKIM_OK;
}

static int lock_dir(struct wkim_node *n, wkim_error *err)
{
    char path[4200];
    char pid[32] = "";

    snprintf(path, sizeof(path), "%s/LOCK", n->data_dir);
    n->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (n->lock_fd < 0)
        return wk_fail(err, WKIM_EIO, "dataDir: cannot write \"%.150s\": %s", path,
                       strerror(errno));
    if (flock(n->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t got = read(n->lock_fd, pid, sizeof(pid) - 1);
        pid[got > 0 ? got : 0] = 0;
        return wk_fail(err, WKIM_EBUSY, "dataDir \"%.150s\" is in use by pid %s", n->data_dir,
                       pid[0] ? pid : "(unknown)");
    }
    int len = snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    if (ftruncate(n->lock_fd, 0) != 0 || pwrite(n->lock_fd, pid, (size_t)len, 0) != len)
        return wk_fail(err, WKIM_EIO, "dataDir: cannot write \"%.150s\": %s", path,
                       strerror(errno));
    return WKIM_OK;
}

static enum wk_store_compression compression(const wkim_config *cfg)
{
    const char *word = wkim_config_get(cfg, "storage.compression");

    if (strcmp(word, "zstd") == 0)
        return WK_STORE_ZSTD;
    return strcmp(word, "none") == 0 ? WK_STORE_PLAIN : WK_STORE_LZ4;
}

static int open_storage(struct wkim_node *n, wkim_error *err)
{
    struct wk_store_options so = { .cache_bytes = number(n->cfg, "storage.cacheSize"),
                                   .memtable_bytes = number(n->cfg, "storage.memtableSize"),
                                   .background_threads = 2,
                                   .compression = compression(n->cfg) };
    char path[4200];

    int rc = make_dirs(n->data_dir, err);
    if (rc == WKIM_OK)
        rc = lock_dir(n, err);
    if (rc == WKIM_OK) {
        snprintf(path, sizeof(path), "%s/state", n->data_dir);
        rc = wk_store_open(&n->store, path, &so, err);
    }
    if (rc == WKIM_OK) {
        snprintf(path, sizeof(path), "%s/log", n->data_dir);
        rc = wk_fs_posix_new(&n->fs, path, err);
        n->fs_open = rc == WKIM_OK;
    }
    if (rc == WKIM_OK && wk_readers_new(&n->readers, 2, 4096) != WKIM_OK)
        rc = wk_fail(err, WKIM_ENOMEM, "readers: out of memory");
    /* Long jobs have a thread of their own, so that they do not hold up reads. */
    if (rc == WKIM_OK && wk_readers_new(&n->background, 1, 1024) != WKIM_OK)
        rc = wk_fail(err, WKIM_ENOMEM, "background thread: out of memory");
    return rc;
}

/* 0 means no limit. */
static uint64_t limit_of(const wkim_config *cfg, const char *key)
{
    uint64_t v = number(cfg, key);
    return v ? v : UINT64_MAX;
}

/* Channel objects per slot; less than a few would read every channel anew. */
static uint64_t idle_channels(const wkim_config *cfg)
{
    uint64_t per_slot = number(cfg, "channel.cacheCount") / number(cfg, "cluster.slotCount");
    return per_slot < 16 ? 16 : per_slot;
}

static void delivered(void *user, const struct wk_shard *s, uint64_t stored_us)
{
    wk_node_measure(wk_node_shard(user, s), WK_DELIVERED, stored_us);
}

static struct im_retention retention_of(const wkim_config *cfg)
{
    return (struct im_retention){ .on = wkim_config_int(cfg, "retention.on"),
                                  .batch = (uint32_t)number(cfg, "retention.batchSize"),
                                  .trim = (uint32_t)number(cfg, "retention.maxTrimMessages"),
                                  .scan_ms = number(cfg, "retention.scanInterval"),
                                  .keep = { .age_s = number(cfg, "retention.maxAge") / 1000,
                                            .messages = number(cfg, "retention.maxMessages"),
                                            .bytes = number(cfg, "retention.maxBytes") } };
}

static int make_im(struct wkim_node *n, wkim_error *err)
{
    struct im_options o = { .shards = n->shards,
                            .n_shards = n->n_shards,
                            .node_id = n->set.node_id,
                            .log = &n->log,
                            .token_auth = n->set.token_auth,
                            .allowlist_off_of_person =
                                wkim_config_int(n->cfg, "whitelistOffOfPerson"),
                            .idempotent = wkim_config_int(n->cfg, "message.idempotent"),
                            .idle_channels_max = idle_channels(n->cfg),
                            .user_connections_max =
                                number(n->cfg, "limits.maxConnectionsPerUser"),
                            .channels_must_exist =
                                !wkim_config_int(n->cfg, "channel.createIfNoExist"),
                            .conversations_off = !wkim_config_int(n->cfg, "conversation.on"),
                            .tag_expire_ms = (uint64_t)wkim_config_int(n->cfg, "tag.expire"),
                            .conversations_max = number(n->cfg, "conversation.userMaxCount"),
                            .manager_uid = wk_str(n->manager_uid),
                            .manager_token = wk_str(n->manager_token),
                            .visitor_suffix = wkim_config_int(n->cfg, "customerService.visitorsOn")
                                                  ? wk_str(n->visitor_suffix)
                                                  : wk_slice(NULL, 0),
                            .online_cmd_channel_id = wk_str(n->online_cmd),
                            .event_streams_max = limit_of(n->cfg, "streamCache.maxStreams"),
                            .event_bytes_max = limit_of(n->cfg, "streamCache.maxMemorySize"),
                            .event_deltas_max = limit_of(n->cfg, "streamCache.maxChunksPerStream"),
                            .event_quiet_ms = number(n->cfg, "streamCache.chunkInactivityTimeout"),
                            .event_idle_ms = limit_of(n->cfg, "streamCache.streamTimeout"),
                            .event_sweep_ms = limit_of(n->cfg, "streamCache.cleanupInterval"),
                            .event_allow_orphan = wkim_config_int(n->cfg, "event.allowOrphan"),
                            .event_push_private = wkim_config_int(n->cfg, "event.pushPrivate"),
                            .retention = retention_of(n->cfg),
                            .background = n->background,
                            .on_stored = wk_node_event_message,
                            .on_online = wk_node_event_online,
                            .on_delivered = delivered,
                            .user = n };

    int rc = wk_node_hook_setup(n, &o, err);

    if (rc == WKIM_OK)
        rc = wk_node_source_setup(n, &o, err);
    if (rc != WKIM_OK)
        return rc;
    return im_new(&n->im, &o) == WKIM_OK ? WKIM_OK : wk_fail(err, WKIM_ENOMEM, "im: out of memory");
}

static int make_cluster(struct wkim_node *n, wkim_error *err)
{
    struct wk_cluster_options o = { .node_id = n->set.node_id,
                                    .slot_count = (uint32_t)number(n->cfg, "cluster.slotCount"),
                                    .shards = n->shards,
                                    .n_shards = n->n_shards,
                                    .store = n->store,
                                    .log_fs = &n->fs,
                                    .readers = n->readers,
                                    .log = &n->log,
                                    .machine = im_machine(n->im),
                                    .log_segment_bytes = number(n->cfg, "storage.segmentSize"),
                                    .log_bytes_max = number(n->cfg, "storage.logSize"),
                                    .sync = wkim_config_int(n->cfg, "storage.sync") };
    int rc = wk_cluster_new(&n->cluster, &o, err);

    if (rc == WKIM_OK)
        im_set_cluster(n->im, n->cluster);
    return rc;
}

static int make_shards(struct wkim_node *n, wkim_error *err)
{
    for (uint32_t i = 0; i < n->n_shards; i++) {
        struct wk_node_shard *p = &n->per[i];
        /* One lane more than shards: the last is for API calls. */
        wk_snowflake_init(&p->ids, (uint32_t)n->set.node_id, i, n->n_shards + 1);
        p->read_buf = wk_malloc(WK_READ_BYTES);
        if (!p->read_buf || wk_crypto_new(&p->crypto) != WKIM_OK ||
            wk_sealer_new(&p->sealer, p->crypto) != WKIM_OK)
            return wk_fail(err, WKIM_ENOMEM, "shard: out of memory");
        n->shards[i].crypto = p->crypto;
        n->shards[i].user = p;
        int rc = wk_loop_new(&p->loop, &n->shards[i], err);
        if (rc != WKIM_OK)
            return rc;
    }
    wk_snowflake_init(&n->api_ids, (uint32_t)n->set.node_id, n->n_shards, n->n_shards + 1);
    return WKIM_OK;
}

/* Numbers of connections do not come again after a restart: 2^17 of them for each 1/8 second since
 * 2024, below 2^53 for 270 years, since some readers keep numbers as doubles. */
static uint64_t first_conn(const struct wkim_node *n)
{
    const uint64_t epoch_ms = 1704067200000;
    uint64_t ms = n->start_unix_ms > epoch_ms ? n->start_unix_ms - epoch_ms : 0;

    return (ms / 125 << 17) / n->n_shards;
}

int wkim_node_start(wkim_node *n, wkim_error *err)
{
    if (!n || n->started)
        return wk_fail(err, WKIM_EINVAL, "the node is started already");
    n->start_unix_ms = wk_wall_ms();
    for (uint32_t i = 0; i < n->n_shards; i++)
        n->per[i].next_conn = first_conn(n);
    int rc = open_storage(n, err);
    if (rc == WKIM_OK)
        rc = make_im(n, err);
    if (rc == WKIM_OK)
        rc = make_shards(n, err);
    if (rc == WKIM_OK)
        rc = make_cluster(n, err);
    if (rc == WKIM_OK)
        rc = wk_node_hook_start(n, err);
    if (rc == WKIM_OK)
        rc = wk_node_source_start(n, err);
    for (uint32_t i = 0; rc == WKIM_OK && i < n->n_shards; i++)
        rc = wk_loop_start(n->per[i].loop, err);
    if (rc != WKIM_OK)
        return rc;
    n->started = true;
    wk_cluster_start(n->cluster);
    return WKIM_OK;
}

uint32_t wkim_node_slots_ready(const wkim_node *n, uint32_t *total)
{
    if (total)
        *total = n->cluster ? wk_cluster_slot_count(n->cluster) : 0;
    return n->cluster ? wk_cluster_ready(n->cluster) : 0;
}

int wkim_node_ready(const wkim_node *n)
{
    uint32_t total, ready = wkim_node_slots_ready(n, &total);
    return total != 0 && ready == total;
}

static int wait_until(const wkim_node *n, int (*cond)(const wkim_node *n), int timeout_ms)
{
    uint64_t until = wk_now_ms() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);
    struct timespec pause = { 0, 2000000 };

    while (!cond(n)) {
        if (timeout_ms >= 0 && wk_now_ms() >= until)
            return WKIM_ETIMEOUT;
        nanosleep(&pause, NULL);
    }
    return WKIM_OK;
}

int wkim_node_wait_ready(wkim_node *n, int timeout_ms)
{
    return wait_until(n, wkim_node_ready, timeout_ms);
}

/* ---- stop ------------------------------------------------------------------------------------ */

static int idle(const wkim_node *n)
{
    return wk_cluster_calls(n->cluster) == 0;
}

static int no_connections(const wkim_node *n)
{
    return atomic_load(&n->connections) == 0;
}

static void close_all(struct wk_shard *s, struct wk_post *p)
{
    (void)s;
    wk_conn_close_all(WK_CONTAINER(p, struct wk_node_shard, close_all));
}

/* The threads are gone: run what is still queued on their shards from here. */
static void drain_shards(struct wkim_node *n)
{
    for (int round = 0; round < 64; round++) {
        for (uint32_t i = 0; i < n->n_shards; i++) {
            wk_shard_own(&n->shards[i]);
            wk_shard_poll(&n->shards[i], wk_now_ms(), wk_wall_ms());
        }
    }
}

static int events_saved(const wkim_node *n)
{
    return im_events_saved(n->im);
}

int wkim_node_stop(wkim_node *n, int timeout_ms)
{
    wkim_error err = { 0 };

    if (!n || !n->started)
        return WKIM_OK;
    atomic_store(&n->stopping, true);
    im_keep_stop(n->im);
    int rc = wait_until(n, idle, timeout_ms / 2);
    wk_node_hook_drain(n);
    (void)wait_until(n, events_saved, timeout_ms / 5); /* by their timers */
    for (uint32_t i = 0; i < n->n_shards; i++) {
        n->per[i].close_all.run = close_all;
        wk_shard_post(&n->shards[i], &n->per[i].close_all);
    }
    if (wait_until(n, no_connections, timeout_ms / 4) != WKIM_OK)
        rc = WKIM_ETIMEOUT;
    (void)wait_until(n, idle, timeout_ms / 5); /* the rows of the closed connections */
    (void)wait_until(n, wk_node_hook_idle, timeout_ms / 5); /* what is left is in the store */
    wk_cluster_refuse(n->cluster);
    if (wait_until(n, idle, timeout_ms / 4) != WKIM_OK)
        rc = WKIM_ETIMEOUT;
    for (uint32_t i = 0; i < n->n_shards; i++)
        wk_loop_stop(n->per[i].loop);
    wk_readers_free(n->readers);
    wk_readers_free(n->background);
    n->readers = n->background = NULL;
    drain_shards(n);
    n->started = false;
    if (wk_store_flush(n->store, &err) != WKIM_OK)
        wk_log(&n->log, WK_LOG_WARN, "node", "flush_at_stop_failed", "reason=\"%s\"", err.text);
    return rc;
}

void wkim_node_free(wkim_node *n)
{
    if (!n)
        return;
    if (n->started)
        (void)wkim_node_stop(n, 10000);
    for (uint32_t i = 0; n->per && n->shards && i < n->n_shards; i++)
        wk_loop_stop(n->per[i].loop); /* a start that failed half-way */
    if (n->cluster) {
        wk_cluster_free(n->cluster);
        drain_shards(n);
    }
    wk_node_hook_free(n);
    wk_node_source_free(n);
    im_free(n->im);
    for (uint32_t i = 0; n->per && n->shards && i < n->n_shards; i++) {
        struct wk_node_shard *p = &n->per[i];
        wk_conn_free_pool(p);
        wk_loop_free(p->loop);
        wk_sealer_free(p->sealer);
        wk_crypto_free(p->crypto);
        wk_free(p->read_buf);
        wk_buf_fini(&p->scratch);
        wk_shard_fini(&n->shards[i]);
    }
    wk_readers_free(n->readers);
    wk_readers_free(n->background);
    if (n->fs_open)
        wk_fs_posix_free(&n->fs);
    wk_store_close(n->store);
    if (n->lock_fd >= 0)
        close(n->lock_fd);
    wk_queue_unref(n->events.queue);
    wkim_config_free(n->cfg);
    wk_free(n->data_dir);
    wk_free(n->manager_uid);
    wk_free(n->manager_token);
    wk_free(n->visitor_suffix);
    wk_free(n->online_cmd);
    wk_free(n->shards);
    wk_free(n->per);
    wk_limits_fini(&n->limits);
    pthread_mutex_destroy(&n->api_lock);
    pthread_mutex_destroy(&n->metrics_lock);
    wk_free(n);
}

const char *wkim_version(void)
{
    return WKIM_VERSION_TEXT;
}
