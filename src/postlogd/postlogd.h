#pragma once

#include "service/service.h"

enum rc postlogd_start(struct service_env *env, void **state, struct why *why);
void postlogd_accepted(struct service_env *env, void *state, int fd);
void postlogd_drain(struct service_env *env, void *state);
