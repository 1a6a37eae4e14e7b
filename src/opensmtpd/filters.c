/* filter and proc: smtpd_filters(5), and a service of master.cf for each process. */
#include "opensmtpd/generate.h"

static void put_word(struct buf *b, struct str text)
{
    buf_add(b, STR(" \""));
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\')
            buf_addc(b, '\\');
        buf_addc(b, text.p[i]);
    }
    buf_addc(b, '"');
}

static const char *const fact_words[] = {
    [FACT_CLIENT_NAME] = "rdns", [FACT_FCRDNS] = "fcrdns", [FACT_CLIENT] = "src",
    [FACT_HELO] = "helo",        [FACT_AUTH] = "auth",     [FACT_SENDER] = "mail-from",
    [FACT_RECIPIENT] = "rcpt-to"};

static void condition(struct generator *g, const struct conf_condition *c)
{
    struct entry_vec values;

    buf_addf(g->filters, " %s%s", c->negated ? "!" : "", fact_words[c->fact]);
    if (c->regex)
        buf_add(g->filters, STR(" regex"));
    if (c->table == NULL)
        return;
    values = table_entries(g, c->table);
    buf_add(g->filters, STR(" {"));
    for (size_t i = 0; i < values.n; i++) {
        put_word(g->filters, values.v[i].key);
        if (i + 1 < values.n)
            buf_addc(g->filters, ',');
    }
    buf_add(g->filters, STR(" }"));
}

static void builtin(struct generator *g, const struct conf_filter *f)
{
    static const char *const words[] = {
        [DECIDE_BYPASS] = "bypass", [DECIDE_DISCONNECT] = "disconnect", [DECIDE_JUNK] = "junk",
        [DECIDE_REJECT] = "reject", [DECIDE_REWRITE] = "rewrite",       [DECIDE_REPORT] = "report"};

    buf_addf(g->filters, " phase " STR_FMT " match", STR_ARG(f->phase));
    for (size_t i = 0; i < f->conditions.n; i++)
        condition(g, &f->conditions.v[i]);
    buf_addf(g->filters, " %s", words[f->decision]);
    if (f->text.n)
        put_word(g->filters, f->text);
}

static struct str proc_service(struct generator *g, const struct conf_proc *p)
{
    return plain_name(g, "filter_", p->name);
}

/* As OpenSMTPD: by the shell, and from a directory of its own when it is no path. */
static void add_command(struct generator *g, const struct conf_proc *p)
{
    const char *directory = p->command.n && p->command.p[0] == '/' ? "" : "/usr/libexec/opensmtpd/";

    if (str_index_any(p->command, "\"'\\$&|;<>()*?[]{}#~`") < 0)
        buf_addf(g->master_cf, " argv=%s" STR_FMT "\n", directory, STR_ARG(p->command));
    else
        buf_addf(g->master_cf, " argv=/bin/sh -c {exec %s" STR_FMT "}\n", directory,
                 STR_ARG(p->command));
}

/* Without user it is that of default_privs. The limit of 0 lets an old process serve its sessions
 * after a reload. */
static void process(struct generator *g, const struct conf_proc *p)
{
    buf_addf(g->master_cf, "# " STR_FMT "\n" STR_FMT " unix - n n - 0 filterd\n ",
             STR_ARG(generate_place(g, &p->place)), STR_ARG(proc_service(g, p)));
    if (p->user.n || p->group.n)
        buf_addf(g->master_cf, " user=" STR_FMT "%s" STR_FMT,
                 STR_ARG(p->user.n ? p->user : g->base->default_privs), p->group.n ? ":" : "",
                 STR_ARG(p->group));
    if (p->chroot.n)
        buf_addf(g->master_cf, " chroot=" STR_FMT, STR_ARG(p->chroot));
    add_command(g, p);
}

void generate_filters(struct generator *g)
{
    const struct conf *c = g->conf;

    for (size_t i = 0; i < c->procs.n; i++)
        process(g, c->procs.v[i]);
    for (size_t i = 0; i < c->filters.n; i++) {
        const struct conf_filter *f = c->filters.v[i];
        buf_addf(g->filters, "# " STR_FMT "\n" STR_FMT, STR_ARG(generate_place(g, &f->place)),
                 STR_ARG(plain_name(g, "", f->name)));
        if (f->chain.n) {
            buf_add(g->filters, STR(" chain"));
            for (size_t k = 0; k < f->chain.n; k++)
                buf_addf(g->filters, " " STR_FMT, STR_ARG(plain_name(g, "", f->chain.v[k]->name)));
        } else if (f->proc) {
            buf_addf(g->filters, " proc " STR_FMT, STR_ARG(proc_service(g, f->proc)));
        } else {
            builtin(g, f);
        }
        buf_addc(g->filters, '\n');
    }
}
