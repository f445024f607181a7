#include "http/server.h"

#include "config/show.h"
#include "http/jsonbuf.h"
#include "http/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef WK_WEB_DIR
#define WK_WEB_DIR "build/web"
#endif

#define DEFAULT_BODY_MAX (10 * 1024 * 1024)
#define DEFAULT_REQUESTS_MAX 4096

static const char *text_of(const wkim_config *cfg, const char *key)
{
    const char *v = wkim_config_get(cfg, key);

    return v ? v : "";
}

/* Value of a number that may be unknown to the configuration or unset. */
static int64_t number_of(const wkim_config *cfg, const char *key, int64_t otherwise)
{
    int64_t v = wkim_config_get(cfg, key) ? wkim_config_int(cfg, key) : 0;

    return v > 0 ? v : otherwise;
}

static int is_on(const wkim_config *cfg, const char *key)
{
    return number_of(cfg, key, 0) != 0;
}

/* The demo is for trying things out: in release mode it must be asked for. */
static int demo_is_on(const wkim_config *cfg)
{
    if (strcmp(text_of(cfg, "mode"), "release") == 0 && !wkim_config_is_set(cfg, "demo.on"))
        return 0;
    return is_on(cfg, "demo.on");
}

static void read_texts(struct wk_http_options *o, const wkim_config *cfg)
{
    o->api_addr = strdup(text_of(cfg, "httpAddr"));
    o->manager_addr = strdup(o->manager_on ? text_of(cfg, "manager.addr") : "");
    o->demo_addr = strdup(demo_is_on(cfg) ? text_of(cfg, "demo.addr") : "");
    o->token = strdup(text_of(cfg, "managerToken"));
    o->manager_uid = strdup(text_of(cfg, "managerUID"));
    o->mode = strdup(text_of(cfg, "mode"));
    o->web_dir = strdup(WK_WEB_DIR);
    o->tls_cert = strdup(*text_of(cfg, "tlsAddr") ? text_of(cfg, "tlsConfig.certFile") : "");
    o->wss_cert = strdup(*text_of(cfg, "wssAddr") ? text_of(cfg, "wssConfig.certFile") : "");
    o->tcp_addr = strdup(text_of(cfg, "external.tcpAddr"));
    o->ws_addr = strdup(text_of(cfg, "external.wsAddr"));
    o->wss_addr = strdup(text_of(cfg, "external.wssAddr"));
    o->told_manager_addr = strdup(text_of(cfg, "external.managerAddr"));
    o->api_url = strdup(text_of(cfg, "external.apiUrl"));
    o->intranet_tcp_addr = strdup(text_of(cfg, "intranet.tcpAddr"));
}

/* [{"key","type","value","set","effect"}, ...], with a NUL behind it; NULL without memory. */
static char *config_json(const wkim_config *cfg)
{
    const char *key, *type;
    struct wk_jsonbuf b;
    int effect;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"keys\":[");
    for (size_t i = 0; wkim_config_key(i, &key, &type, NULL, NULL, &effect); i++) {
        char *value = wk_config_shown(cfg, key, type);

        b.failed |= !value;
        wk_jsonbuf_lit(&b, i ? ",{\"key\":" : "{\"key\":");
        wk_jsonbuf_cstr(&b, key);
        wk_jsonbuf_lit(&b, ",\"type\":");
        wk_jsonbuf_cstr(&b, type);
        wk_jsonbuf_lit(&b, ",\"value\":");
        wk_jsonbuf_cstr(&b, value ? value : "");
        wk_jsonbuf_lit(&b, wkim_config_is_set(cfg, key) ? ",\"set\":1" : ",\"set\":0");
        wk_jsonbuf_lit(&b, effect ? ",\"effect\":1}" : ",\"effect\":0}");
        free(value);
    }
    wk_jsonbuf_lit(&b, "]}");
    wk_jsonbuf_raw(&b, "", 1);
    if (!b.failed)
        return b.p;
    wk_jsonbuf_fini(&b);
    return NULL;
}

int wk_http_options_read(struct wk_http_options *o, const wkim_config *cfg, wkim_error *err)
{
    *o = (struct wk_http_options){0};
    o->manager_on = is_on(cfg, "manager.on");
    read_texts(o, cfg);
    o->body_max = number_of(cfg, "limits.maxHttpBody", DEFAULT_BODY_MAX);
    o->requests_max = number_of(cfg, "limits.maxHttpRequests", DEFAULT_REQUESTS_MAX);
    int64_t threads = number_of(cfg, "limits.httpThreads", 1);

    o->threads = threads > WK_HTTP_THREADS_MAX ? WK_HTTP_THREADS_MAX : (int)threads;
    o->send_async = is_on(cfg, "api.sendAsync");
    o->metrics_on_api = is_on(cfg, "api.metrics");
    o->tag_expire_ms = wkim_config_int(cfg, "tag.expire");
    o->batch_on = is_on(cfg, "api.batch");
    o->debug_on = is_on(cfg, "api.debug");
    o->cmd_sync_off = is_on(cfg, "disableCMDMessageSync");
    o->cmd_legacy_id = is_on(cfg, "cmd.legacyChannelId");
    o->trace_on = is_on(cfg, "logger.traceOn");
    o->loki_on = *text_of(cfg, "logger.loki.url") != 0;
    o->prometheus_on = *text_of(cfg, "trace.prometheusApiUrl") != 0;
    o->stress_on = is_on(cfg, "stress");
    if (o->debug_on)
        o->config_json = config_json(cfg);
    if ((!o->debug_on || o->config_json) && o->api_addr && o->manager_addr && o->demo_addr &&
        o->token && o->manager_uid && o->mode &&
        o->web_dir && o->tcp_addr && o->ws_addr && o->wss_addr && o->told_manager_addr &&
        o->api_url && o->intranet_tcp_addr && o->tls_cert && o->wss_cert)
        return WKIM_OK;
    wk_http_options_fini(o);
    err->code = WKIM_ENOMEM;
    snprintf(err->text, sizeof(err->text), "out of memory for the HTTP options");
    return WKIM_ENOMEM;
}

void wk_http_options_fini(struct wk_http_options *o)
{
    free(o->config_json);
    free(o->api_addr);
    free(o->manager_addr);
    free(o->demo_addr);
    free(o->token);
    free(o->manager_uid);
    free(o->mode);
    free(o->tcp_addr);
    free(o->ws_addr);
    free(o->wss_addr);
    free(o->intranet_tcp_addr);
    free(o->told_manager_addr);
    free(o->api_url);
    free(o->web_dir);
    free(o->tls_cert);
    free(o->wss_cert);
    *o = (struct wk_http_options){0};
}
