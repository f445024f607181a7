#include "log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log_line.h"
#include "process.h"

#define LINE_BYTES_MAX 8192
#define BUFFER_BYTES_MAX (1u << 20) /* per output; errors may use twice as much */
#define OUTPUTS 4                   /* info, warn, error, standard output */

struct output {
    char *pending; /* under the lock */
    size_t n, cap;
    int fd; /* owned by the writer thread */
    int64_t size;
};

struct wk_log_file {
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t writer;
    struct output out[OUTPUTS];
    char *dir;
    _Atomic int level;
    int json_stdout;
    int stop, reopen;
    uint64_t dropped;
    int64_t max_size, max_age_s;
    int max_backups;
};

static const char *const names[] = {"info.log", "warn.log", "error.log"};

static int path_of(const struct wk_log_file *l, int which, int backup, char *out, size_t cap)
{
    int n = backup ? snprintf(out, cap, "%s/%s.%d", l->dir, names[which], backup)
                   : snprintf(out, cap, "%s/%s", l->dir, names[which]);

    return n > 0 && (size_t)n < cap ? 0 : -1;
}

static int open_output(struct wk_log_file *l, int which)
{
    struct output *o = &l->out[which];
    char path[4096];
    struct stat st;

    if (path_of(l, which, 0, path, sizeof(path)) != 0)
        return -1;
    o->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    o->size = o->fd >= 0 && fstat(o->fd, &st) == 0 ? st.st_size : 0;
    return o->fd >= 0 ? 0 : -1;
}

/* info.log.9 -> info.log.10 ..., info.log -> info.log.1; the oldest and the outdated go. */
static void rotate(struct wk_log_file *l, int which)
{
    char from[4096], to[4096];
    struct stat st;

    (void)close(l->out[which].fd);
    for (int i = l->max_backups; i >= 0; i--) {
        if (path_of(l, which, i, from, sizeof(from)) != 0 ||
            path_of(l, which, i + 1, to, sizeof(to)) != 0 || stat(from, &st) != 0)
            continue;
        if (i == l->max_backups || (i && st.st_mtime + l->max_age_s < time(NULL)))
            (void)unlink(from);
        else
            (void)rename(from, to);
    }
    (void)open_output(l, which);
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return; /* a full disk must not stop the server; the lines are lost */
        p += w;
        n -= (size_t)w;
    }
}

static void write_output(struct wk_log_file *l, int which, const char *p, size_t n)
{
    struct output *o = &l->out[which];

    if (which < 3 && o->size > 0 && o->size + (int64_t)n > l->max_size)
        rotate(l, which);
    if (o->fd >= 0)
        write_all(o->fd, p, n);
    o->size += (int64_t)n;
}

static int anything(const struct wk_log_file *l)
{
    for (int i = 0; i < OUTPUTS; i++)
        if (l->out[i].n)
            return 1;
    return l->stop || l->reopen;
}

/* One round with the lock held at entry and exit.  Buffers are exchanged, so that callers only wait
 * for a copy. */
static void write_round(struct wk_log_file *l, struct output spare[OUTPUTS])
{
    int reopen = l->reopen;

    l->reopen = 0;
    for (int i = 0; i < OUTPUTS; i++) {
        struct output t = l->out[i];

        l->out[i].pending = spare[i].pending;
        l->out[i].cap = spare[i].cap;
        l->out[i].n = 0;
        spare[i].pending = t.pending;
        spare[i].cap = t.cap;
        spare[i].n = t.n;
    }
    (void)pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < 3 && reopen; i++) {
        (void)close(l->out[i].fd);
        (void)open_output(l, i);
    }
    for (int i = 0; i < OUTPUTS; i++)
        if (spare[i].n)
            write_output(l, i, spare[i].pending, spare[i].n);
    (void)pthread_mutex_lock(&l->lock);
}

static void *writer_main(void *arg)
{
    struct wk_log_file *l = arg;
    struct output spare[OUTPUTS] = {0};

    (void)pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!anything(l))
            (void)pthread_cond_wait(&l->more, &l->lock);
        write_round(l, spare);
        if (l->stop && !l->reopen && !l->out[0].n && !l->out[1].n && !l->out[2].n && !l->out[3].n)
            break;
    }
    (void)pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < OUTPUTS; i++)
        free(spare[i].pending);
    return NULL;
}

static int append_locked(struct wk_log_file *l, int which, int level, const char *p, size_t n)
{
    struct output *o = &l->out[which];
    size_t most = level >= WKIM_LOG_ERROR ? 2 * BUFFER_BYTES_MAX : BUFFER_BYTES_MAX;

    if (o->n + n > most)
        return 0;
    if (o->n + n > o->cap) {
        size_t cap = o->cap ? o->cap : 4096;
        char *grown;

        while (cap < o->n + n)
            cap *= 2;
        grown = realloc(o->pending, cap);
        if (!grown)
            return 0;
        o->pending = grown;
        o->cap = cap;
    }
    memcpy(o->pending + o->n, p, n);
    o->n += n;
    return 1;
}

static void time_text(char out[40])
{
    struct timespec ts;
    struct tm tm;
    size_t n;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    (void)gmtime_r(&ts.tv_sec, &tm);
    n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + n, 40 - n, ".%03dZ", (int)(ts.tv_nsec / 1000000) % 1000);
}

