/* What a process prepares once: tables, lists, the queue, the way to qmgr. */
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "auth/srs.h"
#include "submit/intake.h"
#include "util/clock.h"
#include "util/memory.h"

struct opener {
    struct submit_library *lib;
    struct table_env env;
    unsigned flags;
};

static enum rc open_maps(struct opener *o, const char *parameter, struct str spec,
                         struct maps **out, struct why *why)
{
    if (str_trim(spec).n == 0)
        return RC_OK;
    TRY(maps_open(parameter, spec, o->flags, &o->env, out, why));
    if (maps_empty(*out)) {
        maps_close(*out);
        *out = NULL;
    }
    return RC_OK;
}

static unsigned classes_of(struct str list)
{
    static const struct {
        struct str word;
        unsigned bit;
    } words[] = {
        {STR_INIT("envelope_sender"), ENVELOPE_SENDER},
        {STR_INIT("envelope_recipient"), ENVELOPE_RECIPIENT},
        {STR_INIT("header_sender"), HEADER_SENDERS},
        {STR_INIT("header_recipient"), HEADER_RECIPIENTS},
    };
    unsigned bits = 0;
    struct str word;

    while (str_token(&list, LIST_SEPARATORS, &word))
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (str_eq_nocase(word, words[i].word))
                bits |= words[i].bit;
    return bits;
}

static struct str *split_list(struct arena *a, struct str list, size_t *n)
{
    VEC(struct str) words = {0};
    struct str word;

    while (str_token(&list, LIST_SEPARATORS, &word))
        vec_add(a, &words, word);
    *n = words.n;
    return words.v;
}

static enum rc open_mapping(struct opener *o, struct mapping *m, const char *parameter,
                            struct str spec, unsigned classes, struct why *why)
{
    m->parameter = parameter;
    m->classes = classes;
    return open_maps(o, parameter, spec, &m->maps, why);
}

static enum rc open_address_tables(struct opener *o, struct why *why)
{
    struct submit_library *lib = o->lib;
    const struct config *c = lib->config;
    struct str words = c->propagate_unmatched_extensions, word;

    TRY(open_mapping(o, &lib->sender_canonical, "sender_canonical_maps", c->sender_canonical_maps,
                     classes_of(c->sender_canonical_classes), why));
    TRY(open_mapping(o, &lib->recipient_canonical, "recipient_canonical_maps",
                     c->recipient_canonical_maps, classes_of(c->recipient_canonical_classes), why));
    TRY(open_mapping(o, &lib->canonical, "canonical_maps", c->canonical_maps,
                     classes_of(c->canonical_classes), why));
    TRY(open_mapping(o, &lib->virtual_alias, "virtual_alias_maps", c->virtual_alias_maps,
                     ENVELOPE_RECIPIENT, why));
    TRY(open_maps(o, "sender_bcc_maps", c->sender_bcc_maps, &lib->sender_bcc, why));
    TRY(open_maps(o, "recipient_bcc_maps", c->recipient_bcc_maps, &lib->recipient_bcc, why));
    while (str_token(&words, LIST_SEPARATORS, &word)) {
        if (str_eq_nocase(word, STR("canonical")))
            lib->extensions |= EXTENSION_CANONICAL;
        else if (str_eq_nocase(word, STR("virtual")))
            lib->extensions |= EXTENSION_VIRTUAL;
    }
    lib->masquerade.domains = split_list(lib->arena, c->masquerade_domains, &lib->masquerade.n);
    lib->masquerade.classes = lib->masquerade.n ? classes_of(c->masquerade_classes) : 0;
    if (lib->masquerade.n && c->masquerade_exceptions.n)
        TRY(match_open("masquerade_exceptions", c->masquerade_exceptions, MATCH_STRING, false,
                       &o->env, &lib->masquerade.exceptions, why));
    return RC_OK;
}

static enum rc open_content_tables(struct opener *o, struct why *why)
{
    struct submit_library *lib = o->lib;
    const struct config *c = lib->config;

