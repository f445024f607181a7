/* Any bytes as a message or a configuration from another node: refused, or encoded again to bytes
 * that decode to the same. */
#include "base/buf.h"
#include "base/error.h"
#include "raft/internal.h"

static void conf(wkim_slice in)
{
    struct wk_raft_conf c, again;
    struct wk_buf out = WK_BUF_INIT, twice = WK_BUF_INIT;

    if (wk_raft_conf_decode(&c, in) != WKIM_OK)
        return;
    WK_ASSERT(c.n_voters <= WK_RAFT_PEERS_MAX && c.n_learners <= WK_RAFT_PEERS_MAX);
    wk_raft_conf_encode(&out, &c);
    WK_ASSERT(wk_raft_conf_decode(&again, wk_buf_slice(&out)) == WKIM_OK);
    wk_raft_conf_encode(&twice, &again);
    WK_ASSERT(wk_slice_eq(wk_buf_slice(&out), wk_buf_slice(&twice)));
    wk_buf_fini(&out);
    wk_buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wk_raft_msg m, again;
    struct wk_buf out = WK_BUF_INIT, twice = WK_BUF_INIT;

    conf(wk_slice(data, size));
    if (wk_raft_msg_decode(&m, wk_slice(data, size)) != WKIM_OK)
        return 0;
    WK_ASSERT(m.n_entries <= size);
    wk_raft_msg_encode(&out, &m);
    WK_ASSERT(!out.oom);
    WK_ASSERT(wk_raft_msg_decode(&again, wk_buf_slice(&out)) == WKIM_OK);
    wk_raft_msg_encode(&twice, &again);
    WK_ASSERT(wk_slice_eq(wk_buf_slice(&out), wk_buf_slice(&twice)));
    wk_raft_msg_fini(&m);
    wk_raft_msg_fini(&again);
    wk_buf_fini(&out);
    wk_buf_fini(&twice);
    return 0;
}
