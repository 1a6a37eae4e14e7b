#include "sasl/client.h"
#include "smtp/auth.h"

enum rc account_of_sender(struct attempt *at, struct str *value, struct why *why)
{
    const struct address_keys how = {
        .delimiters = at->smtp->config->recipient_delimiter,
        .with_domain_only = true,
    };
    struct str extension;

    if (!at->smtp->set.sender_dependent_authentication || at->d->request.sender.n == 0)
        return RC_NONE;
    return maps_get_address(at->smtp->authentication->passwords, at->d->request.sender, &how,
                            at->arena, value, &extension, why);
}

/* By the label of the next hop; or by sender, by the server's name, by the next hop as it is
 * written. */
static enum rc look_up(struct attempt *at, struct str host, struct str hop, struct str *value,
                       struct why *why)
{
    struct maps *passwords = at->smtp->authentication->passwords;
    enum rc rc;

    if (at->label.n) {
        rc = maps_get(passwords, at->label, at->arena, value, why);
        return rc == RC_NONE ? FAIL(why, RC_TEMP, "there is no entry " STR_FMT, STR_ARG(at->label))
                             : rc;
    }
    rc = account_of_sender(at, value, why);
    if (rc == RC_NONE)
        rc = maps_get(passwords, host, at->arena, value, why);
    if (rc == RC_NONE)
        rc = maps_get(passwords, hop, at->arena, value, why);
    return rc;
}

enum rc account_find(struct attempt *at, struct str host, struct str hop, struct account *out,
                     struct why *why)
{
    const struct smtp_settings *set = &at->smtp->set;
    struct str value;

    TRY(look_up(at, host, hop, &value, why));
    *out = (struct account){.username = str_cut(&value, set->sasl_password_result_delimiter.p[0])};
    out->password = value.p ? value : STR("");
    if (out->username.n == 0)
        return RC_NONE;
    if (out->password.n || set->sasl_oauth2_token.n == 0)
        return RC_OK;
    out->is_token = true;
    if (token_get(set->sasl_oauth2_token, out->username, host, at->arena, &out->password, why) !=
        RC_OK)
        return RC_PERM;
    return RC_OK;
}

/* ---- at start ---- */

static enum rc read_security(struct smtp *s, struct authentication *auth, struct why *why)
{
    const struct {
        const char *smtp, *lmtp;
        struct str words;
        unsigned *to;
    } rows[] = {
        {"smtp_sasl_security_options", "lmtp_sasl_security_options", s->set.sasl_security_options,
         &auth->in_clear},
        {"smtp_sasl_tls_security_options", "lmtp_sasl_tls_security_options",
         s->set.sasl_tls_security_options, &auth->with_tls},
        {"smtp_sasl_tls_verified_security_options", "lmtp_sasl_tls_verified_security_options",
         s->set.sasl_tls_verified_security_options, &auth->with_verified},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        TRY(login_security_parse(s->lmtp ? rows[i].lmtp : rows[i].smtp, rows[i].words, rows[i].to,
                                 why));
    return RC_OK;
}

static enum rc open_failures(struct smtp *s, struct authentication *auth, struct why *why)
{
    struct table_env env = {.config = s->config, .log = &s->log};
    struct str name = s->set.sasl_auth_cache_name;
    const char *p = s->lmtp ? "lmtp" : "smtp";

    if (name.n == 0)
        return RC_OK;
    if (str_index_any(name, LIST_SEPARATORS) >= 0)
        return FAIL(why, RC_CONFIG, "%s_sasl_auth_cache_name = " STR_FMT ": name one table", p,
                    STR_ARG(name));
    if (!str_has_prefix(name, STR("proxy:")))
        return FAIL(why, RC_CONFIG,
                    "%s_sasl_auth_cache_name = " STR_FMT ": it must start with \"proxy:\"", p,
                    STR_ARG(name));
    if (s->set.sasl_auth_cache_time <= 0)
        return FAIL(why, RC_CONFIG, "%s_sasl_auth_cache_time must be more than 0", p);
    return table_open(name, TABLE_WRITE | TABLE_REPLACE | TABLE_CACHE | TABLE_NO_UNAUTH, &env,
                      &auth->failures, why);
}

static enum rc open_client(struct smtp *s, struct authentication *auth, struct why *why)
{
    const struct login_client_options o = {
        .config = s->config, .log = &s->log, .type = s->set.sasl_type, .path = s->set.sasl_path};

    return login_client_open(&o, &auth->client, why);
}

enum rc auth_open(struct smtp *s, struct why *why)
{
    struct table_env env = {.config = s->config, .log = &s->log};
    struct authentication *auth;

    if (!s->set.sasl_auth_enable)
        return RC_OK;
    if (s->set.sasl_password_maps.n == 0)
        return FAIL(why, RC_CONFIG,
                    "%s_sasl_auth_enable = yes, but %s_sasl_password_maps is empty; name a table "
                    "of accounts there",
                    s->lmtp ? "lmtp" : "smtp", s->lmtp ? "lmtp" : "smtp");
    auth = arena_new_of(s->arena, struct authentication);
    TRY(maps_open(s->lmtp ? "lmtp_sasl_password_maps" : "smtp_sasl_password_maps",
                  s->set.sasl_password_maps, TABLE_NO_UNAUTH, &env, &auth->passwords, why));
    TRY(match_open(s->lmtp ? "lmtp_sasl_mechanism_filter" : "smtp_sasl_mechanism_filter",
                   s->set.sasl_mechanism_filter, MATCH_STRING, false, &env, &auth->mechanisms,
                   why));
    TRY(token_source_check(s->lmtp ? "lmtp_sasl_oauth2_token" : "smtp_sasl_oauth2_token",
                           s->set.sasl_oauth2_token, why));
    TRY(read_security(s, auth, why));
    TRY(open_failures(s, auth, why));
    TRY(open_client(s, auth, why));
    s->authentication = auth;
    return RC_OK;
}

bool auth_has_changed(struct smtp *s)
{
    const struct authentication *auth = s->authentication;

    return auth && (maps_have_changed(auth->passwords) || match_has_changed(auth->mechanisms));
}
