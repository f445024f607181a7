#include "out/dead_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "out/dead_line.h"

#define GAP_MAX 1000000 /* ids missing between two lines */

uint8_t wk_dead_event(const char *event)
{
    static const char *const names[] = { "msg.notify", "msg.offline", "user.onlinestatus" };

    for (uint8_t i = 0; i < 3; i++) {
        if (strcmp(event, names[i]) == 0)
            return (uint8_t)(i + 1);
    }
    return 0;
}

static void path_of(char out[WK_DEAD_NAME_MAX], const char *dir, uint64_t first, const char *end)
{
    (void)snprintf(out, WK_DEAD_NAME_MAX, "%s/%016llu.%s", dir, (unsigned long long)first, end);
}

static int open_file(const char *dir, const struct wk_dead_file *f, const char *end, int flags)
{
    char path[WK_DEAD_NAME_MAX];

    path_of(path, dir, f->first, end);
    return open(path, flags | O_CLOEXEC, 0640);
}

int wk_dead_file_new(struct wk_dead_file **out, uint64_t first)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return WKIM_ENOMEM;
    (*out)->first = first;
    return WKIM_OK;
}

void wk_dead_file_free(struct wk_dead_file *f)
{
    if (!f)
        return;
    free(f->places);
    free(f);
}

void wk_dead_file_unlink(const char *dir, const struct wk_dead_file *f)
{
    char path[WK_DEAD_NAME_MAX];

    /* The list last: letters without it would come back. */
    path_of(path, dir, f->first, "jsonl");
    (void)unlink(path);
    path_of(path, dir, f->first, "done");
    (void)unlink(path);
}

int wk_dead_file_room(struct wk_dead_file *f)
{
    size_t cap = f->cap ? f->cap * 2 : 64;
    struct wk_dead_place *more;

    if (f->n < f->cap)
        return WKIM_OK;
    more = realloc(f->places, cap * sizeof(*more));
    if (!more)
        return WKIM_ENOMEM;
    f->places = more;
    f->cap = cap;
    return WKIM_OK;
}

/* ---- reading at the start -------------------------------------------------------------------- */

static int add_place(struct wk_dead_file *f, struct wk_dead_place p)
{
    int rc = wk_dead_file_room(f);

    if (rc == WKIM_OK) {
        f->places[f->n++] = p;
        f->open += !p.gone;
    }
    return rc;
}

static int add_line(struct wk_dead_file *f, const char *line, size_t n, uint64_t *bad)
{
    struct wk_dead_item item;
    size_t head = n < WK_DEAD_LINE_MAX && n > 2 && memcmp(line + n - 2, WK_DEAD_TAIL, 2) == 0
                      ? wk_dead_head_get(line, &item)
                      : 0;
    int rc = WKIM_OK;

    if (!head || head > n - 2 || item.id < f->first + f->n || item.id - f->first - f->n > GAP_MAX ||
        f->end > UINT32_MAX) {
        (*bad)++;
        return WKIM_OK;
    }
    while (rc == WKIM_OK && f->first + f->n < item.id)
        rc = add_place(f, (struct wk_dead_place){ .gone = true });
    if (rc == WKIM_OK)
        rc = add_place(f, (struct wk_dead_place){ .at = (uint32_t)f->end,
                                                  .size = (uint32_t)n,
                                                  .event = wk_dead_event(item.event) });
    return rc;
}

static int read_lines(struct wk_dead_file *f, FILE *in, uint64_t *bad)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = WKIM_OK;

    while (rc == WKIM_OK && (n = getline(&line, &cap, in)) > 0) {
        if (line[n - 1] != '\n') { /* cut off by a crash */
            (*bad)++;
            rc = ftruncate(fileno(in), (off_t)f->end) == 0 ? WKIM_OK : WKIM_EIO;
            break;
        }
        rc = add_line(f, line, (size_t)n, bad);
        f->end += (uint64_t)n;
    }
    free(line);
    return rc;
}

static void read_settled(struct wk_dead_file *f, FILE *in)
{
    unsigned long long id;

    while (fscanf(in, "%19llu", &id) == 1) {
        struct wk_dead_place *p =
            id >= f->first && id - f->first < f->n ? &f->places[id - f->first] : NULL;

        if (p && !p->gone) {
            p->gone = true;
            f->open--;
        }
    }
    f->bytes += (uint64_t)(ftell(in) > 0 ? ftell(in) : 0);
}

int wk_dead_file_read(struct wk_dead_file **out, const char *dir, uint64_t first, uint64_t *bad)
{
    int rc = wk_dead_file_new(out, first), fd;
    FILE *in;

    if (rc != WKIM_OK)
        return rc;
    fd = open_file(dir, *out, "jsonl", O_RDWR);
    in = fd >= 0 ? fdopen(fd, "r+") : NULL;
    rc = in ? read_lines(*out, in, bad) : WKIM_EIO;
    if (in)
        (void)fclose(in);
    else if (fd >= 0)
        (void)close(fd);
    (*out)->bytes = (*out)->end;
    fd = open_file(dir, *out, "done", O_RDONLY);
    in = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (in) {
        read_settled(*out, in);
        (void)fclose(in);
    }
    if (rc != WKIM_OK) {
        wk_dead_file_free(*out);
        *out = NULL;
    }
    return rc;
}

