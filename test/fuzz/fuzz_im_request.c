/* Any bytes as the request of any operation of the slots: answered with a code, whatever they are.
 * Input: u8 operation, u8 slot, then the request.  The node lives from input to input. */
#include "base/error.h"
#include "cluster.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cl node;
    static bool up;
    struct wk_buf in = WK_BUF_INIT;

    if (size < 2 || size > 4096)
        return 0;
    if (!up) {
        cl_new(&node, &(struct cl_options){ .shards = 1, .slots = 2 });
        up = true;
    }
    if (data[0] == IM_LOGIN)
        return 0; /* takes a connection beside the request */
    wk_buf_bytes(&in, data + 2, size - 2);
    struct cl_answer a = cl_do(&node, data[0], data[1] % 2, &in);
    WK_ASSERT(a.code <= 0);
    cl_answer_fini(&a);
    return 0;
}
