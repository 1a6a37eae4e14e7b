/* action ...: a transport of master.cf, a line of the table of actions, and a line of the match
 * rules that says whom it knows. */
#include "opensmtpd/generate.h"
#include "opensmtpd/relay.h"

/* Its own name; but in hexadecimal what is no lower-case letter or digit, when tables and services
 * could not take it or tell it from that of an earlier action. */
struct str action_name(struct generator *g, const struct conf_action *a)
{
    struct str plain = arena_lower(g->arena, plain_name(g, "", a->name));
    const struct conf_action *other = map_get(&g->action_names, plain);
    AUTO_BUF b = {0};

    if (other == NULL)
        map_put(&g->action_names, plain, (void *)a);
    if (a->name.n && str_index_any(a->name, ": \t=#") < 0 && (other == NULL || other == a))
        return a->name;
    buf_init(&b, 4 * a->name.n + 2);
    for (size_t i = 0; i < a->name.n; i++) {
        char c = a->name.p[i];
        if (is_alnum(c) && to_lower(c) == c)
            buf_addc(&b, c);
        else
            buf_addf(&b, "_%02x", (unsigned char)c);
    }
    return b.n ? arena_copy(g->arena, buf_str(&b)) : STR("_");
}

struct str action_service(struct generator *g, const struct conf_action *a)
{
    return plain_name(g, "action_", action_name(g, a));
}

bool service_is_new(struct generator *g, struct str *service, size_t begun_at, struct str besides)
{
    struct str text = str_from(buf_str(g->master_cf), begun_at), place = str_cut(&text, '\n');
    struct str *other, key;

    (void)place;
    key = arena_join(g->arena, str_from(text, service->n), besides);
    other = map_get(&g->services, key);
    if (other) {
        buf_truncate(g->master_cf, begun_at);
        *service = *other;
        return false;
    }
    other = arena_new_of(g->arena, struct str);
    *other = *service;
    map_put(&g->services, key, other);
    return true;
}

void action_lifetime(struct generator *g, const struct conf_action *a, struct str service)
{
    const struct conf *c = g->conf;

    if (!g->lifetimes_differ)
        return;
    set(g, a->ttl ? &a->place : &c->ttl.place,
        arena_printf(g->arena, STR_FMT "_queue_lifetime", STR_ARG(service)).p, "%lds",
        a->ttl              ? a->ttl
        : c->ttl.place.line ? c->ttl.value
                            : 4 * 86400L);
}

/* ---- formats of 2011: %a %u %d %U %D ---- */

static struct str new_format(struct generator *g, const struct conf_action *a, struct str text)
{
    static const struct {
        char letter;
        const char *name;
    } letters[] = {{'a', "%{rcpt.user}"},
                   {'u', "%{dest.user}"},
                   {'d', "%{rcpt.domain}"},
                   {'U', "%{sender.user}"},
                   {'D', "%{sender.domain}"}};
    AUTO_BUF b = {0};

    if (!a->old_formats)
        return text;
    buf_init(&b, 16 * text.n + 1);
    for (size_t i = 0; i < text.n; i++) {
        size_t k = 0;
        while (k < 5 && (text.p[i] != '%' || i + 1 == text.n || text.p[i + 1] != letters[k].letter))
            k++;
        if (k < 5) {
            buf_add(&b, str_of(letters[k].name));
            i++;
        } else {
            buf_addc(&b, text.p[i]);
        }
    }
    return arena_copy(g->arena, buf_str(&b));
}

/* ---- local delivery ---- */

static void maildir(struct generator *g, const struct conf_action *a)
{
    struct str path = a->path.n ? new_format(g, a, a->path) : STR("Maildir");

    option(g, "home_mailbox", STR_FMT "%s", STR_ARG(literal(g, path)),
           str_has_suffix(path, STR("/")) ? "" : "/");
    if (a->junk)
        option(g, "maildir_junk_folder", ".Junk");
}

/* A wrapper stands around the command: its %{mda}. */
static void mda(struct generator *g, const struct conf_action *a)
{
    const struct conf_wrapper *w = a->wrapper.n ? conf_wrapper_find(g->conf, a->wrapper) : NULL;
    struct str command = new_format(g, a, a->path);

    if (w) {
        ssize_t at = str_find(w->command, STR("%{mda}"));
        if (at >= 0)
            command = arena_join(g->arena,
                                 arena_join(g->arena, str_head(w->command, (size_t)at), command),
                                 str_from(w->command, (size_t)at + strlen("%{mda}")));
        else
            command = w->command;
    }
    option(g, "mailbox_command", STR_FMT, STR_ARG(literal(g, command)));
}

