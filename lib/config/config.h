/* Inside of a configuration: the key table, parsed values, rules across keys.  Public calls:
 * wkim/config.h.  One thread at a time. */
#ifndef WK_CONFIG_CONFIG_H
#define WK_CONFIG_CONFIG_H
#include <stdbool.h>
#include <wkim/config.h>

enum wk_config_kind {
    WK_CONFIG_BOOL,
    WK_CONFIG_INT,
    WK_CONFIG_SIZE,
    WK_CONFIG_DURATION,
    WK_CONFIG_TEXT,
    WK_CONFIG_SECRET,
    WK_CONFIG_PATH,
    WK_CONFIG_URL,
    WK_CONFIG_HOSTPORT,
    WK_CONFIG_LISTEN,
    WK_CONFIG_CHOICE,
    WK_CONFIG_LEVEL,
    WK_CONFIG_LIST
};

enum wk_config_flag {
    WK_CONFIG_ZERO_OK = 1, /* an explicit 0 or empty text has a meaning */
    WK_CONFIG_ZERO_REFUSED = 2,
    WK_CONFIG_INERT = 4, /* known, no effect */
    WK_CONFIG_QUIET = 8  /* and nothing to warn of */
};

struct wk_config_key {
    const char *name;
    const char *def;
    const char *extra; /* CHOICE: words; LISTEN: scheme; LIST: form of an item */
    const char *text;
    int64_t min, max;
    uint8_t kind, flags;
};

struct wk_config_entry {
    char *text;   /* owned; NULL: the default of the table */
    char **items; /* owned; lists only */
    size_t n_items;
    int64_t num;
    char *where; /* owned, may be NULL */
    uint8_t source;
    bool zero;    /* an explicit zero that means "not set" */
    bool alias;   /* set through an old name: gives way to the real one */
    bool derived; /* text follows other keys */
};

enum {
#define X(name, kind, def, min, max, flags, extra, text) +1
    WK_CONFIG_KEYS = 0
#include "config/config.def"
#undef X
};

struct wkim_config {
    struct wk_config_entry entries[WK_CONFIG_KEYS];
};

extern const struct wk_config_key wk_config_keys[WK_CONFIG_KEYS];

/* Index of a key, case-insensitive, -1: unknown.  *alias (may be NULL): 1 when key is an old name.
 */
int wk_config_find(const char *key, int *alias);
/* Nearest key of the table, or NULL when nothing is near. */
const char *wk_config_nearest(const char *key);
/* Full copy; owned: wkim_config_free.  WKIM_OK or WKIM_ENOMEM. */
int wk_config_clone(wkim_config **out, const wkim_config *c);

/* Text to number under the rules of the key (BOOL 0/1, DURATION ms, SIZE bytes, CHOICE index).
 * WKIM_OK, or WKIM_ECONFIG with the reason in `reason`.  The range is not looked at for 0. */
int wk_config_value_parse(const struct wk_config_key *k, const char *text, int64_t *num,
                          char *reason, size_t cap);
/* The same for one item of a list; `index` is used in the reason. */
int wk_config_item_parse(const struct wk_config_key *k, const char *item, size_t index,
                         char *reason, size_t cap);
/* "host:port", "[v6]:port" or ":port"; the host without brackets is cut into host. 0 or -1. */
int wk_config_hostport(const char *text, char *host, size_t cap, unsigned *port);

/* Parts of an entry of auth.users, borrowed from `item` by offset. */
struct wk_config_account {
    size_t name_n;
    const char *permission; /* behind the second colon */
};
int wk_config_account_split(const char *item, struct wk_config_account *out); /* 0 or -1 */
#endif
