/* The event loop under a WebSocket thread.  The packaged libwebsockets only knows poll(2), whose
 * cost grows with the connections, and a plug-in for libev, which uses epoll.  libev comes with
 * that plug-in but without headers, so its four calls are looked up at run time; when it is
 * missing, poll does.
 *
 * Threads: open and close by one thread; a loop belongs to the thread that runs it. */
#ifndef WK_SERVER_LISTEN_WS_LOOP_H
#define WK_SERVER_LISTEN_WS_LOOP_H

struct wk_ws_loops {
    void *library; /* NULL: not available */
    void *(*make)(unsigned flags);
    int (*run)(void *loop, int flags);
    void (*quit)(void *loop, int how);
    void (*destroy)(void *loop);
};

#define WK_WS_LOOP_QUIT_ALL 2 /* how: leave every level of run */

int wk_ws_loops_open(struct wk_ws_loops *l); /* 0, or -1: not available */
void wk_ws_loops_close(struct wk_ws_loops *l);

#endif
