/*
 * What happens to a refusal before it is sent: smtpd_reject_filter_maps puts another one in its
 * place, smtpd_reject_footer_maps and smtpd_reject_footer add lines.
 */
#pragma once

#include "access/access.h"

struct reply_style {
    struct maps *filter, *footers; /* NULL: none */
    const char *allowed;           /* smtpd_expansion_filter, unescaped */
};

/* base: that of the configuration below this overlay, with which maps are shared; NULL: none. What
 * is not of the arena ends with reply_style_close(), also after a failure. */
enum rc reply_style_open(struct reply_style *style, const struct config *config,
                         const struct log *log, struct arena *a, const struct reply_style *base,
                         const struct config *base_config, struct why *why) MUST_USE;
void reply_style_close(struct reply_style *style, const struct reply_style *base);
bool reply_style_has_changed(const struct reply_style *style);

/* The reply as it is sent; one that refuses nothing stays as it is. Lines are separated by "\n". */
struct str reply_as_sent(const struct reply_style *style, const struct access_context *c,
                         struct str reply);
