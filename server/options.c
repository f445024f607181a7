#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EXIT_USAGE_BAD 64

enum option_id {
    O_CONFIG,
    O_MODE,
    O_PINGBACK,
    O_SET,
    O_TIMEOUT,
    O_IGNORE,
    O_DAEMON,
    O_NO_STDOUT,
    O_STRICT,
    O_VERBOSE,
    O_CHECK,
    O_HELP,
    O_VERSION
};

static const struct {
    const char *name;
    char letter;
    char takes_value; /* switches take one only as --name=value */
    enum option_id id;
    const char *text;
} table[] = {
    {"config", 'c', 1, O_CONFIG, "FILE       configuration file (YAML or JSON)"},
    {"ignoreMissingConfig", 'i', 0, O_IGNORE,
     "           start with defaults when the file is absent"},
    {"mode", 0, 1, O_MODE, "MODE       debug, release, bench or test"},
    {"set", 0, 1, O_SET, "KEY=VALUE  set any configuration key; may be repeated"},
    {"daemon", 'd', 0, O_DAEMON, "           run in the background"},
    {"noStdout", 0, 0, O_NO_STDOUT, "           log to files only"},
    {"pingback", 0, 1, O_PINGBACK, "ADDR       internal: where to report readiness"},
    {"check-config", 0, 0, O_CHECK, "           check the configuration and exit"},
    {"strict-config", 0, 0, O_STRICT, "           configuration warnings are errors"},
    {"verbose", 'v', 0, O_VERBOSE, "           check-config: print every value"},
    {"timeout", 0, 1, O_TIMEOUT, "SECONDS    stop: wait this long before killing (30)"},
    {"help", 'h', 0, O_HELP, "           this text"},
    {"version", 0, 0, O_VERSION, "           print the version"},
};
#define N_OPTIONS (sizeof(table) / sizeof(table[0]))

static const struct {
    const char *name;
    enum wk_command command;
    const char *text;
} commands[] = {
    {"server", WK_COMMAND_SERVE, "start the server (the default)"},
    {"stop", WK_COMMAND_STOP, "stop the server that runs on the same rootDir"},
    {"check-config", WK_COMMAND_CHECK, "check the configuration and exit; 78 when it is bad"},
    {"hash-password", WK_COMMAND_HASH, "read a password, print what auth.users may hold instead"},
    {"version", WK_COMMAND_VERSION, "print the version"},
    {"help", WK_COMMAND_HELP, "this text"},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

void wk_options_help(void)
{
    printf("usage: wkim-server [COMMAND] [OPTION]...\n\ncommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-14s %s\n", commands[i].name, commands[i].text);
    printf("\noptions:\n");
    for (size_t i = 0; i < N_OPTIONS; i++)
        printf("  %c%c --%-20s %s\n", table[i].letter ? '-' : ' ',
               table[i].letter ? table[i].letter : ' ', table[i].name, table[i].text);
    printf("\nA value is taken from the command line, else the environment (WK_CLUSTER_NODEID for\n"
           "cluster.nodeId), else the file, else its default.\n"
           "examples: wkim-server --config wk.yaml\n"
           "          wkim-server --mode release --set httpAddr=127.0.0.1:5001\n");
}

static int bad(const char *what, const char *arg)
{
    fprintf(stderr, "wkim-server: %s \"%s\"\nhint: wkim-server help\n", what, arg);
    return EXIT_USAGE_BAD;
}

static int switch_value(const char *value, int *out)
{
    if (!value || strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0)
        *out = 1;
    else if (strcasecmp(value, "false") == 0 || strcmp(value, "0") == 0)
        *out = 0;
    else
        return -1;
    return 0;
}

static int take_set(struct wk_options *o, const char *value)
{
    const char *eq = strchr(value, '=');

    if (!eq || eq == value)
        return bad("--set needs key=value, not", value);
    if (o->n_sets == WK_OPTION_SETS_MAX)
        return bad("too many --set options at", value);
    o->sets[o->n_sets++] = value;
    return 0;
}

static int take_value(struct wk_options *o, enum option_id id, const char *value)
{
    char *end;
    long seconds;

    switch (id) {
    case O_CONFIG:
        o->config = value;
        return 0;
    case O_MODE:
        o->mode = value;
        return 0;
    case O_PINGBACK:
        o->pingback = value;
        return 0;
    case O_SET:
        return take_set(o, value);
    case O_TIMEOUT:
        seconds = strtol(value, &end, 10);
        if (end == value || (*end && strcmp(end, "s") != 0) || seconds < 0 || seconds > 86400)
            return bad("--timeout needs seconds, not", value);
        o->stop_timeout_s = (int)seconds;
        return 0;
    default:
        return bad("unknown flag", value);
    }
}

static int take_switch(struct wk_options *o, enum option_id id, const char *value, const char *arg)
{
    int on;

    if (switch_value(value, &on) != 0)
        return bad("a switch is true or false:", arg);
    switch (id) {
    case O_IGNORE:
        o->ignore_missing = on;
        return 0;
    case O_DAEMON:
        o->daemon = on;
        return 0;
    case O_NO_STDOUT:
        o->no_stdout = on;
        return 0;
    case O_STRICT:
        o->strict = on;
        return 0;
    case O_VERBOSE:
        o->verbose = on;
        return 0;
    case O_CHECK:
        o->command = on ? WK_COMMAND_CHECK : o->command;
        return 0;
    case O_HELP:
        o->command = WK_COMMAND_HELP;
        return 0;
    case O_VERSION:
        o->command = WK_COMMAND_VERSION;
        return 0;
    default:
        return bad("unknown flag", arg);
    }
}

/* Index into table, N_OPTIONS: unknown.  *value points behind "=", NULL without one. */
static size_t find(const char *arg, const char **value)
{
    const char *name = arg + 2;
    size_t n = strcspn(name, "=");

    *value = name[n] == '=' ? name + n + 1 : NULL;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (arg[1] == '-' && strlen(table[i].name) == n && strncasecmp(name, table[i].name, n) == 0)
            return i;
        if (arg[1] != '-' && table[i].letter && arg[1] == table[i].letter && arg[2] == '\0')
            return i;
    }
    return N_OPTIONS;
}

static int take_command(struct wk_options *o, const char *arg)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(arg, commands[i].name) == 0) {
            o->command = commands[i].command;
            return 0;
        }
    }
    return bad("unknown command", arg);
}

int wk_options_parse(struct wk_options *o, int argc, char **argv)
{
    memset(o, 0, sizeof(*o));
    o->stop_timeout_s = 30;
    for (int a = 1; a < argc; a++) {
        const char *arg = argv[a], *value;
        size_t i;
        int rc;

        if (arg[0] != '-' || arg[1] == '\0') {
            rc = take_command(o, arg);
            if (rc)
                return rc;
            continue;
        }
        i = find(arg, &value);
        if (i == N_OPTIONS)
            return bad("unknown flag", arg);
        if (table[i].takes_value && !value) {
            if (a + 1 == argc)
                return bad("a value is missing after", arg);
            value = argv[++a];
        }
        rc = table[i].takes_value ? take_value(o, table[i].id, value)
                                  : take_switch(o, table[i].id, value, arg);
        if (rc)
            return rc;
    }
    return 0;
}
