#include "local/destinations.h"

#include "global/address.h"

/* Length of a quoted string, quotes included; all there is when it does not end. */
static size_t quoted(struct str s)
{
    size_t i = 1;

    while (i < s.n && s.p[i] != '"')
        i += s.p[i] == '\\' && i + 1 < s.n ? 2 : 1;
    return i < s.n ? i + 1 : s.n;
}

static size_t commented(struct str s)
{
    int depth = 0;
    size_t i = 0;

    do {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '(')
            depth++;
        else if (s.p[i] == ')')
            depth--;
        i++;
    } while (depth > 0 && i < s.n);
    return i < s.n ? i : s.n;
}

/* Length of the first piece. A line end parts only what does not go on with a blank. */
static size_t piece_length(struct str s)
{
    size_t i = 0;

    while (i < s.n && s.p[i] != ',') {
        if (s.p[i] == '\n' && (i + 1 == s.n || !is_blank(s.p[i + 1])))
            break;
        if (s.p[i] == '"')
            i += quoted(str_from(s, i));
        else if (s.p[i] == '(')
            i += commented(str_from(s, i));
        else
            i += s.p[i] == '\\' && i + 1 < s.n ? 2 : 1;
    }
    return i;
}

/* Without the quotes and backslashes of a string that is quoted as a whole. */
static struct str unquote(struct arena *a, struct str s)
{
    char *out;
    size_t n = 0;

    if (s.n < 2 || s.p[0] != '"' || quoted(s) != s.n || s.p[s.n - 1] != '"')
        return s;
    out = arena_text(a, s);
    for (size_t i = 1; i < s.n - 1; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n - 1)
            i++;
        out[n++] = s.p[i];
    }
    return (struct str){out, n};
}

static bool is_file(struct str s)
{
    return s.p[0] == '/' && str_index(s, '@') < 0;
}

/* Commands, files and the like; false: an address. */
static bool take_special(struct str s, struct destination *d)
{
    if (s.p[0] == '|')
        *d = (struct destination){DESTINATION_COMMAND, str_trim(str_from(s, 1))};
    else if (is_file(s))
        *d = (struct destination){DESTINATION_FILE, s};
    else if (str_has_prefix_nocase(s, STR(":include:")))
        *d = (struct destination){DESTINATION_INCLUDE, str_trim(str_from(s, 9))};
    else if (s.p[0] == '\\' && s.n > 1)
        *d = (struct destination){DESTINATION_USER, str_from(s, 1)};
    else
        return false;
    return true;
}

static enum rc take_piece(struct str piece, struct arena *a, struct destination *d, struct why *why)
{
    struct str plain = str_trim(unquote(a, piece));
    struct header_address *list;
    size_t n;

    if (plain.n && take_special(plain, d))
        return d->text.n
                   ? RC_OK
                   : FAIL(why, RC_PERM, "nothing stands behind \"" STR_FMT "\"", STR_ARG(piece));
    if (address_list_parse(piece, a, &list, &n, why) != RC_OK || n != 1 || list[0].address.n == 0)
        return FAIL(why, RC_PERM, "bad address \"" STR_FMT "\"", STR_ARG(piece));
    *d = (struct destination){DESTINATION_ADDRESS, list[0].address};
    return RC_OK;
}

static struct str drop_comment(struct str s)
{
    while (s.n && s.p[0] == '#') {
        (void)str_cut(&s, '\n');
        s = str_ltrim(s);
    }
    return s;
}

enum rc destinations_parse(struct str text, struct arena *a, struct destination **out, size_t *n,
                           struct why *why)
{
    VEC(struct destination) list = {0};
    bool line_start = true;

    while (text.n) {
        struct destination d = {0};
        size_t length;
        if (line_start)
            text = drop_comment(str_ltrim(text));
        length = piece_length(text);
        struct str piece = str_trim(str_head(text, length));
        line_start = length < text.n && text.p[length] == '\n';
        text = str_from(text, length + 1);
        if (piece.n == 0)
            continue;
        TRY(take_piece(piece, a, &d, why));
        vec_add(a, &list, d);
    }
    *out = list.v;
    *n = list.n;
    return RC_OK;
}
