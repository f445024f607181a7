#include "process.h"

#include <errno.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define OPEN_FILES_MAX 1048576

static int fail(wkim_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(wkim_error *err, int code, const char *fmt, ...)
{
    va_list ap;

    err->code = code;
    va_start(ap, fmt);
    (void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    return code;
}

static int run_path(const wkim_config *cfg, const char *name, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s/run/%s", wkim_config_get(cfg, "rootDir"), name);

    return n > 0 && (size_t)n < cap ? 0 : -1;
}

int wk_process_make_folder(const char *path, mode_t mode)
{
    char part[4096];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, i == n ? mode : 0755) != 0 && errno != EEXIST && errno != EISDIR)
            return -1;
    }
    return access(path, W_OK | X_OK);
}

int wk_process_folders(const wkim_config *cfg, wkim_error *err)
{
    static const char *const keys[] = {"rootDir", "dataDir"};
    char run[4096];

    for (int i = 0; i < 2; i++) {
        const char *path = wkim_config_get(cfg, keys[i]);

        if (wk_process_make_folder(path, i ? 0750 : 0755) != 0)
            return fail(err, WKIM_EIO, "config: %s: cannot create \"%.150s\": %s", keys[i], path,
                        strerror(errno));
    }
    if (run_path(cfg, ".", run, sizeof(run)) != 0)
        return fail(err, WKIM_ECONFIG, "config: rootDir: the name is too long");
    run[strlen(run) - 2] = '\0';
    if (wk_process_make_folder(run, 0750) != 0)
        return fail(err, WKIM_EIO, "config: rootDir: cannot create \"%.150s\": %s", run,
                    strerror(errno));
    return WKIM_OK;
}

static long read_pid(const char *path)
{
    char text[32] = "";
    FILE *f = fopen(path, "re");
    long pid = 0;

    if (!f)
        return 0;
    if (fgets(text, sizeof(text), f))
        pid = strtol(text, NULL, 10);
    (void)fclose(f);
    return pid > 1 ? pid : 0;
}

int wk_process_lock(const wkim_config *cfg, int *fd, wkim_error *err)
{
    char path[4096], pid[32];
    int n;

    if (run_path(cfg, "wkim.lock", path, sizeof(path)) != 0)
        return fail(err, WKIM_ECONFIG, "config: rootDir: the name is too long");
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (*fd < 0)
        return fail(err, WKIM_EIO, "cannot open \"%.150s\": %s", path, strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        int rc = fail(err, WKIM_EBUSY, "rootDir \"%.150s\" is in use by pid %ld",
                      wkim_config_get(cfg, "rootDir"), read_pid(path));

        (void)close(*fd);
        *fd = -1;
        return rc;
    }
    n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(*fd, 0) != 0 || write(*fd, pid, (size_t)n) != n)
        return fail(err, WKIM_EIO, "cannot write \"%.150s\": %s", path, strerror(errno));
    return WKIM_OK;
}

int wk_process_pid_write(const wkim_config *cfg, wkim_error *err)
{
    char path[4096];
    FILE *f = NULL;
    int fd = -1;

    if (run_path(cfg, "wukongim.pid", path, sizeof(path)) == 0)
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0)
        f = fdopen(fd, "w");
    if (!f || fprintf(f, "%ld\n", (long)getpid()) < 0 || fflush(f) != 0) {
        int rc = fail(err, WKIM_EIO, "cannot write \"%.150s\": %s", path, strerror(errno));

        if (f)
            (void)fclose(f);
        else if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    (void)fclose(f);
    return WKIM_OK;
}

void wk_process_pid_remove(const wkim_config *cfg)
{
    char path[4096];

    if (run_path(cfg, "wukongim.pid", path, sizeof(path)) == 0)
        (void)unlink(path);
}

/* The process that holds the lock, 0: none. */
static long lock_holder(const wkim_config *cfg)
{
    char path[4096];
    long pid = 0;
    int fd;

    if (run_path(cfg, "wkim.lock", path, sizeof(path)) != 0)
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        pid = read_pid(path);
    (void)close(fd);
    return pid;
}

/* A pid file of an older start in this folder; the pid may be somebody else's by now. */
static long local_pid(void)
{
    char path[64], name[32] = "";
    long pid = read_pid("wukongim.pid");
    FILE *f;

    if (!pid)
        return 0;
    (void)snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
    f = fopen(path, "re");
    if (!f)
        return 0;
    if (!fgets(name, sizeof(name), f) || (strncmp(name, "wkim", 4) && strncmp(name, "wk\n", 3)))
        pid = 0;
    (void)fclose(f);
    return pid;
}

int wk_process_stop(const wkim_config *cfg, int timeout_s)
{
    static const struct timespec pause = {0, 50000000};
    long pid = lock_holder(cfg);

    if (!pid)
        pid = local_pid();
    if (!pid) {
        fprintf(stderr, "wkim-server: stop: no server is running on rootDir \"%s\"\n",
                wkim_config_get(cfg, "rootDir"));
        return 1;
    }
    if (kill((pid_t)pid, SIGTERM) != 0) {
        fprintf(stderr, "wkim-server: stop: pid %ld: %s\n", pid, strerror(errno));
        return 1;
    }
    for (long waited = 0; kill((pid_t)pid, 0) == 0; waited += 50) {
        if (waited >= timeout_s * 1000L) {
            fprintf(stderr, "wkim-server: stop: pid %ld still runs after %d s, killed\n", pid,
                    timeout_s);
            (void)kill((pid_t)pid, SIGKILL);
            break;
        }
        (void)nanosleep(&pause, NULL);
    }
    wk_process_pid_remove(cfg);
    return 0;
}

void wk_process_raise_limits(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    r.rlim_cur = r.rlim_max > OPEN_FILES_MAX ? OPEN_FILES_MAX : r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

void wk_process_tune_memory(void)
{
#ifdef __GLIBC__
    /* Blocks of the database's memtables go back to the system when a flush ends.  By default glibc
     * stops doing that once the first was freed: a fifth more resident memory after minutes. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
#endif
}
