#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"
#include "global/mime.h"
#include "postmap/postmap.h"

struct query {
    struct tool_run *run;
    struct table **tables;
    bool found;
};

static void ask(struct query *q, struct str text)
{
    q->found |= tool_find_and_print(q->run, q->tables, text);
}

static void header(void *context, enum mime_header_class class, struct str text)
{
    (void)class;
    ask(context, text);
}

static void body(void *context, struct str line, bool more)
{
    (void)more;
    ask(context, line);
}

int query_message(struct tool_run *run)
{
    const struct config *c = run->config;
    struct query q = {.run = run, .tables = tool_open_all(run)};
    struct mime_options options = {.parse_nested = run->mime,
                                   .nesting_limit = c->mime_nesting_limit,
                                   .boundary_limit = c->mime_boundary_length_limit,
                                   .header_size_limit = c->header_size_limit};
    struct mime_events events = {.header = run->header ? header : NULL,
                                 .body = run->body ? body : NULL};
    struct mime_state *mime;
    char *line = NULL;
    size_t size = 0;
    ssize_t n;

    mime = mime_new(run->arena, &options, &events, &q);
    while ((n = getline(&line, &size, stdin)) > 0) {
        struct str text = {line, (size_t)n};
        if (text.p[text.n - 1] == '\n')
            text.n--;
        (void)mime_line(mime, text, false);
    }
    (void)mime_end(mime);
    free(line);
    for (int i = 0; i < run->n_tables; i++)
        table_close(q.tables[i]);
    return q.found ? 0 : 1;
}
