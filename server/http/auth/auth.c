#include "http/auth/auth.h"

#include "http/route.h"
#include "http/text.h"

#include <string.h>

int wk_auth_allows(const struct wk_req *r)
{
    const char *token = wk_req_options(r)->token;

    if (!*token)
        return 1;
    const char *given =
        r->ev ? evhttp_find_header(evhttp_request_get_input_headers(r->ev), "token") : NULL;

    return wk_text_same_secret(wk_text_slice(given), wk_text_slice(token));
}

int wk_auth_operator(const struct wk_req *r)
{
    if (r->route->side != WK_SIDE_API || (strncmp(r->route->path, "/cluster/", 9) != 0 &&
                                          strncmp(r->route->path, "/manager/v1/", 12) != 0))
        return 1;
    /* With a token set, wk_auth_allows has already been passed. */
    return *wk_req_options(r)->token || wk_req_is_local(r);
}

enum wk_auth_verdict wk_auth_v1(struct wk_req *r, const char *resource, char action)
{
    const char *user;

    if (r->route->side == WK_SIDE_API || (*wk_req_options(r)->token && wk_auth_allows(r)))
        return WK_AUTH_YES;
    user = wk_auth_user(r);
    if (!user)
        return WK_AUTH_NOBODY;
    return wk_accounts_allow(r->thread->http->accounts, wk_text_slice(user), resource, action)
               ? WK_AUTH_YES
               : WK_AUTH_REFUSED;
}
