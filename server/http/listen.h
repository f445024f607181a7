/* Listening sockets from "host:port" texts. */
#ifndef WK_HTTP_LISTEN_H
#define WK_HTTP_LISTEN_H

#include <wkim/error.h>

/* Non-blocking listening socket; `shared`: several sockets may listen on the address (one per
 * thread). -1 with err filled when it cannot be had. */
int wk_listen_open(const char *address, int shared, wkim_error *err);

#endif
