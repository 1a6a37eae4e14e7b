/* The file: lists, actions, rules. */
#include <sys/stat.h>

#include "config/snapshot.h"
#include "dispatch/rules.h"
#include "util/file.h"
#include "util/memory.h"

enum { FILE_MAX = 256 * 1024 * 1024 };

static const struct {
    const char *name;
    enum fact fact;
    enum { WITHOUT, MAY, MUST } list;
} facts[] = {
    {"any", FACT_ANY, WITHOUT},       {"local", FACT_LOCAL, WITHOUT},
    {"client", FACT_CLIENT, MUST},    {"client-name", FACT_CLIENT_NAME, MAY},
    {"fcrdns", FACT_FCRDNS, WITHOUT}, {"auth", FACT_AUTH, MAY},
    {"sender", FACT_SENDER, MUST},    {"recipient", FACT_RECIPIENT, MUST},
    {"domain", FACT_DOMAIN, MUST},    {"virtual", FACT_VIRTUAL, MUST},
    {"helo", FACT_HELO, MUST},        {"tag", FACT_TAG, MUST},
    {"tls", FACT_TLS, WITHOUT},
};

/* ---- names ---- */

static struct list *find_list(const struct dispatch *d, struct str name)
{
    return map_get(&d->lists, name);
}

static struct action *find_action(const struct dispatch *d, struct str name)
{
    return map_get(&d->actions, name);
}

static enum rc open_table(struct dispatch *d, struct str name, struct table **out, struct why *why)
{
    if (d->env.config == NULL)
        return FAIL(why, RC_CONFIG, "tables cannot be used here: " STR_FMT, STR_ARG(name));
    TRY(table_open(name, 0, &d->env, out, why));
    vec_add(d->arena, &d->tables, *out);
    return RC_OK;
}

/* ---- list NAME, then one entry in each line that begins with a blank ---- */

static void add_entry(struct dispatch *d, struct list *l, struct str entry)
{
    struct network network;
    struct str text = entry;

    entry = arena_copy(d->arena, entry);
    vec_add(d->arena, &l->entries, entry);
    if (str_rindex(entry, '*') < 0)
        map_put(&l->exact, arena_lower(d->arena, entry), l);
    else if (str_rindex(entry, '*') == 0 && str_index(entry, '@') < 0)
        map_put(&l->ends, arena_lower(d->arena, str_from(entry, 1)), l);
    else if (str_has_prefix(entry, STR("@*")) && str_rindex(entry, '*') == 1)
        map_put(&l->domain_ends, arena_lower(d->arena, str_from(entry, 2)), l);
    else
        vec_add(d->arena, &l->patterns, entry);
    if (network_parse(text, &network, NULL) == RC_OK)
        networks_put(&l->networks, &network, l);
}

static void list_done(void *context)
{
    struct list *l = context;

    map_done(&l->exact);
    map_done(&l->ends);
    map_done(&l->domain_ends);
    networks_done(&l->networks);
}

static enum rc add_list(struct dispatch *d, struct str name, struct why *why)
{
    struct list *l = arena_new_of(d->arena, struct list);

    if (name.n == 0 || find_list(d, name))
        return FAIL(why, RC_CONFIG, "list " STR_FMT ": %s", STR_ARG(name),
                    name.n ? "there is one of that name" : "it needs a name");
    map_init(&l->exact);
    map_init(&l->ends);
    map_init(&l->domain_ends);
    networks_init(&l->networks);
    arena_defer(d->arena, list_done, l);
    map_put(&d->lists, name, l);
    d->last_list = l;
    return RC_OK;
}

static enum rc compile_expressions(struct dispatch *d, struct list *l, struct why *why)
{
    const regex_t *r = NULL;

    for (size_t i = l->expressions.n; i < l->entries.n; i++) {
        TRY(regex_compile(d->arena, l->entries.v[i], &r, why));
        vec_add(d->arena, &l->expressions, r);
    }
    return RC_OK;
}

/* ---- action NAME [any] [aliases=T] [virtual=T] [users=T] ---- */

static enum rc add_action(struct dispatch *d, struct str rest, struct why *why)
{
    struct action *x = arena_new_of(d->arena, struct action);
    struct str word;

