/* Any bytes as wk.yaml, as the environment and as the arguments of the program.  Each problem is
 * told in a line of its own, and what came of it can be printed and checked.
 * Input: u8 which source, then the bytes; entries of the environment and arguments end with NUL. */
#include "base/error.h"
#include "config/load.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TEXTS_MAX 32

static int file = -1;
static char path[64];

static void start(void)
{
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    file = memfd_create("wk", MFD_CLOEXEC);
    WK_ASSERT(file >= 0 && nowhere >= 0 && dup2(nowhere, STDOUT_FILENO) >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
}

static void read_file(wkim_config *cfg, const char *text, size_t n, struct wk_problems *p)
{
    WK_ASSERT(ftruncate(file, 0) == 0 && pwrite(file, text, n, 0) == (ssize_t)n);
    wk_config_file(cfg, path, 0, p);
}

/* NUL-terminated texts in text[0..n], NULL behind the last; the count */
static size_t cut(char *text, size_t n, char **out)
{
    size_t count = 0;

    for (size_t at = 0; at < n && count < TEXTS_MAX; at += strlen(text + at) + 1)
        out[count++] = text + at;
    out[count] = NULL;
    return count;
}

static void ignore(void *user, int level, const char *text)
{
    (void)user;
    WK_ASSERT(level >= -1 && level <= 1 && *text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wk_problems p = {0};
    char *texts[TEXTS_MAX + 2];
    wkim_config *cfg;

    if (size < 1 || wkim_config_new(&cfg) != WKIM_OK)
        return 0;
    if (file < 0)
        start();
    char *text = malloc(size);
    WK_ASSERT(text);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    switch (data[0] % 3) {
    case 0:
        read_file(cfg, text, size - 1, &p);
        break;
    case 1:
        (void)cut(text, size - 1, texts);
        wk_config_env(cfg, texts, &p);
        break;
    default: {
        struct wk_options o;
        const int n = (int)cut(text, size - 1, texts + 1);

        texts[0] = path;
        (void)wk_options_parse(&o, n + 1, texts);
        break;
    }
    }
    for (size_t i = 0; i < p.n; i++)
        WK_ASSERT(p.items[i].text && *p.items[i].text && !strchr(p.items[i].text, '\n'));
    (void)wkim_config_check(cfg, ignore, NULL);
    wk_config_print(cfg);
    wk_problems_fini(&p);
    wkim_config_free(cfg);
    free(text);
    return 0;
}
