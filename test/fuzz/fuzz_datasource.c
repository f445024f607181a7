/* Any bytes as an answer of the data source.  What is accepted as a list is one for jansson, too,
 * and holds as many texts as were counted. */
#include <jansson.h>
#include "base/cursor.h"
#include "base/error.h"
#include "base/limits.h"
#include "hook/datasource.h"

static void check_list(wkim_slice uids, uint32_t n)
{
    struct wk_cursor c = wk_cursor(uids);

    for (uint32_t i = 0; i < n; i++) {
        wkim_slice uid = wk_cursor_str(&c);
        WK_ASSERT(uid.n <= WK_ID_BYTES_MAX && !wk_slice_blank(uid));
    }
    WK_ASSERT(!c.bad && wk_cursor_left(&c) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[WK_SOURCE_WHY_BYTES] = "";
    struct wk_buf b = WK_BUF_INIT;
    uint32_t n, skipped, flags;
    const wkim_slice body = wk_slice(data, size);

    int rc = wk_source_parse_uids(&b, body, &n, &skipped, why);
    if (rc == WKIM_OK) {
        check_list(wk_buf_slice(&b), n);
        json_t *tree = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
        /* the only texts that are passed over unread are too long for a uid */
        WK_ASSERT(tree || skipped);
        WK_ASSERT(!tree || json_is_null(tree) || json_array_size(tree) == (size_t)n + skipped);
        json_decref(tree);
    } else {
        WK_ASSERT(why[0] != 0);
    }
    wk_buf_fini(&b);
    why[0] = 0;
    rc = wk_source_parse_info(&flags, body, why);
    WK_ASSERT(rc == WKIM_OK ? flags <= 7 : why[0] != 0);
    return 0;
}
