/*
 * The header that a load balancer puts in front of a connection: PROXY protocol of HAProxy, version
 * 1 (a line of text) and 2 (binary). It tells who the client really is.
 */
#pragma once

#include "util/net.h"
#include "util/stream.h"

struct proxy_header {
    bool is_local; /* the balancer itself speaks (health check): the connection is what it seems */
    struct addr client, server;
};

/* Reads exactly the header. RC_PERM: it is malformed, or names no IP addresses. */
enum rc proxy_header_read(struct stream *s, struct proxy_header *out, struct why *why) MUST_USE;
