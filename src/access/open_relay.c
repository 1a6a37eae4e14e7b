/* Rules of smtpd_client_instruction_maps are looked at where they are read. */
#include "access/open_relay.h"

#include "table/rules.h"
#include "table/source.h"
#include "util/file.h"
#include "util/networks.h"

enum { LIST_MAX = 16 * 1024 * 1024, DEPTH_MAX = 20 };

enum rc open_relay_refuse(struct str what, struct str file, long line, const char *remedy,
                          struct why *why)
{
    AUTO_ARENA a = arena_new(256);
    struct str number = line ? arena_printf(a, ":%ld", line) : STR("");

    return FAIL(why, RC_CONFIG,
                "refusing to run as open relay: " STR_FMT " at " STR_FMT STR_FMT "; %s",
                STR_ARG(what), STR_ARG(file), STR_ARG(number), remedy);
}

/* "/etc/postfix/main.cf, line 7" as "/etc/postfix/main.cf:7". */
static struct str place_of(const struct config *c, const char *parameter, struct arena *a)
{
    struct str place = config_place(c, a, str_of(parameter));
    ssize_t at = str_find(place, STR(", line "));

    if (at < 0)
        return place.n ? place : STR("main.cf");
    return arena_printf(a, STR_FMT ":" STR_FMT, STR_ARG(str_head(place, (size_t)at)),
                        STR_ARG(str_from(place, (size_t)at + 7)));
}

/* Networks that may relay because of a parameter, while they are read. */
struct reading {
    const struct config *config;
    const char *parameter;
    struct arena *arena;
    struct networks seen;
    struct network ifs[DEPTH_MAX]; /* of a table: around the line; bits 0: nearly all */
    int n_ifs;
    int depth; /* of lists in lists */
};

static enum rc add_network(struct reading *r, struct network n, struct str text, struct str file,
                           long line, struct why *why)
{
    struct str what;

    if (!networks_cover_all(&r->seen, n))
        return RC_OK;
    what = n.bits ? arena_printf(r->arena, "%s is everybody together with " STR_FMT, r->parameter,
                                 STR_ARG(text))
                  : arena_printf(r->arena, "%s has " STR_FMT ", which is everybody,", r->parameter,
                                 STR_ARG(text));
    return open_relay_refuse(what, file, line, "name your own networks", why);
}

/* ---- tables of networks ---- */

static bool permits(struct str result)
{
    return str_eq_nocase(result, STR("OK")) || str_eq_nocase(result, STR("permit")) ||
           str_is_digits(result);
}

/* "!NETWORK" is nearly everybody. False: no network. */
static bool parse_pattern(struct str text, struct network *n)
{
    bool negated = str_has_prefix(text, STR("!"));

    if (network_parse(str_ltrim(str_from(text, negated)), n, NULL) != RC_OK)
        return false;
    if (negated)
        n->bits = 0;
    return true;
}

static void begin_if(struct reading *r, struct str pattern)
{
    if (r->n_ifs < DEPTH_MAX && parse_pattern(pattern, &r->ifs[r->n_ifs]))
        r->n_ifs++;
}

static struct network inside_ifs(const struct reading *r, struct network n)
{
    for (int i = 0; i < r->n_ifs; i++)
        if (r->ifs[i].bits > n.bits)
            n = r->ifs[i];
    return n;
}

/* The first network that holds a client decides: what stands behind one that refuses all is never
 * reached. What cannot be read is told when the table is opened. */
static enum rc read_table(struct reading *r, struct str table, bool any_result, struct why *why)
{
    struct driver_open o = {.arena = r->arena};
    bool is_inline, refused[2] = {0};
    struct source source;
    struct str text, line, place;

    o.name = table;
    o.type = str_cut(&o.name, ':');
    is_inline = o.name.n && o.name.p[0] == '{';
    place = is_inline ? place_of(r->config, r->parameter, r->arena) : o.name;
    if (rule_text_read(&o, &text, NULL) != RC_OK)
        return RC_OK;
    r->n_ifs = 0;
    for (source_init(&source, text); source_next(&source, r->arena, &line);) {
        struct str rest = str_ltrim(line), pattern = STR_NONE;
        struct network n;
        if (rule_is_keyword(rest, STR("if"))) {
            begin_if(r, str_trim(str_from(rest, 2)));
            continue;
        }
        if (rule_is_keyword(rest, STR("endif"))) {
            r->n_ifs -= r->n_ifs > 0;
            continue;
        }
        if (!str_token(&rest, " \t\r", &pattern) || !parse_pattern(pattern, &n))
            continue;
        n = inside_ifs(r, n);
        if (!any_result && !permits(str_trim(rest)))
            refused[addr_family(&n.base) == AF_INET6] |= n.bits == 0 && pattern.p[0] != '!';
        else if (!refused[addr_family(&n.base) == AF_INET6])
            TRY(add_network(r, n, pattern, place, is_inline ? 0 : source.first_line, why));
    }
    return RC_OK;
}

