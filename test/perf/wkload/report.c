#include "wkload.h"

#include <errno.h>
#include <string.h>

static double per(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / 1048576.0;
}

static void line(FILE *f, const char *name, const struct histogram *h)
{
    if (h->count == 0)
        return;
    fprintf(f, "%-11s p50 %9.3f   p90 %9.3f   p99 %9.3f   p99.9 %9.3f   max %9.3f ms   (%llu)\n",
            name, (double)histogram_percentile(h, 50) / 1e3,
            (double)histogram_percentile(h, 90) / 1e3, (double)histogram_percentile(h, 99) / 1e3,
            (double)histogram_percentile(h, 99.9) / 1e3, (double)h->max / 1e3,
            (unsigned long long)h->count);
}

static void text_head(const struct load *l, const struct outcome *o, FILE *f)
{
    const struct options *p = &l->options;

    fprintf(f, "scenario    %s: %u connections, %u channels, %u senders", l->scenario->name,
            l->n_conns, l->n_channels, l->n_senders);
    if (l->n_senders)
        fprintf(f, ", %u-byte payload, %s, %s", p->size, p->encrypt ? "encrypted" : "plain",
                p->persist ? "stored" : "passing");
    if (p->rate > 0)
        fprintf(f, ", %.0f/s open loop", p->rate);
    else if (l->n_senders)
        fprintf(f, ", window %u", p->window);
    fprintf(f, "\ntime        login %.2f s, warm-up %.1f s, measured %.2f s, %u client thread%s\n",
            o->login_s, p->warmup_s, o->window_s, p->threads, p->threads == 1 ? "" : "s");
}

static void text_server(const struct load *l, const struct outcome *o, FILE *f)
{
    const struct sample *a = &o->warm, *b = &o->window_end;

    if (a->has_cpu && b->has_cpu) {
        double user = b->user_s - a->user_s, sys = b->system_s - a->system_s;
        double units = (double)(l->n_senders ? o->acked_window : o->connects_window);
        fprintf(f, "server CPU  %.2f s user + %.2f s system = %.0f %% of one core", user, sys,
                100 * per(user + sys, o->window_s));
        if (units > 0)
            fprintf(f, ", %.2f us per %s", (user + sys) * 1e6 / units,
                    l->n_senders ? "message" : "login");
        if (o->received_window > 0)
            fprintf(f, ", %.2f us per message or delivery",
                    (user + sys) * 1e6 / (units + (double)o->received_window));
        fprintf(f, "; %u threads\n", b->threads);
    }
    if (o->before.has_rss && o->end.has_rss) {
        fprintf(f, "server RSS  %.1f MiB before, %.1f logged in, %.1f at the end, peak %.1f",
                mib(o->before.rss_bytes), mib(o->logged_in.rss_bytes), mib(o->end.rss_bytes),
                mib(o->end.rss_peak_bytes));
        if (l->scenario != &scenario_connect && l->n_conns)
            fprintf(f, "; %.2f KiB per connection",
                    ((double)o->logged_in.rss_bytes - (double)o->before.rss_bytes) / 1024.0 /
                        (double)l->n_conns);
        fprintf(f, "\n");
    }
    double payload = (double)o->acked * (double)l->options.size;
    if (l->n_senders && o->before.has_io && o->end.has_io)
        fprintf(f, "written     %.1f MiB to devices = %.2f bytes per payload byte\n",
                mib(o->end.write_bytes - o->before.write_bytes),
                per((double)(o->end.write_bytes - o->before.write_bytes), payload));
    if (l->n_senders && o->before.has_disk && o->end.has_disk) {
        double more = (double)o->end.disk_bytes - (double)o->before.disk_bytes;
        fprintf(f, "on disk     %+.1f MiB = %.2f bytes per payload byte\n", more / 1048576.0,
                per(more, payload));
    }
}

