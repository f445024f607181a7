/* /connz, /conn/kick, /conn/remove. */
#include "http/api/connz.h"

#include "http/answer.h"
#include "http/decode.h"
#include "http/reply_json.h"
#include "http/route.h"
#include "http/text.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Sort key of the query -> member of a row. */
static const struct sort_key {
    const char *name, *member;
} sort_keys[] = {
    {"id", "id"},
    {"inMsg", "in_msgs"},
    {"outMsg", "out_msgs"},
    {"inMsgBytes", "in_msg_bytes"},
    {"outMsgBytes", "out_msg_bytes"},
    {"outPacket", "out_packets"},
    {"inPacket", "in_packets"},
    {"inPacketBytes", "in_packet_bytes"},
    {"outPacketBytes", "out_packet_bytes"},
    {"uptime", "uptime_ms"},
    {"idle", "idle_ms"},
    {"protoVersion", "version"},
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
        table[i].weight = json_number_value(json_object_get(table[i].object, key->member));
        if (descending)
            table[i].weight = -table[i].weight;
        table[i].place = i;
    }
    qsort(table, n, sizeof(*table), by_weight);
    for (size_t i = 0; i < n; i++)
        json_array_set_new(rows, i, table[i].object);
    free(table);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The node counts milliseconds; the API shows durations and a time as text. */
static void show_row(json_t *row)
{
    uint64_t idle_ms = (uint64_t)json_integer_value(json_object_get(row, "idle_ms"));
    uint64_t uptime_ms = (uint64_t)json_integer_value(json_object_get(row, "uptime_ms"));
    uint64_t second = 1000000000u;
    char text[40];

    wk_text_uptime(uptime_ms / 1000, text);
    json_object_set_new(row, "uptime", json_string(text));
    wk_text_uptime(idle_ms / 1000, text);
    json_object_set_new(row, "idle", json_string(text));
    wk_text_time((now_ns() - idle_ms * 1000000u) / second * second, text);
    json_object_set_new(row, "last_activity", json_string(text));
    json_object_del(row, "idle_ms");
    json_object_del(row, "uptime_ms");
    if (!json_object_get(row, "leader_id"))
        json_object_set(row, "leader_id", json_object_get(row, "node_id"));
    if (!json_object_get(row, "proxy_type_format"))
        json_object_set_new(row, "proxy_type_format", json_string("本地连接"));
}

json_t *wk_connz_rows(const wkim_reply *reply, wkim_slice sort)
{
    json_t *rows = wk_reply_json_rows(reply), *row;
    size_t i;

    if (!rows)
        return NULL;
    sort_rows(rows, sort);
    json_array_foreach(rows, i, row)
    {
        show_row(row);
    }
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

int wk_connz_is_self(struct wk_req *r, uint64_t node_id)
{
    wkim_node_stats s = {.size = sizeof(s)};

    return wkim_node_stats_get(wk_req_node(r), &s) == WKIM_OK && node_id == s.node_id;
}

static void on_connz(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_req *r = c->req;
    json_t *rows = wk_connz_rows(reply, wk_req_query(r, "sort"));
    int64_t offset = wk_req_query_i64(r, "offset"), limit = wk_req_query_i64(r, "limit");
    wkim_node_stats s = {.size = sizeof(s)};
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
    wk_text_time(now_ns(), text);
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
    uint64_t node = wk_req_query_u64(r, "node_id");
    wkim_slice uid = wk_req_query(r, "uid");

    if (node && !wk_connz_is_self(r, node)) {
        wk_answer_error(r, "节点不存在！");
        return;
    }
    wk_req_call(
        &r->call, on_connz,
        wkim_node_connections(wk_req_node(r), wk_text_blank(uid) ? (wkim_slice){NULL, 0} : uid,
                              wk_req_queue(r), &r->call));
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
    if (b.op_node_id && !wk_connz_is_self(r, b.op_node_id))
        wk_answer_error(r, "node not found");
    else if (b.conn_id == 0)
        wk_answer_error(r, "conn_id is 0");
    else if (b.uid.n == 0 || (b.node_id && !wk_connz_is_self(r, b.node_id)))
        wk_answer_ok(r); /* no such connection */
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
