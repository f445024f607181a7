#include "wkload.h"

#include <string.h>

static bool in_window(const struct load *l, uint64_t at_us)
{
    uint64_t t0 = atomic_load_explicit(&l->t0_us, memory_order_relaxed);

    return t0 != 0 && at_us >= t0 + l->warm_us && at_us < t0 + l->end_us;
}

static void on_connack(struct worker *w, struct conn *c, const wkim_packet *p)
{
    struct load *l = w->load;

    if (c->state != CONN_LOGIN) {
        load_fail(l, FAIL_PROTOCOL, "%s: a second CONNACK", c->uid);
        return;
    }
    if (p->reason != WKIM_REASON_SUCCESS) {
        load_fail(l, FAIL_LOGIN, "%s: CONNACK %u (%s)", c->uid, p->reason,
                  load_reason_name(p->reason));
        conn_close(w, c);
        return;
    }
    if ((p->key.n == 0) == l->options.encrypt) {
        load_fail(l, FAIL_LOGIN, "%s: the server does%s encrypt: run %s --no-encrypt", c->uid,
                  p->key.n ? "" : " not", p->key.n ? "without" : "with");
        conn_close(w, c);
        return;
    }
    int rc = p->key.n ? wkim_cipher_derive(c->cipher, p->key, p->salt) : WKIM_OK;
    if (rc != WKIM_OK) {
        load_fail(l, FAIL_LOGIN, "%s: no keys from this CONNACK: %s", c->uid, wkim_strerror(rc));
        conn_close(w, c);
        return;
    }
    if (p->version != 0 && p->version < c->version)
        c->version = p->version;
    c->state = CONN_READY;
    worker_logged_in(w, c);
}

static void own_number(struct load *l, struct conn *c, struct view *v, uint64_t seq)
{
    enum sequence_result r = sequence_add(&v->sequence, seq);

    if (r == SEQUENCE_REPEAT)
        load_fail(l, FAIL_REPEAT, "%s: SENDACK with message_seq %llu, seen before", c->uid,
                  (unsigned long long)seq);
    else if (r != SEQUENCE_OK)
        load_fail(l, FAIL_GAP, "%s: SENDACK with message_seq %llu, %llu was expected", c->uid,
                  (unsigned long long)seq, (unsigned long long)v->sequence.low + 1);
}

static void accepted(struct worker *w, struct conn *c, struct sender *s, const wkim_packet *p)
{
    struct load *l = w->load;

    COUNT(w->counters.expected, s->deliveries);
    if (p->message_id == 0)
        load_fail(l, FAIL_PROTOCOL, "%s: SENDACK without message_id", c->uid);
    if ((p->message_seq == 0) == l->options.persist)
        load_fail(l, FAIL_PROTOCOL, "%s: message_seq %llu in the SENDACK of a %s message", c->uid,
                  (unsigned long long)p->message_seq, l->options.persist ? "stored" : "passing");
    else if (s->own && l->options.persist)
        own_number(l, c, s->own, p->message_seq);
}

static void on_sendack(struct worker *w, struct conn *c, const wkim_packet *p)
{
    struct load *l = w->load;
    struct flight *f = c->flight_cap ? &c->flights[p->client_seq & (c->flight_cap - 1)] : NULL;

    if (!f || f->seq != p->client_seq || p->client_seq == 0) {
        load_fail(l, FAIL_PROTOCOL, "%s: SENDACK for client_seq %u, which does not wait for one",
                  c->uid, p->client_seq);
        return;
    }
    struct sender *s = f->sender;
    uint64_t took = w->now_us > f->intended_us ? w->now_us - f->intended_us : 0;

    if (in_window(l, f->intended_us))
        histogram_add(&w->ack, took);
    histogram_add(&w->second_ack, took);
    f->seq = 0;
    c->in_flight--;
    s->in_flight--;
    COUNT(w->counters.in_flight, (uint64_t)-1);
    COUNT(w->counters.acked, 1);
    if (in_window(l, w->now_us))
        COUNT(w->counters.acked_in_window, 1);
    if (p->reason != WKIM_REASON_SUCCESS) {
        pthread_mutex_lock(&l->fail_lock);
        l->refused[p->reason]++;
        pthread_mutex_unlock(&l->fail_lock);
        load_fail(l, FAIL_REFUSED, "%s to %s: SENDACK %u (%s)", c->uid, s->target, p->reason,
                  load_reason_name(p->reason));
    } else {
        accepted(w, c, s, p);
    }
    uint64_t t0 = atomic_load_explicit(&l->t0_us, memory_order_relaxed);
    if (l->options.rate <= 0 && w->now_us < t0 + l->end_us)
        conn_send(w, s, w->now_us);
}

