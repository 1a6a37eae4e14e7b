#include <limits.h>
#include <stdlib.h>

#include "table/dbconf.h"
#include "util/memory.h"

struct dbquery {
    struct str query, result_format;
    struct match_list *domain;
    long expansion_limit;
};

enum rc dbquery_new(struct dbconf *c, struct driver_open *o, struct str query, struct dbquery **out,
                    struct why *why)
{
    struct dbquery *q = NEW(struct dbquery);
    enum rc rc = dbconf_number(c, "expansion_limit", 0, 0, LONG_MAX, &q->expansion_limit, why);

    q->query = query;
    q->result_format = dbconf_text(c, "result_format", NULL);
    if (q->result_format.p == NULL)
        q->result_format = dbconf_text(c, "result_filter", "%s");
    if (rc == RC_OK)
        rc = match_open("domain", dbconf_text(c, "domain", ""), MATCH_STRING, false, o->env,
                        &q->domain, why);
    if (rc != RC_OK) {
        dbquery_free(q);
        return rc;
    }
    *out = q;
    return RC_OK;
}

void dbquery_free(struct dbquery *q)
{
    if (q == NULL)
        return;
    match_close(q->domain);
    free(q);
}

/* ---- parts of keys and values ---- */

struct text_parts {
    struct str whole, user, domain;
    bool has_domain;
};

static struct text_parts parts_of(struct str text)
{
    struct text_parts p = {.whole = text, .user = text};
    ssize_t at = str_rindex(text, '@');

    if (at >= 0) {
        p.user = str_head(text, (size_t)at);
        p.domain = str_from(text, (size_t)at + 1);
        p.has_domain = true;
    }
    return p;
}

/* The n-th label from the right, 1: top level. */
static bool label_of(struct str domain, int n, struct str *label)
{
    while (n > 0 && domain.n) {
        ssize_t dot = str_rindex(domain, '.');
        *label = str_from(domain, dot < 0 ? 0 : (size_t)dot + 1);
        domain = dot < 0 ? STR("") : str_head(domain, (size_t)dot);
        n--;
    }
    return n == 0;
}

/* False: the text does not have this part. */
static bool part_of(const struct text_parts *p, char letter, struct str *out)
{
    switch (to_lower(letter)) {
    case 's': *out = p->whole; return true;
    case 'u': *out = p->user; return p->user.n > 0;
    case 'd': *out = p->domain; return p->has_domain && p->domain.n > 0;
    default: return p->has_domain && label_of(p->domain, letter - '0', out);
    }
}

static bool is_part(char letter)
{
    return strchr("sudSUD123456789", letter) != NULL;
}

/* lower: what %s %u %d stand for; upper: what %S %U %D and the digits stand for. */
static enum rc expand(struct str template, const struct text_parts *lower,
                      const struct text_parts *upper, dbquery_quote *quote, void *context,
                      struct buf *out, struct why *why)
{
    for (size_t i = 0; i < template.n; i++) {
        char letter = i + 1 < template.n ? template.p[i + 1] : '\0';
        struct str part;
        if (template.p[i] != '%') {
            buf_addc(out, template.p[i]);
            continue;
        }
        i++;
        if (letter == '%') {
            buf_addc(out, '%');
            continue;
        }
        if (letter == '\0' || !is_part(letter))
            return FAIL(why, RC_CONFIG, "unknown conversion \"%%%c\" in \"" STR_FMT "\"",
                        letter ? letter : ' ', STR_ARG(template));
        if (!part_of(letter == 's' || letter == 'u' || letter == 'd' ? lower : upper, letter,
                     &part))
            return RC_NONE;
        if (quote)
            TRY(quote(context, part, out, why));
        else
            buf_add(out, part);
    }
    return RC_OK;
}

/* ---- queries and results ---- */

/* With a list of domains only user@domain of one of them is asked for. */
static enum rc is_wanted(const struct dbquery *q, const struct text_parts *key, struct why *why)
{
    if (match_empty(q->domain))
        return RC_OK;
    if (!key->has_domain || key->user.n == 0)
        return RC_NONE;
    return match_get(q->domain, key->domain, why);
}

enum rc dbquery_make(const struct dbquery *q, struct str key, dbquery_quote *quote, void *context,
                     struct buf *out, struct why *why)
{
    struct text_parts parts = parts_of(key);

    if (key.n == 0)
        return RC_NONE;
    TRY(is_wanted(q, &parts, why));
    TRY(expand(q->query, &parts, &parts, quote, context, out, why));
    return out->over ? FAIL(why, RC_TEMP, "query is too long") : RC_OK;
}

enum rc dbquery_add(const struct dbquery *q, struct str key, struct str value, struct buf *out,
                    long *n, struct why *why)
{
    struct text_parts of_value = parts_of(value), of_key = parts_of(key);
    AUTO_BUF one = {0};
    enum rc rc;

    if (value.n == 0)
        return RC_OK;
    buf_init(&one, out->max);
    rc = expand(q->result_format, &of_value, &of_key, NULL, NULL, &one, why);
    if (rc != RC_OK)
        return rc == RC_NONE ? RC_OK : rc;
    if (++*n > q->expansion_limit && q->expansion_limit > 0)
        return FAIL(why, RC_TEMP, "more than %ld results (expansion_limit) for \"" STR_FMT "\"",
                    q->expansion_limit, STR_ARG(key));
    if (out->n)
        buf_addc(out, ',');
    buf_add(out, buf_str(&one));
    return out->over || one.over ? FAIL(why, RC_TEMP, "result is too long") : RC_OK;
}
