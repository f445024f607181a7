/* /connz, /conn/kick, /conn/remove. */
#include "api_connz.h"

#include "answer.h"
#include "decode.h"
#include "route.h"
#include "text.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Sort key of the query -> member of a row; a `d` in `how` means a duration text. */
static const struct sort_key {
    const char *name, *member;
    int is_duration;
} sort_keys[] = {
    {"id", "id", 0},
    {"inMsg", "in_msgs", 0},
    {"outMsg", "out_msgs", 0},
    {"inMsgBytes", "in_msg_bytes", 0},
    {"outMsgBytes", "out_msg_bytes", 0},
    {"outPacket", "out_packets", 0},
    {"inPacket", "in_packets", 0},
    {"inPacketBytes", "in_packet_bytes", 0},
    {"outPacketBytes", "out_packet_bytes", 0},
    {"uptime", "uptime", 1},
    {"idle", "idle", 1},
    {"protoVersion", "version", 0},
};

struct row {
    json_t *object;
    double weight;
    size_t place; /* keeps the sort stable */
};

static int by_weight(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight < y->weight ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static double weight_of(const json_t *object, const struct sort_key *key)
{
    const json_t *v = json_object_get(object, key->member);

    if (key->is_duration)
        return json_is_string(v) ? wk_text_uptime_seconds(json_string_value(v)) : 0;
    return json_number_value(v);
}

static void sort_rows(json_t *rows, wkim_slice sort)
{
    const struct sort_key *key = &sort_keys[0];
    int descending = wk_text_ends(sort, "Desc");
    size_t n = json_array_size(rows);
    struct row *table = n ? calloc(n, sizeof(*table)) : NULL;

    if (!table)
        return;
    if (descending)
        sort.n -= 4;
    for (size_t i = 0; i < WK_COUNT(sort_keys); i++) {
        if (wk_text_equal(sort, sort_keys[i].name))
            key = &sort_keys[i];
    }
    if (!wk_text_equal(sort, key->name))
        descending = 0;
    for (size_t i = 0; i < n; i++) {
        table[i].object = json_incref(json_array_get(rows, i));
        table[i].weight = weight_of(table[i].object, key) * (descending ? -1 : 1);
        table[i].place = i;
    }
    qsort(table, n, sizeof(*table), by_weight);
    for (size_t i = 0; i < n; i++)
        json_array_set_new(rows, i, table[i].object);
    free(table);
}

json_t *wk_connz_rows(const wkim_reply *reply, wkim_slice sort)
{
    wkim_slice text;

    if (wkim_reply_code(reply) != WKIM_OK || wkim_reply_string(reply, 0, &text) != WKIM_OK)
        return NULL;
    json_t *rows = json_loadb((const char *)text.p, text.n, 0, NULL);

    if (!json_is_array(rows)) {
        json_decref(rows);
        return NULL;
    }
    sort_rows(rows, sort);
    return rows;
}

void wk_connz_cut(json_t *rows, size_t offset, size_t limit)
{
    while (offset && json_array_size(rows)) {
        json_array_remove(rows, 0);
        offset--;
    }
    while (json_array_size(rows) > limit)
        json_array_remove(rows, json_array_size(rows) - 1);
}

void wk_connz_strip(json_t *rows)
{
    static const char *const members[] = {"proxy_type_format", "leader_id", "node_id"};
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        for (size_t m = 0; m < WK_COUNT(members); m++)
            json_object_del(row, members[m]);
    }
}

void wk_connz_put(struct wk_jsonbuf *b, const json_t *rows)
{
    char *text = json_dumps(rows, JSON_COMPACT);

    if (text)
        wk_jsonbuf_lit(b, text);
    else
        b->failed = 1;
    free(text);
}

int wk_connz_is_self(struct wk_req *r, int64_t node_id)
{
    wkim_node_stats s = {.size = sizeof(s)};

    return wkim_node_stats_get(wk_req_node(r), &s) == WKIM_OK && node_id >= 0 &&
           (uint64_t)node_id == s.node_id;
}

static void on_connz(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_req *r = c->req;
    json_t *rows = wk_connz_rows(reply, wk_req_query(r, "sort"));
    int64_t offset = wk_req_query_i64(r, "offset"), limit = wk_req_query_i64(r, "limit");
    wkim_node_stats s = {.size = sizeof(s)};
    struct timespec now;
    struct wk_jsonbuf b;
    char text[40];

    if (!rows) {
        int code = wkim_reply_code(reply);

        wk_answer_code(r, code == WKIM_OK ? WKIM_ENOMEM : code, wkim_reply_text(reply));
        return;
    }
    wkim_node_stats_get(wk_req_node(r), &s);
    offset = offset < 0 ? 0 : offset;
    limit = limit <= 0 ? WK_CONNZ_LIMIT : limit;
    wk_connz_cut(rows, (size_t)offset, (size_t)limit);
    clock_gettime(CLOCK_REALTIME, &now);
    wk_text_time((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, text);
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"connections\":");
    wk_connz_put(&b, rows);
    wk_jsonbuf_lit(&b, ",\"now\":");
    wk_jsonbuf_cstr(&b, text);
    wk_jsonbuf_lit(&b, ",\"total\":");
    wk_jsonbuf_u64(&b, s.connections);
    wk_jsonbuf_lit(&b, ",\"offset\":");
    wk_jsonbuf_i64(&b, offset);
    wk_jsonbuf_lit(&b, ",\"limit\":");
    wk_jsonbuf_i64(&b, limit);
    wk_jsonbuf_char(&b, '}');
    json_decref(rows);
    wk_answer_json(r, &b);
}

void wk_api_connz(struct wk_req *r)
{
    int64_t node = wk_req_query_i64(r, "node_id");

    if (node && !wk_connz_is_self(r, node)) {
        wk_answer_error(r, "节点不存在！");
        return;
    }
    wk_req_call(
        &r->call, on_connz,
        wkim_node_connections(wk_req_node(r), wk_req_query(r, "uid"), wk_req_queue(r), &r->call));
}

struct conn_body {
    wkim_slice uid;
    int64_t conn_id;
    uint64_t node_id, op_node_id;
};

#define F(name, kind) WK_FIELD(struct conn_body, name, kind)
static const struct wk_field conn_fields[] = {
    F(uid, STR),
    F(conn_id, I64),
    F(node_id, U64),
    F(op_node_id, U64),
};
#undef F

static void drop_connection(struct wk_req *r, int silent)
{
    struct conn_body b = {0};

    if (wk_decode_object(r, "connReq", conn_fields, WK_COUNT(conn_fields), &b) != WKIM_OK)
        return;
    if (b.op_node_id && !wk_connz_is_self(r, (int64_t)b.op_node_id))
        wk_answer_error(r, "node not found");
    else if (b.conn_id == 0)
        wk_answer_error(r, "conn_id is 0");
    else
        wk_req_call(&r->call, wk_answer_then_ok,
                    wkim_node_conn_kick(wk_req_node(r), b.uid, b.conn_id, silent, wk_req_queue(r),
                                        &r->call));
}

void wk_api_conn_kick(struct wk_req *r)
{
    drop_connection(r, 0);
}

void wk_api_conn_remove(struct wk_req *r)
{
    drop_connection(r, 1);
}