static struct view *find_view(const struct load *l, const struct conn *c, wkim_slice id,
                              uint32_t sender)
{
    /* The sender's channel is what the RECV must name; person channels are named by the peer. */
    if (sender >= l->n_senders)
        return NULL;
    const struct sender *s = &l->senders[sender];
    const bool person = s->channel_type == WKIM_CHANNEL_PERSON;
    const char *name = person ? s->conn->uid : s->target;

    if ((person ? s->conn->uid_n : s->target_n) != id.n || memcmp(name, id.p, id.n) != 0)
        return NULL;
    uint32_t low = 0, high = c->n_views;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (c->views[mid].channel == s->channel)
            return &c->views[mid];
        if (c->views[mid].channel->index < s->channel->index)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* Unpack a sample as a real client would: key, payload, content. */
static void verify(struct worker *w, struct conn *c, const wkim_packet *p, const struct stamp *st)
{
    struct load *l = w->load;
    wkim_slice plain = p->payload;
    char key[32];

    if (c->cipher) {
        int rc = wkim_cipher_sign(c->cipher, p, key);
        if (rc == WKIM_OK && (p->key.n != 32 || memcmp(key, p->key.p, 32) != 0)) {
            load_fail(l, FAIL_VERIFY, "%s: wrong msgKey in message %lld", c->uid,
                      (long long)p->message_id);
            return;
        }
        if (rc == WKIM_OK)
            rc = wkim_cipher_open(c->cipher, p->payload, &plain);
        if (rc != WKIM_OK) {
            load_fail(l, FAIL_VERIFY, "%s: message %lld does not open: %s", c->uid,
                      (long long)p->message_id, wkim_strerror(rc));
            return;
        }
    }
    uint32_t size = l->options.size;
    if (plain.n != size || memcmp(plain.p, p->client_msg_no.p, STAMP_CHARS) != 0 ||
        memcmp(plain.p + STAMP_CHARS, stamp_filler(l, st), size - STAMP_CHARS) != 0)
        load_fail(l, FAIL_VERIFY, "%s: message %lld has other content than was sent", c->uid,
                  (long long)p->message_id);
    COUNT(w->counters.verified, 1);
}

static void check_number(struct load *l, struct conn *c, struct view *v, const wkim_packet *p,
                         const struct stamp *st)
{
    const unsigned long long seq = p->message_seq;

    if (l->options.persist) {
        uint64_t low = v->sequence.low;
        enum sequence_result r = sequence_add(&v->sequence, p->message_seq);
        if (r == SEQUENCE_REPEAT)
            load_fail(l, FAIL_REPEAT, "%s: message_seq %llu of %s again (at %llu)", c->uid, seq,
                      v->channel->id, (unsigned long long)low);
        else if (r != SEQUENCE_OK)
            load_fail(l, FAIL_GAP, "%s: message_seq %llu of %s after %llu", c->uid, seq,
                      v->channel->id, (unsigned long long)low);
        return;
    }
    uint32_t *last = &v->counters[l->senders[st->sender].slot];
    if (seq != 0)
        load_fail(l, FAIL_PROTOCOL, "%s: passing message with message_seq %llu", c->uid, seq);
    if (st->counter <= *last)
        load_fail(l, FAIL_REPEAT, "%s: message %u of %s after %u", c->uid, st->counter,
                  v->channel->id, *last);
    else if (st->counter != *last + 1)
        load_fail(l, FAIL_GAP, "%s: message %u of %s after %u", c->uid, st->counter,
                  v->channel->id, *last);
    if (st->counter > *last)
        *last = st->counter;
}

static void on_recv(struct worker *w, struct conn *c, const wkim_packet *p)
{
    struct load *l = w->load;
    const wkim_packet ack = {
        .type = WKIM_PACKET_RECVACK,
        .flags = p->flags,
        .message_id = p->message_id,
        .message_seq = p->message_seq,
    };
    struct stamp st;

    conn_put(w, c, &ack);
    COUNT(w->counters.received, 1);
    if (stamp_read(&st, p->client_msg_no) || st.run != l->run) {
        load_fail(l, FAIL_PROTOCOL, "%s: a message that this run did not send (id %lld)", c->uid,
                  (long long)p->message_id);
        return;
    }
    struct view *v = find_view(l, c, p->channel_id, st.sender);
    if (!v) {
        load_fail(l, FAIL_PROTOCOL, "%s: message of channel %.*s, sender %u: not for this one",
                  c->uid, (int)p->channel_id.n, (const char *)p->channel_id.p, st.sender);
        return;
    }
    check_number(l, c, v, p, &st);
    uint64_t took = w->now_us > st.intended_us ? w->now_us - st.intended_us : 0;
    if (in_window(l, st.intended_us))
        histogram_add(&w->recv, took);
    histogram_add(&w->second_recv, took);
    if (in_window(l, w->now_us))
        COUNT(w->counters.received_in_window, 1);
    if (l->options.verify && --w->until_verify == 0) {
        w->until_verify = l->options.verify;
        verify(w, c, p, &st);
    }
}

void conn_packet(struct worker *w, struct conn *c, const wkim_packet *p)
{
    struct load *l = w->load;

    if (c->state == CONN_LOGIN && p->type != WKIM_PACKET_CONNACK &&
        p->type != WKIM_PACKET_DISCONNECT) {
        load_fail(l, FAIL_PROTOCOL, "%s: packet type %u before CONNACK", c->uid, p->type);
        return;
    }
    switch (p->type) {
    case WKIM_PACKET_CONNACK:
        on_connack(w, c, p);
        break;
    case WKIM_PACKET_SENDACK:
        on_sendack(w, c, p);
        break;
    case WKIM_PACKET_RECV:
        on_recv(w, c, p);
        break;
    case WKIM_PACKET_PONG:
        c->ping_open = false;
        COUNT(w->counters.pongs, 1);
        break;
    case WKIM_PACKET_DISCONNECT:
        load_fail(l, c->state == CONN_LOGIN ? FAIL_LOGIN : FAIL_CLOSED,
                  "%s: DISCONNECT %u (%s) %.*s", c->uid, p->reason, load_reason_name(p->reason),
                  (int)p->name.n, (const char *)p->name.p);
        conn_close(w, c);
        break;
    default:
        load_fail(l, FAIL_PROTOCOL, "%s: packet type %u", c->uid, p->type);
    }
}
