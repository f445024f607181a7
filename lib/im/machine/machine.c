/* The slot machine: which operation is whose, before the log, in apply and after it. */
#include "im/im.h"
#include "base/clock.h"
#include "im/channel/channel.h"
#include "im/command/command.h"
#include "im/conversation/conversation.h"
#include "im/event/event.h"
#include "im/history/history.h"
#include "im/message/message.h"
#include "im/outbox.h"
#include "im/user/user.h"

static int slot_open(void *user, struct wk_slot *slot)
{
    struct im *im = user;
    struct im_slot *is = wk_calloc(1, sizeof(*is));
    uint64_t seed = 0;

    if (!is || wk_random_bytes(&seed, sizeof(seed)) != WKIM_OK) {
        wk_free(is);
        return WKIM_ENOMEM;
    }
    is->im = im;
    is->slot = slot;
    is->count = &im->shards[wk_slot_shard(slot)->index].count;
    wk_map_init(&is->channels, seed);
    wk_map_init(&is->users, seed + 1);
    wk_map_init(&is->conv_overlay, seed + 2);
    wk_map_init(&is->round, seed + 4);
    wk_list_init(&is->lru);
    wk_list_init(&is->effects);
    wk_list_init(&is->sent);
    wk_list_init(&is->statuses);
    im_source_open(is, seed + 4);
    wk_list_init(&is->keep.link);
    if (im_events_open(is, seed + 3) != WKIM_OK) {
        wk_free(is);
        return WKIM_ENOMEM;
    }
    wk_slot_set_state(slot, is);
    return WKIM_OK;
}

static void slot_close(void *user, struct wk_slot *slot)
{
    struct im_slot *is = im_slot_of(slot);
    (void)user;

    if (!is)
        return;
    if (is->im->opt.on_close)
        is->im->opt.on_close(is->im->opt.user, wk_slot_id(slot));
    im_keep_close(is);
    im_events_close(is);
    im_source_close(is);
    im_outbox_drop_all(is);
    im_channel_drop_all(is);
    im_status_drop_all(is);
    im_users_drop_all(is);
    im_conv_overlay_clear(is);
    im_round_clear(is);
    wk_map_fini(&is->round);
    wk_map_fini(&is->channels);
    wk_map_fini(&is->users);
    wk_map_fini(&is->conv_overlay);
    wk_free(is->fresh);
    wk_free(is);
    wk_slot_set_state(slot, NULL);
}

static void slot_lead(void *user, struct wk_slot *slot)
{
    struct im *im = user;
    struct im_slot *is = im_slot_of(slot);

    im_outbox_recover(is);
    if (im->opt.status)
        im_status_recover(is); /* before anybody can log in */
    im_keep_lead(is);
    if (im->opt.on_lead)
        im->opt.on_lead(im->opt.user, wk_slot_id(slot));
    if (wk_slot_id(slot) == 0 && !im->opt.source.system && im_system_load(is) != WKIM_OK)
        wk_log(im->opt.log, WK_LOG_ERROR, "im", "system_accounts_not_loaded", "slot=0");
}

static enum wk_call_result handle(void *user, struct wk_slot *slot, struct wk_call *c)
{
    struct im_slot *is = im_slot_of(slot);
    (void)user;

