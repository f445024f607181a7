/* One message as the HTTP API shows it. */
#ifndef WK_HTTP_MESSAGE_JSON_H
#define WK_HTTP_MESSAGE_JSON_H

#include "http/jsonbuf.h"

#include <wkim/queue.h>

/* The uid shown as sender: "" for the system account. */
wkim_slice wk_message_json_from(wkim_slice from_uid);
/* The channel id shown: of a person channel's stored id "a@b" the last part that is not the shown
 * sender, the stored id when both are; other types as stored. */
wkim_slice wk_message_json_channel(wkim_slice stored, uint8_t channel_type, wkim_slice shown_from);
void wk_message_json(struct wk_jsonbuf *b, const wkim_message *m);

#endif
