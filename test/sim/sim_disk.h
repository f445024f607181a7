/* A disk in memory for the log: keeps apart what was written and what was synced, so that a power
 * cut may lose, keep or tear every write and every change of the folder since the last sync.
 * Deterministic from its seed; single-threaded; aborts when memory runs out. */
#ifndef SIM_DISK_H
#define SIM_DISK_H
#include "base/clock.h"
#include "log/log.h"

enum sim_cut {
    SIM_CUT_LOSE, /* nothing unsynced survives */
    SIM_CUT_KEEP, /* everything survives (also: only the process died) */
    SIM_CUT_TEAR  /* each write: lost, kept, a prefix, or some of its sectors; folder likewise */
};

struct sim_disk;
struct sim_disk *sim_disk_new(uint64_t seed);
void sim_disk_free(struct sim_disk *d);
struct wk_fs sim_disk_fs(struct sim_disk *d); /* valid as long as the disk */
/* The power goes: open files are closed, the disk works again afterwards. */
void sim_disk_cut(struct sim_disk *d, enum sim_cut cut);
/* The process dies and the system lives on: open files are closed, the cache stays. */
void sim_disk_kill(struct sim_disk *d);

/* Operations so far (every call that changes something counts). */
uint64_t sim_disk_ops(const struct sim_disk *d);
/* Stop dead at operation `op` (counted from 1 like sim_disk_ops): it is carried out only when
 * `after`; it and all later ones fail until the next cut.  0: never. */
void sim_disk_stop_at(struct sim_disk *d, uint64_t op, bool after);
void sim_disk_fail_syncs(struct sim_disk *d, unsigned n); /* the next n; their data is lost */
void sim_disk_space(struct sim_disk *d, uint64_t bytes);  /* then ENOSPC; UINT64_MAX: no limit */
void sim_disk_fail_reads(struct sim_disk *d, unsigned n);
/* Flip one bit of a stored byte; false: no such byte. */
bool sim_disk_flip(struct sim_disk *d, const char *name, uint64_t off, unsigned bit);
/* n-th file name in order of creation, NULL at the end; its size in *size. */
const char *sim_disk_name(const struct sim_disk *d, size_t i, uint64_t *size);
uint64_t sim_disk_hash(const struct sim_disk *d);
#endif
