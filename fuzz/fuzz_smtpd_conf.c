/*
 * smtpd.conf: whatever the bytes, reading ends with a configuration whose references all lead
 * somewhere, or with messages; both grammars take the same bytes.
 */
#include "fuzz.h"
#include "smtpdconf/smtpdconf.h"

static void check(const struct conf *c)
{
    for (size_t i = 0; i < c->rules.n; i++) {
        const struct conf_rule *r = c->rules.v[i];
        FUZZ_CHECK(r->place.line > 0);
        FUZZ_CHECK(r->action == NULL || conf_action_find(c, r->action->name) == r->action);
        FUZZ_CHECK(r->conditions.n > 0);
    }
    for (size_t i = 0; i < c->listens.n; i++)
        FUZZ_CHECK(c->listens.v[i]->is_socket || c->listens.v[i]->interface.p);
    for (size_t i = 0; i < c->filters.n; i++)
        FUZZ_CHECK(c->filters.v[i]->proc || c->filters.v[i]->phase.n || c->filters.v[i]->chain.n);
    FUZZ_CHECK(c->n_warn_intervals <= CONF_WARN_INTERVALS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};

    if (size > 100000)
        return 0;
    for (int g = GRAMMAR_AUTO; g <= GRAMMAR_CURRENT; g++) {
        AUTO_ARENA a = arena_new(size * 4 + 1024);
        struct conf c;
        enum rc rc = conf_read(&(struct conf_request){.path = "smtpd.conf",
                                                      .text = &text,
                                                      .grammar = (enum conf_grammar)g,
                                                      .verbose = true,
                                                      .offline = true},
                               a, &c);
        FUZZ_CHECK((rc == RC_OK) == (c.n_errors == 0));
        FUZZ_CHECK(rc == RC_OK || c.messages.n > 0);
        if (rc == RC_OK)
            check(&c);
    }
    return 0;
}
