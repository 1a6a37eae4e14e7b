/* The conditions among the filters; programs are not asked. */
#include "filter/link.h"
#include "postexplain/postexplain.h"

enum rc explain_filters_open(const struct config *config, struct explanation *e, struct why *why)
{
    struct filter_set all = {0};
    VEC(const struct filter *) conditions = {0};

    if (str_trim(config->smtpd_filters).n == 0)
        return RC_OK;
    TRY(filter_set_load(config->smtpd_filter_definitions.p, config->smtpd_filters, e->context->log,
                        e->arena, &all, why));
    for (size_t i = 0; i < all.n; i++)
        if (!all.list[i]->is_program)
            vec_add(e->arena, &conditions, all.list[i]);
    e->filter_set = (struct filter_set){conditions.v, conditions.n};
    return filters_open(&e->filter_set, false, config, e->arena, &e->filters, why);
}

bool explain_filters(struct explanation *e, enum filter_phase phase, struct str first,
                     struct str *parameter)
{
    static const struct log quiet = {.hush = LOG_HUSH_ALL};
    struct access_context *c = e->context;
    struct filter_facts facts = access_filter_facts(c);
    struct verdict_of_filters v;
    struct why why;

    if (e->filters == NULL || filters_ask(e->filters, phase, first, *parameter, &facts, &quiet,
                                          c->client.label, &v, &why) != RC_OK)
        return true;
    if (v.decision == DECIDE_REWRITE)
        *parameter = v.text;
    if (!filters_refuse(&v))
        return true;
    c->reply = v.text;
    c->setting = "smtpd_filters";
    e->is_error = true;
    e->hangs_up = v.decision == DECIDE_DISCONNECT;
    return false;
}
