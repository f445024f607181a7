/* Listening sockets from "host:port" texts. */
#ifndef WK_HTTP_LISTEN_H
#define WK_HTTP_LISTEN_H

#include <wkim/error.h>

/* Several sockets of this process may listen on one address, one per thread.  Only the first asks
 * whether another program has it: sharing means sharing with everybody of the same user. */
enum wk_listen_how { WK_LISTEN_ALONE, WK_LISTEN_FIRST, WK_LISTEN_NEXT };

/* Non-blocking listening socket on the value of `key`; -1 with err filled when it cannot be had. */
int wk_listen_open(const char *key, const char *address, enum wk_listen_how how, wkim_error *err);

#endif
