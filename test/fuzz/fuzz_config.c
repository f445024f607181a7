/* Any text as the value of any key, and any text as a key.  What is taken reads back, can be set
 * again unchanged, and the rules across keys never crash. */
#include "base/error.h"
#include "base/mem.h"
#include "base/slice.h"
#include "config/config.h"

static void ignore(void *user, int level, const char *text)
{
    (void)user;
    WK_ASSERT((level == 0 || level == 1) && text && *text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wkim_config *cfg;
    wkim_error err;

    if (size < 2 || wkim_config_new(&cfg) != WKIM_OK)
        return 0;
    char *text = wk_strdup_n((const char *)data + 2, size - 2);
    const size_t i = (size_t)(data[0] | data[1] << 8) % (WK_CONFIG_KEYS + 1);
    if (!text) {
        wkim_config_free(cfg);
        return 0;
    }
    if (i == WK_CONFIG_KEYS) {
        (void)wkim_config_set(cfg, text, "1", WKIM_SOURCE_FLAG, NULL, &err);
        (void)wk_config_nearest(text);
    } else {
        const struct wk_config_key *k = &wk_config_keys[i];
        const int rc = wkim_config_set(cfg, k->name, text, WKIM_SOURCE_FLAG, NULL, &err);

        WK_ASSERT(rc == WKIM_OK || (rc == WKIM_ECONFIG && err.code == rc && *err.text));
        const int64_t v = wkim_config_int(cfg, k->name);
        const char *got = wkim_config_get(cfg, k->name);
        WK_ASSERT(got);
        if (rc == WKIM_OK && k->kind != WK_CONFIG_LIST) {
            char *copy = wk_strdup_n(got, strlen(got));
            if (copy) {
                WK_ASSERT(wkim_config_set(cfg, k->name, copy, WKIM_SOURCE_FLAG, NULL, &err) ==
                          WKIM_OK);
                WK_ASSERT(wkim_config_int(cfg, k->name) == v);
            }
            wk_free(copy);
        }
        const char *item;
        const size_t n = wkim_config_list(cfg, k->name, 0, &item);
        for (size_t at = 0; k->kind == WK_CONFIG_LIST && at < n; at++)
            WK_ASSERT(wkim_config_list(cfg, k->name, at, &item) == n && item);
    }
    (void)wkim_config_check(cfg, ignore, NULL);
    wk_free(text);
    wkim_config_free(cfg);
    return 0;
}
