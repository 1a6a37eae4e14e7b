/* The first rule that holds; and whether its action knows the recipient. */
#include "dispatch/rules.h"
#include "global/address.h"

static enum rc rule_holds(const struct rule *r, const struct dispatch_facts *f, struct arena *a,
                          struct why *why)
{
    for (size_t i = 0; i < r->conditions.n; i++)
        TRY(condition_holds(&r->conditions.v[i], f, a, why));
    return RC_OK;
}

static enum rc find(const struct dispatch *d, const struct dispatch_facts *f, struct arena *a,
                    const struct rule **out, struct why *why)
{
    struct candidate_search search = {.arena = a};
    long number;

    index_find(d, f, &search);
    while ((number = search_next(&search)) != NO_CANDIDATE) {
        enum rc rc = rule_holds(&d->rules.v[number], f, a, why);
        if (rc == RC_NONE)
            continue;
        *out = &d->rules.v[number];
        return rc;
    }
    return RC_NONE;
}

static enum rc decide(const struct dispatch *d, const struct dispatch_facts *f, struct arena *a,
                      struct dispatch_answer *out, const struct action **action, struct why *why)
{
    const struct rule *r = NULL;
    enum rc rc = find(d, f, a, &r, why);

    *out = (struct dispatch_answer){.reply = STR("550 5.7.1 Recipient rejected"), .file = d->path};
    *action = NULL;
    if (rc != RC_OK)
        return rc == RC_NONE ? RC_OK : rc;
    out->line = r->line;
    out->reply = r->reply;
    *action = r->action;
    if (r->action) {
        out->accepted = true;
        out->action = r->action->name;
    }
    return RC_OK;
}

enum rc dispatch_decide(const struct dispatch *d, const struct dispatch_facts *f, struct arena *a,
                        struct dispatch_answer *out, struct why *why)
{
    const struct action *action;

    return decide(d, f, a, out, &action, why);
}

/* ---- is it known? ---- */

/* "error:550 gone away", alone or among others. */
static bool is_error(struct str value, struct arena *a, struct str *reply)
{
    struct str text = str_trim(value);

    if (text.n > 1 && text.p[0] == '"' && text.p[text.n - 1] == '"')
        text = (struct str){text.p + 1, text.n - 2};
    if (!str_has_prefix_nocase(text, STR("error:")))
        return false;
    text = str_trim(str_from(text, 6));
    if (text.n > 3 && (text.p[0] == '4' || text.p[0] == '5') && is_digit(text.p[1]) &&
        is_digit(text.p[2]))
        *reply = arena_copy(a, text);
    else
        *reply = arena_join(a, STR("550 "), text);
    return true;
}

static enum rc ask(struct table *t, const struct str *keys, size_t n, struct arena *a,
                   struct str *value, struct why *why)
{
    enum rc rc = RC_NONE;

    for (size_t i = 0; t && rc == RC_NONE && i < n; i++)
        if (keys[i].n)
            rc = table_get(t, arena_lower(a, keys[i]), a, value, why);
    return rc;
}

/* RC_NONE: nobody of that name. */
static enum rc knows(const struct action *x, const struct dispatch_facts *f, struct arena *a,
                     struct str *value, struct why *why)
{
    struct str local = address_local(f->recipient), domain = address_domain(f, f->recipient);
    struct str user = local, extension;
    struct str names[2] = {local};
    struct str virtual[6] = {0};
    enum rc rc;

    (void)address_extension(local, f->delimiters, &user, &extension);
    names[1] = user;
    virtual[0] = address_join(a, local, domain);
    virtual[1] = address_join(a, user, domain);
    virtual[2] = local;
    virtual[3] = user;
    virtual[4] = arena_join(a, STR("@"), domain);
    virtual[5] = STR("@");
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    if (x->virtual)
        return ask(x->virtual, virtual, 6, a, value, why);
    rc = ask(x->aliases, names, 2, a, value, why);
    return rc == RC_NONE ? ask(x->users, names + (names[1].n ? 1 : 0), 1, a, value, why) : rc;
}

enum rc dispatch_accepts(const struct dispatch *d, const struct dispatch_facts *f, struct arena *a,
                         struct dispatch_answer *out, struct why *why)
{
    const struct action *x;
    struct str value = STR("");
    enum rc rc;

    TRY(decide(d, f, a, out, &x, why));
    if (!out->accepted)
        return RC_OK;
    rc = knows(x, f, a, &value, why);
    if (rc == RC_NONE && x->takes_any)
        return RC_OK;
    if (rc == RC_NONE) {
        out->accepted = false;
        out->reply = STR("550 5.1.1 Recipient address rejected: User unknown");
        return RC_OK;
    }
    TRY(rc);
    if (is_error(value, a, &out->reply))
        out->accepted = false;
    return RC_OK;
}
