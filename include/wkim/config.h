/* Configuration by string keys: the keys of wk.yaml ("cluster.nodeId"), case-insensitive.
 * Values are checked when they are set; rules that span keys are checked by wkim_config_check.
 * One thread at a time. */
#ifndef WKIM_CONFIG_H
#define WKIM_CONFIG_H

#include <wkim/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wkim_config wkim_config;

/* Where a value came from; a higher source wins whatever the order of the calls. */
enum wkim_config_source {
    WKIM_SOURCE_DEFAULT = 0,
    WKIM_SOURCE_FILE = 1,
    WKIM_SOURCE_ENV = 2,
    WKIM_SOURCE_FLAG = 3
};

WKIM_API int wkim_config_new(wkim_config **out); /* owned: wkim_config_free */
WKIM_API void wkim_config_free(wkim_config *c);
/* Set a key from text.  Lists: call once with blank- or comma-separated items, or use add for one
 * item at a time (the first add of a source replaces what weaker sources said).
 * `where` is shown in messages ("wk.yaml:12", "env WK_ADDR"); may be NULL.
 * WKIM_OK; WKIM_ENOTFOUND for an unknown key (err suggests the nearest); WKIM_ECONFIG for a bad
 * value (err names key, value, expected form and an example). */
WKIM_API int wkim_config_set(wkim_config *c, const char *key, const char *value, int source,
                             const char *where, wkim_error *err);
WKIM_API int wkim_config_add(wkim_config *c, const char *key, const char *item, int source,
                             const char *where, wkim_error *err);
/* Text of a value as it would be written in wk.yaml; borrowed until the key is set or c is freed.
 * NULL: unknown key.  Lists: items joined by blanks. */
WKIM_API const char *wkim_config_get(const wkim_config *c, const char *key);
WKIM_API int64_t wkim_config_int(const wkim_config *c, const char *key); /* bool 0/1, ms, bytes */
WKIM_API size_t wkim_config_list(const wkim_config *c, const char *key, size_t i,
                                 const char **item);
/* By anything but the default. */
WKIM_API int wkim_config_is_set(const wkim_config *c, const char *key);
/* Rules across keys.  Calls report for each problem; level 1 error, 0 warning.  Returns the number
 * of errors. */
WKIM_API int wkim_config_check(const wkim_config *c,
                               void (*report)(void *user, int level, const char *text), void *user);
/* The i-th key: 1, or 0 behind the last.  Any out pointer may be NULL.  `effect` 0: the key is
 * known and does nothing. */
WKIM_API int wkim_config_key(size_t i, const char **key, const char **type, const char **def,
                             const char **text, int *effect);

#ifdef __cplusplus
}
#endif
#endif
