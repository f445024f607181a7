/* Requests of the node by gRPC to webhook.grpcAddr, on a thread of its own: plaintext HTTP/2, two
 * connections from the start and at most twenty, each with a few calls under way.
 *
 * Threads: start and stop by one thread; send by any, between them. */
#ifndef WK_SERVER_OUT_GRPC_H
#define WK_SERVER_OUT_GRPC_H

#include "out/out.h"

struct wk_out_grpc;

/* *out stays NULL when webhook.grpcAddr is not set.  log is borrowed until stop. */
int wk_out_grpc_start(struct wk_out_grpc **out, const wkim_config *cfg, struct wk_log_file *log,
                      wkim_error *err);
void wk_out_grpc_stop(struct wk_out_grpc *o); /* jobs under way fail; NULL allowed */
void wk_out_grpc_send(struct wk_out_grpc *o, struct wk_out_job *job_take);

#endif
