/* Who may use the business port. */
#ifndef WK_HTTP_AUTH_AUTH_H
#define WK_HTTP_AUTH_AUTH_H

#include "http/request.h"

/* managerToken is not set, or the request carries it in its `token` header. */
int wk_auth_allows(const struct wk_req *r);
/* Routes of operators are for holders of the token and for this host. 1 for all other routes. */
int wk_auth_operator(const struct wk_req *r);
/* The console account whose token the request carries (Authorization header, with or without
 * "Bearer ", or query), borrowed; NULL: none, not valid, not known. */
const char *wk_auth_user(struct wk_req *r);
/* That account may do `action` ('r' or 'w') with the resource; 0: the request has been answered. */
int wk_auth_permits(struct wk_req *r, const char *resource, char action);

/* Routes below /manager/v1: on the operator port a console account that may do `action` with the
 * resource, or managerToken in the `token` header; on the API port whoever came through its door.
 * Answers nothing. */
enum wk_auth_verdict { WK_AUTH_YES, WK_AUTH_NOBODY, WK_AUTH_REFUSED };
enum wk_auth_verdict wk_auth_v1(struct wk_req *r, const char *resource, char action);

#endif
