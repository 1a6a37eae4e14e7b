/* Private to control/. */
#pragma once

#include "service/service.h"

void control_session(struct service_env *env, void *state, int fd);