static void text_fails(const struct load *l, FILE *f)
{
    static const char *const names[] = {
#define FAIL_TEXT(name, text) text,
        FAIL_MAP(FAIL_TEXT)
#undef FAIL_TEXT
    };
    bool any = false;

    for (int k = 0; k < FAIL_KINDS; k++) {
        if (l->fails[k] == 0)
            continue;
        any = true;
        fprintf(f, "FAILED      %llu %s\n", (unsigned long long)l->fails[k], names[k]);
        for (uint64_t i = 0; i < 3 && l->fail_text[k][i][0]; i++)
            fprintf(f, "              %s\n", l->fail_text[k][i]);
    }
    for (uint32_t r = 0; r < 256; r++)
        if (l->refused[r])
            fprintf(f, "              reason %u (%s): %llu\n", r, load_reason_name((uint8_t)r),
                    (unsigned long long)l->refused[r]);
    fprintf(f, "result      %s\n", any ? "FAILED" : "ok");
}

void report_text(const struct load *l, const struct outcome *o, FILE *f)
{
    text_head(l, o, f);
    if (l->n_senders) {
        fprintf(f,
                "throughput  %.0f messages/s acknowledged (%.2f MB/s payload), %.0f deliveries/s\n",
                per((double)o->acked_window, o->window_s),
                per((double)o->acked_window, o->window_s) * l->options.size / 1e6,
                per((double)o->received_window, o->window_s));
        fprintf(f, "whole run   %llu sent, %llu acknowledged, %llu of %llu deliveries, "
                   "%llu decrypted and compared\n",
                (unsigned long long)o->sent, (unsigned long long)o->acked,
                (unsigned long long)o->received, (unsigned long long)o->expected,
                (unsigned long long)o->verified);
    }
    if (l->scenario == &scenario_connect)
        fprintf(f, "throughput  %.0f logins/s, %llu in the whole run\n",
                per((double)o->connects_window, o->window_s), (unsigned long long)o->connects);
    else
        fprintf(f, "logins      %llu, %.0f per second; %llu PINGs, %llu PONGs\n",
                (unsigned long long)o->connects, per((double)o->connects, o->login_s),
                (unsigned long long)o->pings, (unsigned long long)o->pongs);
    line(f, "send->ack", &o->ack);
    line(f, "send->recv", &o->recv);
    if (l->options.rate > 0)
        line(f, "late send", &o->lateness);
    line(f, "login", &o->connect);
    text_server(l, o, f);
    fprintf(f, "client CPU  %.2f s = %.0f %% of one core\n", o->own_cpu_s,
            100 * per(o->own_cpu_s, o->window_s));
    text_fails(l, f);
}

