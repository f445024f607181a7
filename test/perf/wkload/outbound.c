#include "wkload.h"

#include <string.h>

static int grow_flights(struct conn *c)
{
    uint32_t cap = c->flight_cap ? c->flight_cap * 2 : 16;

    if (cap > FLIGHT_MAX)
        return -1;
    struct flight *wider = load_alloc(cap, sizeof(*wider));
    for (uint32_t i = 0; i < c->flight_cap; i++)
        if (c->flights[i].seq != 0)
            wider[c->flights[i].seq & (cap - 1)] = c->flights[i];
    free(c->flights);
    c->flights = wider;
    c->flight_cap = cap;
    return 0;
}

/* Slot of the next client_seq; NULL when too many SENDs wait for their acknowledgement. */
static struct flight *take_flight(struct conn *c)
{
    uint32_t seq = c->next_seq + 1;

    if (seq == 0)
        seq = 1;
    while (c->flight_cap == 0 || c->flights[seq & (c->flight_cap - 1)].seq != 0)
        if (grow_flights(c))
            return NULL;
    c->next_seq = seq;
    struct flight *f = &c->flights[seq & (c->flight_cap - 1)];
    f->seq = seq;
    c->in_flight++;
    return f;
}

static int seal(struct load *l, struct conn *c, wkim_packet *p, char key[32])
{
    int rc = wkim_cipher_seal(c->cipher, p->payload, &p->payload);

    if (rc == WKIM_OK)
        rc = wkim_cipher_sign(c->cipher, p, key);
    if (rc != WKIM_OK) {
        load_fail(l, FAIL_PROTOCOL, "%s: sealing failed: %s", c->uid, wkim_strerror(rc));
        return -1;
    }
    p->key = (wkim_slice){(const uint8_t *)key, 32};
    return 0;
}

void conn_send(struct worker *w, struct sender *s, uint64_t intended_us)
{
    struct load *l = w->load;
    struct conn *c = s->conn;
    const struct stamp stamp = {l->run, s->id, s->counter + 1, intended_us};
    const uint32_t size = l->options.size;
    char key[32];

    if (c->state != CONN_READY)
        return;
    struct flight *f = take_flight(c);
    if (!f) {
        load_fail(l, FAIL_MISSING_ACK, "%s: %u SENDs unacknowledged, sending stops", c->uid,
                  c->in_flight);
        conn_close(w, c);
        return;
    }
    f->sender = s;
    f->intended_us = intended_us;
    stamp_write(&stamp, w->plain);
    memcpy(w->plain + STAMP_CHARS, stamp_filler(l, &stamp), size - STAMP_CHARS);
    wkim_packet p = {
        .type = WKIM_PACKET_SEND,
        .flags = (uint8_t)(WKIM_FLAG_RED_DOT | (l->options.persist ? 0 : WKIM_FLAG_NO_PERSIST)),
        .channel_type = s->channel_type,
        .client_seq = f->seq,
        .channel_id = {(const uint8_t *)s->target, s->target_n},
        .client_msg_no = {w->plain, STAMP_CHARS},
        .payload = {w->plain, size},
    };
    if (c->cipher && seal(l, c, &p, key)) {
        conn_close(w, c);
        return;
    }
    s->counter++;
    s->in_flight++;
    COUNT(w->counters.sent, 1);
    COUNT(w->counters.in_flight, 1);
    histogram_add(&w->lateness, w->now_us > intended_us ? w->now_us - intended_us : 0);
    conn_put(w, c, &p);
}
