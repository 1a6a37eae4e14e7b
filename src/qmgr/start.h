/* What the service runtime calls. */
#pragma once

#include "service/service.h"

enum rc qmgr_start(struct service_env *env, void **state, struct why *why) MUST_USE;
enum rc qmgr_confined(struct service_env *env, void *state, struct why *why) MUST_USE;
void qmgr_accepted(struct service_env *env, void *state, int fd);
void qmgr_wakeup(struct service_env *env, void *state, struct str requests);
void qmgr_drain(struct service_env *env, void *state);
