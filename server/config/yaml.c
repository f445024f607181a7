#include "config/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#define DEPTH_MAX 16
#define PATH_BYTES_MAX 256
#define KEYS_MAX 512
#define FILE_BYTES_MAX (4L << 20)

struct loader {
    wkim_config *cfg;
    const char *file;
    struct wk_problems *problems;
    char path[PATH_BYTES_MAX]; /* "a.b.c" of the key being read */
    size_t ends[DEPTH_MAX];    /* length of path at each open mapping */
    size_t depth;              /* open mappings */
    int expect_value;          /* a key was read */
    int in_list;
    int stop;
    size_t lines[KEYS_MAX]; /* where a key was given first, 0: not yet */
};

static void problem(struct loader *l, const yaml_mark_t *mark, const char *text)
{
    wk_problems_add(l->problems, 1, "config: %s:%zu:%zu: %s", l->file, mark->line + 1,
                    mark->column + 1, text);
    l->stop = 1;
}

static const char *where(const struct loader *l, const yaml_event_t *ev, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s:%zu", l->file, ev->start_mark.line + 1);
    return out;
}

static void note_twice(struct loader *l, size_t line)
{
    const char *key;

    for (size_t i = 0; i < KEYS_MAX && wkim_config_key(i, &key, NULL, NULL, NULL, NULL); i++) {
        if (strcasecmp(key, l->path) != 0)
            continue;
        if (l->lines[i])
            wk_problems_add(l->problems, 0, "config: %s: already given at line %zu [%s:%zu]", key,
                            l->lines[i], l->file, line);
        l->lines[i] = line;
    }
}

/* Append a component to the path. */
static int enter_key(struct loader *l, const yaml_event_t *ev)
{
    const char *name = (const char *)ev->data.scalar.value;
    size_t base = l->ends[l->depth - 1], n = strlen(name);

    if (n == 0 || base + n + 2 > PATH_BYTES_MAX) {
        problem(l, &ev->start_mark, "key empty or too long");
        return -1;
    }
    if (base)
        l->path[base++] = '.';
    memcpy(l->path + base, name, n + 1);
    l->expect_value = 1;
    return 0;
}

