/* The token of a device as it comes in a body, alone or in a batch. */
#ifndef WK_HTTP_API_USER_BODY_H
#define WK_HTTP_API_USER_BODY_H

#include "http/decode.h"

struct wk_token_body {
    wkim_slice uid, token;
    uint8_t device_flag, device_level;
};

#define WK_TOKEN_FIELDS 4
extern const struct wk_field wk_token_fields[WK_TOKEN_FIELDS];
/* What is wrong with it, NULL: nothing. */
const char *wk_token_body_problem(const struct wk_token_body *b);

#endif
