#include "store/rocks_options.h"
#include <stdio.h>
#include "store/key.h"

#define MB (1024ull * 1024)
#define CACHE_BYTES_DEFAULT (256 * MB)
#define MEMTABLE_BYTES_DEFAULT (128 * MB)
/* Memtables are flushed by us, all together and long before RocksDB would (rocks.c). */
#define MEMTABLE_ROOM 8
#define MEMTABLE_BLOOM (0.005 / MEMTABLE_ROOM) /* of the room: about 16 bits per message */
#define INDEX_BYTES_PER_BUCKET 400 /* of the memtable: about one bucket per message */
/* Compression is done by background threads on the same cores; the fast levels give up little. */
#define ZSTD_LEVEL (-1)
#define ZSTD_WINDOW_BITS (-14)

/* A file of messages in which so many of so many neighbours are deletions is merged at once with
 * what it deletes, and again until both are gone: tiers alone would leave the space taken until
 * enough of them have come together. */
#define DELETED_WINDOW 4096
#define DELETED_TRIGGER 2048

static rocksdb_block_based_table_options_t *table_options(struct wk_rocks_options *o,
                                                          size_t block_bytes)
{
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();

    rocksdb_block_based_options_set_block_cache(t, o->cache);
    rocksdb_block_based_options_set_block_size(t, block_bytes);
    rocksdb_block_based_options_set_format_version(t, 5);
    rocksdb_block_based_options_set_filter_policy(t, rocksdb_filterpolicy_create_bloom_full(10));
    return t;
}

/* Tiers: runs of about the same size are merged once there are `width` of them and the family has
 * `runs` in all, so that a row is rewritten once per tier and not once per level and flush. */
static void set_tiered(rocksdb_options_t *f, int runs, int width)
{
    rocksdb_universal_compaction_options_t *u = rocksdb_universal_compaction_options_create();

    rocksdb_options_set_compaction_style(f, rocksdb_universal_compaction);
    rocksdb_options_set_level0_file_num_compaction_trigger(f, runs);
    rocksdb_universal_compaction_options_set_min_merge_width(u, width);
    rocksdb_universal_compaction_options_set_stop_style(
        u, rocksdb_similar_size_compaction_stop_style);
    rocksdb_universal_compaction_options_set_size_ratio(u, 100);
    rocksdb_universal_compaction_options_set_max_size_amplification_percent(u, 1000000);
    rocksdb_options_set_universal_compaction_options(f, u);
    rocksdb_universal_compaction_options_destroy(u);
}

static void family_common(rocksdb_options_t *f, uint64_t memtable_bytes)
{
    rocksdb_options_set_write_buffer_size(f, memtable_bytes * MEMTABLE_ROOM);
    rocksdb_options_set_max_write_buffer_number(f, 4);
    rocksdb_options_set_level0_slowdown_writes_trigger(f, 200);
    rocksdb_options_set_level0_stop_writes_trigger(f, 400);
    rocksdb_options_set_soft_pending_compaction_bytes_limit(f, 1ull << 40);
    rocksdb_options_set_hard_pending_compaction_bytes_limit(f, 1ull << 41);
}

static void family_messages(struct wk_rocks_options *o, rocksdb_options_t *f)
{
    rocksdb_block_based_table_options_t *t = table_options(o, 16384);

    rocksdb_options_set_block_based_table_factory(f, t);
    rocksdb_block_based_options_destroy(t);
    rocksdb_options_set_prefix_extractor(
        f, rocksdb_slicetransform_create_fixed_prefix(WK_KEY_MESSAGE_PREFIX_BYTES));
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(f, MEMTABLE_BLOOM);
    set_tiered(f, 16, 6);
    rocksdb_options_add_compact_on_deletion_collector_factory(f, DELETED_WINDOW, DELETED_TRIGGER);
}

/* Senders' positions come in random order, often again, and are found by the whole key: a hash
 * table of short lists takes one for 0.9 us where a skip list takes 3.6.  It is sorted when written
 * out. */
static void family_index(struct wk_rocks_options *o, rocksdb_options_t *f, uint64_t memtable_bytes)
{
    rocksdb_block_based_table_options_t *t = table_options(o, 8192);

    rocksdb_options_set_block_based_table_factory(f, t);
    rocksdb_block_based_options_destroy(t);
    rocksdb_options_set_prefix_extractor(
        f, rocksdb_slicetransform_create_fixed_prefix(WK_KEY_INDEX_PREFIX_BYTES));
    rocksdb_options_set_hash_link_list_rep(f, memtable_bytes / INDEX_BYTES_PER_BUCKET + 1000);
    rocksdb_options_set_memtable_whole_key_filtering(f, 1);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(f, MEMTABLE_BLOOM);
    rocksdb_options_set_compression(f, rocksdb_no_compression);
    set_tiered(f, 5, 3);
}

