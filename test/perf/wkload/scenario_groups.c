#include "wkload.h"

#include <stdlib.h>
#include <string.h>

/* Member j of group g is user (g * members + j) mod users; members past `members` are offline. */
static uint32_t user_of(const struct load *l, uint32_t group, uint32_t member)
{
    return (uint32_t)(((uint64_t)group * l->options.members + member) % l->options.users);
}

static const char *member_name(struct load *l, uint32_t group, uint32_t member)
{
    static char name[NAME_BYTES];

    if (member < l->options.members)
        return l->conns[user_of(l, group, member)].uid;
    snprintf(name, sizeof(name), "%soff%u", l->prefix, member - l->options.members);
    return name;
}

static int make_groups(struct load *l)
{
    const uint32_t all = l->options.members + l->options.offline;
    struct http h;
    int rc = 0;

    if (!l->options.http) {
        load_fail(l, FAIL_SETUP, "this scenario needs --http");
        return -1;
    }
    if (http_open(&h, l->options.http)) {
        load_fail(l, FAIL_SETUP, "%s", h.error);
        return -1;
    }
    for (uint32_t g = 0; rc == 0 && g < l->n_channels; g++)
        rc = http_make_group(l, &h, &l->channels[g], member_name, all);
    http_close(&h);
    return rc;
}

/* A view per (user, group), the views of a user next to each other, ascending by group. */
static int make_views(struct load *l)
{
    const struct options *o = &l->options;
    uint32_t *counts = load_alloc(o->users + 1u, sizeof(*counts));
    uint32_t at = 0;
    int rc = 0;

    for (uint32_t g = 0; g < o->groups; g++)
        for (uint32_t j = 0; j < o->members; j++)
            l->conns[user_of(l, g, j)].n_views++;
    for (uint32_t u = 0; u < o->users; u++) {
        l->conns[u].views = &l->views[at];
        at += l->conns[u].n_views;
    }
    for (uint32_t g = 0; g < o->groups; g++)
        for (uint32_t j = 0; rc == 0 && j < o->members; j++) {
            uint32_t u = user_of(l, g, j);
            struct view *v = &l->conns[u].views[counts[u]++];
            rc = load_view_init(l, v, &l->channels[g], j < o->senders);
            if (j >= o->senders)
                continue;
            struct sender *s = &l->senders[j * o->groups + g];
            s->conn = &l->conns[u];
            s->own = v;
        }
    free(counts);
    return rc;
}

static int build(struct load *l)
{
    struct options *o = &l->options;
    char name[NAME_BYTES];

    if (o->users == 0 || o->users > (uint64_t)o->groups * o->members)
        o->users = o->groups * o->members;
    load_reserve(l, o->users, o->groups, o->groups * o->senders, o->groups * o->members);
    for (uint32_t u = 0; u < o->users; u++) {
        snprintf(name, sizeof(name), "%su%u", l->prefix, u);
        load_conn_name(l, u, name);
    }
    for (uint32_t g = 0; g < o->groups; g++) {
        struct channel *ch = &l->channels[g];
        ch->id_n = (uint32_t)snprintf(ch->id, sizeof(ch->id), "%sg%u", l->prefix, g);
        ch->index = g;
        ch->senders = o->senders;
    }
    if (make_views(l))
        return -1;
    /* In this order neighbours of the open loop go to different groups. */
    for (uint32_t i = 0; i < l->n_senders; i++) {
        struct sender *s = &l->senders[i];
        s->id = i;
        s->slot = i / o->groups;
        s->channel = &l->channels[i % o->groups];
        s->channel_type = WKIM_CHANNEL_GROUP;
        s->deliveries = s->channel->online - 1;
        s->target_n = s->channel->id_n;
        memcpy(s->target, s->channel->id, sizeof(s->target));
    }
    return make_groups(l);
}

static int build_fanout(struct load *l)
{
    l->options.groups = 1;
    l->options.users = 0;
    return build(l);
}

const struct scenario scenario_groups = {
    "groups", "G groups of M subscribers, S of them send", build};
const struct scenario scenario_fanout = {
    "fanout", "one group of M subscribers, --rate messages per second into it", build_fanout};
