/* Who may use the business port. */
#ifndef WK_HTTP_AUTH_H
#define WK_HTTP_AUTH_H

#include "request.h"

/* managerToken is not set, or the request carries it in its `token` header. */
int wk_auth_allows(const struct wk_req *r);
/* Routes of operators are for holders of the token and for this host. 1 for all other routes. */
int wk_auth_operator(const struct wk_req *r);

#endif