static int is_null(const yaml_event_t *ev)
{
    const char *text = (const char *)ev->data.scalar.value;

    return ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (*text == '\0' || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

static void value_done(struct loader *l)
{
    l->expect_value = 0;
    l->path[l->ends[l->depth - 1]] = '\0';
}

static void on_scalar(struct loader *l, const yaml_event_t *ev)
{
    const char *text = (const char *)ev->data.scalar.value;
    char at[PATH_BYTES_MAX + 32];

    if (l->depth == 0) {
        if (!is_null(ev))
            problem(l, &ev->start_mark, "the file must hold \"key: value\" lines");
        return;
    }
    if (strlen(text) != ev->data.scalar.length) {
        problem(l, &ev->start_mark, "a NUL byte is not allowed");
        return;
    }
    if (!l->expect_value) {
        (void)enter_key(l, ev);
        return;
    }
    if (!l->in_list && !is_null(ev))
        note_twice(l, ev->start_mark.line + 1);
    if (!is_null(ev))
        wk_config_put(l->cfg, l->path, text, l->in_list, WKIM_SOURCE_FILE,
                      where(l, ev, at, sizeof(at)), l->problems);
    if (!l->in_list)
        value_done(l);
}

static void on_mapping(struct loader *l, const yaml_event_t *ev)
{
    if (l->in_list) {
        problem(l, &ev->start_mark, "items of a list must be plain values");
        return;
    }
    if (l->depth == DEPTH_MAX) {
        problem(l, &ev->start_mark, "nested too deeply");
        return;
    }
    if (l->depth > 0 && !l->expect_value) {
        problem(l, &ev->start_mark, "a key must be a plain word");
        return;
    }
    l->ends[l->depth] = l->depth ? strlen(l->path) : 0;
    l->depth++;
    l->expect_value = 0;
}

static void on_list(struct loader *l, const yaml_event_t *ev)
{
    char at[PATH_BYTES_MAX + 32];
    wkim_error err;

    if (l->depth == 0 || !l->expect_value || l->in_list) {
        problem(l, &ev->start_mark, "a list is not expected here");
        return;
    }
    note_twice(l, ev->start_mark.line + 1);
    l->in_list = 1;
    /* Empties what is there; anything but a list says so at its first item. */
    if (wkim_config_list(l->cfg, l->path, 0, NULL) > 0)
        (void)wkim_config_set(l->cfg, l->path, "", WKIM_SOURCE_FILE, where(l, ev, at, sizeof(at)),
                              &err);
}

static void on_event(struct loader *l, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        on_scalar(l, ev);
        break;
    case YAML_MAPPING_START_EVENT:
        on_mapping(l, ev);
        break;
    case YAML_MAPPING_END_EVENT:
        l->depth--;
        if (l->depth)
            value_done(l);
        break;
    case YAML_SEQUENCE_START_EVENT:
        on_list(l, ev);
        break;
    case YAML_SEQUENCE_END_EVENT:
        l->in_list = 0;
        value_done(l);
        break;
    case YAML_ALIAS_EVENT:
        problem(l, &ev->start_mark, "aliases (*name) are not supported");
        break;
    case YAML_DOCUMENT_END_EVENT:
    case YAML_STREAM_END_EVENT:
        l->stop = 1;
        break;
    default:
        break;
    }
}

/* What is not UTF-8 is found before it has a line: libyaml knows its place in the file only. */
static size_t line_of(FILE *f, size_t offset)
{
    size_t line = 1;
    int c;

    rewind(f);
    for (; offset > 0 && (c = getc(f)) != EOF; offset--)
        line += c == '\n';
    return line;
}

static void syntax_error(struct loader *l, const yaml_parser_t *parser, FILE *f)
{
    const yaml_mark_t *mark = &parser->problem_mark;
    const char *text = parser->problem ? parser->problem : "not readable as YAML";

    if (parser->error == YAML_READER_ERROR)
        wk_problems_add(l->problems, 1, "config: %s:%zu: %s (the file must be UTF-8)", l->file,
                        line_of(f, parser->problem_offset), text);
    else
        wk_problems_add(l->problems, 1, "config: %s:%zu:%zu: %s", l->file, mark->line + 1,
                        mark->column + 1, text);
}

static void parse(struct loader *l, FILE *f)
{
    yaml_parser_t parser;
    yaml_event_t ev;

    if (!yaml_parser_initialize(&parser)) {
        wk_problems_add(l->problems, 1, "config: out of memory");
        return;
    }
    yaml_parser_set_input_file(&parser, f);
    while (!l->stop) {
        if (!yaml_parser_parse(&parser, &ev)) {
            syntax_error(l, &parser, f);
            break;
        }
        on_event(l, &ev);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&parser);
}

static int supported(const char *path)
{
    const char *dot = strrchr(path, '.');
    const char *slash = strrchr(path, '/');

    return !dot || (slash && slash > dot) || strcasecmp(dot, ".yaml") == 0 ||
           strcasecmp(dot, ".yml") == 0 || strcasecmp(dot, ".json") == 0;
}

void wk_config_file(wkim_config *cfg, const char *path, int ignore_missing, struct wk_problems *p)
{
    struct loader l = {.cfg = cfg, .file = path, .problems = p};
    FILE *f;
    long size;

    if (!supported(path)) {
        wk_problems_add(p, 1, "config: unsupported file type \"%s\"", strrchr(path, '.'));
        return;
    }
    f = fopen(path, "rbe");
    if (!f) {
        if (errno != ENOENT || !ignore_missing)
            wk_problems_add(p, 1, "config: cannot read \"%s\": %s%s", path, strerror(errno),
                            errno == ENOENT ? " (use --ignoreMissingConfig to start without it)"
                                            : "");
        return;
    }
    if (fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0)
        wk_problems_add(p, 1, "config: cannot read \"%s\": not a regular file", path);
    else if (size > FILE_BYTES_MAX)
        wk_problems_add(p, 1, "config: \"%s\" is larger than %ld bytes", path, FILE_BYTES_MAX);
    else
        parse(&l, f);
    (void)fclose(f);
}
