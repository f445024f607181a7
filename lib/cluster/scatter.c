#include "cluster/scatter.h"
#include "base/mem.h"

struct part {
    struct wk_call call;
    struct wk_scatter *scatter;
    struct wk_buf request;
    struct wk_cursor answer;
};

struct wk_scatter {
    struct wk_cluster *cluster;
    struct wk_shard *origin;
    void (*done)(struct wk_scatter *s);
    void *user;
    _Atomic uint32_t waiting; /* calls under way + 1 while they are being sent */
    struct wk_buf lost;       /* takes what is written when there is no memory for a part */
    bool oom;
    uint32_t slots;
    struct part *parts[];     /* by slot; NULL: not asked */
};

int wk_scatter_new(struct wk_scatter **out, struct wk_cluster *c, struct wk_shard *origin)
{
    uint32_t slots = wk_cluster_slot_count(c);
    struct wk_scatter *s = wk_calloc(1, sizeof(*s) + slots * sizeof(s->parts[0]));

    *out = s;
    if (!s)
        return WKIM_ENOMEM;
    s->cluster = c;
    s->origin = origin;
    s->slots = slots;
    return WKIM_OK;
}

void wk_scatter_free(struct wk_scatter *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->slots; i++) {
        if (!s->parts[i])
            continue;
        wk_call_fini(&s->parts[i]->call);
        wk_buf_fini(&s->parts[i]->request);
        wk_free(s->parts[i]);
    }
    wk_buf_fini(&s->lost);
    wk_free(s);
}

struct wk_buf *wk_scatter_request(struct wk_scatter *s, uint32_t slot)
{
    WK_ASSERT(slot < s->slots);
    if (!s->parts[slot]) {
        s->parts[slot] = wk_calloc(1, sizeof(struct part));
        if (!s->parts[slot]) {
            s->oom = true;
            wk_buf_clear(&s->lost);
            return &s->lost;
        }
        s->parts[slot]->scatter = s;
    }
    return &s->parts[slot]->request;
}

static void one_less(struct wk_scatter *s)
{
    if (atomic_fetch_sub(&s->waiting, 1) == 1)
        s->done(s);
}

static void answered(struct wk_call *c)
{
    struct part *p = WK_CONTAINER(c, struct part, call);

    p->answer = wk_cursor(wk_buf_slice(&c->out));
    one_less(p->scatter);
}

static void send_part(struct wk_scatter *s, uint32_t slot, uint16_t op)
{
    struct part *p = s->parts[slot];
    struct wk_blob *in = p->request.oom ? NULL : wk_blob_copy(p->request.p, p->request.n);

    wk_buf_fini(&p->request);
    wk_call_init(&p->call, op, in, answered);
    if (!in) {
        p->call.code = WKIM_ENOMEM;
        return;
    }
    p->call.slot = slot;
    p->call.origin = s->origin;
    atomic_fetch_add(&s->waiting, 1);
    wk_call_send(s->cluster, &p->call);
}

void wk_scatter_send(struct wk_scatter *s, uint16_t op, void (*done)(struct wk_scatter *s),
                     void *user)
{
    s->done = done;
    s->user = user;
    atomic_store(&s->waiting, 1); /* so that answers that come at once do not end it */
    for (uint32_t i = 0; !s->oom && i < s->slots; i++) {
        if (s->parts[i])
            send_part(s, i, op);
    }
    one_less(s);
}

void *wk_scatter_user(const struct wk_scatter *s)
{
    return s->user;
}

int wk_scatter_code_of(const struct wk_scatter *s, uint32_t slot)
{
    if (s->oom)
        return WKIM_ENOMEM;
    return s->parts[slot] ? s->parts[slot]->call.code : WKIM_OK;
}

int wk_scatter_code(const struct wk_scatter *s)
{
    int code = s->oom ? WKIM_ENOMEM : WKIM_OK;

    for (uint32_t i = 0; code == WKIM_OK && i < s->slots; i++)
        code = wk_scatter_code_of(s, i);
    return code;
}

struct wk_cursor *wk_scatter_answer(struct wk_scatter *s, uint32_t slot)
{
    return s->parts[slot] ? &s->parts[slot]->answer : NULL;
}

void wk_scatter_join(const struct wk_scatter *s, uint8_t between, struct wk_buf *out)
{
    for (uint32_t i = 0; i < s->slots; i++) {
        const struct wk_buf *b = s->parts[i] ? &s->parts[i]->call.out : NULL;

        if (!b || !b->n || s->parts[i]->call.code != WKIM_OK)
            continue;
        if (between && out->n)
            wk_buf_u8(out, between);
        wk_buf_bytes(out, b->p, b->n);
    }
}