/* ---- mynetworks ---- */

static enum rc read_list(struct reading *r, struct str list, struct str place, long line,
                         struct why *why);

static enum rc read_list_file(struct reading *r, struct str path, struct why *why)
{
    struct str text = STR_NONE;
    long line = 0;

    if (r->depth == DEPTH_MAX ||
        file_read(arena_text(r->arena, path), LIST_MAX, r->arena, &text, NULL) != RC_OK)
        return RC_OK; /* told when the list is opened */
    r->depth++;
    while (text.n) {
        struct str words = str_trim(str_cut(&text, '\n'));
        line++;
        if (words.n && words.p[0] != '#')
            TRY(read_list(r, words, path, line, why));
    }
    r->depth--;
    return RC_OK;
}

static enum rc read_list(struct reading *r, struct str list, struct str place, long line,
                         struct why *why)
{
    struct str word;

    while (str_token_braced(&list, LIST_SEPARATORS, &word)) {
        struct network n;
        if (word.p[0] == '/')
            TRY(read_list_file(r, word, why));
        else if (str_has_prefix(word, STR("cidr:")))
            TRY(read_table(r, word, true, why));
        else if (network_parse(word, &n, NULL) == RC_OK)
            TRY(add_network(r, n, word, place, line, why));
    }
    return RC_OK;
}

static enum rc check_mynetworks(struct reading *r, struct why *why)
{
    const struct config *c = r->config;

    if (str_find(c->smtpd_relay_restrictions, STR("permit_mynetworks")) < 0 &&
        str_find(c->smtpd_recipient_restrictions, STR("permit_mynetworks")) < 0)
        return RC_OK;
    r->parameter = "mynetworks";
    return read_list(r, c->mynetworks, place_of(c, "mynetworks", r->arena), 0, why);
}

/* ---- restrictions ---- */

/* The list that decides about relaying, as far as strangers get in it; restriction classes, too. */
static enum rc check_restrictions(struct reading *r, struct str list, bool *decided,
                                  struct why *why)
{
    struct str word, table, class;

    while (!*decided && str_token_braced(&list, LIST_SEPARATORS, &word)) {
        if (str_has_suffix(word, STR("_unauth_destination")) || str_eq_nocase(word, STR("reject")))
            *decided = true;
        else if (str_eq_nocase(word, STR("check_client_access")) &&
                 str_token_braced(&list, LIST_SEPARATORS, &table) &&
                 str_has_prefix(table, STR("cidr:")))
            TRY(read_table(r, table, false, why));
        else if (r->depth < DEPTH_MAX && str_list_has(r->config->smtpd_restriction_classes, word) &&
                 config_get(r->config, word, &class) == RC_OK) {
            r->depth++;
            TRY(check_restrictions(r, class, decided, why));
            r->depth--;
        }
    }
    return RC_OK;
}

static enum rc check(struct reading *r, struct why *why)
{
    bool relay = str_trim(r->config->smtpd_relay_restrictions).n > 0, decided = false;

    TRY(check_mynetworks(r, why));
    r->parameter = relay ? "smtpd_relay_restrictions" : "smtpd_recipient_restrictions";
    return check_restrictions(
        r, relay ? r->config->smtpd_relay_restrictions : r->config->smtpd_recipient_restrictions,
        &decided, why);
}

enum rc open_relay_check(const struct config *c, struct why *why)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    struct reading r = {.config = c, .arena = a};
    enum rc rc;

    if (c->smtpd_relay_client)
        return open_relay_refuse(STR("smtpd_relay_client = yes, which holds for everybody,"),
                                 place_of(c, "smtpd_relay_client", a), 0,
                                 "set it in a rule of smtpd_client_instruction_maps", why);
    networks_init(&r.seen);
    rc = check(&r, why);
    networks_done(&r.seen);
    return rc;
}
