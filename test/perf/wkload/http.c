#include "wkload.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX (4u * 1024u * 1024u)
#define SUBSCRIBERS_PER_CALL 1000u

static int fail(struct http *h, const char *what)
{
    snprintf(h->error, sizeof(h->error), "http://%s:%s: %s: %s", h->host, h->port, what,
             errno ? strerror(errno) : "unexpected answer");
    return -1;
}

static int dial(struct http *h)
{
    const struct addrinfo want = {.ai_socktype = SOCK_STREAM};
    const struct timeval limit = {.tv_sec = 30};
    struct addrinfo *found = NULL;

    int rc = getaddrinfo(h->host, h->port, &want, &found);
    if (rc) {
        snprintf(h->error, sizeof(h->error), "%s: %s", h->host, gai_strerror(rc));
        return -1;
    }
    h->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (h->fd >= 0) {
        setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        setsockopt(h->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    }
    rc = h->fd < 0 ? -1 : connect(h->fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return rc ? fail(h, "connect") : 0;
}

int http_open(struct http *h, const char *url)
{
    *h = (struct http){.fd = -1};
    const char *at = strncmp(url, "http://", 7) == 0 ? url + 7 : url;
    const size_t n = strcspn(at, "/");
    const char *colon = memchr(at, ':', n);
    const size_t host_n = colon ? (size_t)(colon - at) : n;

    if (strstr(at, "://") || host_n == 0 || host_n >= sizeof(h->host)) {
        snprintf(h->error, sizeof(h->error), "%s is not http://host:port", url);
        return -1;
    }
    memcpy(h->host, at, host_n);
    snprintf(h->port, sizeof(h->port), "%.*s", colon ? (int)(n - host_n - 1) : 2,
             colon ? colon + 1 : "80");
    return dial(h);
}

static int write_all(struct http *h, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(h->fd, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return fail(h, "write");
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* Read more behind `have` bytes; the buffer grows to the limit. Bytes read, or -1. */
static ssize_t read_more(struct http *h, size_t have)
{
    if (h->body_cap - have < 4096) {
        size_t cap = h->body_cap ? h->body_cap * 2 : 16384;
        char *wider = cap > ANSWER_BYTES_MAX ? NULL : realloc(h->body, cap);
        errno = 0;
        if (!wider)
            return fail(h, "answer too large");
        h->body = wider;
        h->body_cap = cap;
    }
    errno = 0;
    ssize_t k = recv(h->fd, h->body + have, h->body_cap - have - 1, 0);
    if (k <= 0)
        return fail(h, "read");
    h->body[have + (size_t)k] = 0;
    return k;
}

static int read_answer(struct http *h)
{
    size_t have = 0;
    char *end = NULL;

    while (!end) {
        ssize_t k = read_more(h, have);
        if (k < 0)
            return -1;
        have += (size_t)k;
        end = strstr(h->body, "\r\n\r\n");
    }
    size_t head = (size_t)(end - h->body) + 4;
    const char *length = strcasestr(h->body, "\r\nContent-Length:");
    char *line_end = NULL;
    errno = 0;
    long status = strncmp(h->body, "HTTP/1.", 7) == 0 ? strtol(h->body + 9, NULL, 10) : 0;
    if (status < 100 || !length || length > end)
        return fail(h, "answer without status or Content-Length");
    unsigned long body = strtoul(length + 17, &line_end, 10);
    if (body > ANSWER_BYTES_MAX)
        return fail(h, "answer too large");
    while (have < head + body) {
        ssize_t k = read_more(h, have);
        if (k < 0)
            return -1;
        have += (size_t)k;
    }
    memmove(h->body, h->body + head, body);
    h->body[body] = 0;
    return (int)status;
}

int http_post(struct http *h, const char *path, const char *json, size_t json_n)
{
    char head[400];
    int n = snprintf(head, sizeof(head),
                     "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     path, h->host, h->port, json_n);

    if (write_all(h, head, (size_t)n) || write_all(h, json, json_n))
        return -1;
    return read_answer(h);
}

void http_close(struct http *h)
{
    if (h->fd >= 0)
        close(h->fd);
    free(h->body);
    h->fd = -1;
    h->body = NULL;
}

static int call(struct load *l, struct http *h, const char *path, const char *json, size_t n)
{
    int status = http_post(h, path, json, n);

    if (status == 200)
        return 0;
    if (status < 0)
        load_fail(l, FAIL_SETUP, "%s", h->error);
    else
        load_fail(l, FAIL_SETUP, "POST %s: %d %.150s", path, status, h->body);
    return -1;
}

int http_make_group(struct load *l, struct http *h, const struct channel *ch,
                    const char *(*name)(struct load *l, uint32_t channel, uint32_t member),
                    uint32_t members)
{
    const size_t cap = 256 + (size_t)SUBSCRIBERS_PER_CALL * (NAME_BYTES + 3);
    char *json = load_alloc(cap, 1);
    int rc = 0;

    for (uint32_t from = 0; rc == 0 && from < members; from += SUBSCRIBERS_PER_CALL) {
        size_t n = (size_t)snprintf(json, cap,
                                    "{\"channel_id\":\"%s\",\"channel_type\":2,\"subscribers\":[",
                                    ch->id);
        for (uint32_t j = from; j < members && j < from + SUBSCRIBERS_PER_CALL; j++)
            n += (size_t)snprintf(json + n, cap - n, "%s\"%s\"", j > from ? "," : "",
                                  name(l, ch->index, j));
        n += (size_t)snprintf(json + n, cap - n, "]}");
        rc = call(l, h, from == 0 ? "/channel" : "/channel/subscriber_add", json, n);
    }
    free(json);
    return rc;
}

int http_give_tokens(struct load *l)
{
    const bool named_later = l->scenario == &scenario_connect;
    const uint32_t n = named_later ? l->options.users : l->n_conns;
    char json[400], name[NAME_BYTES];
    struct http h;
    int rc = 0;

    if (!l->options.http || http_open(&h, l->options.http)) {
        load_fail(l, FAIL_SETUP, "%s", l->options.http ? h.error : "--token needs --http");
        return -1;
    }
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        snprintf(name, sizeof(name), "%su%u", l->prefix, i);
        int k = snprintf(json, sizeof(json),
                         "{\"uid\":\"%s\",\"token\":\"%s\",\"device_flag\":0,\"device_level\":0}",
                         named_later ? name : l->conns[i].uid, l->options.token);
        rc = call(l, &h, "/user/token", json, (size_t)k);
    }
    http_close(&h);
    return rc;
}