/* "/run/lmtp" or "host:port" behind local delivery. */
static void lmtp(struct generator *g, const struct conf_action *a)
{
    struct str at = a->path.n && a->path.p[0] == '/'
                        ? arena_printf(g->arena, "unix:" STR_FMT, STR_ARG(a->path))
                        : arena_printf(g->arena, "inet:" STR_FMT, STR_ARG(a->path));

    if (str_has_prefix(a->path, STR("lmtp://")))
        at = arena_printf(g->arena, "inet:" STR_FMT, STR_ARG(str_from(a->path, 7)));
    option(g, "mailbox_transport", "lmtp:" STR_FMT, STR_ARG(literal(g, at)));
    if (!a->rcpt_to)
        option(g, "local_pass_as", "user");
}

static void method(struct generator *g, const struct conf_action *a)
{
    switch (a->method) {
    case METHOD_MAILDIR: maildir(g, a); break;
    case METHOD_MDA: mda(g, a); break;
    case METHOD_LMTP: lmtp(g, a); break;
    case METHOD_FORWARD_ONLY:
        option(g, "allow_mail_to_commands", "%s", "");
        option(g, "allow_mail_to_files", "%s", "");
        option(g, "local_delivery_by", "forward");
        break;
    case METHOD_EXPAND_ONLY: option(g, "local_delivery_by", "forward"); break;
    default: break;
    }
    if (a->wrapper.n && a->method != METHOD_MDA)
        warn(g, &a->place, "wrapper has an effect only with mda");
}

/* Whom the action knows, for the reply to RCPT TO. */
static void known_recipients(struct generator *g, const struct conf_action *a, struct str alias,
                             struct str virtual, struct str users)
{
    bool any = (a->user.n && virtual.n == 0) || a->method == METHOD_RELAY;

    buf_addf(g->rules, "# " STR_FMT "\naction " STR_FMT, STR_ARG(generate_place(g, &a->place)),
             STR_ARG(action_name(g, a)));
    if (any)
        buf_addf(g->rules, " any%s" STR_FMT, alias.n ? " aliases=" : "", STR_ARG(alias));
    else if (virtual.n)
        buf_addf(g->rules, " virtual=" STR_FMT, STR_ARG(virtual));
    else
        buf_addf(g->rules, "%s" STR_FMT " users=" STR_FMT, alias.n ? " aliases=" : "",
                 STR_ARG(alias), STR_ARG(users.n ? users : STR("unix:passwd.byname")));
    buf_addc(g->rules, '\n');
}

static struct str map_option(struct generator *g, const char *name, const struct conf_table *t,
                             enum table_use use)
{
    struct str text = t ? table_as_map(g, t, use) : STR("");

    if (t && text.n)
        option(g, name, STR_FMT, STR_ARG(text));
    return text;
}

struct str process_column(struct generator *g, long limit)
{
    return limit ? arena_printf(g->arena, "%ld", limit) : STR("-");
}

static void local_transport(struct generator *g, const struct conf_action *a, struct str service)
{
    long per_user = limit_value(g, "mda", "max-session-per-user");

    set(g, &a->place,
        arena_printf(g->arena, STR_FMT "_destination_recipient_limit", STR_ARG(service)).p, "1");
    set(g, &a->place,
        arena_printf(g->arena, STR_FMT "_destination_concurrency_limit", STR_ARG(service)).p, "%ld",
        per_user ? per_user : 2);
    action_lifetime(g, a, service);
}

static void local(struct generator *g, const struct conf_action *a)
{
    size_t begun_at = g->master_cf->n;
    struct str service = action_service(g, a), alias, virtual, users;

    buf_addf(g->master_cf, "# " STR_FMT "\n" STR_FMT " unix - n n - " STR_FMT " local%s\n",
             STR_ARG(generate_place(g, &a->place)), STR_ARG(service),
             STR_ARG(process_column(g, limit_value(g, "mda", "max-session"))),
             g->options->verbose ? " -v" : "");
    alias = map_option(g, "alias_maps", a->alias, USE_ALIASES);
    virtual = map_option(g, "local_address_maps", a->virtual, USE_ALIASES);
    users = map_option(g, "local_user_maps", a->userbase, USE_MAP);
    if (a->user.n) {
        option(g, "local_delivery_user", STR_FMT, STR_ARG(literal(g, a->user)));
        option(g, "forward_path", "%s", "");
    }
    method(g, a);
    if (service_is_new(g, &service, begun_at, arena_printf(g->arena, "%ld", a->ttl)))
        local_transport(g, a, service);
    buf_addf(g->actions, STR_FMT " " STR_FMT ":\n", STR_ARG(action_name(g, a)), STR_ARG(service));
    known_recipients(g, a, alias, virtual, users);
}

void generate_actions(struct generator *g)
{
    for (size_t i = 0; i < g->conf->actions.n; i++)
        g->lifetimes_differ = g->lifetimes_differ || g->conf->actions.v[i]->ttl > 0;
    for (size_t i = 0; i < g->conf->actions.n; i++) {
        const struct conf_action *a = g->conf->actions.v[i];
        if (a->method == METHOD_RELAY) {
            relay_action(g, a);
            known_recipients(g, a, STR(""), STR(""), STR(""));
        } else {
            local(g, a);
        }
    }
}
