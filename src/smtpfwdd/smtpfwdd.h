/* What the two faces of smtpfwdd share: what the exit status of a mailer means. */
#pragma once

#include "service/service.h"
#include "util/arena.h"

enum fate { FATE_SENT, FATE_RETRY, FATE_FAILED };

struct mailer_result {
    enum fate fate;
    const char *status; /* DSN code */
    const char *words;
};

/* status: of waitpid(). */
struct mailer_result mailer_result(int status);

/* Would the mailer take this address for an option? */
bool address_is_option(struct str address);

/* agent.c */
enum rc agent_start(struct service_env *env, void **state, struct why *why);
void agent_session(struct service_env *env, void *state, int fd);
bool agent_has_changed(struct service_env *env, void *state);

/* drain.c */
int drain_main(int argc, char **argv);