    if (!str_token(&rest, " \t", &word) || find_action(d, word))
        return FAIL(why, RC_CONFIG, "action: a name that no other has is needed");
    x->name = arena_copy(d->arena, word);
    while (str_token(&rest, " \t", &word)) {
        struct str value = word, name = str_cut(&value, '=');
        if (str_eq(word, STR("any")))
            x->takes_any = true;
        else if (str_eq(name, STR("aliases")) && value.n)
            TRY(open_table(d, value, &x->aliases, why));
        else if (str_eq(name, STR("virtual")) && value.n)
            TRY(open_table(d, value, &x->virtual, why));
        else if (str_eq(name, STR("users")) && value.n)
            TRY(open_table(d, value, &x->users, why));
        else
            return FAIL(why, RC_CONFIG, "action " STR_FMT ": unknown word \"" STR_FMT "\"",
                        STR_ARG(x->name), STR_ARG(word));
    }
    map_put(&d->actions, x->name, x);
    return RC_OK;
}

/* ---- match [!]FACT[=LIST] ... action NAME, match ... reject [REPLY] ---- */

static enum rc set_argument(struct dispatch *d, struct condition *c, struct str value,
                            struct why *why)
{
    if (str_index(value, ':') > 0) {
        if (c->regex)
            return FAIL(why, RC_CONFIG, "expressions need a list, not a table");
        return open_table(d, value, &c->table, why);
    }
    c->list = find_list(d, value);
    if (c->list == NULL)
        return FAIL(why, RC_CONFIG, "there is no list \"" STR_FMT "\"", STR_ARG(value));
    return c->regex ? compile_expressions(d, c->list, why) : RC_OK;
}

static enum rc add_condition(struct dispatch *d, struct rule *r, struct str word, struct why *why)
{
    struct condition c = {.negated = word.p[0] == '!'};
    struct str name = c.negated ? str_from(word, 1) : word, value = STR("");
    ssize_t end = str_index_any(name, "=~");
    size_t i = 0, n = sizeof facts / sizeof *facts;

    if (end >= 0) {
        c.regex = name.p[end] == '~';
        value = str_from(name, (size_t)end + 1);
        name = str_head(name, (size_t)end);
    }
    while (i < n && !str_eq(name, str_of(facts[i].name)))
        i++;
    if (i == n)
        return FAIL(why, RC_CONFIG, "unknown condition \"" STR_FMT "\"; match_rules(5) lists them",
                    STR_ARG(word));
    c.fact = facts[i].fact;
    if ((facts[i].list == MUST && value.n == 0) || (facts[i].list == WITHOUT && end >= 0))
        return FAIL(why, RC_CONFIG, "\"%s\" %s", facts[i].name,
                    end >= 0 ? "takes no list" : "needs a list");
    if (value.n)
        TRY(set_argument(d, &c, value, why));
    vec_add(d->arena, &r->conditions, c);
    return RC_OK;
}

static enum rc add_rule(struct dispatch *d, struct str rest, int line, struct why *why)
{
    struct rule r = {.line = line, .reply = STR("550 5.7.1 Recipient rejected")};
    struct str word;

    while (str_token(&rest, " \t", &word)) {
        if (str_eq(word, STR("action"))) {
            r.action = find_action(d, str_trim(rest));
            if (r.action == NULL)
                return FAIL(why, RC_CONFIG, "there is no action \"" STR_FMT "\"",
                            STR_ARG(str_trim(rest)));
        } else if (str_eq(word, STR("reject"))) {
            rest = str_trim(rest);
            if (rest.n && !(rest.n > 3 && (rest.p[0] == '4' || rest.p[0] == '5') &&
                            is_digit(rest.p[1]) && is_digit(rest.p[2]) && rest.p[3] == ' '))
                return FAIL(why, RC_CONFIG, "reject: a reply begins with 4xx or 5xx");
            if (rest.n)
                r.reply = arena_copy(d->arena, rest);
        } else {
            TRY(add_condition(d, &r, word, why));
            continue;
        }
        vec_add(d->arena, &d->rules, r);
        return RC_OK;
    }
    return FAIL(why, RC_CONFIG, "a rule ends with \"action NAME\" or \"reject\"");
}

