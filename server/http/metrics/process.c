/* What the kernel and the C library know about this process. */
#include "http/metrics/metrics.h"

#include <dirent.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tls.h"

#define CPU_PERIOD_S 2.0

struct wk_process_view {
    double cpu_s, max_fds, open_fds, resident, start_s, virtual_bytes, virtual_max, heap, tasks;
    double none, bytes_in, bytes_out, cpu_percent, warnings, refused, requests;
};

static double seconds(struct timeval tv)
{
    return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static double limit_of(struct rlimit l)
{
    return l.rlim_cur == RLIM_INFINITY ? -1 : (double)l.rlim_cur;
}

static double open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    double n = -3; /* ".", ".." and the one that reads */

    if (!d)
        return 0;
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n;
}

/* Fields of /proc/self/stat behind the name: threads is the 20th of all, start time the 22nd, then
 * virtual bytes and resident pages. */
static void read_stat(struct wk_process_view *v)
{
    FILE *f = fopen("/proc/self/stat", "re");
    char text[1024] = "";
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

    if (f)
        (void)fclose(f);
    text[n] = 0;
    char *at = strrchr(text, ')'), *rest = NULL, *word;

    for (int i = 3; at && (word = strtok_r(i == 3 ? at + 1 : NULL, " ", &rest)); i++) {
        if (i == 20)
            v->tasks = strtod(word, NULL);
        else if (i == 23)
            v->virtual_bytes = strtod(word, NULL);
        else if (i == 24)
            v->resident = strtod(word, NULL) * (double)sysconf(_SC_PAGESIZE);
    }
}

static double cpu_percent(struct wk_http *h, double cpu_s)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    double now = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;

    pthread_mutex_lock(&h->cpu.lock);
    if (now - h->cpu.at_s >= CPU_PERIOD_S) {
        h->cpu.percent = 100 * (cpu_s - h->cpu.cpu_s) / (now - h->cpu.at_s) /
                         (double)sysconf(_SC_NPROCESSORS_ONLN);
        h->cpu.at_s = now;
        h->cpu.cpu_s = cpu_s;
    }
    double out = h->cpu.percent;

    pthread_mutex_unlock(&h->cpu.lock);
    return out;
}

static void look(struct wk_process_view *v, struct wk_http *h)
{
    wkim_node_stats s = {.size = sizeof(s)};
    struct rusage u;
    struct rlimit l;

    if (getrusage(RUSAGE_SELF, &u) == 0)
        v->cpu_s = seconds(u.ru_utime) + seconds(u.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &l) == 0)
        v->max_fds = limit_of(l);
    if (getrlimit(RLIMIT_AS, &l) == 0)
        v->virtual_max = limit_of(l);
    v->open_fds = open_descriptors();
    read_stat(v);
    v->start_s = (double)h->start_ms / 1e3;
    struct mallinfo2 heap = mallinfo2();

    v->heap = (double)(heap.uordblks + heap.hblkhd);
    v->cpu_percent = cpu_percent(h, v->cpu_s);
    if (wkim_node_stats_get(h->node, &s) == WKIM_OK) {
        v->bytes_in = (double)s.in_bytes;
        v->bytes_out = (double)s.out_bytes;
    }
    v->bytes_in += (double)atomic_load_explicit(&h->bytes_in, memory_order_relaxed);
    v->bytes_out += (double)atomic_load_explicit(&h->bytes_out, memory_order_relaxed);
    v->warnings = atomic_load(&h->config_warnings);
    v->refused = (double)atomic_load_explicit(&h->refused, memory_order_relaxed);
    v->requests = (double)atomic_load_explicit(&h->under_way, memory_order_relaxed);
    v->tasks += v->requests;
}

void wk_metric_head(struct wk_jsonbuf *b, const char *name, const char *type, const char *help)
{
    wk_jsonbuf_lit(b, "# HELP ");
    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_char(b, ' ');
    wk_jsonbuf_lit(b, help);
    wk_jsonbuf_lit(b, "\n# TYPE ");
    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_char(b, ' ');
    wk_jsonbuf_lit(b, type);
    wk_jsonbuf_char(b, '\n');
}

void wk_metric_f64(struct wk_jsonbuf *b, double v)
{
    char text[40];

    if (fabs(v) < 9e15 && v == (double)(int64_t)v)
        (void)snprintf(text, sizeof(text), "%lld\n", (long long)v);
    else
        (void)snprintf(text, sizeof(text), "%.9g\n", v);
    wk_jsonbuf_lit(b, text);
}

static void put_certificate(struct wk_jsonbuf *b, const char *listener, const char *file)
{
    int64_t until = *file ? wk_tls_expiry(file) : -1;

    if (until < 0)
        return;
    wk_jsonbuf_lit(b, "wkim_tls_cert_expiry_seconds{listener=\"");
    wk_jsonbuf_lit(b, listener);
    wk_jsonbuf_lit(b, "\"} ");
    wk_metric_f64(b, (double)until);
}

void wk_metrics_process(struct wk_jsonbuf *b, struct wk_http *h)
{
    struct wk_process_view v = {0};

    look(&v, h);
#define WK_PROCESS_METRIC(type, name, field, help) \
    wk_metric_head(b, name, #type, help);          \
    wk_jsonbuf_lit(b, name " ");                   \
    wk_metric_f64(b, v.field);
#include "http/metrics/metrics.def"
#undef WK_PROCESS_METRIC
    wk_metric_head(b, "wkim_build_info", "gauge", "Always 1.");
    wk_jsonbuf_lit(b, "wkim_build_info{version=\"");
    wk_jsonbuf_lit(b, wkim_version());
    wk_jsonbuf_lit(b, "\",commit=\"" WKIM_COMMIT "\"} 1\n");
    wk_metric_head(b, "wkim_tls_cert_expiry_seconds", "gauge",
                   "When the certificate file of a listener ends, Unix time.");
    put_certificate(b, "tls", h->opt.tls_cert);
    put_certificate(b, "wss", h->opt.wss_cert);
}
