/* inline: "inline:{ key=value, { key = text with blanks } }", all in the name. */
#include "table/driver.h"
#include "table/memtable.h"
#include "table/source.h"

static enum rc syntax_error(const struct driver_open *o, const char *what, struct why *why)
{
    return FAIL(why, RC_CONFIG, "%s: \"inline:" STR_FMT "\"; need \"inline:{name=value...}\"", what,
                STR_ARG(o->name));
}

static enum rc add_pair(struct driver_open *o, struct memtable *m, struct str item, struct why *why)
{
    bool braced = item.p[0] == '{';
    struct str key, value;

    if (source_unbrace(item, &item, NULL) != RC_OK)
        return syntax_error(o, "bad syntax", why);
    value = item;
    key = str_cut(&value, '=');
    if (value.p == NULL)
        return syntax_error(o, "missing '=' after attribute name", why);
    if (braced) {
        key = str_trim(key);
        value = str_trim(value);
    }
    if (key.n == 0)
        return syntax_error(o, "missing attribute name", why);
    if (!(o->flags & TABLE_FOLD_KEEP))
        key = fold_case(o->arena, key, o->flags & TABLE_UTF8);
    if ((o->flags & TABLE_BASE64) && source_value_of_files(value, o->arena, &value, why) != RC_OK)
        return RC_CONFIG;
    memtable_put(m, o->arena, key, value);
    return RC_OK;
}

static enum rc inline_open(struct driver_open *o, struct why *why)
{
    struct memtable *m = memtable_new(o->arena);
    struct str list = str_trim(o->name), item;

    if (list.n < 2 || list.p[0] != '{' || list.p[list.n - 1] != '}')
        return syntax_error(o, "bad syntax", why);
    list = (struct str){list.p + 1, list.n - 2};
    while (str_token_braced(&list, LIST_SEPARATORS, &item))
        TRY(add_pair(o, m, item, why));
    if (m->map.n == 0)
        return syntax_error(o, "empty table", why);
    o->state = m;
    return RC_OK;
}

const struct table_driver table_driver_inline = {
    .type = "inline",
    .flags = DRIVER_FOLDS | DRIVER_THREADS,
    .open = inline_open,
    .get = memtable_get,
    .next = memtable_next,
};
