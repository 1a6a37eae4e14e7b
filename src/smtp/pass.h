#pragma once

#include "smtp/attempt.h"

/* Hand the open recipients to best_mx_transport, with the domain as next hop when it names none. */
void pass_to_best_mx_transport(struct attempt *at, struct str domain);
