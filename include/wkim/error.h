/* Error codes of every function that returns int or wkim_ssize: 0 or a count on success, negative
 * otherwise.  "retryable" is a property of the code: the same call may succeed later. */
#ifndef WKIM_ERROR_H
#define WKIM_ERROR_H

#include <wkim/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, retryable, text) */
#define WKIM_ERR_MAP(X)                                          \
    X(ENOMEM, -1, 1, "out of memory")                            \
    X(EINVAL, -2, 0, "invalid argument")                         \
    X(EAGAIN, -3, 1, "nothing ready, try again later")           \
    X(EPROTO, -10, 0, "malformed data")                          \
    X(ETOOBIG, -11, 0, "larger than the limit")                  \
    X(EUNSUPPORTED, -12, 0, "not supported")                     \
    X(ENOTFOUND, -20, 0, "not found")                            \
    X(EEXIST, -21, 0, "already there")                           \
    X(EDENIED, -22, 0, "refused")                                \
    X(ENOTLEADER, -30, 1, "this node does not lead the slot")    \
    X(EBUSY, -31, 1, "queue full, try again")                    \
    X(ETIMEOUT, -32, 1, "timed out; the outcome is unknown")     \
    X(ESTOPPED, -33, 0, "the node is stopping")                  \
    X(EIO, -40, 0, "input/output error")                         \
    X(ECORRUPT, -41, 0, "stored data is damaged")                \
    X(ENOSPC, -42, 1, "no space left on the device")             \
    X(EVERSION, -43, 0, "data of a newer version")               \
    X(ECRYPTO, -50, 0, "cryptographic operation failed")         \
    X(ECONFIG, -60, 0, "configuration error")

enum wkim_err {
    WKIM_OK = 0,
#define WKIM_ERR_ENUM(name, value, retry, text) WKIM_##name = (value),
    WKIM_ERR_MAP(WKIM_ERR_ENUM)
#undef WKIM_ERR_ENUM
};

/* Detail of one failure: what, on which object, which limit.  Owned by the caller. */
typedef struct wkim_error {
    int32_t code;
    char text[252];
} wkim_error;

/* Constant text / name of a code ("queue full, try again" / "EBUSY"); never NULL. */
WKIM_API const char *wkim_strerror(int code);
WKIM_API const char *wkim_err_name(int code);
WKIM_API int wkim_err_retryable(int code); /* 1 or 0 */

#ifdef __cplusplus
}
#endif
#endif
