#include "submit/intake.h"

/* In the order of who wins when several bits are set. */
static const struct submit_outcome outcomes[] = {
    {SUBMIT_DEFER, 451, "4.7.1", "service unavailable"},
    {SUBMIT_PROXY, 451, "4.3.0", "queue file write error"},
    {SUBMIT_BAD, 451, "4.3.0", "internal protocol error"},
    {SUBMIT_NO_RECIPIENTS, 550, "5.1.0", "no recipients specified"},
    {SUBMIT_HOPS, 554, "5.4.0", "too many hops"},
    {SUBMIT_SIZE, 552, "5.3.4", "message file too big"},
    {SUBMIT_CONTENT, 550, "5.7.1", "message content rejected"},
    {SUBMIT_WRITE, 451, "4.3.0", "queue file write error"},
    {SUBMIT_NOPERM, 550, "5.7.1", "service denied"},
    {SUBMIT_BARE_LF, 521, "5.5.2", "bare <LF> received"},
};
static const struct submit_outcome success = {0, 250, "2.0.0", "Success"};

const struct submit_outcome *submit_outcome(unsigned status)
{
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (outcomes[i].bit & status)
            return &outcomes[i];
    return status ? &outcomes[2] : &success;
}

void submission_fail(struct submission *s, unsigned bit, struct str reason)
{
    if (s->reason.n == 0 && reason.n)
        s->reason = arena_copy(s->arena, reason);
    s->status |= bit;
}

bool submission_may_bounce(const struct submission *s)
{
    const unsigned for_ever = SUBMIT_SIZE | SUBMIT_HOPS | SUBMIT_CONTENT;

    return (s->flags & SUBMIT_BOUNCE) && !(s->status & ~for_ever);
}

unsigned submit_status(const struct submission *s)
{
    return s->status;
}

unsigned submit_flags_for(const struct config *config, enum submit_source source)
{
    static const struct {
        const char *class; /* of smtputf8_autodetect_classes */
        bool internal;
    } sources[] = {
        [SUBMIT_FROM_SMTPD] = {"smtpd", false},  [SUBMIT_FROM_SENDMAIL] = {"sendmail", false},
        [SUBMIT_FROM_QMQPD] = {"qmqpd", false},  [SUBMIT_FROM_FORWARD] = {"forward", true},
        [SUBMIT_FROM_BOUNCE] = {"bounce", true}, [SUBMIT_FROM_NOTIFY] = {"notify", true},
        [SUBMIT_FROM_VERIFY] = {"verify", true},
    };
    static const struct {
        const char *word;
        unsigned without;
    } overrides[] = {
        {"no_address_mappings", SUBMIT_MAP_OK | SUBMIT_BCC_OK},
        {"no_header_body_checks", SUBMIT_FILTER},
        {"no_milters", SUBMIT_MILTER},
    };
    unsigned flags = sources[source].internal ? SUBMIT_FLAGS_INTERNAL : SUBMIT_FLAGS_EXTERNAL;
    struct str list = config->smtputf8_autodetect_classes, word;
    struct str class = str_of(sources[source].class);

    while (config->smtputf8_enable && str_token(&list, LIST_SEPARATORS, &word))
        if (str_eq_nocase(word, class) || str_eq_nocase(word, STR("all")))
            flags |= SUBMIT_AUTO_UTF8;
    list = config->internal_mail_filter_classes;
    while (sources[source].internal && str_token(&list, LIST_SEPARATORS, &word))
        if (str_eq_nocase(word, class))
            flags |= SUBMIT_FILTER | SUBMIT_MILTER;
    list = config->receive_override_options;
    while (!sources[source].internal && str_token(&list, LIST_SEPARATORS, &word))
        for (size_t i = 0; i < sizeof overrides / sizeof *overrides; i++)
            if (str_eq_nocase(word, str_of(overrides[i].word)))
                flags &= ~overrides[i].without;
    return flags;
}
