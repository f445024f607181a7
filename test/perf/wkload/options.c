#include "wkload.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, COUNT32, SECONDS, FLAG, UNFLAG, ADDRESS, PID };

/* X(name, kind, field, low, high, text) */
#define OPTION_MAP(X)                                                                              \
    X("tcp", ADDRESS, tcp_host, 0, 0, "host:port of the client listener (127.0.0.1:5100)")         \
    X("http", TEXT, http, 0, 0, "URL of the HTTP API; groups and --token need it")                 \
    X("pairs", COUNT32, pairs, 1, 1000000, "pairs: how many (100)")                                \
    X("both", FLAG, both, 0, 0, "pairs: both sides send")                                          \
    X("apart", FLAG, apart, 0, 0,                                                                  \
      "senders on the first thread alone: their SENDACKs wait for no RECVs of others")             \
    X("groups", COUNT32, groups, 1, 1000000, "groups: how many (10)")                              \
    X("members", COUNT32, members, 2, 1000000, "groups, fanout: online subscribers of each (100)") \
    X("offline", COUNT32, offline, 0, 10000000, "groups, fanout: more subscribers, never online")  \
    X("senders", COUNT32, senders, 1, 100000, "groups, fanout: sending subscribers of each (1)")   \
    X("users", COUNT32, users, 1, 10000000,                                                        \
      "groups: connections the members are taken from (groups x members); connect: names (10000)") \
    X("connections", COUNT32, connections, 1, 10000000, "idle: how many (1000)")                   \
    X("concurrency", COUNT32, concurrency, 1, 100000, "connect: logins at a time (64)")            \
    X("window", COUNT32, window, 1, 65536, "unacknowledged SENDs per sender, without --rate (16)") \
    X("rate", SECONDS, rate, 0, 0, "messages (connect: logins) per second in all, open loop")      \
    X("size", COUNT32, size, 32, 1000000, "payload bytes (256)")                                   \
    X("duration", SECONDS, duration_s, 0, 0, "measured seconds (10)")                              \
    X("warmup", SECONDS, warmup_s, 0, 0, "seconds before that (2)")                                \
    X("drain", SECONDS, drain_s, 0, 0, "seconds to wait for the last messages (10)")               \
    X("login-limit", SECONDS, login_s, 0, 0, "seconds the logins may take (120)")                  \
    X("login-window", COUNT32, login_window, 1, 100000, "logins at a time per thread (64)")        \
    X("no-encrypt", UNFLAG, encrypt, 0, 0, "the server runs with disableEncryption")               \
    X("no-persist", UNFLAG, persist, 0, 0, "send with the noPersist flag: delivered, not stored")  \
    X("verify", COUNT32, verify, 0, 1000000000,                                                    \
      "decrypt and check one RECV in so many (64); all = 1, 0 = none")                             \
    X("token", TEXT, token, 0, 0, "give every user this token (HTTP API), log in with it")         \
    X("prefix", TEXT, prefix, 0, 0, "start of all names, at most 12 characters (w)")               \
    X("proto", COUNT32, proto, 1, 6, "protocol version to offer (5)")                              \
    X("threads", COUNT32, threads, 1, 64, "client threads (1)")                                    \
    X("pid", PID, pid, 0, 0, "the server's process: CPU, memory, bytes written")                   \
    X("data-dir", TEXT, data_dir, 0, 0, "the server's data directory: bytes on disk")              \
    X("json", TEXT, json, 0, 0, "write the report there as well")                                  \
    X("one-source", FLAG, no_source_spread, 0, 0, "do not spread over 127.0.1.x source addresses") \
    X("quiet", FLAG, quiet, 0, 0, "no line per second")

