/* Users: tokens, devices, system accounts, who is connected, who is bound to a plugin.
 * @shard of the slot. */
#ifndef WK_IM_USER_USER_H
#define WK_IM_USER_USER_H
#include "im/internal.h"

/* presence.c */
enum wk_call_result im_login_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_online_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_conn_kick_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_conn_list_handle(struct im_slot *is, struct wk_call *c);
struct im_user *im_user_find(struct im_slot *is, wkim_slice uid); /* NULL: not connected */
/* The rows of a login are durable: it counts from now on; or they could not be written. */
void im_login_done(struct im_slot *is, struct im_conn *conn);
void im_login_undone(struct im_slot *is, struct im_conn *conn);
/* Connections of one device flag get DISCONNECT with text and close after delay_ms. */
void im_user_kick(struct im_slot *is, wkim_slice uid, uint8_t flag, const char *text,
                  uint32_t delay_ms);
/* Flags of a channel were set (in: IM_CHANNEL_SET): a person's say whether that user may send. */
void im_user_gate(struct im_slot *is, wkim_slice in);
void im_users_drop_all(struct im_slot *is);
/* user.c */
enum wk_call_result im_token_set_handle(struct im_slot *is, struct wk_call *c);
int im_token_set_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
void im_token_set_applied(struct im_slot *is, wkim_slice in);
int im_device_quit_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
void im_device_quit_applied(struct im_slot *is, wkim_slice in);
int im_system_change_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_system_publish(struct im_slot *is, wkim_slice in); /* tell every shard */
enum wk_call_result im_system_list_handle(struct im_slot *is, struct wk_call *c);
int im_system_load(struct im_slot *is);
void im_system_free(struct im *im);
/* status.c */
/* Rows of a login that is registered already; the call is answered when they are durable. */
enum wk_call_result im_status_login(struct im_slot *is, struct im_conn *conn, struct wk_call *c,
                                    uint64_t device_count, uint64_t user_count);
void im_status_gone(struct im_conn *conn, uint64_t device_count, uint64_t user_count);
int im_status_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, wkim_slice in);
void im_status_applied(struct im_slot *is);
/* At lead, when nobody is connected; again when that did not work. */
void im_status_recover(struct im_slot *is);
void im_status_drop_all(struct im_slot *is);
/* plugin.c */
int im_plugin_bind_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
enum wk_call_result im_plugin_bindings_handle(struct im_slot *is, struct wk_call *c);
#endif
