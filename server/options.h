/* The command line of wkim-server.  Texts are borrowed from argv. */
#ifndef WK_SERVER_OPTIONS_H
#define WK_SERVER_OPTIONS_H

#include <stddef.h>

enum wk_command {
    WK_COMMAND_SERVE,
    WK_COMMAND_CHECK,
    WK_COMMAND_STOP,
    WK_COMMAND_HASH,
    WK_COMMAND_VERSION,
    WK_COMMAND_HELP
};

#define WK_OPTION_SETS_MAX 64

struct wk_options {
    enum wk_command command;
    const char *config;                   /* file, NULL: none */
    const char *mode;                     /* NULL: not given */
    const char *pingback;                 /* NULL: started in the foreground */
    const char *sets[WK_OPTION_SETS_MAX]; /* key=value */
    size_t n_sets;
    int ignore_missing, daemon, no_stdout, strict, verbose;
    int stop_timeout_s;
};

/* 0, or the exit code for a bad command line; the reason was printed on standard error. */
int wk_options_parse(struct wk_options *o, int argc, char **argv);
void wk_options_help(void);

#endif
