#include "wkload.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Content of /proc/PID/<name> in buf; 0, -1. */
static int read_proc(int pid, const char *name, char *buf, size_t cap)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    size_t n = fread(buf, 1, cap - 1, f);
    buf[n] = 0;
    fclose(f);
    return n ? 0 : -1;
}

static uint64_t field(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static int read_cpu(int pid, struct sample *s)
{
    char buf[1024];
    unsigned long long user, sys;
    unsigned threads;

    if (read_proc(pid, "stat", buf, sizeof(buf)))
        return -1;
    const char *after = strrchr(buf, ')'); /* the name in front may hold blanks */
    const char *form = " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %u";
    if (!after || sscanf(after + 1, form, &user, &sys, &threads) != 3)
        return -1;
    double hz = (double)sysconf(_SC_CLK_TCK);
    s->user_s = (double)user / hz;
    s->system_s = (double)sys / hz;
    s->threads = threads;
    s->has_cpu = true;
    return 0;
}

static _Thread_local uint64_t walked;

static int add_blocks(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)path;
    (void)ftw;
    if (kind == FTW_F)
        walked += (uint64_t)st->st_blocks * 512u;
    return 0;
}

void sample_take(struct load *l, struct sample *s, bool with_disk)
{
    char buf[4096];
    const int pid = l->options.pid;

    *s = (struct sample){0};
    if (pid && read_cpu(pid, s))
        load_fail(l, FAIL_SAMPLE, "/proc/%d/stat: %s", pid, strerror(errno));
    if (pid && read_proc(pid, "status", buf, sizeof(buf)) == 0) {
        s->rss_bytes = field(buf, "VmRSS:") * 1024u;
        s->rss_peak_bytes = field(buf, "VmHWM:") * 1024u;
        s->has_rss = s->rss_bytes > 0;
    }
    if (pid && read_proc(pid, "io", buf, sizeof(buf)) == 0) {
        s->write_bytes = field(buf, "\nwrite_bytes: ");
        s->has_io = true;
    }
    if (with_disk && l->options.data_dir) {
        walked = 0;
        if (nftw(l->options.data_dir, add_blocks, 32, FTW_PHYS))
            load_fail(l, FAIL_SAMPLE, "%s: %s", l->options.data_dir, strerror(errno));
        s->disk_bytes = walked;
        s->has_disk = true;
    }
}

double sample_own_cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
