/* What would let everybody send anywhere: refused at start. Rules of
 * smtpd_client_instruction_maps are looked at where they are read. */
#include <limits.h>

#include "smtpd/instructions.h"
#include "util/file.h"
#include "util/net.h"

enum { TABLE_MAX = 16 * 1024 * 1024 };

static bool is_everybody(struct str word)
{
    struct network n;

    return network_parse(word, &n, NULL) == RC_OK && n.bits == 0;
}

/* Networks that are everybody, where they may relay. */
static enum rc check_networks(const struct config *c, struct why *why)
{
    struct str rest = c->mynetworks, word;
    AUTO_ARENA a = arena_new(256);

    if (str_find(c->smtpd_relay_restrictions, STR("permit_mynetworks")) < 0 &&
        str_find(c->smtpd_recipient_restrictions, STR("permit_mynetworks")) < 0)
        return RC_OK;
    while (str_token(&rest, LIST_SEPARATORS, &word)) {
        struct str place = config_place(c, a, STR("mynetworks"));
        if (is_everybody(word))
            return FAIL(why, RC_CONFIG,
                        "refusing to run as open relay: mynetworks has " STR_FMT
                        ", which is everybody, at " STR_FMT "; name your own networks",
                        STR_ARG(word), STR_ARG(place));
    }
    return RC_OK;
}

static bool permits(struct str result)
{
    return str_eq_nocase(result, STR("OK")) || str_eq_nocase(result, STR("permit")) ||
           str_is_digits(result);
}

/* A table of networks that lets everybody in. What cannot be read is told when it is opened. */
static enum rc check_cidr(struct str path, struct why *why)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    struct str text = STR_NONE, line, network, result;
    long number = 0;

    if (file_read(arena_text(a, path), TABLE_MAX, a, &text, NULL) != RC_OK)
        return RC_OK;
    while (text.n) {
        line = str_cut(&text, '\n');
        number++;
        if (str_token(&line, " \t\r", &network) && str_token(&line, " \t\r", &result) &&
            is_everybody(network) && permits(result))
            return FAIL(why, RC_CONFIG,
                        "refusing to run as open relay: " STR_FMT
                        " is everybody, and may relay, at " STR_FMT
                        ", line %ld; name your own networks",
                        STR_ARG(network), STR_ARG(path), number);
    }
    return RC_OK;
}

/* The list that decides about relaying, as far as strangers get in it. */
static enum rc check_tables(const struct config *c, struct why *why)
{
    struct str list = c->smtpd_relay_restrictions, word, table;

    if (str_trim(list).n == 0)
        list = c->smtpd_recipient_restrictions;
    while (str_token_braced(&list, LIST_SEPARATORS, &word)) {
        if (str_has_suffix(word, STR("_unauth_destination")) || str_eq_nocase(word, STR("reject")))
            return RC_OK;
        if (str_eq_nocase(word, STR("check_client_access")) &&
            str_token_braced(&list, LIST_SEPARATORS, &table) &&
            str_has_prefix(table, STR("cidr:/")))
            TRY(check_cidr(str_from(table, 5), why));
    }
    return RC_OK;
}

enum rc open_relay_check(const struct config *c, struct why *why)
{
    if (c->smtpd_relay_client)
        return FAIL(why, RC_CONFIG,
                    "refusing to run as open relay: smtpd_relay_client = yes holds for everybody; "
                    "set it in a rule of smtpd_client_instruction_maps");
    TRY(check_networks(c, why));
    return check_tables(c, why);
}
