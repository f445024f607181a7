/* Metrics of the HTTP side and of the process; those of the node come from wkim_node_metrics. */
#ifndef WK_HTTP_METRICS_METRICS_H
#define WK_HTTP_METRICS_METRICS_H

#include "http/jsonbuf.h"
#include "http/request.h"

/* Where a request's time is measured: the clock of its thread's event loop, read once per round. */
uint64_t wk_http_clock_us(const struct wk_http_thread *t);
/* The request is answered. @its thread */
void wk_http_count(const struct wk_req *r, int status, size_t bytes_out);

void wk_metric_head(struct wk_jsonbuf *b, const char *name, const char *type, const char *help);
void wk_metric_f64(struct wk_jsonbuf *b, double v); /* and the end of the line */
void wk_metrics_webhook(struct wk_jsonbuf *b, struct wk_http *h);
/* All of /metrics; WKIM_OK, or why there is nothing. */
int wk_metrics_text(struct wk_http *h, struct wk_jsonbuf *b);
void wk_metrics_process(struct wk_jsonbuf *b, struct wk_http *h);

#endif
