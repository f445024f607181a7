/* What im does to a connection: deliver, kick, describe. */
#include "node/conn/conn.h"
#include <stdio.h>
#include "proto/jsonrpc.h"

static void push(struct im_conn *ic, const struct im_push *p)
{
    struct wk_conn *c = WK_CONTAINER(ic, struct wk_conn, im);

    if (c->closed || wk_session_state(c->session) != WK_SESSION_OPEN)
        return;
    wk_sealer_hold(wk_conn_per(c)->sealer, p->blob);
    int rc = wk_session_recv(c->session, p->record, p->from_uid, p->channel_id, p->flags);
    if (rc == WKIM_EBUSY) {
        wk_conn_why(c, WK_CLOSE_SLOW);
        wk_count(&wk_conn_per(c)->count.slow_clients, 1);
    }
    if (rc == WKIM_OK) {
        c->out_msgs++;
        c->out_msg_bytes += p->record->payload.n;
        c->out_packets++;
        wk_count(&wk_conn_per(c)->count.out_msgs, 1);
        wk_count(&wk_conn_per(c)->count.out_packets, 1);
        wk_count(&wk_conn_per(c)->count.out_payload, p->record->payload.n);
        if (!(p->flags & WKIM_FLAG_NO_PERSIST) && !ic->kicked && wk_conn_track(c, p) != WKIM_OK) {
            wk_conn_why(c, WK_CLOSE_UNACKED);
            wk_count(&wk_conn_per(c)->count.flood_closes, 1);
            wk_session_close(c->session); /* the client syncs when it comes back */
        }
    }
    wk_conn_wake(c);
}

static void event(struct im_conn *ic, const struct wk_event *e)
{
    struct wk_conn *c = WK_CONTAINER(ic, struct wk_conn, im);

    if (c->closed || wk_session_state(c->session) != WK_SESSION_OPEN)
        return;
    if (wk_session_event(c->session, e) == WKIM_OK) {
        c->out_packets++;
        wk_count(&wk_conn_per(c)->count.out_packets, 1);
    }
    wk_conn_wake(c);
}

static void kick(struct im_conn *ic, uint8_t reason, const char *text, uint32_t delay_ms,
                 bool silent)
{
    struct wk_conn *c = WK_CONTAINER(ic, struct wk_conn, im);

    if (c->closed)
        return;
    wk_conn_why(c, WK_CLOSE_KICK);
    wk_count(&wk_conn_per(c)->count.kicks, 1);
    if (!silent)
        wk_session_warn(c->session, reason, wk_str(text));
    c->close_at_ms = c->shard->now_ms + delay_ms + 1;
    wk_conn_arm(c, c->close_at_ms);
    if (!c->closed)
        wk_conn_wake(c);
}

static void describe(struct im_conn *ic, struct wk_buf *out)
{
    const struct wk_conn *c = WK_CONTAINER(ic, struct wk_conn, im);
    uint64_t now = c->shard->now_ms;
    const char *colon = c->remote ? strrchr(c->remote, ':') : NULL;
    unsigned port = 0;
    wkim_slice ip = colon ? wk_slice(c->remote, (size_t)(colon - c->remote)) : wk_slice(NULL, 0);
    const char *device = ic->device_flag == 0 ? "App" : ic->device_flag == 1 ? "Web"
                         : ic->device_flag == 2 ? "PC" : "未知";

    if (colon && sscanf(colon, ":%5u", &port) != 1)
        port = 0;
    wk_buf_printf(out, "{\"id\":%llu,\"uid\":", (unsigned long long)ic->id);
    wk_json_string(out, ic->uid);
    wk_buf_printf(out, ",\"ip\":");
    wk_json_string(out, ip);
    wk_buf_printf(out, ",\"port\":%u,\"idle_ms\":%llu,\"uptime_ms\":%llu,\"pending_bytes\":%zu",
                  port, (unsigned long long)(now - c->last_in_ms),
                  (unsigned long long)(now - c->connected_ms), wk_session_out(c->session).n);
    wk_buf_printf(
        out, ",\"in_msgs\":%u,\"out_msgs\":%u,\"in_msg_bytes\":%llu,\"out_msg_bytes\":%llu",
        c->in_msgs, c->out_msgs, (unsigned long long)c->in_msg_bytes,
        (unsigned long long)c->out_msg_bytes);
    wk_buf_printf(
        out,
        ",\"in_packets\":%u,\"out_packets\":%u,\"in_packet_bytes\":%llu,\"out_packet_bytes\":%llu",
        c->in_packets, c->out_packets, (unsigned long long)c->in_bytes,
        (unsigned long long)c->out_bytes);
    wk_buf_printf(out, ",\"device\":\"%s(%s)\",\"device_id\":", device, ic->level ? "主" : "从");
    wk_json_string(out, ic->device_id);
    wk_buf_printf(out, ",\"version\":%u,\"node_id\":%llu}", wk_session_version(c->session),
                  (unsigned long long)c->node->set.node_id);
}

const struct im_conn_ops wk_conn_im_ops = {
    .push = push, .event = event, .kick = kick, .describe = describe
};
