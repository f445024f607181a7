#include "http/message_json.h"

#include "http/text.h"

#include <string.h>

#define SYSTEM_UID "____system"

wkim_slice wk_message_json_from(wkim_slice from_uid)
{
    if (from_uid.n == sizeof(SYSTEM_UID) - 1 && memcmp(from_uid.p, SYSTEM_UID, from_uid.n) == 0)
        return (wkim_slice){NULL, 0};
    return from_uid;
}

wkim_slice wk_message_json_channel(wkim_slice stored, uint8_t channel_type, wkim_slice shown_from)
{
    size_t end = stored.n;

    if (channel_type != WKIM_CHANNEL_PERSON)
        return stored;
    for (size_t i = stored.n; i-- > 0;) {
        if (stored.p[i] != '@' && i != 0)
            continue;
        size_t start = stored.p[i] == '@' ? i + 1 : i;
        wkim_slice part = {stored.p + start, end - start};

        if (!wk_text_same(part, shown_from))
            return part;
        end = i;
    }
    return stored;
}

#define PUT(p, literal)                                                                            \
    ((char *)memcpy((p), (literal), sizeof(literal) - 1) + (sizeof(literal) - 1))

/* Fixed texts, numbers and quotes of one message are below this. */
#define FIXED_MAX 448u

static char *put_flags(char *p, uint8_t flags)
{
    p = PUT(p, "{\"header\":{\"no_persist\":");
    *p++ = flags & WKIM_FLAG_NO_PERSIST ? '1' : '0';
    p = PUT(p, ",\"red_dot\":");
    *p++ = flags & WKIM_FLAG_RED_DOT ? '1' : '0';
    p = PUT(p, ",\"sync_once\":");
    *p++ = flags & WKIM_FLAG_SYNC_ONCE ? '1' : '0';
    return PUT(p, "},\"setting\":");
}

void wk_message_json(struct wk_jsonbuf *b, const wkim_message *m)
{
    wkim_slice from = wk_message_json_from(m->from_uid);
    wkim_slice channel = wk_message_json_channel(m->channel_id, m->channel_type, from);
    char *p = wk_jsonbuf_room(
        b, FIXED_MAX + WK_JSON_BASE64_MAX(m->payload.n) + m->events.n +
               WK_JSON_STR_MAX(from.n + channel.n + m->client_msg_no.n + m->topic.n));
    char *id;

    if (!p)
        return;
    p = put_flags(p, m->flags);
    p = wk_json_put_u64(p, m->setting);
    p = PUT(p, ",\"message_id\":");
    id = p;
    p = wk_json_put_i64(p, m->message_id);
    size_t id_n = (size_t)(p - id);

    p = PUT(p, ",\"message_idstr\":\"");
    memcpy(p, id, id_n);
    p += id_n;
    p = PUT(p, "\",\"client_msg_no\":");
    p = wk_json_put_str(p, m->client_msg_no);
    p = PUT(p, ",\"message_seq\":");
    p = wk_json_put_u64(p, m->message_seq);
    p = PUT(p, ",\"from_uid\":");
    p = wk_json_put_str(p, from);
    p = PUT(p, ",\"channel_id\":");
    p = wk_json_put_str(p, channel);
    p = PUT(p, ",\"channel_type\":");
    p = wk_json_put_u64(p, m->channel_type);
    if (m->topic.n) {
        p = PUT(p, ",\"topic\":");
        p = wk_json_put_str(p, m->topic);
    }
    p = PUT(p, ",\"expire\":");
    p = wk_json_put_u64(p, m->expire_s);
    p = PUT(p, ",\"timestamp\":");
    p = wk_json_put_u64(p, m->timestamp_ms / 1000);
    p = PUT(p, ",\"payload\":");
    p = wk_json_put_base64(p, m->payload);
    if (m->events.n) {
        *p++ = ',';
        memcpy(p, m->events.p, m->events.n);
        p += m->events.n;
    }
    *p++ = '}';
    wk_jsonbuf_used(b, p);
}