/* ---- letters --------------------------------------------------------------------------------- */

static int write_line(int fd, const char *head, size_t head_n, const wkim_hook_request *r)
{
    struct iovec v[3] = { { (void *)(uintptr_t)head, head_n },
                          { (void *)(uintptr_t)r->body.p, r->body.n },
                          { (void *)(uintptr_t)WK_DEAD_TAIL, 2 } };
    size_t left = head_n + r->body.n + 2;
    int i = 0;

    while (left) {
        ssize_t n = writev(fd, v + i, 3 - i);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        left -= (size_t)n;
        for (size_t done = (size_t)n; done;) {
            size_t part = done < v[i].iov_len ? done : v[i].iov_len;

            v[i].iov_base = (char *)v[i].iov_base + part;
            v[i].iov_len -= part;
            done -= part;
            i += v[i].iov_len == 0;
        }
    }
    return 0;
}

int wk_dead_file_append(const char *dir, struct wk_dead_file *f, const wkim_hook_request *r,
                        uint64_t time_s)
{
    char head[WK_DEAD_HEAD_MAX], event[32];
    int n = wk_dead_head_put(head, f->first + f->n, time_s, r);
    int fd = n > 0 ? open_file(dir, f, "jsonl", O_WRONLY | O_CREAT) : -1, rc, e;
    size_t size = (size_t)n + r->body.n + 2;

    if (fd < 0)
        return WKIM_EIO;
    (void)snprintf(event, sizeof(event), "%.*s", (int)r->event.n, (const char *)r->event.p);
    rc = lseek(fd, (off_t)f->end, SEEK_SET) < 0 ? -1 : write_line(fd, head, (size_t)n, r);
    e = errno;
    if (rc != 0 && ftruncate(fd, (off_t)f->end) != 0)
        e = errno; /* the next line overwrites what is left of this one */
    if (close(fd) != 0 && rc == 0) {
        e = errno;
        rc = -1;
    }
    errno = e;
    if (rc != 0)
        return WKIM_EIO;
    f->places[f->n++] = (struct wk_dead_place){ .at = (uint32_t)f->end,
                                                .size = (uint32_t)size,
                                                .event = wk_dead_event(event) };
    f->open++;
    f->end += size;
    f->bytes += size;
    return WKIM_OK;
}

static void sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)fsync(fd);
    (void)close(fd);
}

void wk_dead_file_sync(const char *dir, struct wk_dead_file *f)
{
    char path[WK_DEAD_NAME_MAX];

    path_of(path, dir, f->first, "jsonl");
    sync_path(path, O_WRONLY);
    if (!f->listed)
        sync_path(dir, O_RDONLY | O_DIRECTORY);
    f->listed = true;
}

size_t wk_dead_file_settle(const char *dir, struct wk_dead_file *f, uint64_t first, uint64_t last,
                           uint8_t kind)
{
    int fd = open_file(dir, f, "done", O_WRONLY | O_CREAT | O_APPEND);
    FILE *out = fd >= 0 ? fdopen(fd, "a") : NULL;
    size_t n = 0;

    for (uint64_t id = first; id <= last; id++) {
        struct wk_dead_place *p = &f->places[id - f->first];
        int bytes;

        if (p->gone || (kind && p->event != kind))
            continue;
        p->gone = true;
        p->marked = false;
        f->open--;
        n++;
        bytes = out ? fprintf(out, "%llu\n", (unsigned long long)id) : 0;
        f->bytes += bytes > 0 ? (uint64_t)bytes : 0;
    }
    if (out)
        (void)fclose(out);
    else if (fd >= 0)
        (void)close(fd);
    return n;
}

static int read_at(int fd, char *out, size_t n, off_t at)
{
    while (n) {
        ssize_t got = pread(fd, out, n, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        out += got;
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

int wk_dead_file_get(const char *dir, const struct wk_dead_file *f, uint64_t id,
                     struct wk_dead_item *out, char **body)
{
    const struct wk_dead_place *p = &f->places[id - f->first];
    char head[WK_DEAD_HEAD_MAX + 1];
    size_t n = p->size < WK_DEAD_HEAD_MAX ? p->size : WK_DEAD_HEAD_MAX, at;
    int fd = open_file(dir, f, "jsonl", O_RDONLY), rc = WKIM_EIO;

    if (fd < 0)
        return WKIM_EIO;
    if (read_at(fd, head, n, (off_t)p->at) == 0) {
        head[n] = '\0';
        at = wk_dead_head_get(head, out);
        if (at && at + 2 <= p->size && out->id == id)
            rc = WKIM_OK;
        out->bytes = p->size - at - 2;
        out->marked = p->marked;
    }
    if (rc == WKIM_OK && body) {
        *body = malloc(out->bytes + 1);
        rc = *body ? WKIM_OK : WKIM_ENOMEM;
        if (*body && read_at(fd, *body, out->bytes, (off_t)(p->at + at)) != 0) {
            free(*body);
            rc = WKIM_EIO;
        }
        if (rc == WKIM_OK)
            (*body)[out->bytes] = '\0';
    }
    (void)close(fd);
    return rc;
}
