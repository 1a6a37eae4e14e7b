#include "config/evaluate.h"

#include "config/value.h"

struct str source_written(struct config_source *s, int index)
{
    return s->definitions[index] ? s->definitions[index]->text : params[index].dflt;
}

/* Put "FILE, line N: name = value: " before the words, once. */
static enum rc with_place(struct config_source *s, const struct definition *d, struct str name,
                          struct str text, struct why *why)
{
    if (s->why_has_place)
        return RC_CONFIG;
    s->why_has_place = true;
    why_prefix(why, STR_FMT " = " STR_FMT, STR_ARG(name), STR_ARG(text));
    if (d && d->path)
        why_prefix(why, "%s, line %d", d->path, d->line);
    else if (d)
        why_prefix(why, STR_FMT, STR_ARG(d->origin));
    else
        why_prefix(why, "built-in default");
    if (why)
        why->rc = RC_CONFIG;
    return RC_CONFIG;
}

/* A consequence of trouble that had its words already: no words. */
static enum rc told_before(struct config_source *s, struct why *why)
{
    s->why_has_place = true;
    return FAIL(why, RC_CONFIG, "%s", "");
}

static enum rc lookup(void *context, struct str name, struct str *value, struct why *why);

enum rc source_expand(struct config_source *s, struct str text, struct str *out, struct why *why)
{
    struct expander e = {lookup, s};
    AUTO_BUF buf;

    buf_init(&buf, EXPAND_MAX);
    if (!expand_is_needed(text)) {
        *out = text;
        return RC_OK;
    }
    TRY(expand_text(&e, text, &buf, why));
    *out = arena_copy(s->arena, buf_str(&buf));
    return RC_OK;
}

enum rc source_evaluate(struct config_source *s, int index, struct why *why)
{
    const struct param *p = &params[index];
    struct str text = source_written(s, index), result = text;
    enum rc rc = RC_OK;

    if (s->states[index] == TEXT_DONE || s->states[index] == TEXT_INHERITED)
        return RC_OK;
    if (s->states[index] == TEXT_BUSY)
        return FAIL(why, RC_CONFIG, "the value of " STR_FMT " refers to itself", STR_ARG(p->name));
    if (s->states[index] == TEXT_BAD)
        return told_before(s, why);
    s->states[index] = TEXT_BUSY;
    if (computed_is(index) && s->definitions[index] == NULL)
        rc = computed_text(s, index, &result, why);
    else if (p->kind != PARAM_RAW)
        rc = source_expand(s, text, &result, why);
    if (rc == RC_OK && index == PARAM_INDEX_myorigin && str_has_prefix(result, STR("/")))
        rc = computed_first_line(s->arena, &result, why);
    if (rc != RC_OK) {
        s->states[index] = TEXT_BAD;
        return with_place(s, s->definitions[index], p->name, text, why);
    }
    s->texts[index] = result;
    s->states[index] = TEXT_DONE;
    return RC_OK;
}

enum rc source_evaluate_user(struct config_source *s, struct str name, struct user_parameter *u,
                             struct why *why)
{
    if (u->state == TEXT_DONE)
        return RC_OK;
    if (u->state == TEXT_BUSY)
        return FAIL(why, RC_CONFIG, "the value of " STR_FMT " refers to itself", STR_ARG(name));
    if (u->state == TEXT_BAD)
        return told_before(s, why);
    u->state = TEXT_BUSY;
    if (source_expand(s, u->definition.text, &u->text, why) != RC_OK) {
        u->state = TEXT_BAD;
        return with_place(s, &u->definition, name, u->definition.text, why);
    }
    u->state = TEXT_DONE;
    return RC_OK;
}

static enum rc lookup(void *context, struct str name, struct str *value, struct why *why)
{
    struct config_source *s = context;
    struct user_parameter *u;
    int index = param_find(name);

    if (index < 0) {
        if ((u = map_get(&s->user, name)) == NULL)
            return RC_NONE;
        TRY(source_evaluate_user(s, name, u, why));
        *value = u->text;
        return RC_OK;
    }
    TRY(source_evaluate(s, index, why));
    if (params[index].kind == PARAM_RAW)
        return source_expand(s, s->texts[index], value, why);
    *value = s->texts[index];
    return RC_OK;
}

static void set_member(struct config *c, const struct param *p, const struct value *v)
{
    char *member = (char *)c + p->offset;

    switch (p->kind) {
    case PARAM_BOOL: *(bool *)member = v->yes; break;
    case PARAM_INT:
    case PARAM_LONG:
    case PARAM_TIME:
    case PARAM_TIME_H:
    case PARAM_TIME_D: *(long *)member = v->number; break;
    case PARAM_STR:
    case PARAM_RAW:
    case PARAM_ENUM:
    case PARAM_SET:
    case PARAM_LEGACY: *(struct str *)member = v->text; break;
    }
}

static enum rc check_levels(struct config_source *s, struct why *why)
{
    int order;

    TRY(source_evaluate(s, PARAM_INDEX_compatibility_level, why));
    if (level_compare(s->texts[PARAM_INDEX_compatibility_level], STR("0"), &order, why) != RC_OK)
        return with_place(s, s->definitions[PARAM_INDEX_compatibility_level],
                          STR("compatibility_level"),
                          source_written(s, PARAM_INDEX_compatibility_level), why);
    return RC_OK;
}

enum rc source_fill_one(struct config_source *s, int index, struct config *c, struct why *why)
{
    const struct param *p = &params[index];
    struct value v = {0};

    TRY(source_evaluate(s, index, why));
    if (value_parse(p, s->texts[index], s->arena, &v, why) != RC_OK)
        return with_place(s, s->definitions[index], p->name, source_written(s, index), why);
    set_member(c, p, &v);
    return RC_OK;
}

enum rc source_fill(struct config_source *s, struct config *c, struct why *why)
{
    TRY(check_levels(s, why));
    for (int i = 0; i < PARAM_COUNT; i++)
        if (s->states[i] != TEXT_INHERITED) /* else the member is there as well */
            TRY(source_fill_one(s, i, c, why));
    return RC_OK;
}
