/* Shared by the files of cleanup. */
#pragma once

#include "service/service.h"
#include "submit/submit.h"

struct cleanup {
    struct submit_library *submit;
    struct rewriter *rewriter;
};

enum rc cleanup_start(struct service_env *env, void **state, struct why *why);
bool cleanup_has_changed(struct service_env *env, void *state);
void cleanup_session(struct service_env *env, void *state, int fd);
