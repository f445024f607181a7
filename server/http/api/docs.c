/* Documentation made from the table of routes: a page, an OpenAPI description, a health answer. */
#include "http/answer.h"
#include "http/route.h"
#include "http/text.h"

#include <string.h>

static int is_release(struct wk_req *r)
{
    return strcmp(wk_req_options(r)->mode, "release") == 0;
}

/* 1: answered. */
static int refused(struct wk_req *r)
{
    if (!is_release(r))
        return 0;
    wk_answer_text(
        r, 403, WK_JSON_TYPE,
        "{\"error\":\"Documentation endpoints are disabled in release mode\",\"message\":\"API "
        "documentation is only available in development mode for security reasons\",\"mode\":"
        "\"release\",\"suggestion\":\"To access documentation, run the server in debug mode or "
        "check the static documentation files\"}");
    return 1;
}

static int is_shown(const struct wk_route *route)
{
    return route->side == WK_SIDE_API;
}

static int same_path(const struct wk_route *a, const struct wk_route *b)
{
    return is_shown(a) && is_shown(b) && strcmp(a->path, b->path) == 0;
}

static int is_first(size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (same_path(&wk_routes[k], &wk_routes[i]))
            return 0;
    }
    return is_shown(&wk_routes[i]);
}

static wkim_slice first_segment(const char *path)
{
    return (wkim_slice){(const uint8_t *)path + 1, strcspn(path + 1, "/")};
}

/* "/a/:id" as "/a/{id}", a star as "{path}"; `names` writes the names as parameters instead. */
static void put_path(struct wk_jsonbuf *b, const char *path, int names)
{
    const char *p = path;

    while (*p) {
        size_t n = strcspn(p, "/");
        const char *name = *p == ':' ? p + 1 : "path";
        size_t name_n = *p == ':' ? n - 1 : 4;
        int is_name = *p == ':' || *p == '*';

        if (names && is_name) {
            wk_jsonbuf_lit(b, "{\"name\":\"");
            wk_jsonbuf_raw(b, name, name_n);
            wk_jsonbuf_lit(b, "\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":"
                              "\"string\"}},");
        } else if (is_name) {
            wk_jsonbuf_char(b, '{');
            wk_jsonbuf_raw(b, name, name_n);
            wk_jsonbuf_char(b, '}');
        } else if (!names) {
            wk_jsonbuf_raw(b, p, n);
        }
        p += n;
        if (*p == '/') {
            if (!names)
                wk_jsonbuf_char(b, '/');
            p++;
        }
    }
    if (names)
        wk_jsonbuf_chop(b, ',');
}

static void put_operation(struct wk_jsonbuf *b, const struct wk_route *route, const char *method)
{
    wk_jsonbuf_char(b, '"');
    for (const char *p = method; *p; p++)
        wk_jsonbuf_char(b, (char)(*p | 0x20));
    wk_jsonbuf_lit(b, "\":{\"tags\":[");
    wk_jsonbuf_str(b, first_segment(route->path));
    wk_jsonbuf_lit(b, "],\"operationId\":\"");
    wk_jsonbuf_lit(b, method);
    for (const char *p = route->path; *p; p++)
        wk_jsonbuf_char(b, strchr("/:*.", *p) ? '_' : *p);
    wk_jsonbuf_lit(b, "\",\"parameters\":[");
    put_path(b, route->path, 1);
    wk_jsonbuf_lit(b, "],");
    if (!route->open)
        wk_jsonbuf_lit(b, "\"security\":[{\"managerToken\":[]}],");
    if (route->decode != WK_DECODE_NONE)
        wk_jsonbuf_lit(b, "\"requestBody\":{\"required\":true,\"content\":{\"application/json\":"
                          "{\"schema\":{}}}},");
    wk_jsonbuf_lit(b, "\"responses\":{\"200\":{\"description\":\"done\"},\"400\":{\"description\":"
                      "\"refused: msg says why\"}}},");
}

static void put_methods(struct wk_jsonbuf *b, size_t first)
{
    for (size_t i = first; i < wk_routes_count; i++) {
        const struct wk_route *route = &wk_routes[i];

        if (!same_path(route, &wk_routes[first]))
            continue;
        if (strcmp(route->method, "ANY") == 0) {
            put_operation(b, route, "GET");
            put_operation(b, route, "POST");
        } else {
            put_operation(b, route, route->method);
        }
    }
    wk_jsonbuf_chop(b, ',');
}

void wk_api_openapi(struct wk_req *r)
{
    struct wk_jsonbuf b;

    if (refused(r))
        return;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"libwkim HTTP API\","
                       "\"version\":");
    wk_jsonbuf_cstr(&b, wkim_version());
    wk_jsonbuf_lit(&b, "},\"components\":{\"securitySchemes\":{\"managerToken\":{\"type\":"
                       "\"apiKey\",\"in\":\"header\",\"name\":\"token\"}}},\"paths\":{");
    for (size_t i = 0; i < wk_routes_count; i++) {
        if (!is_first(i))
            continue;
        wk_jsonbuf_char(&b, '"');
        put_path(&b, wk_routes[i].path, 0);
        wk_jsonbuf_lit(&b, "\":{");
        put_methods(&b, i);
        wk_jsonbuf_lit(&b, "},");
    }
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_lit(&b, "}}");
    wk_answer_json(r, &b);
}

/* Everything on the page comes from the table, which holds no character that HTML would read. */
void wk_api_docs(struct wk_req *r)
{
    struct wk_jsonbuf b;

    if (refused(r))
        return;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>HTTP API"
                       "</title><style>body{font:16px sans-serif;margin:2em}td{padding:.1em 1em "
                       ".1em 0}code{font-size:1.1em}</style><h1>HTTP API</h1><p>For tools: <a "
                       "href=\"/docs/openapi.json\">OpenAPI description</a></p><table>");
    for (size_t i = 0; i < wk_routes_count; i++) {
        const struct wk_route *route = &wk_routes[i];

        if (!is_shown(route))
            continue;
        wk_jsonbuf_lit(&b, "<tr><td>");
        wk_jsonbuf_lit(&b, route->method);
        wk_jsonbuf_lit(&b, "<td><code>");
        wk_jsonbuf_lit(&b, route->path);
        wk_jsonbuf_lit(&b, "</code><td>");
        wk_jsonbuf_lit(&b, route->decode == WK_DECODE_NONE ? "" : "JSON body");
    }
    wk_jsonbuf_lit(&b, "</table></html>\n");
    wk_answer_buf(r, 200, "text/html; charset=utf-8", &b);
}

void wk_api_docs_slash(struct wk_req *r)
{
    if (!refused(r))
        wk_answer_redirect(r, 301, "/docs");
}

void wk_api_docs_health(struct wk_req *r)
{
    if (is_release(r))
        wk_answer_text(r, 200, WK_JSON_TYPE,
                       "{\"description\":\"Documentation service is disabled in release mode\","
                       "\"mode\":\"release\",\"service\":\"docs\",\"status\":\"disabled\"}");
    else
        wk_answer_text(
            r, 200, WK_JSON_TYPE,
            "{\"status\":\"ok\",\"service\":\"docs\",\"description\":\"Documentation of "
            "the HTTP API, made from its table of routes\",\"endpoints\":{\"swagger_ui\":"
            "\"/docs\",\"openapi_spec\":\"/docs/openapi.json\",\"health_check\":"
            "\"/docs/health\"}}");
}
