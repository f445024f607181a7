/* Inside the dead letters: one file and the places of its letters.  All under the lock of wk_dead.
 */
#ifndef WK_SERVER_OUT_DEAD_FILE_H
#define WK_SERVER_OUT_DEAD_FILE_H

#include "out/dead.h"

#define WK_DEAD_LINE_MAX ((size_t)1 << 30) /* bytes of a letter */
#define WK_DEAD_NAME_MAX 4352              /* bytes of the path of a file */

struct wk_dead_place {
    uint32_t at, size; /* of the line in its file */
    uint8_t event;     /* wk_dead_event */
    bool gone, marked;
};

struct wk_dead_file {
    uint64_t first; /* id of its first letter */
    struct wk_dead_place *places;
    size_t n, cap, open; /* `open` are not gone */
    uint64_t bytes;      /* with the list of those that are gone */
    uint64_t end;        /* where the next line starts */
    bool listed;         /* its name is safe from a power cut */
};

/* 0 for "" and for what is not known. */
uint8_t wk_dead_event(const char *event);

/* Reads a file and its list.  *bad counts lines that cannot be read.  WKIM_OK, WKIM_EIO,
 * WKIM_ENOMEM. */
int wk_dead_file_read(struct wk_dead_file **out, const char *dir, uint64_t first, uint64_t *bad);
int wk_dead_file_new(struct wk_dead_file **out, uint64_t first);
void wk_dead_file_free(struct wk_dead_file *f);
void wk_dead_file_unlink(const char *dir, const struct wk_dead_file *f);

/* Room for one more place; WKIM_OK or WKIM_ENOMEM. */
int wk_dead_file_room(struct wk_dead_file *f);
/* Appends a line of that id; WKIM_OK, or WKIM_EIO with errno and the file as before. */
int wk_dead_file_append(const char *dir, struct wk_dead_file *f, const wkim_hook_request *r,
                        uint64_t time_s);
void wk_dead_file_sync(const char *dir, struct wk_dead_file *f);
/* The letters first..last of that kind (0: any) are settled; how many.  What cannot be written
 * comes back at the next start. */
size_t wk_dead_file_settle(const char *dir, struct wk_dead_file *f, uint64_t first, uint64_t last,
                           uint8_t kind);
int wk_dead_file_get(const char *dir, const struct wk_dead_file *f, uint64_t id,
                     struct wk_dead_item *out, char **body);

#endif
