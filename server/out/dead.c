#include "out/dead.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <wkim/error.h>

#include "out/dead_file.h"

#define FILES 8 /* bytes_max is this many files of letters */
#define FILE_BYTES_MIN 65536
#define FILE_BYTES_MAX 67108864
#define SAY_AGAIN_S 10
#define HEAD_BYTES 512 /* of a line, and of a settled one in the list */

struct wk_dead {
    pthread_mutex_t lock;
    struct wk_log_file *log;
    char *dir;
    uint64_t bytes_max, file_bytes_max;
    struct wk_dead_file **files; /* oldest first; letters are appended to the last */
    size_t n_files;
    struct wk_dead_stats stats;
    uint64_t marks_from; /* no letter before this one is marked */
    uint64_t told_s;     /* when the log last heard that a letter cannot be written */
    bool to_sync;        /* letters of the last file */
};

/* ---- files ----------------------------------------------------------------------------------- */

static void forget_file(struct wk_dead *d, size_t i)
{
    struct wk_dead_file *f = d->files[i];

    d->stats.bytes -= f->bytes;
    d->stats.letters -= f->open;
    for (size_t k = 0; k < f->n; k++)
        d->stats.marked -= f->places[k].marked;
    wk_dead_file_unlink(d->dir, f);
    wk_dead_file_free(f);
    d->n_files--;
    memmove(d->files + i, d->files + i + 1, (d->n_files - i) * sizeof(struct wk_dead_file *));
}

static int add_file(struct wk_dead *d, struct wk_dead_file *f)
{
    struct wk_dead_file **more = realloc(d->files, (d->n_files + 1) * sizeof(*more));

    if (!more)
        return WKIM_ENOMEM;
    d->files = more;
    d->files[d->n_files++] = f;
    d->stats.bytes += f->bytes;
    d->stats.letters += f->open;
    return WKIM_OK;
}

static uint64_t next_id(const struct wk_dead *d)
{
    const struct wk_dead_file *last = d->n_files ? d->files[d->n_files - 1] : NULL;

    return last ? last->first + last->n : 1;
}

/* The file the next letter goes to.  A file whose letters are all settled goes away, but not before
 * there is a newer one: its name keeps the ids rising. */
static int last_file(struct wk_dead *d, size_t n, struct wk_dead_file **out)
{
    struct wk_dead_file *f = d->n_files ? d->files[d->n_files - 1] : NULL;
    int rc;

    *out = f;
    if (f && f->end < d->file_bytes_max && f->bytes + n <= d->bytes_max && (f->open || f->n == 0))
        return WKIM_OK;
    if (f && d->to_sync)
        wk_dead_file_sync(d->dir, f);
    rc = wk_dead_file_new(out, next_id(d));
    if (rc != WKIM_OK)
        return rc;
    rc = add_file(d, *out);
    if (rc != WKIM_OK) {
        wk_dead_file_free(*out);
        return rc;
    }
    if (f && f->open == 0)
        forget_file(d, d->n_files - 2);
    return WKIM_OK;
}

static void make_room(struct wk_dead *d, size_t n)
{
    while (d->n_files > 1 && d->stats.bytes + n > d->bytes_max) {
        size_t open = d->files[0]->open;

        d->stats.dropped += open;
        if (open)
            wk_log_say(d->log, WKIM_LOG_WARN, "webhook_dead_letters_dropped",
                       "letters=%zu reason=\"webhook.deadMaxBytes is %llu\"", open,
                       (unsigned long long)d->bytes_max);
        forget_file(d, 0);
    }
}

