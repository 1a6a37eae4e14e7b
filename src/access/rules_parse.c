/* Lines and fields of a rule file. */
#include <stdlib.h>

#include "access/rule.h"
#include "util/buf.h"
#include "util/memory.h"

struct reader {
    struct str rest;
    long line;  /* number of the last physical line read */
    long first; /* of the logical line */
    struct buf text;
};

static bool physical_line(struct reader *r, struct str *line)
{
    ssize_t end;

    if (r->rest.n == 0)
        return false;
    end = str_index(r->rest, '\n');
    *line = end < 0 ? r->rest : str_head(r->rest, (size_t)end);
    r->rest = end < 0 ? STR_NONE : str_from(r->rest, (size_t)end + 1);
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    r->line++;
    return true;
}

static bool takes_next(struct str *line)
{
    struct str text = str_rtrim(*line);

    if (text.n == 0 || text.p[text.n - 1] != '\\')
        return false;
    *line = str_rtrim(str_head(text, text.n - 1));
    return true;
}

/*
 * A comment ends with its line, whatever its last byte is: a rule behind it must not vanish.
 * False at the end of the file.
 */
static bool logical_line(struct reader *r, struct str *out)
{
    struct str line;
    bool more;

    do {
        if (!physical_line(r, &line))
            return false;
        line = str_ltrim(line);
    } while (str_rtrim(line).n == 0 || line.p[0] == '#');
    r->first = r->line;
    buf_reset(&r->text);
    for (;;) {
        more = takes_next(&line);
        buf_add(&r->text, line);
        if (!more)
            break;
        buf_addc(&r->text, ' ');
        if (!physical_line(r, &line))
            break;
        line = str_ltrim(line);
    }
    *out = str_rtrim(buf_str(&r->text));
    return true;
}

/* ---- one rule ---- */

static const struct {
    const char *word;
    enum rule_action action;
} actions[] = {
    {"allow", RULE_ALLOW},
    {"deny", RULE_DENY},
    {"noto", RULE_NOTO},
    {"deny_delay", RULE_DENY_DELAY},
    {"noto_delay", RULE_NOTO_DELAY},
    {"debug", RULE_DEBUG},
};

static enum rc parse_action(struct str text, struct rule *rule, struct why *why)
{
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (str_eq(text, str_of(actions[i].word))) {
            rule->action = actions[i].action;
            return RC_OK;
        }
    return FAIL(why, RC_CONFIG,
                "unknown action \"" STR_FMT
                "\"; write allow, deny, noto, deny_delay, noto_delay or "
                "debug",
                STR_ARG(str_head(text, 40)));
}

/* Up to the next ':' that does not stand within [ ]. */
static struct str cut_field(struct str *rest)
{
    int depth = 0;

    for (size_t i = 0; i < rest->n; i++) {
        char c = rest->p[i];
        depth += c == '[' ? 1 : c == ']' && depth ? -1 : 0;
        if (c == ':' && depth == 0) {
            struct str field = str_head(*rest, i);
            *rest = (struct str){rest->p + i + 1, rest->n - i - 1};
            return field;
        }
    }
    return str_cut(rest, '\0');
}

enum rc rules_message_check(struct str message, struct why *why)
{
    if (message.n < 3 || (message.p[0] != '4' && message.p[0] != '5') ||
        !str_is_digits(str_head(message, 3)) || (message.n > 3 && message.p[3] != ' '))
        return FAIL(why, RC_CONFIG,
                    "message must begin with 4xx or 5xx and a space; write 550 text");
    for (size_t i = 3; i < message.n; i++) {
        if (message.p[i] != '%')
            continue;
        if (++i == message.n || strchr("%CFTHIU", message.p[i]) == NULL)
            return FAIL(
                why, RC_CONFIG,
                "unknown %% code \"%%%.1s\"; write one of %%F %%T %%H %%I %%U %%C, and %%%% "
                "for a percent sign",
                i == message.n ? "" : message.p + i);
    }
    return RC_OK;
}