static void json_text(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            fprintf(f, "\\u%04x", (unsigned)(unsigned char)*s);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

static void json_histogram(FILE *f, const char *name, const struct histogram *h)
{
    fprintf(f,
            ",\n  \"%s\": {\"count\": %llu, \"min\": %llu, \"mean\": %.1f, \"p50\": %llu, "
            "\"p90\": %llu, \"p99\": %llu, \"p999\": %llu, \"max\": %llu}",
            name, (unsigned long long)h->count, (unsigned long long)h->min, histogram_mean(h),
            (unsigned long long)histogram_percentile(h, 50),
            (unsigned long long)histogram_percentile(h, 90),
            (unsigned long long)histogram_percentile(h, 99),
            (unsigned long long)histogram_percentile(h, 99.9), (unsigned long long)h->max);
}

static void json_sample(FILE *f, const char *name, const struct sample *s)
{
    fprintf(f,
            ",\n  \"server_%s\": {\"user_s\": %.2f, \"system_s\": %.2f, \"rss_bytes\": %llu, "
            "\"rss_peak_bytes\": %llu, \"write_bytes\": %llu, \"disk_bytes\": %llu, "
            "\"threads\": %u}",
            name, s->user_s, s->system_s, (unsigned long long)s->rss_bytes,
            (unsigned long long)s->rss_peak_bytes, (unsigned long long)s->write_bytes,
            (unsigned long long)s->disk_bytes, s->threads);
}

static void json_fails(const struct load *l, FILE *f)
{
    static const char *const names[] = {
#define FAIL_NAME(name, text) #name,
        FAIL_MAP(FAIL_NAME)
#undef FAIL_NAME
    };
    const char *comma = "";

    fprintf(f, ",\n  \"failures\": {");
    for (int k = 0; k < FAIL_KINDS; k++) {
        if (l->fails[k] == 0)
            continue;
        fprintf(f, "%s\n    \"%s\": {\"count\": %llu, \"first\": ", comma, names[k],
                (unsigned long long)l->fails[k]);
        json_text(f, l->fail_text[k][0]);
        fprintf(f, "}");
        comma = ",";
    }
    fprintf(f, "},\n  \"refused\": {");
    comma = "";
    for (uint32_t r = 0; r < 256; r++)
        if (l->refused[r]) {
            fprintf(f, "%s\"%u\": %llu", comma, r, (unsigned long long)l->refused[r]);
            comma = ", ";
        }
    fprintf(f, "}");
}

int report_json(const struct load *l, const struct outcome *o, const char *path)
{
    const struct options *p = &l->options;
    FILE *f = fopen(path, "we");

    if (!f) {
        fprintf(stderr, "wkload: %s: %s\n", path, strerror(errno));
        return -1;
    }
    fprintf(f, "{\n  \"scenario\": \"%s\", \"connections\": %u, \"channels\": %u, "
               "\"senders\": %u,\n"
               "  \"payload_bytes\": %u, \"encrypted\": %s, \"persist\": %s, \"both\": %s, "
               "\"window\": %u, \"rate\": %.1f, \"threads\": %u,\n  \"login_s\": %.3f, "
               "\"warmup_s\": %.3f, \"window_s\": %.3f, \"client_cpu_s\": %.3f",
            l->scenario->name, l->n_conns, l->n_channels, l->n_senders, p->size,
            p->encrypt ? "true" : "false", p->persist ? "true" : "false",
            p->both ? "true" : "false", p->window, p->rate, p->threads, o->login_s, p->warmup_s,
            o->window_s, o->own_cpu_s);
    fprintf(f, ",\n  \"sent\": %llu, \"acked\": %llu, \"received\": %llu, \"expected\": %llu, "
               "\"verified\": %llu, \"logins\": %llu,\n  \"acked_in_window\": %llu, "
               "\"received_in_window\": %llu, \"logins_in_window\": %llu",
            (unsigned long long)o->sent, (unsigned long long)o->acked,
            (unsigned long long)o->received, (unsigned long long)o->expected,
            (unsigned long long)o->verified, (unsigned long long)o->connects,
            (unsigned long long)o->acked_window, (unsigned long long)o->received_window,
            (unsigned long long)o->connects_window);
    fprintf(f, ",\n  \"acks_per_s\": %.1f, \"deliveries_per_s\": %.1f, \"logins_per_s\": %.1f",
            per((double)o->acked_window, o->window_s), per((double)o->received_window, o->window_s),
            per((double)o->connects_window, o->window_s));
    json_histogram(f, "send_ack_us", &o->ack);
    json_histogram(f, "send_recv_us", &o->recv);
    json_histogram(f, "late_send_us", &o->lateness);
    json_histogram(f, "login_us", &o->connect);
    json_sample(f, "before", &o->before);
    json_sample(f, "logged_in", &o->logged_in);
    json_sample(f, "window_start", &o->warm);
    json_sample(f, "window_end", &o->window_end);
    json_sample(f, "end", &o->end);
    json_fails(l, f);
    fprintf(f, "\n}\n");
    int bad = ferror(f);
    if (fclose(f) || bad) {
        fprintf(stderr, "wkload: %s: could not be written\n", path);
        return -1;
    }
    return 0;
}
