/* A folder of its own for a test, under ${TMPDIR:-/tmp}. */
#ifndef TEST_TMPDIR_H
#define TEST_TMPDIR_H
#include <stddef.h>

struct tmpdir {
    char path[512];
};
void tmpdir_new(struct tmpdir *d);    /* ends the process when no folder can be made */
void tmpdir_remove(struct tmpdir *d); /* with everything in it; harmless when done already */
/* <folder>/<name> in out; points at out. */
const char *tmpdir_path(const struct tmpdir *d, char *out, size_t cap, const char *name);
#endif
