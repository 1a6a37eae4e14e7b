/* What was found out, as text and as one JSON object. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "postexplain/postexplain.h"

#ifdef HAVE_JSONC
#    include <json-c/json.h>
#endif

#include "util/buf.h"

/* What the question was about, when the words do not say more. */
static struct str file_asked(const struct question *q, struct arena *a)
{
    struct str table = str_of(q->instructions);
    char path[PATH_MAX];

    if (q->rules_file)
        return arena_copy(a, str_of(realpath(q->rules_file, path) ? path : q->rules_file));
    (void)str_cut(&table, ':');
    return table;
}

/* "WORDS: FILE, line N: TEXT": places may follow each other, and the innermost file is the one that
 * is refused. */
void explain_error(const struct question *q, struct explanation *e, const struct why *why)
{
    struct str rest = arena_copy(e->arena, str_of(why->text));

    e->verdict = "error";
    e->place.file = file_asked(q, e->arena);
    e->text = rest;
    for (;;) {
        ssize_t end = str_find(rest, STR(": ")), mark;
        struct str head = end < 0 ? STR_NONE : str_head(rest, (size_t)end);
        long line;
        if (end < 0)
            return;
        rest = str_from(rest, (size_t)end + 2);
        mark = str_find(head, STR(", line "));
        if (mark > 0 && str_to_long(str_from(head, (size_t)mark + 7), 1, LONG_MAX, &line)) {
            e->place = (struct access_place){str_head(head, (size_t)mark), line};
            e->text = rest;
        } else if (e->place.line) {
            return;
        }
    }
}

static const char *word_of(enum verdict v)
{
    static const char *const words[] = {"dunno", "permit", "reject", "hangup"};

    return words[v];
}

/* ---- text ---- */

static void print_place(const struct access_place *place)
{
    if (place->file.n && place->line)
        printf(" (" STR_FMT ", line %ld)", STR_ARG(place->file), place->line);
    else if (place->file.n)
        printf(" (" STR_FMT ")", STR_ARG(place->file));
}

static void print_steps(const struct explanation *e)
{
    struct str list = STR_NONE;

    for (size_t i = 0; i < e->steps.n; i++) {
        const struct trace_step *s = &e->steps.v[i];
        if (!str_eq(list, s->list))
            printf(STR_FMT "\n", STR_ARG(s->list));
        list = s->list;
        printf("    %-7s " STR_FMT, word_of(s->verdict), STR_ARG(s->restriction));
        print_place(&s->place);
        putchar('\n');
    }
}

static void print_instruction(const struct instruction *i)
{
    printf("instruction: %s by " STR_FMT " of " STR_FMT,
           i->decision == CLIENT_DENY ? "deny" : "allow", STR_ARG(i->rule), STR_ARG(i->table));
    print_place(&(struct access_place){i->file, i->line});
    putchar('\n');
    for (size_t k = 0; k < i->n_variables; k++)
        printf("    " STR_FMT "=\"" STR_FMT "\"\n", STR_ARG(i->variables[k].name),
               STR_ARG(i->variables[k].value));
    for (size_t k = 0; k < i->n_settings; k++)
        printf("    " STR_FMT " = " STR_FMT "\n", STR_ARG(i->settings[k].name),
               STR_ARG(i->settings[k].value));
}

static bool is_error(const struct explanation *e)
{
    return strcmp(e->verdict, "error") == 0;
}

void print_text(const struct explanation *e)
{
    if (e->has_instruction)
        print_instruction(&e->instruction);
    print_steps(e);
    printf("verdict: %s\n", e->verdict);
    if (e->text.n) {
        printf("%s: " STR_FMT, is_error(e) ? "error" : "trouble", STR_ARG(e->text));
        print_place(&e->place);
        putchar('\n');
    }
    if (is_error(e))
        return;
    if (e->restriction.n) {
        printf("decided by: " STR_FMT, STR_ARG(e->restriction));
        print_place(&e->place);
        putchar('\n');
    }
    if (e->delay_seconds)
        printf("delay: %ld seconds\n", e->delay_seconds);
    if (e->reply.n)
        printf("reply: " STR_FMT "\n", STR_ARG(e->reply));
    if (e->closes)
        printf("the session is closed\n");
}