/* ---- start ----------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static int find_files(const char *dir, uint64_t **out, size_t *n)
{
    DIR *in = opendir(dir);
    const struct dirent *e;
    int rc = in ? WKIM_OK : WKIM_EIO;

    while (rc == WKIM_OK && (e = readdir(in))) {
        unsigned long long first;
        int end = 0;

        if (sscanf(e->d_name, "%19llu.jsonl%n", &first, &end) != 1 || !end || e->d_name[end])
            continue;
        uint64_t *more = realloc(*out, (*n + 1) * sizeof(*more));

        if (!more) {
            rc = WKIM_ENOMEM;
            continue;
        }
        *out = more;
        more[(*n)++] = first;
    }
    if (in)
        (void)closedir(in);
    if (*n)
        qsort(*out, *n, sizeof(**out), by_number);
    return rc;
}

static int read_files(struct wk_dead *d)
{
    uint64_t *firsts = NULL, bad = 0;
    size_t n = 0;
    int rc = find_files(d->dir, &firsts, &n);

    for (size_t i = 0; rc == WKIM_OK && i < n; i++) {
        struct wk_dead_file *f = NULL;

        rc = wk_dead_file_read(&f, d->dir, firsts[i], &bad);
        if (rc == WKIM_OK)
            rc = add_file(d, f);
        if (rc != WKIM_OK)
            wk_dead_file_free(f);
        else if (f->open == 0 && i + 1 < n)
            forget_file(d, d->n_files - 1);
    }
    free(firsts);
    if (bad)
        wk_log_say(d->log, WKIM_LOG_WARN, "webhook_dead_letters_unreadable",
                   "lines=%llu folder=\"%s\"", (unsigned long long)bad, d->dir);
    return rc;
}

int wk_dead_open(struct wk_dead **out, const char *dir, uint64_t bytes_max, struct wk_log_file *log,
                 wkim_error *err)
{
    struct wk_dead *d = calloc(1, sizeof(*d));
    int rc = WKIM_ENOMEM;

    if (d) {
        (void)pthread_mutex_init(&d->lock, NULL);
        d->log = log;
        d->dir = strdup(dir);
        d->bytes_max = bytes_max;
        d->file_bytes_max = bytes_max / FILES;
        if (d->file_bytes_max < FILE_BYTES_MIN)
            d->file_bytes_max = FILE_BYTES_MIN;
        if (d->file_bytes_max > FILE_BYTES_MAX)
            d->file_bytes_max = FILE_BYTES_MAX;
    }
    if (d && d->dir)
        rc = mkdir(dir, 0750) == 0 || errno == EEXIST ? read_files(d) : WKIM_EIO;
    if (rc != WKIM_OK) {
        err->code = rc;
        (void)snprintf(err->text, sizeof(err->text), "dead letters: %.160s: %s", dir,
                       rc == WKIM_ENOMEM ? "out of memory" : strerror(errno));
        wk_dead_close(d);
        return rc;
    }
    *out = d;
    return WKIM_OK;
}

void wk_dead_close(struct wk_dead *d)
{
    if (!d)
        return;
    wk_dead_sync(d);
    for (size_t i = 0; i < d->n_files; i++)
        wk_dead_file_free(d->files[i]);
    (void)pthread_mutex_destroy(&d->lock);
    free(d->files);
    free(d->dir);
    free(d);
}

/* ---- letters --------------------------------------------------------------------------------- */

static int add(struct wk_dead *d, const wkim_hook_request *r, uint64_t time_s)
{
    size_t n = r->body.n + HEAD_BYTES;
    struct wk_dead_file *f;
    int rc;

    errno = EFBIG;
    if (n > d->bytes_max || n > WK_DEAD_LINE_MAX)
        return WKIM_ETOOBIG;
    rc = last_file(d, n, &f);
    if (rc == WKIM_OK)
        rc = wk_dead_file_room(f);
    if (rc != WKIM_OK) {
        errno = ENOMEM;
        return rc;
    }
    make_room(d, n);
    d->stats.bytes -= f->bytes;
    rc = wk_dead_file_append(d->dir, f, r, time_s);
    d->stats.bytes += f->bytes;
    d->stats.letters += rc == WKIM_OK;
    return rc;
}

int wk_dead_add(struct wk_dead *d, const wkim_hook_request *r, uint64_t time_s)
{
    bool tell;

    (void)pthread_mutex_lock(&d->lock);
    int rc = add(d, r, time_s), e = errno;

    d->to_sync = d->to_sync || rc == WKIM_OK;
    d->stats.lost += rc == WKIM_ETOOBIG;
    /* What may go later comes again each second. */
    tell = rc == WKIM_ETOOBIG || (rc != WKIM_OK && time_s >= d->told_s + SAY_AGAIN_S);
    if (tell && rc != WKIM_ETOOBIG)
        d->told_s = time_s;
    (void)pthread_mutex_unlock(&d->lock);
    if (tell)
        wk_log_say(d->log, WKIM_LOG_ERROR,
                   rc == WKIM_ETOOBIG ? "webhook_dead_letter_lost" : "webhook_dead_letter_waits",
                   "event=%.*s delivery=%.*s bytes=%zu reason=\"%s\"", (int)r->event.n,
                   (const char *)r->event.p, (int)r->delivery.n, (const char *)r->delivery.p,
                   r->body.n, strerror(e));
    return rc;
}

void wk_dead_sync(struct wk_dead *d)
{
    (void)pthread_mutex_lock(&d->lock);
    if (d->to_sync && d->n_files)
        wk_dead_file_sync(d->dir, d->files[d->n_files - 1]);
    d->to_sync = false;
    (void)pthread_mutex_unlock(&d->lock);
}

/* The file of a letter that is there; NULL: it is not. */
static struct wk_dead_file *file_of(const struct wk_dead *d, uint64_t id)
{
    for (size_t i = 0; i < d->n_files; i++) {
        struct wk_dead_file *f = d->files[i];

        if (id >= f->first && id - f->first < f->n)
            return f->places[id - f->first].gone ? NULL : f;
    }
    return NULL;
}

/* The first letter behind `after` that is there and asked for; 0: none. */
static uint64_t next_of(const struct wk_dead *d, uint64_t after, const char *event, bool marked)
{
    uint8_t kind = wk_dead_event(event);

    if (*event && !kind)
        return 0;
    for (size_t i = 0; i < d->n_files; i++) {
        const struct wk_dead_file *f = d->files[i];

        for (size_t k = after < f->first ? 0 : after - f->first + 1; k < f->n; k++) {
            const struct wk_dead_place *p = &f->places[k];

            if (!p->gone && (!kind || p->event == kind) && (!marked || p->marked))
                return f->first + k;
        }
    }
    return 0;
}

