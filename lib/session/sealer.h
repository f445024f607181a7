/* Sealing put off and done together: RECVs of one round, for whatever receivers, are sealed several
 * at a time (wk_seal_many), which costs a third of sealing them one by one.
 *
 * One per thread, shared by its sessions. A frame waits in its session's output with room for
 * payload and key; it is sealed when the batch is full, when somebody looks at that output, or by
 * run(). */
#ifndef WK_SESSION_SEALER_H
#define WK_SESSION_SEALER_H
#include "base/blob.h"
#include "crypto/crypto.h"

struct wk_sealer;
int wk_sealer_new(struct wk_sealer **out, struct wk_crypto *crypto); /* crypto: borrowed */
void wk_sealer_free(struct wk_sealer *z); /* nothing may wait any more; NULL allowed */
/* Keep the bytes that the next wk_session_recv refers to until they are sealed. */
void wk_sealer_hold(struct wk_sealer *z, struct wk_blob *b);
void wk_sealer_run(struct wk_sealer *z);
#endif