void wk_log_event(void *user, int level, const char *room, const char *event, const char *fields)
{
    struct wk_log_file *l = user;
    char when[40], json[LINE_BYTES_MAX], text[LINE_BYTES_MAX];
    struct wk_log_line line = {level, when, room, event, fields ? fields : ""};
    size_t nj, nt = 0;
    int which = level >= WKIM_LOG_ERROR ? 2 : level == WKIM_LOG_WARN ? 1 : 0;
    int kept;

    if (level < l->level)
        return;
    time_text(when);
    nj = wk_log_line_json(&line, json, sizeof(json));
    if (l->out[3].fd >= 0)
        nt = l->json_stdout ? nj : wk_log_line_text(&line, text, sizeof(text));
    (void)pthread_mutex_lock(&l->lock);
    kept = nj > 0 && append_locked(l, which, level, json, nj);
    if (nt)
        kept = append_locked(l, 3, level, l->json_stdout ? json : text, nt) && kept;
    l->dropped += !kept;
    (void)pthread_cond_signal(&l->more);
    (void)pthread_mutex_unlock(&l->lock);
}

void wk_log_say(struct wk_log_file *l, int level, const char *event, const char *fmt, ...)
{
    char fields[4096];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(fields, sizeof(fields), fmt, ap);
    va_end(ap);
    wk_log_event(l, level, "server", event, fields);
}

static void log_free(struct wk_log_file *l)
{
    for (int i = 0; i < OUTPUTS; i++) {
        free(l->out[i].pending);
        if (i < 3 && l->out[i].fd >= 0)
            (void)close(l->out[i].fd);
    }
    (void)pthread_cond_destroy(&l->more);
    (void)pthread_mutex_destroy(&l->lock);
    free(l->dir);
    free(l);
}

/* logger.level; 0: by mode. */
static int level_of(const wkim_config *cfg)
{
    int level = (int)wkim_config_int(cfg, "logger.level");

    if (level)
        return level;
    return strcmp(wkim_config_get(cfg, "mode"), "debug") ? WKIM_LOG_INFO : WKIM_LOG_DEBUG;
}

static int read_options(struct wk_log_file *l, const wkim_config *cfg, int no_stdout)
{
    const char *dir = wkim_config_get(cfg, "logger.dir");
    int n;

    if (*dir == '/')
        n = asprintf(&l->dir, "%s", dir);
    else
        n = asprintf(&l->dir, "%s/%s", wkim_config_get(cfg, "rootDir"), dir);
    if (n < 0) {
        l->dir = NULL;
        return WKIM_ENOMEM;
    }
    wk_log_set_level(l, cfg);
    l->json_stdout = strcmp(wkim_config_get(cfg, "log.format"), "json") == 0;
    l->max_size = wkim_config_int(cfg, "log.maxSize");
    l->max_age_s = wkim_config_int(cfg, "log.maxAge") / 1000;
    l->max_backups = (int)wkim_config_int(cfg, "log.maxBackups");
    l->out[3].fd = no_stdout ? -1 : STDOUT_FILENO;
    return WKIM_OK;
}

static int fail(struct wk_log_file *l, wkim_error *err, int code, const char *what)
{
    err->code = code;
    (void)snprintf(err->text, sizeof(err->text), "logger.dir: cannot create \"%.150s\": %s", what,
                   strerror(errno));
    log_free(l);
    return code;
}

int wk_log_open(struct wk_log_file **out, const wkim_config *cfg, int no_stdout, wkim_error *err)
{
    struct wk_log_file *l = calloc(1, sizeof(*l));

    if (!l) {
        err->code = WKIM_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "out of memory");
        return WKIM_ENOMEM;
    }
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->more, NULL);
    for (int i = 0; i < OUTPUTS; i++)
        l->out[i].fd = -1;
    if (read_options(l, cfg, no_stdout) != WKIM_OK)
        return fail(l, err, WKIM_ENOMEM, "");
    if (wk_process_make_folder(l->dir, 0750) != 0)
        return fail(l, err, WKIM_EIO, l->dir);
    for (int i = 0; i < 3; i++)
        if (open_output(l, i) != 0)
            return fail(l, err, WKIM_EIO, l->dir);
    if (pthread_create(&l->writer, NULL, writer_main, l) != 0)
        return fail(l, err, WKIM_ENOMEM, l->dir);
    *out = l;
    return WKIM_OK;
}

void wk_log_reopen(struct wk_log_file *l)
{
    (void)pthread_mutex_lock(&l->lock);
    l->reopen = 1;
    (void)pthread_cond_signal(&l->more);
    (void)pthread_mutex_unlock(&l->lock);
}

int wk_log_level(const struct wk_log_file *l)
{
    return atomic_load(&l->level);
}

void wk_log_set_level(struct wk_log_file *l, const wkim_config *cfg)
{
    atomic_store(&l->level, level_of(cfg));
}

void wk_log_close(struct wk_log_file *l)
{
    if (!l)
        return;
    if (l->dropped)
        wk_log_say(l, WKIM_LOG_WARN, "log_lines_dropped", "lines=%llu",
                   (unsigned long long)l->dropped);
    (void)pthread_mutex_lock(&l->lock);
    l->stop = 1;
    (void)pthread_cond_signal(&l->more);
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_join(l->writer, NULL);
    log_free(l);
}
