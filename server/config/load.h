/* The configuration of a process: file, environment and flags read into one wkim_config, with all
 * problems collected before anything is said about one of them. */
#ifndef WK_SERVER_CONFIG_LOAD_H
#define WK_SERVER_CONFIG_LOAD_H

#include <wkim/config.h>

#include "options.h"

struct wk_problem {
    char *text; /* owned; one line */
    int level;  /* 1 error, 0 warning, -1 information */
};
struct wk_problems {
    struct wk_problem *items; /* owned */
    size_t n;
    int errors, warnings;
};
void wk_problems_add(struct wk_problems *p, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void wk_problems_fini(struct wk_problems *p);
/* All of them on standard error. */
void wk_problems_print(const struct wk_problems *p);

/* Reads every source and checks.  *out is owned also when there are problems; NULL only without
 * memory. */
void wk_config_load(wkim_config **out, const struct wk_options *o, struct wk_problems *p);
/* Every key with its value on standard output, secrets masked. */
void wk_config_print(const wkim_config *cfg);

/* Parts of wk_config_load. */
void wk_config_file(wkim_config *cfg, const char *path, int ignore_missing, struct wk_problems *p);
void wk_config_env(wkim_config *cfg, char *const *environment, struct wk_problems *p);
/* Sets one key and keeps the problem, if any. */
void wk_config_put(wkim_config *cfg, const char *key, const char *value, int add, int source,
                   const char *where, struct wk_problems *p);

#endif
