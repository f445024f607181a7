#include "server.h"

#include <stdio.h>
#include <string.h>

#include "http/auth/password.h"
#include "process.h"

#define EXIT_CONFIG_BAD 78 /* EX_CONFIG */

/* 0, or the exit code: every problem has been printed. */
static int judge(const struct server *s)
{
    if (s->problems.errors == 0 && (s->problems.warnings == 0 || !s->options->strict))
        return 0;
    wk_problems_print(&s->problems);
    return EXIT_CONFIG_BAD;
}

static int check(const struct server *s)
{
    int rc = judge(s);

    if (rc)
        return rc;
    wk_problems_print(&s->problems);
    if (s->options->verbose)
        wk_config_print(s->config);
    printf("config: ok, %d warning%s\n", s->problems.warnings,
           s->problems.warnings == 1 ? "" : "s");
    return 0;
}

static int run(struct server *s, int argc, char **argv)
{
    int rc;

    switch (s->options->command) {
    case WK_COMMAND_CHECK:
        return check(s);
    case WK_COMMAND_STOP:
        return wk_process_stop(s->config, s->options->stop_timeout_s);
    default:
        rc = judge(s);
        if (rc)
            return rc;
        return s->options->daemon ? wk_process_daemon(argc, argv) : wk_serve(s);
    }
}

/* One line of standard input. */
static int hash_password(void)
{
    char line[1024], hash[WK_PASSWORD_HASH_MAX];

    if (!fgets(line, sizeof(line), stdin) || line[0] == '\n') {
        fprintf(stderr, "hash-password: no password on standard input\n");
        return 1;
    }
    line[strcspn(line, "\r\n")] = 0;
    int rc = wk_password_hash((wkim_slice){(const uint8_t *)line, strlen(line)}, hash);

    explicit_bzero(line, sizeof(line));
    if (rc == 0)
        printf("%s\n", hash);
    else
        fprintf(stderr, "hash-password: no memory or no randomness\n");
    return rc == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct wk_options options;
    struct server s = {.options = &options};
    int rc;

    wk_process_tune_memory();
    rc = wk_options_parse(&options, argc, argv);
    if (rc)
        return rc;
    if (options.command == WK_COMMAND_HELP) {
        wk_options_help();
        return 0;
    }
    if (options.command == WK_COMMAND_HASH)
        return hash_password();
    if (options.command == WK_COMMAND_VERSION) {
        printf("wkim-server %s\n", wkim_version());
        return 0;
    }
    wk_config_load(&s.config, &options, &s.problems);
    if (s.config)
        rc = run(&s, argc, argv);
    else
        rc = judge(&s);
    wk_problems_fini(&s.problems);
    wkim_config_free(s.reloaded);
    wkim_config_free(s.config);
    return rc;
}
