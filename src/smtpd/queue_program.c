/* smtpd_queue_program: a message goes to a program instead of the queue. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "smtpd/instructions.h"
#include "smtpd/runner.h"
#include "smtpd/standalone.h"
#include "util/file.h"

void program_environment(const struct session *s, struct arena *a, struct str **texts, size_t *n)
{
    const struct access_client *c = &s->access.client;
    const struct {
        const char *name;
        struct str value;
    } facts[] = {
        {"PATH", STR("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")},
        {"PROTO", STR("TCP")},
        {"TCPREMOTEIP", c->address_text},
        {"TCPREMOTEPORT", c->port},
        {"TCPREMOTEHOST", str_eq(c->name, STR("unknown")) ? STR_NONE : c->name},
        {"TCPREMOTEINFO", str_of(s->access.ident.user)},
        {"TCPLOCALIP", c->server_address},
        {"TCPLOCALPORT", c->server_port},
        {"TCPLOCALHOST", s->config->myhostname},
        {"SMTPAUTHUSER", s->access.sasl_username},
    };
    const struct instruction *rule = &s->rule.instruction;
    VEC(struct str) list = {0};

    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (facts[i].value.n && !instructions_decide_variable(s, str_of(facts[i].name)))
            vec_add(a, &list,
                    arena_printf(a, "%s=" STR_FMT, facts[i].name, STR_ARG(facts[i].value)));
    for (size_t i = 0; i < rule->n_variables; i++)
        vec_add(a, &list,
                arena_printf(a, STR_FMT "=" STR_FMT, STR_ARG(rule->variables[i].name),
                             STR_ARG(rule->variables[i].value)));
    *texts = list.v;
    *n = list.n;
}

/* Fsender NUL, Trecipient NUL ..., NUL */
static enum rc write_envelope(struct session *s, int fd, struct why *why)
{
    const struct str *recipients = NULL;
    size_t n = standalone_recipients(s, &recipients);
    AUTO_BUF b = {0};

    buf_init(&b, 64 * 1024 * 1024);
    buf_addc(&b, 'F');
    buf_add(&b, s->t.begin.sender);
    buf_addc(&b, '\0');
    for (size_t i = 0; i < n; i++) {
        buf_addc(&b, 'T');
        buf_add(&b, recipients[i]);
        buf_addc(&b, '\0');
    }
    buf_addc(&b, '\0');
    if (b.over)
        return FAIL(why, RC_TEMP, "envelope is too large");
    TRY(fd_write_all(fd, buf_str(&b), why));
    return lseek(fd, 0, SEEK_SET) < 0 ? FAIL(why, RC_TEMP, "rewind: %m") : RC_OK;
}

static enum rc run_program(struct session *s, int *status, struct why *why)
{
    AUTO_CLOSE int envelope = memfd_create("envelope", MFD_CLOEXEC);
    AUTO_ARENA a = arena_new(2048);
    struct runner_job job = {.program = s->config->smtpd_queue_program.p,
                             .out = envelope,
                             .timeout_ms = s->config->smtpd_queue_program_timeout * 1000};
    struct str *environment = NULL;

    if (envelope < 0)
        return FAIL(why, RC_TEMP, "memory file: %m");
    TRY(write_envelope(s, envelope, why));
    TRY(standalone_content(s, &job.in, why));
    program_environment(s, a, &environment, &job.n_environment);
    job.environment = environment;
    return runner_run(s->process->runner, &job, status, why);
}

bool queue_program_finish(struct session *s, struct str *reply)
{
    struct str program = s->config->smtpd_queue_program;
    int status = -1;

    if (run_program(s, &status, &s->why) != RC_OK)
        log_warning(&s->log, "smtpd_queue_program " STR_FMT ": %s", STR_ARG(program), s->why.text);
    if (status == 0) {
        log_info(&s->log,
                 "message from " STR_FMT " taken by " STR_FMT ": from=<" STR_FMT
                 ">, size=%ld, nrcpt=%ld",
                 STR_ARG(s->access.client.label), STR_ARG(program), STR_ARG(s->access.sender),
                 standalone_size(s), s->t.recipients);
        *reply = STR("250 2.0.0 Ok");
        return true;
    }
    if (status >= 11 && status <= 40)
        (void)access_refuse(&s->access, 554, "5.3.0", STR("Error: message not accepted"));
    else
        (void)access_refuse(&s->access, 451, "4.3.0", STR("Error: message not accepted now"));
    *reply = s->access.reply;
    return false;
}
