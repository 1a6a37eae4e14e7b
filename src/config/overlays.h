/*
 * Overlays that are used again and again: one for each distinct set of settings.
 *
 * An overlay is a configuration with some parameters replaced, and what its user has made from it
 * (compiled restrictions and the like). It never changes; sessions of any thread share it and count
 * as its users. What nobody uses is kept until more than idle_max of them wait; then the one that
 * waited longest goes.
 */
#pragma once

#include "config/config.h"

struct overlays;

struct overlay {
    const struct config *config;
    void *state; /* what make() has made */
};

struct overlays_user {
    /* Make *state from the configuration. RC_CONFIG: what settings ask for cannot be. Any thread.
     */
    enum rc (*make)(void *context, const struct config *config, void **state, struct why *why);
    void (*unmake)(void *context, void *state);
    void *context;
};

struct overlays *overlays_new(const struct overlays_user *user, size_t idle_max);
void overlays_free(struct overlays *o); /* nobody uses an overlay any more */

/*
 * The overlay of base with these settings; made when it is not there. base must stay as long as o.
 * *out is used until overlay_give().
 */
enum rc overlay_take(struct overlays *o, const struct config *base,
                     const struct config_setting *settings, size_t n, const struct overlay **out,
                     struct why *why) MUST_USE;
void overlay_give(struct overlays *o, const struct overlay *overlay); /* NULL is fine */

/* For statistics and tests: overlays there are, and how many were made. */
void overlays_count(struct overlays *o, size_t *there, size_t *made);

/* Does each() say true for one of them? Nobody can take or give one meanwhile. */
bool overlays_any(struct overlays *o, bool (*each)(void *context, void *state), void *context);
