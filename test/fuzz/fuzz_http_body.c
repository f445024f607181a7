/* Any query and body to every HTTP route of a node in this process, over a connection that stays
 * open.  Every request is answered with a status; a connection ends only where the answer says so.
 * Input: u8 route, then the query up to a line end, then the body.  The node lives from input to
 * input, with its data in memory where the system has a folder for that. */
#include "base/error.h"

#include "http/http.h"
#include "http/route.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tmpdir.h"

#define BODY_MAX 65536 /* limits.maxHttpBody of this node */
#define ANSWER_MAX ((size_t)64 << 20)

static wkim_node *node;
static struct wk_http *http;
static struct tmpdir dir;
static struct sockaddr_in at[WK_HTTP_SIDES];
static int open_fd[WK_HTTP_SIDES] = {-1, -1, -1};
static char *answer;

static void set(wkim_config *cfg, const char *key, const char *value)
{
    wkim_error err;

    WK_ASSERT(wkim_config_set(cfg, key, value, WKIM_SOURCE_FLAG, NULL, &err) == WKIM_OK);
}

/* An address nobody listens on. */
static void set_address(wkim_config *cfg, const char *key, const char *scheme,
                        struct sockaddr_in *out)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    char text[64];
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    WK_ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0 &&
              getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
    close(fd);
    snprintf(text, sizeof(text), "%s127.0.0.1:%u", scheme, ntohs(sa.sin_port));
    set(cfg, key, text);
    if (out)
        *out = sa;
}

static void ignore_log(void *user, int level, const char *room, const char *event,
                       const char *fields)
{
    (void)user;
    (void)level;
    WK_ASSERT(room && event && fields);
}

static void stop_node(void)
{
    for (size_t i = 0; i < WK_HTTP_SIDES; i++)
        if (open_fd[i] >= 0)
            close(open_fd[i]);
    wk_http_stop(http);
    wkim_node_stop(node, 5000);
    wkim_node_free(node);
    free(answer);
    tmpdir_remove(&dir);
}

static void start_node(void)
{
    wkim_config *cfg;
    wkim_error err;

    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tmpdir_new(&dir);
    answer = malloc(ANSWER_MAX);
    WK_ASSERT(answer && wkim_config_new(&cfg) == WKIM_OK);
    set(cfg, "rootDir", dir.path);
    set(cfg, "limits.shards", "1");
    set(cfg, "cluster.slotCount", "4");
    set(cfg, "limits.maxHttpBody", "65536");
    set(cfg, "api.metrics", "true");
    WK_ASSERT(wkim_config_add(cfg, "auth.users", "admin:pwd:*", WKIM_SOURCE_FLAG, NULL, &err) ==
              WKIM_OK);
    set_address(cfg, "addr", "tcp://", NULL);
    set_address(cfg, "wsAddr", "ws://", NULL);
    set_address(cfg, "cluster.addr", "tcp://", NULL);
    set_address(cfg, "httpAddr", "", &at[WK_SIDE_API]);
    set_address(cfg, "manager.addr", "", &at[WK_SIDE_MANAGER]);
    set_address(cfg, "demo.addr", "", &at[WK_SIDE_DEMO]);
    WK_ASSERT(wkim_node_new(&node, cfg, &err) == WKIM_OK);
    wkim_node_set_log(node, WKIM_LOG_DEBUG, ignore_log, NULL);
    WK_ASSERT(wkim_node_start(node, &err) == WKIM_OK &&
              wkim_node_wait_ready(node, 20000) == WKIM_OK);
    WK_ASSERT(wk_http_start(&http, node, cfg, &err) == WKIM_OK);
    wk_http_serving(http);
    wkim_config_free(cfg);
    atexit(stop_node);
}

/* Query and path take what the URL grammar lets through. */
static size_t put_url(char *out, const uint8_t *p, size_t n)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        if (isalnum(p[i]) || strchr("-._~&=%+@:,;!$'()*/", p[i] ? p[i] : ' '))
            out[used++] = (char)p[i];
        else
            used += (size_t)sprintf(out + used, "%%%02X", p[i]);
    }
    return used;
}