    wk_count(&is->count->ops[c->op % IM_OPS], 1);
    switch (c->op) {
    case IM_LOGIN: return im_login_handle(is, c);
    case IM_SEND_PEER: return im_send_peer_handle(is, c);
    case IM_SEND: return im_send_handle(is, c);
    case IM_CHANNEL_GET: return im_channel_get_handle(is, c);
    case IM_LIST_CHANGE:
    case IM_SOURCE_SET: return im_list_change_handle(is, c);
    case IM_LIST_GET: return im_list_get_handle(is, c);
    case IM_TOKEN_SET: return im_token_set_handle(is, c);
    case IM_ONLINE: return im_online_handle(is, c);
    case IM_SYSTEM_LIST: return im_system_list_handle(is, c);
    case IM_MESSAGE_SYNC:
    case IM_MESSAGE_GET:
    case IM_MESSAGE_LAST: return im_history_handle(is, c);
    case IM_CONV_SYNC:
    case IM_CONV_SYNC_CHANNELS: return im_conv_sync_handle(is, c);
    case IM_TAGS: return im_tags_handle(is, c);
    case IM_PLUGIN_BINDINGS: return im_plugin_bindings_handle(is, c);
    case IM_CONV_LIST: return im_conv_list_handle(is, c);
    case IM_CONV_CHANNELS: return im_conv_channels_handle(is, c);
    case IM_CONV_MOVE: return im_conv_move_handle(is, c);
    case IM_HEADS: return im_heads_handle(is, c);
    case IM_CONN_LIST: return im_conn_list_handle(is, c);
    case IM_CONN_KICK: return im_conn_kick_handle(is, c);
    case IM_CMD_SYNC: return im_cmd_sync_handle(is, c);
    case IM_CMD_HEADS: return im_cmd_heads_handle(is, c);
    case IM_CMD_ACK: return im_cmd_ack_handle(is, c);
    case IM_EVENT: return im_event_handle(is, c);
    case IM_EVENT_SYNC: return im_event_sync_handle(is, c);
    case IM_LIMITS_GET: return im_limits_get_handle(is, c);
    case IM_DELETE: return im_delete_handle(is, c);
    case IM_LIMITS_SET:
    case IM_TRIM: return im_history_handle_write(c);
    case IM_ERASE:
    case IM_DROP:
    case IM_OVER:
    case IM_EVENTS_PURGE:
    case IM_EVENT_PUT:
    case IM_EVENT_CHUNKS:
    case IM_CMD_READ:
    case IM_CHANNEL_SET:
    case IM_CHANNEL_DELETE:
    case IM_DEVICE_QUIT:
    case IM_SYSTEM_CHANGE:
    case IM_CONV_POSITION:
    case IM_CONV_ENSURE:
    case IM_CONV_REMOVE:
    case IM_CONV_LEAVE:
    case IM_PLUGIN_BIND:
    case IM_NOTIFY_DONE:
    case IM_OFFLINE_DONE:
    case IM_STATUS:
    case IM_STATUS_DONE:
    case IM_OUTBOX_DONE: return WK_CALL_PROPOSE;
    default:
        c->code = WKIM_EUNSUPPORTED;
        return WK_CALL_DONE;
    }
}

static int apply(void *user, struct wk_slot *slot, struct wk_txn *txn, uint64_t id, uint16_t op,
                 wkim_slice in, struct wk_call *c)
{
    struct im_slot *is = im_slot_of(slot);
    (void)user;

    if (c)
        c->stage = 0;
    switch (op) {
    case IM_SEND: return im_send_apply(is, txn, id, in, c);
    case IM_CHANNEL_SET: return im_channel_set_apply(is, txn, in);
    case IM_CHANNEL_DELETE: return im_channel_delete_apply(is, txn, id, in, c);
    case IM_LIST_CHANGE:
    case IM_SOURCE_SET: return im_list_change_apply(is, txn, id, op == IM_SOURCE_SET, in, c);
    case IM_TOKEN_SET: return im_token_set_apply(is, txn, in);
    case IM_DEVICE_QUIT: return im_device_quit_apply(is, txn, in);
    case IM_SYSTEM_CHANGE: return im_system_change_apply(is, txn, in);
    case IM_CONV_POSITION: return im_conv_position_apply(is, txn, in);
    case IM_CONV_ENSURE: return im_conv_ensure_apply(is, txn, in);
    case IM_CONV_REMOVE: return im_conv_remove_apply(is, txn, false, in);
    case IM_CONV_LEAVE: return im_conv_remove_apply(is, txn, true, in);
    case IM_PLUGIN_BIND: return im_plugin_bind_apply(is, txn, in);
    case IM_OUTBOX_DONE: return im_outbox_apply(is, txn, in);
    case IM_NOTIFY_DONE: return im_pending_done_apply(is, txn, IM_PENDING_NOTIFY, in);
    case IM_OFFLINE_DONE: return im_pending_done_apply(is, txn, IM_PENDING_OFFLINE, in);
    case IM_STATUS: return im_status_apply(is, txn, id, in);
    case IM_STATUS_DONE: return im_pending_done_apply(is, txn, IM_PENDING_STATUS, in);
    case IM_CMD_HANDED: return im_cmd_handed_apply(is, txn, in);
    case IM_CMD_READ: return im_cmd_read_apply(is, txn, in);
    case IM_EVENT_PUT: return im_event_put_apply(is, txn, in);
    case IM_EVENT_CHUNKS: return im_event_chunks_apply(is, txn, in);
    case IM_LIMITS_SET: return im_limits_set_apply(is, txn, in);
    case IM_TRIM: return im_trim_apply(is, txn, in, c);
    case IM_ERASE: return im_erase_apply(is, txn, in);
    case IM_DROP: return im_drop_apply(is, txn, in);
    case IM_OVER: return im_over_apply(is, txn, in);
    case IM_EVENTS_PURGE: return im_events_purge_apply(is, txn, in);
    default: return WKIM_EVERSION; /* written by a newer version: applying the rest would diverge */
    }
}