struct option_row {
    const char *name;
    enum kind kind;
    size_t offset;
    uint32_t low, high;
    const char *text;
};
static const struct option_row rows[] = {
#define OPTION_ROW(name, kind, field, low, high, text)                                             \
    {name, kind, offsetof(struct options, field), low, high, text},
    OPTION_MAP(OPTION_ROW)
#undef OPTION_ROW
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void usage(const struct scenario *const *all)
{
    printf("usage: wkload SCENARIO [options]\n\n");
    for (; *all; all++)
        printf("  %-9s %s\n", (*all)->name, (*all)->help);
    printf("\n");
    for (size_t i = 0; i < ROWS; i++)
        printf("  --%-13s %s\n", rows[i].name, rows[i].text);
    printf("\nExit code: 0 all checks held, 1 something failed (the report says what), 2 usage.\n");
}

static int set_address(struct options *o, const char *text)
{
    if (strncmp(text, "tcp://", 6) == 0)
        text += 6;
    const char *colon = strrchr(text, ':');

    if (!colon || colon == text || !colon[1] || (size_t)(colon - text) >= sizeof(o->tcp_host) ||
        strlen(colon + 1) >= sizeof(o->tcp_port))
        return -1;
    snprintf(o->tcp_host, sizeof(o->tcp_host), "%.*s", (int)(colon - text), text);
    snprintf(o->tcp_port, sizeof(o->tcp_port), "%s", colon + 1);
    return 0;
}

static int set(struct options *o, const struct option_row *r, const char *text)
{
    void *at = (char *)o + r->offset;
    char *end = NULL;

    errno = 0;
    switch (r->kind) {
    case TEXT:
        *(const char **)at = text;
        return 0;
    case FLAG:
    case UNFLAG:
        *(bool *)at = r->kind == FLAG;
        return 0;
    case ADDRESS:
        return set_address(o, text);
    case SECONDS: {
        double d = strtod(text, &end);
        *(double *)at = d;
        return errno || end == text || *end || !(d >= 0) || d > 1e7 ? -1 : 0;
    }
    case PID: {
        long pid = strtol(text, &end, 10);
        *(int *)at = (int)pid;
        return errno || end == text || *end || pid < 1 || pid > 1 << 22 ? -1 : 0;
    }
    case COUNT32:
        break;
    }
    unsigned long v = strcmp(r->name, "verify") == 0 && strcmp(text, "all") == 0
                          ? 1
                          : strtoul(text, &end, 10);
    *(uint32_t *)at = (uint32_t)v;
    return errno || (end && (end == text || *end)) || v < r->low || v > r->high ? -1 : 0;
}

static const char *contradiction(const struct options *o)
{
    if (o->duration_s <= 0)
        return "--duration must be more than 0";
    if (o->apart && o->threads < 2)
        return "--apart needs --threads 2 or more";
    if (o->senders > o->members)
        return "--senders cannot be more than --members";
    if (o->users && strcmp(o->scenario, "groups") == 0 && o->members > o->users)
        return "--members cannot be more than --users";
    if ((uint64_t)o->groups * o->members > 10000000u)
        return "--groups x --members cannot be more than 10,000,000";
    if (strlen(o->prefix) > 12)
        return "--prefix is too long";
    return NULL;
}

int options_parse(struct options *o, const struct scenario *const *all, int argc, char **argv)
{
    struct option table[ROWS + 2] = {{"help", no_argument, NULL, 'h'}};
    const char *wrong;
    int at, c;

    *o = (struct options){
        .prefix = "w", .tcp_host = "127.0.0.1", .tcp_port = "5100", .pairs = 100, .groups = 10,
        .members = 100, .senders = 1, .connections = 1000, .concurrency = 64, .window = 16,
        .size = 256, .threads = 1, .verify = 64, .proto = 5, .login_window = 64, .duration_s = 10,
        .warmup_s = 2, .drain_s = 10, .login_s = 120, .encrypt = true, .persist = true};
    for (size_t i = 0; i < ROWS; i++)
        table[i + 1] = (struct option){rows[i].name,
                                       rows[i].kind == FLAG || rows[i].kind == UNFLAG
                                           ? no_argument : required_argument, NULL, 0};
    while ((c = getopt_long(argc, argv, "h", table, &at)) != -1) {
        if (c == 'h') {
            usage(all);
            return 1;
        }
        if (c != 0)
            return 3;
        if (set(o, &rows[at - 1], optarg ? optarg : "")) {
            fprintf(stderr, "wkload: --%s %s: not a proper value\n", rows[at - 1].name, optarg);
            return 3;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "wkload: one scenario is needed, see --help\n");
        return 3;
    }
    o->scenario = argv[optind];
    wrong = contradiction(o);
    if (wrong)
        fprintf(stderr, "wkload: %s\n", wrong);
    return wrong ? 3 : 0;
}