static void family_plain(struct wk_rocks_options *o, rocksdb_options_t *f)
{
    rocksdb_block_based_table_options_t *t = table_options(o, 8192);

    rocksdb_options_set_block_based_table_factory(f, t);
    rocksdb_block_based_options_destroy(t);
    rocksdb_options_set_memtable_whole_key_filtering(f, 1);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(f, MEMTABLE_BLOOM);
}

static void database(struct wk_rocks_options *o, int threads)
{
    rocksdb_options_t *d = o->db;

    rocksdb_env_set_background_threads(o->env, threads);
    rocksdb_env_set_high_priority_background_threads(o->env, 1);
    rocksdb_env_lower_thread_pool_cpu_priority(o->env);
    rocksdb_env_lower_thread_pool_io_priority(o->env);
    rocksdb_options_set_env(d, o->env);
    rocksdb_options_set_create_if_missing(d, 1);
    rocksdb_options_set_create_missing_column_families(d, 1);
    rocksdb_options_set_atomic_flush(d, 1);
    rocksdb_options_set_max_background_jobs(d, threads + 1);
    rocksdb_options_set_max_open_files(d, -1);
    rocksdb_options_set_bytes_per_sync(d, MB);
    rocksdb_options_set_keep_log_file_num(d, 4);
    rocksdb_options_set_max_log_file_size(d, 4 * MB);
    rocksdb_options_set_stats_dump_period_sec(d, 0);
    rocksdb_options_set_stats_persist_period_sec(d, 0);
    rocksdb_options_set_allow_concurrent_memtable_write(d, 0);
}

/* Messages of a channel arrive in order: remembering per prefix where the last one went spares the
 * search from the top.  The C API has no function for it; without it inserts are only slower.
 * Hints and range tombstones do not go together: see add_range in rocks.c. */
static void set_insert_hints(rocksdb_options_t **family)
{
    char text[96], *failed = NULL;
    rocksdb_options_t *hinted = rocksdb_options_create();

    snprintf(text, sizeof(text), "memtable_insert_with_hint_prefix_extractor=fixed:%d",
             WK_KEY_MESSAGE_PREFIX_BYTES);
    rocksdb_get_options_from_string(*family, text, hinted, &failed);
    if (failed) {
        rocksdb_free(failed);
        rocksdb_options_destroy(hinted);
        return;
    }
    rocksdb_options_destroy(*family);
    *family = hinted;
}

void wk_rocks_options_init(struct wk_rocks_options *o, const struct wk_store_options *opt,
                           int compression)
{
    uint64_t cache = opt && opt->cache_bytes ? opt->cache_bytes : CACHE_BYTES_DEFAULT;
    uint64_t memtable = opt && opt->memtable_bytes ? opt->memtable_bytes : MEMTABLE_BYTES_DEFAULT;
    int threads = opt && opt->background_threads > 0 ? opt->background_threads : 2;

    o->memtable_bytes = memtable;
    o->cache = rocksdb_cache_create_lru(cache);
    o->env = rocksdb_create_default_env();
    o->db = rocksdb_options_create();
    database(o, threads);
    for (int i = 0; i < WK_ROCKS_FAMILIES; i++) {
        o->family[i] = rocksdb_options_create();
        family_common(o->family[i], memtable);
        rocksdb_options_set_compression(o->family[i], compression);
        if (compression == rocksdb_zstd_compression)
            rocksdb_options_set_compression_options(o->family[i], ZSTD_WINDOW_BITS, ZSTD_LEVEL, 0,
                                                    0);
    }
    o->name[WK_COLUMN_MESSAGES] = "messages";
    o->name[WK_COLUMN_METADATA] = "metadata";
    o->name[WK_COLUMN_INDEX] = "index";
    o->name[WK_COLUMN_QUEUES] = "queues";
    o->name[WK_ROCKS_DEFAULT] = "default";
    family_messages(o, o->family[WK_COLUMN_MESSAGES]);
    family_plain(o, o->family[WK_COLUMN_METADATA]);
    family_index(o, o->family[WK_COLUMN_INDEX], memtable);
    family_plain(o, o->family[WK_COLUMN_QUEUES]);
    set_insert_hints(&o->family[WK_COLUMN_MESSAGES]);
}

void wk_rocks_options_fini(struct wk_rocks_options *o)
{
    if (!o->db)
        return;
    for (int i = 0; i < WK_ROCKS_FAMILIES; i++)
        rocksdb_options_destroy(o->family[i]);
    rocksdb_options_destroy(o->db);
    rocksdb_env_destroy(o->env);
    rocksdb_cache_destroy(o->cache);
    o->db = NULL;
}
