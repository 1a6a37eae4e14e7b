#include "tls/dane.h"
#include "tls/policy.h"
#include "util/buf.h"

/* Length in front: no text can look like two others. */
static void add(struct buf *b, struct str text)
{
    buf_addf(b, "%zu:" STR_FMT ",", text.n, STR_ARG(text));
}

static void add_list(struct buf *b, const struct str_list *list)
{
    buf_addf(b, "%zu ", list->n);
    for (size_t i = 0; i < list->n; i++)
        add(b, list->v[i]);
}

struct str tls_policy_key(const struct tls_policy *p, struct arena *a)
{
    AUTO_BUF b;

    buf_init(&b, 1024 * 1024);
    buf_addf(&b, "%d %d %d ", p->level, p->connection_reuse, p->enable_rpk);
    if (p->level > TLS_LEVEL_NONE) {
        add(&b, p->protocols);
        add(&b, p->grade);
        add(&b, p->exclude);
        add(&b, p->servername);
        add_list(&b, &p->match);
        add_list(&b, &p->trust_anchors);
    }
    for (size_t i = 0; p->tlsa && i < p->tlsa->n; i++) {
        const struct tlsa *r = &p->tlsa->v[i];
        buf_addf(&b, "%d %d %d ", r->usage, r->selector, r->matching);
        add(&b, r->data);
    }
    return arena_copy(a, buf_str(&b));
}
