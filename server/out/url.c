#include "out/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The parameters of `query` without those named "event", each followed by '&'; returns the end. */
static char *copy_others(char *out, const char *query)
{
    while (*query) {
        size_t n = strcspn(query, "&");

        if (n && !(strncmp(query, "event", 5) == 0 && (n == 5 || query[5] == '='))) {
            memcpy(out, query, n);
            out[n] = '&';
            out += n + 1;
        }
        query += n + (query[n] == '&');
    }
    return out;
}

char *wk_out_url(const char *base, const char *event)
{
    CURLU *u = curl_url();
    char *query = NULL, *full = NULL, *text = NULL, *out = NULL;
    size_t cap = 0;

    if (u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK) {
        (void)curl_url_get(u, CURLUPART_QUERY, &query, 0);
        cap = (query ? strlen(query) : 0) + strlen(event) + 16;
        full = malloc(cap);
    }
    if (full) {
        char *end = copy_others(full, query ? query : "");

        (void)snprintf(end, cap - (size_t)(end - full), "event=%s", event);
        if (curl_url_set(u, CURLUPART_QUERY, full, 0) == CURLUE_OK &&
            curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK)
            out = strdup(text);
    }
    curl_free(text);
    curl_free(query);
    free(full);
    curl_url_cleanup(u);
    return out;
}
