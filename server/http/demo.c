/* The demo port: redirects and the files below <web directory>/demo. */
#include "http/answer.h"
#include "http/route.h"
#include "http/text.h"

#include <event2/buffer.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "/chatdemo/"
#define FILE_MAX_BYTES (64 * 1024 * 1024)

static void redirect(struct wk_req *r, int status, const char *path, const char *query)
{
    char *location = NULL;

    if (asprintf(&location, "%s%s%s", path, query && *query ? "?" : "", query ? query : "") < 0) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    wk_answer_redirect(r, status, location);
    free(location);
}

void wk_demo_root(struct wk_req *r)
{
    char *query = NULL;

    if (asprintf(&query, "apiurl=%s", wk_req_options(r)->api_url) < 0) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    redirect(r, 302, "/chatdemo", query);
    free(query);
}

void wk_demo_enter(struct wk_req *r)
{
    redirect(r, 301, PREFIX, evhttp_uri_get_query(evhttp_request_get_evhttp_uri(r->ev)));
}

static const char *content_type(wkim_slice name)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json; charset=utf-8"},
        {".map", "application/json; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".gif", "image/gif"},
        {".ico", "image/x-icon"},
        {".webp", "image/webp"},
        {".woff", "font/woff"},
        {".woff2", "font/woff2"},
        {".wasm", "application/wasm"},
        {".txt", "text/plain; charset=utf-8"},
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (wk_text_ends(name, types[i][0]))
            return types[i][1];
    }
    return "application/octet-stream";
}

/* Only plain names, none of them hidden: nothing outside the directory can be named. */
static int is_safe(wkim_slice path)
{
    int at_start = 1;

    for (size_t i = 0; i < path.n; i++) {
        uint8_t c = path.p[i];

        if (c < 0x20 || c == '\\' || (at_start && (c == '.' || c == '/')))
            return 0;
        at_start = c == '/';
    }
    return path.n > 0 && !at_start;
}

/* A regular file below dir, opened, with its size; -1 otherwise. */
static int open_file(int dir, wkim_slice path, off_t *size)
{
    char name[512];
    struct stat st;

    if (!is_safe(path) || path.n >= sizeof(name))
        return -1;
    memcpy(name, path.p, path.n);
    name[path.n] = 0;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX_BYTES) {
        *size = st.st_size;
        return fd;
    }
    close(fd);
    return -1;
}

static int open_directory(const struct wk_http_options *o)
{
    char path[1024];
    int n = snprintf(path, sizeof(path), "%s/chatdemo", o->web_dir);

    if (n < 0 || (size_t)n >= sizeof(path))
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void serve(struct wk_req *r, int fd, off_t size, wkim_slice name)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(r->ev);
    int is_page = wk_text_ends(name, ".html");
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    char *p = size ? wk_jsonbuf_room(&b, (size_t)size) : NULL;

    if (size && p) {
        ssize_t n = pread(fd, p, (size_t)size, 0);

        wk_jsonbuf_used(&b, p + (n > 0 ? n : 0));
    }
    close(fd);
    if (b.n != (size_t)size) {
        wk_jsonbuf_fini(&b);
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
    evhttp_add_header(headers, "Cache-Control", is_page ? "no-cache" : "public, max-age=3600");
    wk_answer_buf(r, 200, content_type(name), &b);
}

void wk_demo_file(struct wk_req *r)
{
    const char *raw = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(r->ev));
    wkim_slice rest = wk_text_slice(raw + strlen(PREFIX)), index = wk_text_slice("index.html");
    uint8_t *out = wk_req_alloc(r, rest.n);
    wkim_ssize n = out ? wk_text_unescape(rest, 0, out) : -1;
    wkim_slice name = n > 0 ? (wkim_slice){out, (size_t)n} : index;
    int dir = open_directory(wk_req_options(r));
    off_t size = 0;
    int fd = dir < 0 ? -1 : open_file(dir, name, &size);

    /* Paths of the page's own making show the page. */
    if (fd < 0 && dir >= 0) {
        name = index;
        fd = open_file(dir, index, &size);
    }
    if (dir >= 0)
        close(dir);
    if (fd < 0)
        wk_answer_text(r, 503, WK_TEXT_TYPE,
                       "The demo pages are not installed: `make web` builds them.\n");
    else
        serve(r, fd, size, name);
}