static enum rc take_line(struct dispatch *d, struct str line, int number, bool *in_list,
                         struct why *why)
{
    struct str rest = line, word;

    if (is_blank(line.p[0])) {
        if (!*in_list)
            return FAIL(why, RC_CONFIG, "an entry stands in no list");
        add_entry(d, d->last_list, str_trim(line));
        return RC_OK;
    }
    *in_list = false;
    word = str_cut(&rest, ' ');
    rest = str_trim(rest);
    if (str_eq(word, STR("list"))) {
        *in_list = true;
        return add_list(d, rest, why);
    }
    if (str_eq(word, STR("action")))
        return add_action(d, rest, why);
    if (str_eq(word, STR("match")))
        return add_rule(d, rest, number, why);
    return FAIL(why, RC_CONFIG, "\"" STR_FMT "\" is none of list, action, match", STR_ARG(word));
}

static void dispatch_done(void *context)
{
    struct dispatch *d = context;

    map_done(&d->lists);
    map_done(&d->actions);
    for (size_t i = 0; i < d->tables.n; i++)
        table_close(d->tables.v[i]);
}

enum rc dispatch_parse(struct str text, const char *path, const struct table_env *env,
                       struct dispatch **out, struct why *why)
{
    struct arena *a = arena_new(text.n + 4096);
    struct dispatch *d = arena_new_of(a, struct dispatch);
    bool in_list = false;

    *d = (struct dispatch){.arena = a, .path = arena_text(a, str_of(path)), .env = *env};
    map_init(&d->lists);
    map_init(&d->actions);
    arena_defer(a, dispatch_done, d);
    for (int line = 1; text.p && text.n; line++) {
        struct str one = str_rtrim(str_cut(&text, '\n'));
        enum rc rc = one.n == 0 || one.p[0] == '#' ? RC_OK : take_line(d, one, line, &in_list, why);
        if (rc != RC_OK) {
            why_prefix(why, "%s, line %d", path, line);
            arena_free(a);
            return rc;
        }
    }
    index_build(d);
    *out = d;
    return RC_OK;
}

/* 0: there is no such file, or not below this root directory. */
static long stamp_of(const char *path)
{
    struct stat st = {0};

    return stat(path, &st) == 0 ? st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec : 0;
}

struct reading {
    const char *path;
    const struct table_env *env;
    struct dispatch *dispatch;
};

static enum rc parse(void *context, struct str text, struct why *why)
{
    struct reading *r = context;

    return dispatch_parse(text, r->path, r->env, &r->dispatch, why);
}

static enum rc read_file(const char *path, bool again, const struct table_env *env,
                         struct dispatch **out, struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct reading r = {path, env, NULL};
    long stamp_ns = stamp_of(path);
    enum rc rc = snapshot_parse_file(path, FILE_MAX, again, env->log, a, parse, &r, why);

    if (rc == RC_NONE)
        return FAIL(why, RC_CONFIG,
                    "open match rules %s: No such file or directory; create it, or take "
                    "match_rules out of the restrictions",
                    path);
    TRY(rc);
    *out = r.dispatch;
    (*out)->stamp_ns = stamp_ns;
    return RC_OK;
}

enum rc dispatch_open(const char *path, const struct table_env *env, struct dispatch **out,
                      struct why *why)
{
    return read_file(path, false, env, out, why);
}

void dispatch_close(struct dispatch *d)
{
    if (d)
        arena_free(d->arena);
}

bool dispatch_has_changed(struct dispatch *d)
{
    struct dispatch *other = NULL;
    long now_ns = stamp_of(d->path);
    struct why why;

    if (now_ns == 0 || now_ns == d->stamp_ns || now_ns == d->refused_ns)
        return false;
    if (read_file(d->path, true, &d->env, &other, &why) == RC_OK) {
        dispatch_close(other);
        return true;
    }
    d->refused_ns = now_ns;
    log_error(d->env.log, "%s; the rules read before stay in force", why.text);
    return false;
}
