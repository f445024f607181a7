#include "http/api/many.h"

#include "http/answer.h"

void wk_many_next(struct wk_many *m, struct wk_call *c)
{
    struct wk_req *r = c->req;

    while (!r->answered && m->next < m->n) {
        c->index = m->next++;
        int rc = m->start(r, c, c->index);

        if (rc == WKIM_OK)
            return;
        if (rc == WKIM_EBUSY && r->calls) {
            m->next = c->index; /* the next of our own answers makes room */
            return;
        }
        m->failed(r, c->index, rc);
    }
    if (!r->answered && r->calls == 0 && m->next == m->n)
        m->end(r);
}

void wk_many_start(struct wk_req *r, struct wk_many *m, size_t n, size_t window)
{
    if (window > n)
        window = n;
    m->n = n;
    m->next = 0;
    m->calls = window ? wk_req_alloc(r, window * sizeof(*m->calls)) : NULL;
    if (window && !m->calls) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    if (n == 0)
        m->end(r);
    for (size_t i = 0; i < window && !r->answered; i++) {
        m->calls[i].req = r;
        wk_many_next(m, &m->calls[i]);
    }
}
