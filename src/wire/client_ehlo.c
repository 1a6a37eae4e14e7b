#include "wire/client.h"

static const struct {
    const char *word;
    unsigned bit;
} keywords[] = {
    {"8BITMIME", FEATURE_8BITMIME}, {"PIPELINING", FEATURE_PIPELINING},
    {"SIZE", FEATURE_SIZE},         {"STARTTLS", FEATURE_STARTTLS},
    {"AUTH", FEATURE_AUTH},         {"ENHANCEDSTATUSCODES", FEATURE_ENHANCEDSTATUSCODES},
    {"DSN", FEATURE_DSN},           {"SMTPUTF8", FEATURE_SMTPUTF8},
    {"CHUNKING", FEATURE_CHUNKING}, {"REQUIRETLS", FEATURE_REQUIRETLS},
    {"VRFY", FEATURE_VRFY},         {"ETRN", FEATURE_ETRN},
    {"XCLIENT", FEATURE_XCLIENT},   {"XFORWARD", FEATURE_XFORWARD},
};

static const struct {
    const char *word;
    unsigned bit;
} xforward_words[] = {
    {"NAME", XFORWARD_NAME},     {"ADDR", XFORWARD_ADDR}, {"PORT", XFORWARD_PORT},
    {"PROTO", XFORWARD_PROTO},   {"HELO", XFORWARD_HELO}, {"IDENT", XFORWARD_IDENT},
    {"SOURCE", XFORWARD_SOURCE},
};

static void keep(char *to, size_t size, struct str text)
{
    size_t n = text.n < size - 1 ? text.n : size - 1;

    if (n)
        memcpy(to, text.p, n);
    to[n] = '\0';
}

static void parse_size(struct str words, struct wire_features *out)
{
    struct str word;

    if (!str_token(&words, " \t", &word))
        return;
    if (!str_to_long(word, 0, __LONG_MAX__, &out->size_limit)) {
        out->bad_size = true;
        out->size_limit = 0;
    }
}

static void parse_xforward(struct str words, struct wire_features *out)
{
    struct str word;

    while (str_token(&words, " \t", &word))
        for (size_t i = 0; i < sizeof xforward_words / sizeof *xforward_words; i++)
            if (str_eq_nocase(word, str_of(xforward_words[i].word)))
                out->xforward |= xforward_words[i].bit;
}

static unsigned feature_bit(struct str word)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (str_eq_nocase(word, str_of(keywords[i].word)))
            return keywords[i].bit;
    return 0;
}

static void parse_line(struct str line, unsigned discard, struct wire_features *out)
{
    struct str word, whole = line;
    unsigned bit;

    if (!str_token(&line, " \t", &word))
        return;
    bit = feature_bit(word);
    if (str_has_prefix_nocase(word, STR("AUTH="))) { /* as some servers before RFC 2554 say it */
        bit = FEATURE_AUTH;
        line = str_from(str_ltrim(whole), 5);
    }
    bit &= ~discard;
    out->bits |= bit;
    if (bit == FEATURE_SIZE)
        parse_size(line, out);
    else if (bit == FEATURE_XFORWARD)
        parse_xforward(line, out);
    else if (bit == FEATURE_AUTH && out->auth[0] == '\0')
        keep(out->auth, sizeof out->auth, str_trim(line));
}

void wire_features_parse(struct str text, unsigned discard, struct wire_features *out)
{
    struct str word;
    bool first = true;

    *out = (struct wire_features){0};
    while (text.n) {
        struct str line = str_from(str_cut(&text, '\n'), 4);
        if (first) {
            if (str_token(&line, " \t", &word))
                keep(out->host, sizeof out->host, word);
        } else {
            parse_line(line, discard, out);
        }
        first = false;
    }
}

enum rc wire_features_mask(struct str words, unsigned *bits, struct why *why)
{
    unsigned mask = 0;
    struct str word;

    while (str_token(&words, LIST_SEPARATORS, &word)) {
        unsigned bit = feature_bit(word);
        if (str_eq_nocase(word, STR("silent-discard")))
            bit = FEATURE_SILENT_DISCARD;
        if (bit == 0)
            return FAIL(why, RC_CONFIG, "unknown EHLO keyword \"" STR_FMT "\"", STR_ARG(word));
        mask |= bit;
    }
    *bits = mask;
    return RC_OK;
}
