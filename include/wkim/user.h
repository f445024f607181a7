/* Users, devices, presence, system accounts.  Call rules: node.h. */
#ifndef WKIM_USER_H
#define WKIM_USER_H

#include <wkim/node.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Token and level of (uid, device_flag).  Level 1 kicks the live connections of that
 * flag.  reason 19/24 with code WKIM_EDENIED when the user is banned / disbanded. */
WKIM_API int wkim_user_token_set(wkim_node *n, wkim_slice uid, wkim_slice token,
                                 uint8_t device_flag, uint8_t device_level, wkim_queue *q,
                                 void *user);
/* device_flag -1: app, web and pc.  A flag without a stored token is left alone: WKIM_OK. */
WKIM_API int wkim_user_device_quit(wkim_node *n, wkim_slice uid, int device_flag, wkim_queue *q,
                                   void *user);
/* Strings: one uid per live connection in request order; string number 0: device flag. */
WKIM_API int wkim_user_online(wkim_node *n, const wkim_slice *uids, size_t n_uids, wkim_queue *q,
                              void *user);
WKIM_API int wkim_user_system_change(wkim_node *n, int add, const wkim_slice *uids, size_t n_uids,
                                     wkim_queue *q, void *user);
WKIM_API int wkim_user_system_list(wkim_node *n, wkim_queue *q, void *user); /* strings */

/* Which plugins speak for a uid.  A plugin need not exist or run. */
enum wkim_plugin_bind {
    WKIM_PLUGIN_BIND = 1,
    WKIM_PLUGIN_UNBIND = 2,
    WKIM_PLUGIN_SET = 3 /* this plugin only; plugin_no empty: none */
};
WKIM_API int wkim_user_plugin_bind(wkim_node *n, wkim_slice uid, wkim_slice plugin_no, int kind,
                                   wkim_queue *q, void *user);
/* Strings in pairs: uid and plugin_no, number 0 of both: Unix ms of the binding.  An empty uid or
 * plugin_no stands for all; at most 1000 bindings per slot. */
WKIM_API int wkim_user_plugins(wkim_node *n, wkim_slice uid, wkim_slice plugin_no, wkim_queue *q,
                               void *user);

#ifdef __cplusplus
}
#endif
#endif