static bool run_effects(struct im_slot *is, uint64_t id, struct wk_call *c)
{
    if (!c->stage)
        return true;
    im_outbox_start(is, id, c);
    return false;
}

static bool applied(void *user, struct wk_slot *slot, uint64_t id, uint16_t op, wkim_slice in,
                    struct wk_call *c)
{
    struct im_slot *is = im_slot_of(slot);
    (void)user;

    switch (op) {
    case IM_SEND: return im_send_applied(is, id, c);
    case IM_STATUS:
        im_status_applied(is);
        return true;
    case IM_TOKEN_SET:
        im_token_set_applied(is, in);
        return true;
    case IM_DEVICE_QUIT:
        im_device_quit_applied(is, in);
        return true;
    case IM_SYSTEM_CHANGE:
        c->code = im_system_publish(is, in);
        return true;
    case IM_DROP: return im_drop_applied(is, c);
    case IM_TRIM:
        im_keep_wake(is);
        return true;
    case IM_CHANNEL_SET:
        im_user_gate(is, in);
        im_source_forget(is, in);
        return true;
    case IM_LIST_CHANGE:
    case IM_CHANNEL_DELETE:
        if (op == IM_CHANNEL_DELETE)
            im_keep_wake(is);
        im_source_forget(is, in);
        return run_effects(is, id, c);
    case IM_SOURCE_SET: return run_effects(is, id, c);
    default: return true;
    }
}

static void batch_end(void *user, struct wk_slot *slot, struct wk_txn *txn)
{
    (void)user;
    im_sent_write(im_slot_of(slot), txn);
}

static void round_end(void *user, struct wk_slot *slot)
{
    struct im_slot *is = im_slot_of(slot);
    (void)user;

    im_fresh_clear(is);
    im_events_round_end(is);
    im_conv_overlay_clear(is);
    im_round_clear(is);
    im_channel_trim(is);
    im_tags_expire(is);
}

struct wk_slot_machine im_machine(struct im *im)
{
    return (struct wk_slot_machine){ .open = slot_open, .close = slot_close, .lead = slot_lead,
                                     .handle = handle, .apply = apply, .applied = applied,
                                     .batch_end = batch_end, .round_end = round_end, .user = im };
}

int im_new(struct im **out, const struct im_options *opt)
{
    struct im *im = wk_calloc(1, sizeof(*im));
    uint64_t seed = 0;

    if (!im)
        return WKIM_ENOMEM;
    im->opt = *opt;
    im->shards = wk_calloc(opt->n_shards, sizeof(*im->shards));
    int rc = im->shards ? wk_random_bytes(&seed, sizeof(seed)) : WKIM_ENOMEM;
    for (uint32_t i = 0; im->shards && i < opt->n_shards; i++) {
        struct im_shard *sh = &im->shards[i];
        wk_map_init(&sh->system_uids, seed + i);
        wk_map_init(&sh->fan_queues, seed + i);
        wk_list_init(&sh->fan_ready);
        wk_list_init(&sh->system_waiters);
        sh->system_news.im = im;
        sh->presence = wk_calloc(IM_PRESENCE_CELLS, 1);
        if (!sh->presence)
            rc = WKIM_ENOMEM;
    }
    if (rc != WKIM_OK) {
        im_free(im);
        return WKIM_ENOMEM;
    }
    if (im_keep_new(im) != WKIM_OK) {
        im_free(im);
        return WKIM_ENOMEM;
    }
    *out = im;
    return WKIM_OK;
}

void im_count(const struct im *im, struct im_counters *out)
{
    for (uint32_t i = 0; i < im->opt.n_shards; i++)
        wk_metric_sum(out, &im->shards[i].count, sizeof(*out));
}

void im_set_cluster(struct im *im, struct wk_cluster *c)
{
    im->opt.cluster = c;
}

void im_free(struct im *im)
{
    if (!im)
        return;
    im->ending = true;
    if (im->shards) {
        im_fanout_drop_all(im);
        im_keep_free(im);
    }
    im_source_free(im);
    im_system_free(im);
    for (uint32_t i = 0; im->shards && i < im->opt.n_shards; i++) {
        wk_map_fini(&im->shards[i].fan_queues);
        wk_free(im->shards[i].presence);
    }
    wk_free(im->shards);
    wk_free(im);
}
