#include <stdio.h>

#include "tls/private.h"

static struct str setting(const struct config *config, const char *prefix, const char *name)
{
    struct str value = STR_NONE;
    char full[128];

    snprintf(full, sizeof full, "%s%s", prefix, name);
    return config_get(config, str_of(full), &value) == RC_OK ? value : STR("");
}

void tls_settings_read(const struct config *config, const char *prefix, struct arena *a,
                       struct tls_settings *out)
{
#define SETTING(name) out->name = arena_copy(a, setting(config, prefix, #name));
#include "tls/settings.def"
#undef SETTING
}
