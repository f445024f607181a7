/* What a WebSocket client sends, followed byte by byte: is it HTTP at first, and masked (RFC 6455
 * 5.1) afterwards?  Pure: no I/O, no allocation.  A look belongs to one thread. */
#ifndef WK_SERVER_WS_LOOK_H
#define WK_SERVER_WS_LOOK_H

#include <stddef.h>
#include <stdint.h>

#define WK_WS_REQUEST_BYTES_MAX 16384 /* request line and headers */
#define WK_WS_METHOD_MAX 7            /* letters of a request's method */

enum wk_ws_look_at {
    WK_WS_LOOK_METHOD,  /* of the request line */
    WK_WS_LOOK_HEADERS, /* up to the empty line */
    WK_WS_LOOK_FRAME,   /* the next byte begins a frame */
    WK_WS_LOOK_LENGTH,  /* the next byte has mask bit and length */
    WK_WS_LOOK_SKIP,    /* long length, mask and payload */
    WK_WS_LOOK_REFUSED  /* nothing is looked at any more */
};

struct wk_ws_look { /* zeroed: a new connection */
    uint8_t at;     /* enum wk_ws_look_at */
    uint8_t n;      /* METHOD: letters; HEADERS: 1 after a line's end; SKIP: length bytes to come */
    uint16_t bytes; /* of the request so far */
    union {
        char method[WK_WS_METHOD_MAX + 1];
        uint64_t skip; /* bytes of mask and payload to come */
    };
};

enum wk_ws_verdict {
    WK_WS_FINE,
    WK_WS_NOT_HTTP, /* the connection does not begin with a method of HTTP/1 */
    WK_WS_TOO_LONG, /* a request of more than WK_WS_REQUEST_BYTES_MAX */
    WK_WS_UNMASKED  /* a frame without a mask */
};

/* Follows n bytes.  *frame: offset of the last first byte of a frame in p, n when there is none;
 * with WK_WS_UNMASKED that is the refused frame, and n says that its first byte came in an earlier
 * call. */
enum wk_ws_verdict wk_ws_look(struct wk_ws_look *l, const uint8_t *p, size_t n, size_t *frame);

/* How many of n bytes belong to the request that the connection begins with.  Changes nothing. */
size_t wk_ws_look_request(const struct wk_ws_look *l, const uint8_t *p, size_t n);

#endif
