#pragma once

#include "service/service.h"

enum rc flush_start(struct service_env *env, void **state, struct why *why) MUST_USE;
void flush_session(struct service_env *env, void *state, int fd);
void flush_wakeup(struct service_env *env, void *state, struct str requests);