/* ---- JSON ---- */

#ifdef HAVE_JSONC
/* JSON is UTF-8. */
static struct json_object *text_or_null(struct arena *a, struct str s)
{
    if (s.n == 0)
        return NULL;
    if (!str_is_utf8(s)) {
        s = arena_copy(a, s);
        for (size_t i = 0; i < s.n; i++)
            if ((unsigned char)s.p[i] > 126)
                ((char *)s.p)[i] = '?';
    }
    return json_object_new_string_len(s.p, (int)s.n);
}

static struct json_object *settings_object(struct arena *a, const struct config_setting *v,
                                           size_t n)
{
    struct json_object *o = json_object_new_object();

    for (size_t i = 0; i < n; i++) {
        struct json_object *value = text_or_null(a, v[i].value);
        json_object_object_add(o, arena_text(a, v[i].name),
                               value ? value : json_object_new_string(""));
    }
    return o;
}

static void add_place(struct json_object *o, struct arena *a, const struct access_place *place)
{
    json_object_object_add(o, "file", text_or_null(a, place->file));
    json_object_object_add(o, "line", place->line ? json_object_new_int64(place->line) : NULL);
}

static struct json_object *instruction_object(const struct explanation *e)
{
    const struct instruction *i = &e->instruction;
    struct json_object *o;

    if (!e->has_instruction)
        return NULL;
    o = json_object_new_object();
    json_object_object_add(o, "decision",
                           json_object_new_string(i->decision == CLIENT_DENY ? "deny" : "allow"));
    json_object_object_add(o, "rule", text_or_null(e->arena, i->rule));
    json_object_object_add(o, "variables", settings_object(e->arena, i->variables, i->n_variables));
    add_place(o, e->arena, &(struct access_place){i->file, i->line});
    return o;
}

static struct json_object *steps_array(const struct explanation *e)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < e->steps.n; i++) {
        const struct trace_step *s = &e->steps.v[i];
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "list", text_or_null(e->arena, s->list));
        json_object_object_add(o, "restriction", text_or_null(e->arena, s->restriction));
        json_object_object_add(o, "result", json_object_new_string(word_of(s->verdict)));
        add_place(o, e->arena, &s->place);
        json_object_array_add(list, o);
    }
    return list;
}

enum rc print_json(const struct explanation *e, struct why *why)
{
    struct json_object *o = json_object_new_object();
    const struct instruction *i = &e->instruction;

    (void)why;
    json_object_object_add(o, "verdict", json_object_new_string(e->verdict));
    json_object_object_add(o, "reply", text_or_null(e->arena, e->reply));
    json_object_object_add(o, "close", json_object_new_boolean(e->closes));
    json_object_object_add(o, "delay_seconds", json_object_new_int64(e->delay_seconds));
    json_object_object_add(o, "restriction", text_or_null(e->arena, e->restriction));
    add_place(o, e->arena, &e->place);
    json_object_object_add(o, "instructions", instruction_object(e));
    json_object_object_add(
        o, "settings",
        settings_object(e->arena, i->settings, i->decision == CLIENT_ALLOW ? i->n_settings : 0));
    json_object_object_add(o, "steps", steps_array(e));
    if (e->text.n)
        json_object_object_add(o, "text", text_or_null(e->arena, e->text));
    puts(
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    return RC_OK;
}
#else
enum rc print_json(const struct explanation *e, struct why *why)
{
    (void)e;
    return FAIL(why, RC_CONFIG,
                "this build has no JSON; install libjson-c-dev, then run makedefs and make again");
}
#endif
