#include "access/reply_style.h"

#include "config/config.h"
#include "global/date.h"
#include "global/dsn.h"
#include "global/text.h"
#include "util/buf.h"
#include "util/clock.h"

/* C escapes of smtpd_expansion_filter: \t, \\, \40 ... */
static char *unescape(struct arena *a, struct str text)
{
    char *out = arena_alloc(a, text.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        int value = 0, digits = 0;
        if (text.p[i] != '\\' || i + 1 >= text.n) {
            out[n++] = text.p[i];
            continue;
        }
        while (digits < 3 && i + 1 < text.n && text.p[i + 1] >= '0' && text.p[i + 1] <= '7') {
            value = value * 8 + text.p[++i] - '0';
            digits++;
        }
        if (digits)
            out[n++] = (char)value;
        else
            out[n++] = text.p[++i] == 't' ? '\t' : text.p[i] == 'n' ? '\n' : text.p[i];
    }
    out[n] = '\0';
    return out;
}

static enum rc open_maps(const char *parameter, struct str spec, const struct table_env *env,
                         struct maps **out, struct why *why)
{
    *out = NULL;
    return str_trim(spec).n ? maps_open(parameter, spec, 0, env, out, why) : RC_OK;
}

enum rc reply_style_open(struct reply_style *style, const struct config *config,
                         const struct log *log, struct arena *a, const struct reply_style *base,
                         const struct config *base_config, struct why *why)
{
    struct table_env env = {config, log};

    *style =
        base ? *base : (struct reply_style){.allowed = unescape(a, config->smtpd_expansion_filter)};
    if (!base || !str_eq(config->smtpd_reject_filter_maps, base_config->smtpd_reject_filter_maps))
        TRY(open_maps("smtpd_reject_filter_maps", config->smtpd_reject_filter_maps, &env,
                      &style->filter, why));
    if (!base || !str_eq(config->smtpd_reject_footer_maps, base_config->smtpd_reject_footer_maps))
        TRY(open_maps("smtpd_reject_footer_maps", config->smtpd_reject_footer_maps, &env,
                      &style->footers, why));
    return RC_OK;
}

void reply_style_close(struct reply_style *style, const struct reply_style *base)
{
    if (style->filter != base->filter)
        maps_close(style->filter);
    if (style->footers != base->footers)
        maps_close(style->footers);
}

bool reply_style_has_changed(const struct reply_style *style)
{
    return (style->filter && maps_have_changed(style->filter)) ||
           (style->footers && maps_have_changed(style->footers));
}

/* ---- another reply ---- */

/* "[45]NN[ X.Y.Z] text" with classes that agree. */
static bool is_refusal(struct str reply)
{
    size_t n;

    if (reply.n < 4 || (reply.p[0] != '4' && reply.p[0] != '5') ||
        !str_is_digits(str_head(reply, 3)) || (reply.p[3] != ' ' && reply.p[3] != '-'))
        return false;
    n = dsn_prefix(str_from(reply, 4));
    return n == 0 || reply.p[4] == reply.p[0];
}

static struct str apply_filter(const struct reply_style *style, const struct access_context *c,
                               struct str reply)
{
    const char *id = c->log->queue_id[0] ? "" : "NOQUEUE: ";
    struct str other;
    struct why why;
    enum rc rc;

    if (style->filter == NULL)
        return reply;
    rc = maps_get(style->filter, reply, c->arena, &other, &why);
    if (rc == RC_NONE)
        return reply;
    if (rc != RC_OK || !is_refusal(other)) {
        log_warning(c->log, "%signoring invalid reject filter result: " STR_FMT, id,
                    STR_ARG(rc == RC_OK ? other : str_of(why.text)));
        return reply;
    }
    if (!c->dry_run) {
        log_info(c->log, "%sreply filter in: " STR_FMT, id, STR_ARG(reply));
        log_info(c->log, "%sreply filter out: " STR_FMT, id, STR_ARG(other));
    }
    return other;
}

/* ---- more lines ---- */

static bool footer_value(void *context, struct str name, struct str *value)
{
    const struct access_context *c = context;
    const struct {
        const char *name;
        struct str value;
    } values[] = {
        {"client", c->client.label},
        {"client_address", c->client.address_text},
        {"client_name", c->client.name},
        {"client_port", c->client.port},
        {"reverse_client_name", c->client.reverse_name},
        {"helo_name", c->helo},
        {"sender", c->sender},
        {"recipient", c->recipient},
        {"server_name", access_config(c)->myhostname},
        {"server_address", c->client.server_address},
        {"server_port", c->client.server_port},
    };

    if (str_eq(name, STR("localtime"))) {
        char text[DATE_SIZE];
        date_rfc5322(text, clock_seconds());
        *value = arena_copy(c->arena, str_of(text));
        return true;
    }
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (str_eq(name, str_of(values[i].name))) {
            *value = values[i].value;
            return true;
        }
    return config_get(access_config(c), name, value) == RC_OK;
}

static struct str footer_for(const struct reply_style *style, const struct access_context *c,
                             struct str reply)
{
    struct str found;
    struct why why;

    if (style->footers == NULL)
        return access_config(c)->smtpd_reject_footer;
    switch (maps_get(style->footers, reply, c->arena, &found, &why)) {
    case RC_OK: return found;
    case RC_NONE: break;
    default: log_warning(c->log, "smtpd_reject_footer_maps: %s", why.text);
    }
    return access_config(c)->smtpd_reject_footer;
}

/* Next line of a footer, written with "\n" in two characters. */
static struct str footer_line(struct str *rest)
{
    ssize_t at = str_find(*rest, STR("\\n"));
    struct str line = at < 0 ? *rest : str_head(*rest, (size_t)at);

    *rest = at < 0 ? STR_NONE : str_from(*rest, (size_t)at + 2);
    return line;
}

/*
 * Code and enhanced code of the reply are repeated on each line of the footer; "\c" in front of the
 * first one joins it to the reply.
 */
static struct str add_footer(const struct reply_style *style, const struct access_context *c,
                             struct str reply)
{
    struct str footer = footer_for(style, c, reply), head;
    size_t dsn;
    AUTO_BUF b = {0};

    if (footer.n == 0)
        return reply;
    footer = text_expand(c->arena, footer, footer_value, (void *)c, style->allowed);
    dsn = dsn_prefix(str_from(reply, 4));
    head = str_head(reply, 4 + (dsn ? dsn + 1 : 0));
    buf_init(&b, 16384);
    buf_add(&b, reply);
    if (str_has_prefix(footer, STR("\\c"))) {
        footer = str_from(footer, 2);
        buf_add(&b, footer_line(&footer));
    }
    while (footer.p && footer.n) {
        ssize_t last = str_rindex(buf_str(&b), '\n');
        b.p[last + 4] = '-';
        buf_addc(&b, '\n');
        buf_add(&b, head);
        buf_add(&b, footer_line(&footer));
    }
    return b.over ? reply : arena_copy(c->arena, buf_str(&b));
}

struct str reply_as_sent(const struct reply_style *style, const struct access_context *c,
                         struct str reply)
{
    if (reply.n <= 4 || (reply.p[0] != '4' && reply.p[0] != '5'))
        return reply;
    return add_footer(style, c, apply_filter(style, c, reply));
}
