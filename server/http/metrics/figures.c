#include "http/metrics/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static void read_status(struct wk_figures *out)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            out->resident = strtoull(line + 6, NULL, 10) * 1024;
        if (strncmp(line, "Threads:", 8) == 0)
            out->threads = strtoull(line + 8, NULL, 10);
    }
    if (f)
        fclose(f);
}

void wk_figures_read(struct wk_figures *f, uint64_t start_unix_ms)
{
    uint64_t now = (uint64_t)time(NULL);
    struct rusage u;

    *f = (struct wk_figures){0};
    read_status(f);
    if (start_unix_ms && now > start_unix_ms / 1000)
        f->uptime_s = now - start_unix_ms / 1000;
    if (f->uptime_s && getrusage(RUSAGE_SELF, &u) == 0)
        f->cpu_percent = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 100 / f->uptime_s;
}
