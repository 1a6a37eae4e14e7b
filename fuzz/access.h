/* The access engine for targets that compile or evaluate rules. */
#pragma once

#include "access/access.h"
#include "config/config.h"
#include "fuzz.h"

#define FUZZ_MAIN_CF "alias_maps =\nlocal_recipient_maps =\ncompatibility_level = 3.11\n"

static inline struct access *make_access(struct str main_cf)
{
    static const struct log log = {0};
    struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    struct access_options o = {.log = &log, .resolver = resolver_new(10)};
    struct config *config = NULL;
    struct access *access = NULL;

    FUZZ_CHECK(config_load(&request, &config, NULL) == RC_OK);
    o.config = config;
    FUZZ_CHECK(rewriter_new(config, &log, &o.rewriter, NULL) == RC_OK);
    FUZZ_CHECK(access_open(&o, &access, NULL) == RC_OK);
    return access;
}
