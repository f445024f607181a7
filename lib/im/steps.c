/* Calls of more than one step: a read that may touch the disk runs on a reader thread and its
 * answer comes back to the slot; what was found goes on as a command. */
#include "im/internal.h"

struct read {
    struct wk_read_job job;
    struct wk_post post;
    struct im_slot *is;
    struct wk_call *call;
    im_read_fn run;
    void (*after)(struct im_slot *is, struct wk_call *c);
};

static void run_job(struct wk_read_job *j)
{
    struct read *r = WK_CONTAINER(j, struct read, job);
    r->run(r->is, r->call);
    if (r->call->out.oom)
        r->call->code = WKIM_ENOMEM;
}

static void back(struct wk_shard *s, struct wk_post *p)
{
    struct read *r = WK_CONTAINER(p, struct read, post);
    struct read copy = *r;
    (void)s;

    wk_free(r);
    if (copy.after)
        copy.after(copy.is, copy.call);
    else
        wk_call_finish(copy.call);
}

static void job_done(struct wk_read_job *j)
{
    struct read *r = WK_CONTAINER(j, struct read, job);
    r->post.run = back;
    wk_shard_post(wk_slot_shard(r->is->slot), &r->post);
}

enum wk_call_result im_read_then(struct im_slot *is, struct wk_call *c, im_read_fn run,
                                 void (*after)(struct im_slot *is, struct wk_call *c))
{
    struct read *r = wk_calloc(1, sizeof(*r));
    int rc = WKIM_ENOMEM;

    if (r) {
        *r = (struct read){ .is = is, .call = c, .run = run, .after = after };
        r->job.run = run_job;
        r->job.done = job_done;
        rc = wk_readers_submit(wk_cluster_readers(wk_slot_cluster(is->slot)), &r->job);
    }
    if (rc == WKIM_OK)
        return WK_CALL_PENDING;
    wk_free(r);
    c->code = rc;
    return WK_CALL_DONE;
}

enum wk_call_result im_read(struct im_slot *is, struct wk_call *c, im_read_fn run)
{
    return im_read_then(is, c, run, NULL);
}

void im_propose_next(struct im_slot *is, struct wk_call *c, enum im_op op, struct wk_buf *in_take)
{
    struct wk_blob *in = in_take->oom ? NULL : wk_blob_copy(in_take->p, in_take->n);

    wk_buf_fini(in_take);
    if (!in) {
        c->code = WKIM_ENOMEM;
        wk_call_finish(c);
        return;
    }
    wk_blob_unref(c->in);
    c->in = in;
    c->op = (uint16_t)op;
    wk_slot_propose(is->slot, c);
}
