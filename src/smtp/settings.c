#include "smtp/smtp.h"
#include "wire/client.h"

enum rc pix_mask(struct str words, unsigned *bits, struct why *why)
{
    unsigned mask = 0;
    struct str word;

    while (str_token(&words, LIST_SEPARATORS, &word)) {
        if (str_eq_nocase(word, STR("disable_esmtp")))
            mask |= PIX_DISABLE_ESMTP;
        else if (str_eq_nocase(word, STR("delay_dotcrlf")))
            mask |= PIX_DELAY_DOTCRLF;
        else
            return FAIL(why, RC_CONFIG, "unknown PIX workaround \"" STR_FMT "\"", STR_ARG(word));
    }
    *bits = mask;
    return RC_OK;
}

static void read_dns(struct smtp *s)
{
    struct str level = s->set.dns_support_level;

    if (str_eq(level, STR("disabled")))
        s->dns = DNS_USE_NO;
    else if (str_eq(level, STR("dnssec")))
        s->dns = DNS_USE_DNSSEC;
    else if (str_eq(level, STR("enabled")))
        s->dns = DNS_USE_YES;
    else
        s->dns = s->config->disable_dns_lookups ? DNS_USE_NO : DNS_USE_YES;
    s->host_dns = s->dns != DNS_USE_NO && str_list_has_nocase(s->set.host_lookup, STR("dns"));
    s->host_native = s->dns == DNS_USE_NO || str_list_has_nocase(s->set.host_lookup, STR("native"));
    s->ipv4 = config_has_protocol(s->config, AF_INET);
    s->ipv6 = config_has_protocol(s->config, AF_INET6);
}

enum rc settings_read(struct smtp *s, struct why *why)
{
    const struct config *c = s->config;

#define SETTING(name, by_smtp, by_lmtp) s->set.name = s->lmtp ? c->by_lmtp : c->by_smtp;
#include "smtp/settings.def"
    read_dns(s);
    if (s->lmtp && c->lmtp_assume_final)
        s->flags |= FLAG_FINAL;
    TRY(wire_features_mask(s->set.discard_keywords, &s->discard, why));
    return pix_mask(s->set.pix_workarounds, &s->pix, why);
}

/* One recipient at a time, or its address would be told to the others. */
static enum rc check_recipient_limit(const struct smtp *s, char flag, struct why *why)
{
    long limit = 0;

    TRY(config_transport_long(s->config, str_of(s->env->name), "destination_recipient_limit",
                              &limit, why));
    if (limit == 1)
        return RC_OK;
    return FAIL(why, RC_CONFIG,
                "flag `%c' requires %s_destination_recipient_limit = 1; run: postconf -e "
                "'%s_destination_recipient_limit = 1'",
                flag, s->env->name, s->env->name);
}

enum rc flags_read(struct smtp *s, struct why *why)
{
    for (int i = 0; i < s->env->argc; i++) {
        struct str value = str_of(s->env->argv[i]), name = str_cut(&value, '=');
        if (!str_eq(name, STR("flags")))
            return FAIL(why, RC_CONFIG,
                        "unknown argument %s in master.cf; only flags=DORX is known",
                        s->env->argv[i]);
        for (size_t j = 0; j < value.n; j++)
            switch (value.p[j]) {
            case 'D': s->flags |= FLAG_DELIVERED_TO; break;
            case 'O': s->flags |= FLAG_ORIGINAL_TO; break;
            case 'R': s->flags |= FLAG_RETURN_PATH; break;
            case 'X': s->flags |= FLAG_FINAL; break;
            case ' ': break;
            default:
                return FAIL(why, RC_CONFIG, "unknown flag '%c' in %s of master.cf", value.p[j],
                            s->env->argv[i]);
            }
    }
    if (s->flags & (FLAG_DELIVERED_TO | FLAG_ORIGINAL_TO))
        return check_recipient_limit(s, s->flags & FLAG_DELIVERED_TO ? 'D' : 'O', why);
    return RC_OK;
}

unsigned smtp_port(const struct smtp *s, struct str text)
{
    struct str list = s->config->known_tcp_ports, entry;

    while (str_token(&list, LIST_SEPARATORS, &entry)) { /* "smtps=submissions=465" */
        ssize_t at = str_rindex(entry, '=');
        struct str names = str_head(entry, at < 0 ? 0 : (size_t)at);
        while (names.p)
            if (str_eq(str_cut(&names, '='), text) && text.n)
                return port_of(str_from(entry, (size_t)at + 1));
    }
    return port_of(text);
}