    TRY(open_maps(o, "header_checks", c->header_checks, &lib->checks[MIME_HEADER_PRIMARY], why));
    TRY(open_maps(o, "mime_header_checks", c->mime_header_checks, &lib->checks[MIME_HEADER_MIME],
                  why));
    TRY(open_maps(o, "nested_header_checks", c->nested_header_checks,
                  &lib->checks[MIME_HEADER_NESTED], why));
    return open_maps(o, "body_checks", c->body_checks, &lib->body_checks, why);
}

/* MIME structure is looked at only when something depends on it. */
static void plan_mime(struct submit_library *lib)
{
    const struct config *c = lib->config;
    bool strict = c->strict_8bitmime || c->strict_8bitmime_body || c->strict_7bit_headers ||
                  c->strict_mime_encoding_domain;
    bool checks = lib->checks[MIME_HEADER_PRIMARY] || lib->checks[MIME_HEADER_MIME] ||
                  lib->checks[MIME_HEADER_NESTED] || lib->body_checks;

    lib->mime = (struct mime_options){
        .parse_nested = !c->disable_mime_input_processing &&
                        (strict || checks || c->force_mime_input_conversion),
        .strict_8bitmime = c->strict_8bitmime,
        .strict_8bitmime_body = c->strict_8bitmime_body,
        .strict_7bit_headers = c->strict_7bit_headers,
        .strict_encoding_domain = c->strict_mime_encoding_domain,
        .downgrade = c->force_mime_input_conversion,
        .nesting_limit = c->mime_nesting_limit,
        .boundary_limit = c->mime_boundary_length_limit,
        .header_size_limit = c->header_size_limit,
    };
    if (strict || checks)
        lib->mime_errors |= MIME_NESTING;
    lib->mime_errors |= MIME_8BIT_IN_HEADER | MIME_8BIT_IN_7BIT_BODY | MIME_ENCODING_DOMAIN;
}

/* "\n", "\0", "\177" and the like, as main.cf has them. */
static struct str unescape(struct arena *a, struct str text)
{
    static const char names[] = "abfnrtv\\", bytes[] = "\a\b\f\n\r\t\v\\";
    char *p = arena_alloc(a, text.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        const char *name;
        if (text.p[i] != '\\' || i + 1 == text.n) {
            p[n++] = text.p[i];
            continue;
        }
        i++;
        name = text.p[i] ? strchr(names, text.p[i]) : NULL;
        if (name) {
            p[n++] = bytes[name - names];
        } else if (text.p[i] >= '0' && text.p[i] <= '7') {
            int value = 0;
            size_t end = i + 3;
            for (; i < end && i < text.n && text.p[i] >= '0' && text.p[i] <= '7'; i++)
                value = value * 8 + text.p[i] - '0';
            i--;
            p[n++] = (char)value;
        } else {
            p[n++] = text.p[i];
        }
    }
    return (struct str){p, n};
}

/* Accepting mail without the filters that somebody relies on would be worse than not starting. */
static enum rc refuse_milters(const struct config *c, struct why *why)
{
    const char *name = c->smtpd_milters.n ? "smtpd_milters" : "non_smtpd_milters";

    if (c->smtpd_milters.n == 0 && c->non_smtpd_milters.n == 0)
        return RC_OK;
    return FAIL(why, RC_CONFIG,
                "%s is set, but this version has no Milter support yet, and mail must not pass "
                "unfiltered; remove it from main.cf (or set it to nothing in master.cf)",
                name);
}

static enum rc open_all(struct submit_library *lib, struct why *why)
{
    const struct config *c = lib->config;
    struct opener o = {lib, {c, &lib->log}, 0};
    enum rc rc;

    if (c->smtputf8_enable)
        o.flags |= TABLE_UTF8;
    TRY(refuse_milters(c, why));
    TRY(queue_open_content(c, &lib->queue, why));
    TRY(open_address_tables(&o, why));
    rc = srs_open(c, &lib->srs, why);
    if (rc != RC_OK && rc != RC_NONE)
        return rc;
    TRY(open_content_tables(&o, why));
    if (c->non_smtpd_match_rules.n)
        TRY(dispatch_open(c->non_smtpd_match_rules.p, &o.env, &lib->dispatch, why));
    lib->drop = split_list(lib->arena, c->message_drop_headers, &lib->n_drop);
    lib->strip = unescape(lib->arena, c->message_strip_characters);
    lib->forbidden = unescape(lib->arena, c->message_reject_characters);
    plan_mime(lib);
    return RC_OK;
}

