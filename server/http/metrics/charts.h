/* What /metrics said during the last day, for the charts of the console. */
#ifndef WK_HTTP_METRICS_CHARTS_H
#define WK_HTTP_METRICS_CHARTS_H

#include "http/server.h"

struct wk_charts;

/* On the base of the first thread.  After a failure *out is still to be freed. */
int wk_charts_start(struct wk_charts **out, struct wk_http *h, struct event_base *base);
void wk_charts_free(struct wk_charts *c); /* before the base; NULL allowed */

#endif
