/* Virtual aliases: one address becomes many, and each of those is looked up again. */
#include "global/address.h"
#include "submit/intake.h"

/* The next address of a table's answer: up to a comma or blank outside quotes and comments. */
static bool next_address(struct str *rest, struct str *address)
{
    size_t n = 0;
    bool quoted = false;
    int comment = 0;

    while (rest->n && (is_white(rest->p[0]) || rest->p[0] == ','))
        *rest = str_from(*rest, 1);
    for (; n < rest->n; n++) {
        char c = rest->p[n];
        if (c == '\\')
            n++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c == '(')
            comment++;
        else if (!quoted && c == ')' && comment)
            comment--;
        else if (!quoted && !comment && (is_white(c) || c == ','))
            break;
    }
    *address = str_head(*rest, n);
    *rest = str_from(*rest, n);
    return address->n > 0;
}

/* "@domain" keeps the local part of what was looked up. */
static struct str complete(struct submission *s, struct str text, struct str looked_up)
{
    struct str address = text;

    if (text.p[0] == '@' && text.n > 1)
        return address_join(s->arena, address_split(looked_up).local, str_from(text, 1));
    if (text.p[0] == '<' && text.p[text.n - 1] == '>')
        address = (struct str){text.p + 1, text.n - 2};
    return address_unquote(s->arena, address);
}

static struct str add_extension(struct submission *s, struct str address, struct str extension)
{
    struct address_parts parts = address_split(address);
    struct str local = arena_join(s->arena, parts.local, extension);

    return parts.has_domain ? address_join(s->arena, local, parts.domain) : local;
}

struct str_list mapping_result(struct submission *s, struct str value, struct str address,
                               struct str extension)
{
    struct str_list list = {0};
    struct str text;

    while (next_address(&value, &text)) {
        struct str one = mapping_rewrite(s, false, complete(s, text, address));
        if (extension.n)
            one = add_extension(s, one, extension);
        vec_add(s->arena, &list, one);
    }
    return list;
}

static struct str_list give_up(struct submission *s, struct str address, const char *what)
{
    log_warning(&s->log,
                "unreasonable virtual_alias_maps map %s for " STR_FMT
                " -- message not accepted, try again later",
                what, STR_ARG(address));
    submission_fail(s, SUBMIT_DEFER, STR("4.6.0 Alias expansion error"));
    return (struct str_list){0};
}

static bool list_has(const struct str_list *list, struct str address)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq_nocase(list->v[i], address))
            return true;
    return false;
}

/* Look list->v[at] up once: the first result takes its place, others go to the end. RC_NONE: it
 * stands for itself. */
static enum rc expand_once(struct submission *s, struct str_list *list, size_t at,
                           struct str_list *themselves, const char **limit)
{
    struct str address = list->v[at], value, extension;
    struct str_list to;
    struct why why;
    enum rc rc = mapping_get(s, s->lib->virtual_alias.maps, address, &value, &extension, &why);

    if (rc == RC_NONE)
        return rc;
    if (rc != RC_OK) {
        mapping_trouble(s, "virtual_alias_maps", address, &why);
        return rc;
    }
    if (!(s->lib->extensions & EXTENSION_VIRTUAL))
        extension = STR_NONE;
    to = mapping_result(s, value, address, extension);
    if (to.n == 0)
        return RC_NONE;
    for (size_t i = 0; i < to.n; i++) {
        if ((long)to.v[i].n > s->lib->config->virtual_alias_address_length_limit) {
            *limit = "result";
            return RC_TEMP;
        }
        if (str_eq_nocase(to.v[i], address) && !list_has(themselves, address))
            vec_add(s->arena, themselves, address);
        if (i == 0)
            list->v[at] = to.v[i];
        else
            vec_add(s->arena, list, to.v[i]);
    }
    if ((long)list->n > s->lib->config->virtual_alias_expansion_limit) {
        *limit = "expansion size";
        return RC_TEMP;
    }
    return RC_OK;
}

struct str_list alias_expand(struct submission *s, struct str address)
{
    struct str_list list = {0}, themselves = {0};
    const char *limit = NULL;

    vec_add(s->arena, &list, address);
    for (size_t i = 0; i < list.n; i++)
        for (long depth = 0; !list_has(&themselves, list.v[i]); depth++) {
            enum rc rc;
            if (depth >= s->lib->config->virtual_alias_recursion_limit)
                return give_up(s, address, "nesting");
            rc = expand_once(s, &list, i, &themselves, &limit);
            if (rc == RC_NONE)
                break;
            if (rc != RC_OK)
                return limit ? give_up(s, address, limit) : (struct str_list){0};
        }
    return list;
}