static size_t put_request(char *out, const struct wk_route *route, const uint8_t *query,
                          size_t query_n, size_t body_n)
{
    const char *method = strcmp(route->method, "ANY") == 0 ? "POST" : route->method;
    size_t n = (size_t)sprintf(out, "%s ", method);

    /* Names in a path are filled from the front of the query. */
    for (const char *p = route->path; *p; p++) {
        if (*p != ':' && *p != '*') {
            out[n++] = *p;
            continue;
        }
        size_t part = 0;
        while (part < query_n && query[part] != '&')
            part++;
        n += put_url(out + n, query, part);
        query += part;
        query_n -= part;
        if (query_n) {
            query++;
            query_n--;
        }
        while (p[1] && p[1] != '/')
            p++;
    }
    if (query_n) {
        out[n++] = '?';
        n += put_url(out + n, query, query_n);
    }
    return n + (size_t)sprintf(out + n,
                               " HTTP/1.1\r\nHost: fuzz\r\nContent-Type: application/json\r\n"
                               "Content-Length: %zu\r\n\r\n",
                               body_n);
}

static int send_all(int fd, const char *p, size_t n)
{
    while (n) {
        const ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        p += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* Bytes of one whole answer in `answer`, 0: the connection had ended before it. */
static size_t read_answer(int fd)
{
    size_t n = 0, want = 0;

    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};

        int ready; /* the fuzzer has a timer, so calls are interrupted */

        do
            ready = poll(&wait, 1, 60000);
        while (ready < 0 && errno == EINTR);
        WK_ASSERT(ready == 1); /* no request stays without an answer */
        const ssize_t got = recv(fd, answer + n, ANSWER_MAX - 1 - n, MSG_DONTWAIT);
        if (got <= 0) {
            WK_ASSERT(n == 0);
            return 0;
        }
        n += (size_t)got;
        answer[n] = 0;
        const char *end = want ? NULL : strstr(answer, "\r\n\r\n");
        if (end) {
            const char *length = strcasestr(answer, "\r\nContent-Length:");

            want = (size_t)(end + 4 - answer);
            if (length && length < end)
                want += strtoul(length + 17, NULL, 10);
        }
        if (want && n >= want) {
            WK_ASSERT(n == want);
            return n;
        }
    }
}

/* Whether the answer ends its connection. */
static int says_close(void)
{
    const char *end = strstr(answer, "\r\n\r\n");
    const char *found = strcasestr(answer, "\r\nConnection: close");

    return found && found < end;
}

static void exchange(enum wk_http_side side, const char *request, size_t n)
{
    for (int try = 0; try < 2; try++) {
        if (open_fd[side] < 0) {
            open_fd[side] = socket(AF_INET, SOCK_STREAM, 0);
            WK_ASSERT(open_fd[side] >= 0 &&
                      connect(open_fd[side], (struct sockaddr *)&at[side], sizeof(at[side])) == 0);
        }
        if (send_all(open_fd[side], request, n) == 0 && read_answer(open_fd[side]) > 0) {
            const int status = atoi(answer + strlen("HTTP/1.1 "));

            WK_ASSERT(strncmp(answer, "HTTP/1.1 ", 9) == 0 && status >= 200 && status < 600);
            WK_ASSERT(status != 500); /* every request is handled, every code has a status */
            if (says_close()) {
                close(open_fd[side]);
                open_fd[side] = -1;
            }
            return;
        }
        close(open_fd[side]);
        open_fd[side] = -1;
        WK_ASSERT(try == 0); /* only a connection that was closed before may fail */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char request[3 * 1024 + 1024 + BODY_MAX];

    if (size < 1 || size > BODY_MAX)
        return 0;
    if (!node)
        start_node();
    const struct wk_route *route = &wk_routes[data[0] % wk_routes_count];
    const uint8_t *line = memchr(data + 1, '\n', size - 1);
    size_t query_n = line ? (size_t)(line - data - 1) : 0;
    const uint8_t *body = line ? line + 1 : data + 1;
    const size_t body_n = (size_t)(data + size - body);

    if (query_n > 1024)
        return 0;
    size_t n = put_request(request, route, data + 1, query_n, body_n);
    memcpy(request + n, body, body_n);
    exchange(route->side, request, n + body_n);
    return 0;
}