static enum rc parse_tail(struct arena *a, struct str tail, struct rule *rule, struct why *why)
{
    struct str message, comment = str_trim(tail);

    if (comment.n == 0 || comment.p[0] == '#')
        return RC_OK;
    message = str_rtrim(str_cut(&comment, ':'));
    TRY(rules_message_check(message, why));
    if (comment.p && (str_ltrim(comment).n == 0 || str_ltrim(comment).p[0] != '#'))
        return FAIL(
            why, RC_CONFIG,
            "junk after message: a colon ends it, and only a # comment may follow; write %%C "
            "for a colon");
    rule->message = arena_copy(a, message);
    return RC_OK;
}

/* What is there, then an IDENT question, then DNS. */
static int cost(const struct rule_list *l)
{
    return l->asks_dns ? 2 : l->asks_ident;
}

static void order_lists(struct rule *rule)
{
    int n = 0;

    for (int wanted = 0; wanted <= 2; wanted++)
        for (int field = 0; field < FIELDS; field++)
            if (cost(&rule->lists[field]) == wanted)
                rule->order[n++] = (unsigned char)field;
}

static enum rc parse_rule(struct rules *r, struct str line, struct rule *rule, struct why *why)
{
    struct str rest = line, fields[FIELDS];

    TRY(parse_action(str_trim(str_cut(&rest, ':')), rule, why));
    for (int i = 0; i < FIELDS; i++) {
        if (rest.p == NULL)
            return FAIL(why, RC_CONFIG,
                        "bad field count; write action:source:from:to or "
                        "action:source:from:to:message");
        fields[i] = cut_field(&rest);
        if (str_trim(fields[i]).n == 0)
            return FAIL(why, RC_CONFIG, "empty field; write ALL where everything is meant");
    }
    for (int i = 0; i < FIELDS; i++) {
        TRY(rule_list_parse(r->arena, i, fields[i], &rule->lists[i], why));
        r->asks_ident = r->asks_ident || rule->lists[i].asks_ident;
    }
    TRY(parse_tail(r->arena, rest, rule, why));
    order_lists(rule);
    return RC_OK;
}

static enum rc parse_line(struct rules *r, struct reader *reader, struct str line, struct why *why)
{
    struct rule rule = {.line = reader->first};

    if (reader->text.over)
        return FAIL(why, RC_CONFIG, "line longer than %d bytes; write several rules",
                    RULES_LINE_MAX);
    if (str_index(line, '\0') >= 0)
        return FAIL(why, RC_CONFIG, "NUL byte; this is no text file");
    if (r->list.n == RULES_MAX)
        return FAIL(why, RC_CONFIG, "more than %d rules; use several files", RULES_MAX);
    TRY(parse_rule(r, line, &rule, why));
    vec_add(r->arena, &r->list, rule);
    return RC_OK;
}

enum rc rules_parse(const char *path, struct str text, struct rules **out, struct why *why)
{
    struct rules *r = NEW(struct rules);
    struct reader reader = {.rest = text};
    struct str line;

    r->arena = arena_new(16 * 1024);
    buf_init(&reader.text, RULES_LINE_MAX);
    while (logical_line(&reader, &line)) {
        enum rc rc = parse_line(r, &reader, line, why);
        if (rc != RC_OK) {
            why_prefix(why, "%s, line %ld", path, reader.first);
            buf_done(&reader.text);
            rules_free(r);
            return rc;
        }
    }
    buf_done(&reader.text);
    rules_index_build(r);
    *out = r;
    return RC_OK;
}

void rules_free(struct rules *r)
{
    if (r == NULL)
        return;
    arena_free(r->arena);
    free(r);
}

size_t rules_count(const struct rules *r)
{
    return r->list.n;
}

bool rules_ask_ident(const struct rules *r)
{
    return r->asks_ident;
}
