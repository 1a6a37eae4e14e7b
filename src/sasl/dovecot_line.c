#include "sasl/dovecot_line.h"

#include <limits.h>

#include "sasl/login.h"

static const struct {
    const char *text;
    enum dovecot_word word;
} known[] = {
    {"VERSION", DOVECOT_VERSION}, {"MECH", DOVECOT_MECH},     {"SPID", DOVECOT_SPID},
    {"CUID", DOVECOT_CUID},       {"COOKIE", DOVECOT_COOKIE}, {"DONE", DOVECOT_DONE},
    {"OK", DOVECOT_OK},           {"FAIL", DOVECOT_FAIL},     {"CONT", DOVECOT_CONT},
};

static const char escaped[] = {'\0', '\001', '\t', '\n', '\r'};
static const char letters[] = "01tnr";

void dovecot_put(struct buf *b, const char *name, struct str value)
{
    if (value.n == 0)
        return;
    buf_addf(b, "\t%s=", name);
    for (size_t i = 0; i < value.n; i++) {
        const char *at = memchr(escaped, value.p[i], sizeof escaped);
        if (at)
            buf_addf(b, "\001%c", letters[at - escaped]);
        else
            buf_addc(b, value.p[i]);
    }
}

static struct str unescape(struct arena *a, struct str text)
{
    char *out;
    size_t n = 0;

    if (str_index(text, '\001') < 0)
        return text;
    out = arena_alloc(a, text.n + 1);
    for (size_t i = 0; i < text.n; i++) {
        const char *at;
        if (text.p[i] != '\001' || i + 1 >= text.n) {
            out[n++] = text.p[i];
            continue;
        }
        at = strchr(letters, text.p[++i]);
        out[n++] = at && *at ? escaped[at - letters] : text.p[i];
    }
    return (struct str){out, n};
}

static bool number(struct str text, unsigned long *out)
{
    long value;

    if (!str_is_digits(text) || !str_to_long(text, 0, LONG_MAX, &value))
        return false;
    *out = (unsigned long)value;
    return true;
}

static void mechanism_parameter(struct dovecot_line *l, struct str field)
{
    static const struct {
        const char *word;
        unsigned has, wanted; /* may not be used with; may be used with, unlike others */
    } words[] = {
        {"plaintext", LOGIN_NOPLAINTEXT, 0},
        {"dictionary", LOGIN_NODICTIONARY, 0},
        {"active", LOGIN_NOACTIVE, 0},
        {"anonymous", LOGIN_NOANONYMOUS, 0},
        {"forward-secrecy", 0, LOGIN_FORWARD_SECRECY},
        {"mutual-auth", 0, LOGIN_MUTUAL_AUTH},
    };

    if (str_eq(field, STR("private")))
        l->is_private = true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(field, str_of(words[i].word))) {
            l->lacks |= words[i].has;
            l->lacks &= ~words[i].wanted;
        }
}

static void reply_parameter(struct dovecot_line *l, struct str field, struct arena *a)
{
    struct str value = field, name = str_cut(&value, '=');

    if (str_eq(name, STR("user")))
        l->user = unescape(a, value);
    else if (str_eq(name, STR("reason")))
        l->reason = unescape(a, value);
    else if (str_eq(name, STR("temp")) ||
             (str_eq(name, STR("code")) && str_eq(value, STR("temp_fail"))))
        l->is_temporary = true;
}

enum rc dovecot_line_parse(struct str line, struct arena *a, struct dovecot_line *out,
                           struct why *why)
{
    struct dovecot_line l = {.word = DOVECOT_UNKNOWN};
    struct str rest = line, word = str_cut(&rest, '\t'), field;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq(word, str_of(known[i].text)))
            l.word = known[i].word;
    switch (l.word) {
    case DOVECOT_VERSION:
        field = str_cut(&rest, '\t');
        if (!number(field, &l.major) || !number(str_cut(&rest, '\t'), &l.minor))
            return FAIL(why, RC_PERM, "malformed version");
        break;
    case DOVECOT_MECH:
        l.name = str_cut(&rest, '\t');
        if (l.name.n == 0 || str_index(l.name, ' ') >= 0)
            return FAIL(why, RC_PERM, "mechanism without a name");
        l.lacks = LOGIN_FORWARD_SECRECY | LOGIN_MUTUAL_AUTH;
        while (rest.p)
            mechanism_parameter(&l, str_cut(&rest, '\t'));
        break;
    case DOVECOT_OK:
    case DOVECOT_FAIL:
    case DOVECOT_CONT:
        if (!number(str_cut(&rest, '\t'), &l.id))
            return FAIL(why, RC_PERM, "reply without a number");
        if (l.word == DOVECOT_CONT)
            l.name = rest.p ? str_cut(&rest, '\t') : STR("");
        while (rest.p)
            reply_parameter(&l, str_cut(&rest, '\t'), a);
        break;
    default: break;
    }
    *out = l;
    return RC_OK;
}
