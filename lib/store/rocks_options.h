/* The RocksDB options of the store.  Included by rocks*.c only. */
#ifndef WK_STORE_ROCKS_OPTIONS_H
#define WK_STORE_ROCKS_OPTIONS_H
#include <rocksdb/c.h>
#include "store/backend.h"

/* RocksDB insists on a family called "default"; it holds the marker of wk_store_flush only. */
#define WK_ROCKS_FAMILIES (WK_COLUMN_COUNT + 1)
#define WK_ROCKS_DEFAULT WK_COLUMN_COUNT

struct wk_rocks_options {
    rocksdb_options_t *db;
    rocksdb_options_t *family[WK_ROCKS_FAMILIES]; /* order of enum wk_column, default last */
    const char *name[WK_ROCKS_FAMILIES];          /* constant texts */
    rocksdb_cache_t *cache;
    rocksdb_env_t *env;
    uint64_t memtable_bytes; /* flush when so much was written */
};
/* RocksDB ends the process when it finds no memory, so there is no failure to report. */
void wk_rocks_options_init(struct wk_rocks_options *o, const struct wk_store_options *opt,
                           int compression);
void wk_rocks_options_fini(struct wk_rocks_options *o);
#endif