enum rc submit_open(const struct config *config, struct rewriter *rewriter, const struct log *log,
                    struct submit_library **out, struct why *why)
{
    struct submit_library *lib = NEW(struct submit_library);
    enum rc rc;

    lib->config = config;
    lib->rewriter = rewriter;
    lib->log = *log;
    lib->arena = arena_new(1024);
    lib->queue.dir = -1;
    handover_open(lib);
    rc = open_all(lib, why);
    if (rc != RC_OK) {
        submit_close(lib);
        return rc;
    }
    *out = lib;
    return RC_OK;
}

static void all_maps(struct submit_library *lib, struct maps *maps[10])
{
    maps[0] = lib->sender_canonical.maps;
    maps[1] = lib->recipient_canonical.maps;
    maps[2] = lib->canonical.maps;
    maps[3] = lib->virtual_alias.maps;
    maps[4] = lib->sender_bcc;
    maps[5] = lib->recipient_bcc;
    maps[6] = lib->body_checks;
    for (int i = 0; i < 3; i++)
        maps[7 + i] = lib->checks[i];
}

void submit_close(struct submit_library *lib)
{
    struct maps *maps[10];

    if (lib == NULL)
        return;
    all_maps(lib, maps);
    for (int i = 0; i < 10; i++)
        if (maps[i])
            maps_close(maps[i]);
    if (lib->masquerade.exceptions)
        match_close(lib->masquerade.exceptions);
    dispatch_close(lib->dispatch);
    srs_close(lib->srs);
    handover_close(lib);
    queue_close(&lib->queue);
    arena_free(lib->arena);
    free(lib);
}

bool submit_tables_have_changed(struct submit_library *lib)
{
    struct maps *maps[10];

    all_maps(lib, maps);
    for (int i = 0; i < 10; i++)
        if (maps[i] && maps_have_changed(maps[i]))
            return true;
    if (lib->dispatch && dispatch_has_changed(lib->dispatch))
        return true;
    if (lib->masquerade.exceptions && match_has_changed(lib->masquerade.exceptions))
        return true;
    return rewriter_has_changed(lib->rewriter);
}

/* Two threads may look at the same time; both find the same. */
static long free_bytes(struct submit_library *lib)
{
    long now = (long)clock_seconds();
    struct statvfs fs;

    if (atomic_load_explicit(&lib->space.second, memory_order_acquire) != now) {
        long bytes = -1;
        if (fstatvfs(lib->queue.dir, &fs) == 0) {
            unsigned long unit = fs.f_frsize ? fs.f_frsize : fs.f_bsize;
            bytes = fs.f_bavail > (unsigned long)LONG_MAX / unit ? LONG_MAX
                                                                 : (long)(fs.f_bavail * unit);
        }
        atomic_store_explicit(&lib->space.free_bytes, bytes, memory_order_relaxed);
        atomic_store_explicit(&lib->space.second, now, memory_order_release);
    }
    return atomic_load_explicit(&lib->space.free_bytes, memory_order_relaxed);
}

enum rc submit_has_space(struct submit_library *lib, long message_size, struct why *why)
{
    const struct config *c = lib->config;
    long bytes = free_bytes(lib), limit = c->message_size_limit;

    if (bytes < 0)
        return RC_OK; /* unknown: writing will tell */
    if (c->queue_minfree > 0 && bytes < c->queue_minfree + message_size)
        return FAIL(why, RC_TEMP,
                    "not enough free space in mail queue: %ld bytes < queue_minfree %ld", bytes,
                    c->queue_minfree);
    if (limit > 0 && bytes / 3 < limit / 2)
        return FAIL(why, RC_TEMP,
                    "not enough free space in mail queue: %ld bytes < 1.5*message size limit",
                    bytes);
    if (message_size > 0 && bytes < message_size)
        return FAIL(why, RC_TEMP,
                    "not enough free space in mail queue: %ld bytes < message size %ld", bytes,
                    message_size);
    return RC_OK;
}
