/* Answers.  Each function answers the request once and for all; the caller returns afterwards. */
#ifndef WK_HTTP_ANSWER_H
#define WK_HTTP_ANSWER_H

#include "http/jsonbuf.h"
#include "http/request.h"

#define WK_JSON_TYPE "application/json; charset=utf-8"
#define WK_TEXT_TYPE "text/plain; charset=utf-8"

/* Takes the bytes of b (b is empty afterwards); type NULL: no Content-Type. */
void wk_answer_buf(struct wk_req *r, int status, const char *type, struct wk_jsonbuf *b);
/* JSON in b with status 200, or 503 when b ran out of memory.  Takes b. */
void wk_answer_json(struct wk_req *r, struct wk_jsonbuf *b);
void wk_answer_text(struct wk_req *r, int status, const char *type, const char *text);
/* Without CORS headers: the 401 of a missing managerToken. */
void wk_answer_unauthorized(struct wk_req *r);
void wk_answer_redirect(struct wk_req *r, int status, const char *location);

void wk_answer_ok(struct wk_req *r);                      /* 200 {"status":200} */
void wk_answer_soft(struct wk_req *r, int status);        /* 200 {"status":n} */
void wk_answer_error(struct wk_req *r, const char *text); /* 400 {"msg":text,"status":400} */
/* {"msg":text,"status":status}; detail may be NULL. */
void wk_answer_problem(struct wk_req *r, int status, const char *type, const char *text,
                       const char *detail);
void wk_answer_not_found(struct wk_req *r); /* 404 page not found */
/* A call failed with a library code: 503 for what may succeed later, 400 with the route's own text
 * (failed_text) or the library's otherwise. */
void wk_answer_code(struct wk_req *r, int code, const char *detail);

/* 1: the call failed, which is answered now; 0: go on with its reply. */
int wk_answer_failed(struct wk_call *c, const wkim_reply *reply);
/* Continuation for calls whose success is the OK object. */
void wk_answer_then_ok(struct wk_call *c, const wkim_reply *reply);

#endif
