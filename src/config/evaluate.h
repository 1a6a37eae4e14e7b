/*
 * From definitions to values: the inside of a configuration.
 *
 * A source holds for each parameter its definition, if any, and the evaluated text. Evaluating one
 * text may ask for others; each is done once, and a circle is found by meeting one that is under
 * way. Once the configuration is published nothing changes any more.
 */
#pragma once

#include "config/config.h"
#include "config/expand.h"
#include "config/param.h"
#include "util/map.h"

struct definition {
    struct str text;   /* as written */
    struct str origin; /* what an override says about itself; else path and line count */
    const char *path;
    int line;
};

enum text_state {
    TEXT_TO_DO,
    TEXT_BUSY,
    TEXT_DONE,
    TEXT_INHERITED, /* done in the base of an overlay, and the same here */
    TEXT_BAD
};

struct user_parameter {
    struct definition definition;
    struct str text; /* evaluated */
    enum text_state state;
};

struct config_source {
    struct arena *arena;
    const struct config *base; /* of an overlay, else NULL */
    const char *dir;
    struct str service_name, process_name;
    const struct definition *definitions[PARAM_COUNT]; /* NULL: the default counts */
    struct str texts[PARAM_COUNT];                     /* evaluated; RAW: as written */
    unsigned char states[PARAM_COUNT];                 /* enum text_state */
    struct map user;                                   /* name: struct user_parameter */
    bool why_has_place;                                /* the words name file and line already */
};

/* An empty configuration with its source, in an arena of its own; config_free() releases it. */
struct config *source_new(size_t text_bytes);

/* Take the definitions of main.cf and the overrides; evaluates nothing. */
enum rc source_read(struct config_source *s, const struct config_request *request,
                    struct why *why) MUST_USE;

/* The text of params[index] as it is written or as the default says; no expansion. */
struct str source_written(struct config_source *s, int index);

/*
 * Evaluate params[index] into s->texts. RC_CONFIG with place, parameter and value in the words;
 * without words when trouble that this one depends on was told before.
 */
enum rc source_evaluate(struct config_source *s, int index, struct why *why) MUST_USE;

enum rc source_evaluate_user(struct config_source *s, struct str name, struct user_parameter *u,
                             struct why *why) MUST_USE;

/* Expand any text, before or after source_fill(). Allocates from the source's arena. */
enum rc source_expand(struct config_source *s, struct str text, struct str *out,
                      struct why *why) MUST_USE;

/* Evaluate one parameter, check its value, set the member of c. */
enum rc source_fill_one(struct config_source *s, int index, struct config *c,
                        struct why *why) MUST_USE;

/* Evaluate what is TEXT_TO_DO, check it and set the members of c. */
enum rc source_fill(struct config_source *s, struct config *c, struct why *why) MUST_USE;

/* Defaults that depend on this machine and process. False: params[index] has none of these. */
bool computed_is(int index);
enum rc computed_text(struct config_source *s, int index, struct str *text,
                      struct why *why) MUST_USE;

/* Replace the name of a file by its first line: "myorigin = /etc/mailname", as Debian installs it.
 */
enum rc computed_first_line(struct arena *a, struct str *text, struct why *why) MUST_USE;

/* The networks of mynetworks_style on the addresses that inet_interfaces and inet_protocols name.
 */
struct str computed_networks(struct arena *a, struct str style, struct str interfaces,
                             struct str protocols);