int wk_dead_get(struct wk_dead *d, uint64_t id, struct wk_dead_item *out, char **body)
{
    (void)pthread_mutex_lock(&d->lock);
    const struct wk_dead_file *f = file_of(d, id);
    int rc = f ? wk_dead_file_get(d->dir, f, id, out, body) : WKIM_ENOTFOUND;

    (void)pthread_mutex_unlock(&d->lock);
    return rc;
}

size_t wk_dead_list(struct wk_dead *d, uint64_t after, const char *event, struct wk_dead_item *out,
                    size_t max, bool *more)
{
    size_t n = 0;

    *more = false;
    (void)pthread_mutex_lock(&d->lock);
    for (uint64_t id = next_of(d, after, event, false); id; id = next_of(d, id, event, false)) {
        if (n == max) {
            *more = true;
            break;
        }
        if (wk_dead_file_get(d->dir, file_of(d, id), id, &out[n], NULL) == WKIM_OK)
            n++;
    }
    (void)pthread_mutex_unlock(&d->lock);
    return n;
}

/* Letters first..last of files[i]; true: the file is gone with them. */
static bool settle(struct wk_dead *d, size_t i, uint64_t first, uint64_t last, uint8_t kind,
                   uint64_t *n)
{
    struct wk_dead_file *f = d->files[i];
    uint64_t before = f->bytes;
    size_t settled;

    for (uint64_t id = first; id <= last; id++) {
        const struct wk_dead_place *p = &f->places[id - f->first];

        d->stats.marked -= p->marked && (!kind || p->event == kind);
    }
    settled = wk_dead_file_settle(d->dir, f, first, last, kind);
    *n += settled;
    d->stats.letters -= settled;
    d->stats.bytes += f->bytes - before;
    if (f->open || i + 1 == d->n_files)
        return false;
    forget_file(d, i);
    return true;
}

int wk_dead_remove(struct wk_dead *d, uint64_t id)
{
    uint64_t n = 0;

    (void)pthread_mutex_lock(&d->lock);
    const struct wk_dead_file *f = file_of(d, id);

    for (size_t i = 0; f && i < d->n_files; i++) {
        if (d->files[i] != f)
            continue;
        (void)settle(d, i, id, id, 0, &n);
        break;
    }
    (void)pthread_mutex_unlock(&d->lock);
    return n ? WKIM_OK : WKIM_ENOTFOUND;
}

uint64_t wk_dead_remove_all(struct wk_dead *d, const char *event)
{
    uint8_t kind = wk_dead_event(event);
    uint64_t n = 0;
    size_t i = 0;

    if (*event && !kind)
        return 0;
    (void)pthread_mutex_lock(&d->lock);
    while (i < d->n_files) {
        const struct wk_dead_file *f = d->files[i];

        if (!f->n || !settle(d, i, f->first, f->first + f->n - 1, kind, &n))
            i++;
    }
    (void)pthread_mutex_unlock(&d->lock);
    return n;
}

/* ---- marks ----------------------------------------------------------------------------------- */

static void set_mark(struct wk_dead *d, uint64_t id, bool marked)
{
    struct wk_dead_file *f = file_of(d, id);
    struct wk_dead_place *p = &f->places[id - f->first];

    if (marked && !p->marked)
        d->stats.marked++;
    if (marked && id < d->marks_from)
        d->marks_from = id;
    if (!marked && p->marked)
        d->stats.marked--;
    p->marked = marked;
}

int wk_dead_mark(struct wk_dead *d, uint64_t id, bool marked)
{
    (void)pthread_mutex_lock(&d->lock);
    int rc = file_of(d, id) ? WKIM_OK : WKIM_ENOTFOUND;

    if (rc == WKIM_OK)
        set_mark(d, id, marked);
    (void)pthread_mutex_unlock(&d->lock);
    return rc;
}

uint64_t wk_dead_mark_all(struct wk_dead *d, const char *event, bool marked)
{
    uint64_t n = 0, id = 0;

    (void)pthread_mutex_lock(&d->lock);
    while ((id = next_of(d, id, event, false)) != 0) {
        set_mark(d, id, marked);
        n++;
    }
    (void)pthread_mutex_unlock(&d->lock);
    return n;
}

uint64_t wk_dead_next_marked(struct wk_dead *d)
{
    (void)pthread_mutex_lock(&d->lock);
    uint64_t id = d->stats.marked ? next_of(d, d->marks_from ? d->marks_from - 1 : 0, "", true) : 0;

    d->marks_from = id ? id : UINT64_MAX;
    (void)pthread_mutex_unlock(&d->lock);
    return id;
}

void wk_dead_stats_get(struct wk_dead *d, struct wk_dead_stats *out)
{
    (void)pthread_mutex_lock(&d->lock);
    *out = d->stats;
    (void)pthread_mutex_unlock(&d->lock);
}
