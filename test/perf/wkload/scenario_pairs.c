#include "wkload.h"

static void name_person(struct load *l, uint32_t conn, uint32_t pair, char side)
{
    char name[NAME_BYTES];

    snprintf(name, sizeof(name), "%sp%u%c", l->prefix, pair, side);
    load_conn_name(l, conn, name);
}

static void set_sender(struct load *l, uint32_t id, struct conn *from, const struct conn *to,
                       struct channel *ch, uint32_t slot)
{
    struct sender *s = &l->senders[id];

    s->conn = from;
    s->channel = ch;
    s->own = from->n_views ? from->views : NULL;
    s->target_n = (uint32_t)snprintf(s->target, sizeof(s->target), "%s", to->uid);
    s->id = id;
    s->slot = slot;
    s->deliveries = 1;
    s->channel_type = WKIM_CHANNEL_PERSON;
}

/* Connections 2i and 2i + 1 talk to each other. */
static int build(struct load *l)
{
    const uint32_t n = l->options.pairs, ways = l->options.both ? 2 : 1;

    load_reserve(l, 2 * n, n, ways * n, ways * n);
    for (uint32_t i = 0; i < n; i++) {
        struct channel *ch = &l->channels[i];
        struct conn *a = &l->conns[2 * i], *b = &l->conns[2 * i + 1];

        name_person(l, 2 * i, i, 'a');
        name_person(l, 2 * i + 1, i, 'b');
        ch->index = i;
        ch->senders = ways;
        ch->id_n = (uint32_t)snprintf(ch->id, sizeof(ch->id), "pair %u", i);
        b->views = &l->views[ways * i];
        b->n_views = 1;
        if (load_view_init(l, b->views, ch, l->options.both))
            return -1;
        if (l->options.both) {
            a->views = &l->views[ways * i + 1];
            a->n_views = 1;
            if (load_view_init(l, a->views, ch, true))
                return -1;
            set_sender(l, n + i, b, a, ch, 1);
        }
        set_sender(l, i, a, b, ch, 0);
    }
    return 0;
}

const struct scenario scenario_pairs = {
    "pairs", "N pairs of users, one side or both send to the other", build};
