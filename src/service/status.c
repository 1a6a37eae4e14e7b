#include "service/status.h"

#include <errno.h>
#include <sys/socket.h>

#include "service/runtime.h"

void status_tell(struct runtime *r, enum status_word word, long value)
{
    struct status_report report = {(int32_t)word, (int32_t)value};

    if (r->status_fd >= 0)
        (void)!send(r->status_fd, &report, sizeof report, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void service_wish(struct service_env *env, enum service_wish wish, unsigned value)
{
    status_tell(env->runtime, (enum status_word)(STATUS_SET_TRACE + (int)wish), (long)value);
}

/* Texts of the other configuration, made when it is first needed. The first one stays for those who
 * have kept a pointer to it. */
static void set_stress(struct runtime *r, bool on)
{
    struct config_setting setting = {STR("stress"), on ? STR("yes") : STR(""), STR_NONE};
    struct config **place = on ? &r->stress_config : &r->calm_config;
    struct why why;

    if (*place == NULL && config_overlay(r->config, &setting, 1, place, &why) != RC_OK) {
        log_warning(&r->env.log, "stress = %s: %s", setting.value.p, why.text);
        return;
    }
    atomic_store(&r->session_config, *place);
    if (r->service->shape == SERVICE_LOOP)
        use_current_config(r, &r->env);
}

void use_current_config(struct runtime *r, struct service_env *env)
{
    env->config = atomic_load(&r->session_config);
    env->stress = env->config->stress.n > 0;
}

bool status_read(struct runtime *r)
{
    char request;
    ssize_t n = recv(r->status_fd, &request, 1, MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0 || request == STATUS_DRAIN)
        return false;
    if (request == STATUS_STRESS_ON || request == STATUS_STRESS_OFF)
        set_stress(r, request == STATUS_STRESS_ON);
    if (request == STATUS_SHED)
        sessions_shed(r);
    if (request == STATUS_LOOK)
        sessions_look(r);
    return true;
}
