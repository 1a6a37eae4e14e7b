/* Messages of check rules, with what stands for their % codes. */
#include "access/ident.h"
#include "access/restrictions.h"
#include "access/rule.h"
#include "util/buf.h"

enum { EXPANDED_MAX = 4096 }; /* more than a reply can be */

static void add_clean(struct buf *b, struct str value)
{
    for (size_t i = 0; i < value.n; i++)
        buf_addc(b, value.p[i] < 32 || value.p[i] > 126 ? '?' : value.p[i]);
}

static void add_path(struct buf *b, struct str address)
{
    buf_addc(b, '<');
    add_clean(b, address);
    buf_addc(b, '>');
}

static void add_or_unknown(struct buf *b, struct str value)
{
    add_clean(b, value.n ? value : STR("UNKNOWN"));
}

static void add_code(struct buf *b, struct access_context *c, char code)
{
    switch (code) {
    case 'C': buf_addc(b, ':'); break;
    case 'F': add_path(b, c->sender); break;
    case 'T': add_path(b, c->recipient); break;
    case 'H': add_or_unknown(b, rules_client_name(c)); break;
    case 'I': add_clean(b, c->client.address_text); break;
    case 'U': add_or_unknown(b, ident_user(c)); break;
    default: buf_addc(b, code);
    }
}

struct str rules_expand(struct access_context *c, struct str message)
{
    AUTO_BUF b = {0};

    buf_init(&b, EXPANDED_MAX);
    for (size_t i = 0; i < message.n && !b.over; i++) {
        if (message.p[i] == '%' && i + 1 < message.n)
            add_code(&b, c, message.p[++i]);
        else
            buf_addc(&b, message.p[i]);
    }
    return arena_copy(c->arena, buf_str(&b));
}
