#include "config/value.h"

#include <limits.h>

#include "config/config.h"

bool config_parse_bool(struct str text, bool *out)
{
    if (str_eq_nocase(text, STR("yes")))
        *out = true;
    else if (str_eq_nocase(text, STR("no")))
        *out = false;
    else
        return false;
    return true;
}

bool config_parse_long(struct str text, long *out)
{
    return str_to_long(str_trim(text), LONG_MIN, LONG_MAX, out);
}

static long unit_seconds(char unit)
{
    switch (to_lower(unit)) {
    case 's': return 1;
    case 'm': return 60;
    case 'h': return 3600;
    case 'd': return 86400;
    case 'w': return 7 * 86400;
    default: return 0;
    }
}

bool config_parse_time(struct str text, char default_unit, long *seconds)
{
    long number, factor = unit_seconds(default_unit);

    text = str_trim(text);
    if (text.n > 1 && is_alpha(text.p[text.n - 1])) {
        factor = unit_seconds(text.p[text.n - 1]);
        text = str_head(text, text.n - 1);
    }
    if (factor == 0 || !str_to_long(text, 0, INT_MAX, &number) || number > INT_MAX / factor)
        return false;
    *seconds = number * factor;
    return true;
}

enum rc config_parse_setting(struct str text, struct config_setting *setting, struct why *why)
{
    ssize_t equals = str_index(text, '=');
    struct str name;

    if (equals < 0)
        return FAIL(why, RC_PERM,
                    "missing '=' after attribute name: \"" STR_FMT "\"; write name=value",
                    STR_ARG(text));
    name = str_trim(str_head(text, (size_t)equals));
    if (name.n == 0)
        return FAIL(why, RC_PERM, "missing attribute name: \"" STR_FMT "\"; write name=value",
                    STR_ARG(text));
    if (str_index_any(name, " \t\r\n\v\f") >= 0)
        return FAIL(why, RC_PERM, "blank in attribute name: \"" STR_FMT "\"; write name=value",
                    STR_ARG(name));
    *setting = (struct config_setting){.name = name,
                                       .value = str_trim(str_from(text, (size_t)equals + 1))};
    return RC_OK;
}

static bool is_time(enum param_kind kind)
{
    return kind == PARAM_TIME || kind == PARAM_TIME_H || kind == PARAM_TIME_D;
}

enum rc value_parse_number(enum param_kind kind, struct str text, long min, long max, long *number,
                           struct why *why)
{
    long n;

    if (is_time(kind)) {
        if (!config_parse_time(text, param_time_unit(kind), &n))
            return FAIL(why, RC_PERM,
                        "not a time; write a number and one of s m h d w, such as 30s");
    } else if (!config_parse_long(text, &n)) {
        return FAIL(why, RC_PERM, "not a number; write digits only");
    }
    if (n < min)
        return FAIL(why, RC_PERM, "too small; the smallest value is %ld%s", min,
                    is_time(kind) ? "s" : "");
    if (n > max)
        return FAIL(why, RC_PERM, "too large; the largest value is %ld%s", max,
                    is_time(kind) ? "s" : "");
    *number = n;
    return RC_OK;
}

static bool is_word_of(const char *words, struct str word)
{
    struct str rest = str_of(words);

    while (rest.p)
        if (str_eq_nocase(str_cut(&rest, '|'), word))
            return true;
    return false;
}

static enum rc bad_word(const char *words, struct str word, struct why *why)
{
    char list[256];
    size_t n = 0;

    for (const char *p = *words == '|' ? words + 1 : words; *p && n < sizeof list - 3; p++) {
        list[n++] = *p == '|' ? ',' : *p;
        if (*p == '|')
            list[n++] = ' ';
    }
    list[n] = '\0';
    return FAIL(why, RC_PERM, "unknown word \"" STR_FMT "\"; there are: %s%s", STR_ARG(word),
                *words == '|' ? "nothing, " : "", list);
}

static enum rc check_words(const struct param *p, struct str text, struct why *why)
{
    struct str word;

    if (p->kind == PARAM_ENUM)
        return is_word_of(p->words, text) ? RC_OK : bad_word(p->words, text, why);
    while (str_token(&text, LIST_SEPARATORS, &word))
        if (!is_word_of(p->words, word))
            return bad_word(p->words, word, why);
    return RC_OK;
}

static bool has_capitals(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != to_lower(text.p[i]))
            return true;
    return false;
}

enum rc value_parse(const struct param *p, struct str text, struct arena *a, struct value *value,
                    struct why *why)
{
    switch (p->kind) {
    case PARAM_BOOL:
        if (!config_parse_bool(text, &value->yes))
            return FAIL(why, RC_PERM, "neither yes nor no");
        return RC_OK;
    case PARAM_INT:
    case PARAM_LONG:
    case PARAM_TIME:
    case PARAM_TIME_H:
    case PARAM_TIME_D:
        return value_parse_number(p->kind, text, p->min, p->max, &value->number, why);
    case PARAM_ENUM:
    case PARAM_SET:
        TRY(check_words(p, text, why));
        if (has_capitals(text))
            text = arena_lower(a, text);
        break;
    case PARAM_STR:
    case PARAM_RAW:
    case PARAM_LEGACY: break;
    }
    if ((long)text.n < p->min)
        return FAIL(why, RC_PERM,
                    p->min == 1 ? "must not be empty" : "too short; at least %ld bytes", p->min);
    if ((long)text.n > p->max)
        return FAIL(why, RC_PERM, "too long; at most %ld bytes", p->max);
    value->text = text;
    return RC_OK;
}
