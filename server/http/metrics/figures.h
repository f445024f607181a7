/* Figures of this process, as /varz and /top show them. */
#ifndef WK_HTTP_METRICS_FIGURES_H
#define WK_HTTP_METRICS_FIGURES_H

#include <stdint.h>

struct wk_figures {
    uint64_t resident;    /* bytes */
    uint64_t threads;
    uint64_t uptime_s;    /* since start_unix_ms; 0 when that is 0 */
    uint64_t cpu_percent; /* of one core since then */
};
void wk_figures_read(struct wk_figures *f, uint64_t start_unix_ms);

#endif
