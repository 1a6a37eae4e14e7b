/*
 * Back ends that need a library of others: sasl-NAME.so, made of src/sasl/modules/NAME.c. It holds
 * `const struct login_server_type login_server_type_TYPE` (NAME is TYPE_server) or
 * `const struct login_client_type login_client_type_TYPE` (TYPE_client), declared MODULE_EXPORT,
 * and calls back only into util/ and what is MODULE_EXPORT (login.h is).
 */
#pragma once

#include "table/driver.h"

/* Load module "cyrus_server" and find the symbol "login_server_type_cyrus". RC_CONFIG. */
enum rc login_module_load(const char *module, const char *symbol, const struct table_env *env,
                          const void **out, struct why *why) MUST_USE;
