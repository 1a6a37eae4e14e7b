/*
 * The restriction check_rbl_list: lists of clients in DNS, as control/rbllist of qmail-ldap has
 * them: "base action match message", one a line.
 */
#include <sys/stat.h>

#include "access/restrictions.h"
#include "config/config.h"
#include "config/snapshot.h"

enum { LIST_MAX = 1024 * 1024 };

struct rbl_entry {
    struct str base, message;
    bool header;      /* addheader */
    bool any;         /* whatever the list answers */
    struct str match; /* as written */
    struct addr wanted;
};

struct rbl_list {
    const char *path;
    struct stat seen;
    VEC(struct rbl_entry) entries;
};

struct reading {
    struct rbl_list *list;
    struct arena *arena;
};

static enum rc parse_entry(struct str line, struct arena *a, struct rbl_entry *e, struct why *why)
{
    struct str rest = line, action;

    if (!str_token(&rest, " \t", &e->base) || !str_token(&rest, " \t", &action) ||
        !str_token(&rest, " \t", &e->match) || str_trim(rest).n == 0)
        return FAIL(why, RC_CONFIG, "too few fields: " STR_FMT "; write: base action match message",
                    STR_ARG(str_head(line, 100)));
    e->message = arena_copy(a, str_trim(rest));
    e->header = str_eq_nocase(action, STR("addheader"));
    if (!e->header && !str_eq_nocase(action, STR("reject")))
        return FAIL(why, RC_CONFIG, "unknown action: " STR_FMT "; there are addheader and reject",
                    STR_ARG(action));
    e->any = str_eq_nocase(e->match, STR("any"));
    if (e->any ||
        (addr_parse(e->match, 0, &e->wanted, NULL) == RC_OK && addr_family(&e->wanted) == AF_INET))
        return RC_OK;
    return FAIL(why, RC_CONFIG, "bad match: " STR_FMT "; write any, or an address like 127.0.0.2",
                STR_ARG(e->match));
}

enum rc rbl_line_check(struct str line, struct arena *a, struct why *why)
{
    struct rbl_entry e = {0};

    return parse_entry(line, a, &e, why);
}

static enum rc parse_list(void *context, struct str text, struct why *why)
{
    struct reading *r = context;
    struct rbl_list *list = r->list;
    long number = 0;

    list->entries.n = 0;
    while (text.n) {
        struct str line = str_trim(str_cut(&text, '\n'));
        struct rbl_entry e = {0};
        number++;
        if (line.n == 0 || line.p[0] == '#')
            continue;
        if (parse_entry(line, r->arena, &e, why) != RC_OK) {
            why_prefix(why, "%s, line %ld", list->path, number);
            return RC_CONFIG;
        }
        vec_add(r->arena, &list->entries, e);
    }
    return RC_OK;
}

enum rc rbl_list_read(struct str path, const struct log *log, struct arena *a,
                      const struct rbl_list **out, struct why *why)
{
    struct rbl_list *list = arena_new_of(a, struct rbl_list);
    struct reading r = {list, a};

    list->path = arena_text(a, path);
    if (stat(list->path, &list->seen) < 0)
        list->seen = (struct stat){0};
    if (snapshot_parse_file(list->path, LIST_MAX, false, log, a, parse_list, &r, why) != RC_OK)
        return RC_CONFIG;
    *out = list;
    return RC_OK;
}

bool rbl_list_has_changed(const struct rbl_list *list)
{
    struct stat now;

    return list && stat(list->path, &now) == 0 &&
           (now.st_mtim.tv_sec != list->seen.st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != list->seen.st_mtim.tv_nsec || now.st_ino != list->seen.st_ino);
}

static bool is_listed(struct access_context *c, const struct rbl_entry *e)
{
    struct str query = dns_list_query(c, e->base);
    struct dns_answer answer = {0};
    enum dns_status status;

    if (query.n == 0)
        return false;
    status = dns_lookup(c->access->resolver, query, DNS_A, c->arena, &answer, NULL);
    if (status == DNS_RETRY || status == DNS_BOGUS || status == DNS_INVALID)
        log_warning(c->log, STR_FMT ": RBL lookup error: no answer from the name server",
                    STR_ARG(query));
    for (size_t i = 0; status == DNS_FOUND && i < answer.n; i++)
        if (answer.records[i].type == DNS_A &&
            (e->any || addr_equal(&answer.records[i].address, &e->wanted)))
            return true;
    return false;
}

static struct str header_of(struct access_context *c, const struct rbl_entry *e)
{
    struct str with = e->any ? STR("") : STR(" matches with ");

    return arena_printf(c->arena, "X-RBL: (" STR_FMT ")" STR_FMT STR_FMT " and tells us " STR_FMT,
                        STR_ARG(e->base), STR_ARG(with), STR_ARG(e->any ? STR("") : e->match),
                        STR_ARG(e->message));
}

/* The lists are asked for each recipient, the header stands there once. */
static void add_header(struct access_context *c, struct str header)
{
    for (size_t i = 0; i < c->actions.headers.n; i++)
        if (str_eq(c->actions.headers.v[i], header))
            return;
    vec_add(c->arena, &c->actions.headers, header);
}

static enum verdict refuse_entry(struct access_context *c, const struct rbl_entry *e)
{
    struct str text = arena_printf(
        c->arena, "Service unavailable; client [" STR_FMT "] blocked using " STR_FMT "; " STR_FMT,
        STR_ARG(c->client.address_text), STR_ARG(e->base), STR_ARG(e->message));

    return access_refuse(c, 553, "5.7.1", text);
}

enum verdict check_rbl_list(struct access_context *c, const struct step *s)
{
    const struct config *config = c->access->config;
    const struct rbl_list *list = c->access->rbl_list;
    bool only_header = str_eq(config->smtpd_rbl_list_action, STR("header"));
    VEC(struct str) headers = {0};

    (void)s;
    if (config->smtpd_relay_client || c->client.address_text.n == 0 ||
        (addr_family(&c->client.address) == AF_INET6 && !config->smtpd_rbl_list_ipv6))
        return DUNNO;
    for (size_t i = 0; i < list->entries.n; i++) {
        const struct rbl_entry *e = &list->entries.v[i];
        if (!is_listed(c, e))
            continue;
        if (!e->header && !only_header)
            return refuse_entry(c, e);
        vec_add(c->arena, &headers, header_of(c, e));
    }
    for (size_t i = 0; i < headers.n; i++)
        add_header(c, headers.v[i]);
    return DUNNO;
}
