/* The two messages of wkhook.WebhookService (wkhook.proto) in the frames of gRPC: one byte
 * "packed", four bytes length, the message. */
#ifndef WK_SERVER_OUT_GRPC_MESSAGE_H
#define WK_SERVER_OUT_GRPC_MESSAGE_H

#include <wkim/types.h>

#define WK_GRPC_PREFIX 5
#define WK_GRPC_ANSWER_MAX 65536 /* bytes of a whole answer; its data means nothing */

/* A framed EventReq, owned: free().  NULL: no memory, or more than a frame can hold. */
uint8_t *wk_grpc_request(const char *event, wkim_slice body, size_t *n);
/* The bytes of a whole answer.  NULL: one EventResp with status Success; else what is wrong with
 * it, a constant text. */
const char *wk_grpc_answer_check(const uint8_t *p, size_t n);

#endif
