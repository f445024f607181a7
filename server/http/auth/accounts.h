/* The accounts of the console (auth.users), what they may do, and the key of their tokens. */
#ifndef WK_HTTP_AUTH_ACCOUNTS_H
#define WK_HTTP_AUTH_ACCOUNTS_H

#include <wkim/config.h>
#include <wkim/types.h>

struct wk_accounts;

enum wk_login { WK_LOGIN_OK, WK_LOGIN_WRONG, WK_LOGIN_TOO_OFTEN };

/* Reads auth.users and the jwt.* keys.  Without jwt.secret the secret is taken from
 * <rootDir>/jwt.secret, which is made (0600) when there is none; where that cannot be written the
 * secret lasts until the process ends.  WKIM_OK or WKIM_ENOMEM. */
int wk_accounts_new(struct wk_accounts **out, const wkim_config *cfg);
void wk_accounts_free(struct wk_accounts *a); /* NULL allowed */

/* Any thread.  `address` is where the request comes from: ten wrong passwords within a minute from
 * one address close the door to it for the rest of the minute. */
enum wk_login wk_accounts_login(struct wk_accounts *a, wkim_slice name, wkim_slice password,
                                const char *address, int64_t now_s);
/* "*:*" or the grants as written; borrowed.  NULL: no such account. */
const char *wk_accounts_permissions(const struct wk_accounts *a, wkim_slice name);
/* The account may do `action` ('r' or 'w') with the resource. */
int wk_accounts_allow(const struct wk_accounts *a, wkim_slice name, const char *resource,
                      char action);
/* Owned text (free) or NULL; *expires_s is Unix time. */
char *wk_accounts_token(const struct wk_accounts *a, wkim_slice name, int64_t now_s,
                        int64_t *expires_s);
/* The known account that a valid token names, borrowed; NULL otherwise. */
const char *wk_accounts_of_token(const struct wk_accounts *a, wkim_slice token, int64_t now_s);

#endif
