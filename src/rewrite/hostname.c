#include <arpa/inet.h>

#include "global/text.h"
#include "rewrite/rewriter.h"
#include "util/net.h"

enum { LABEL_MAX = 63, NAME_MAX_BYTES = 255 };

static bool label_is_valid(struct str label)
{
    if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
        return false;
    for (size_t i = 0; i < label.n; i++)
        if (!is_alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
            return false;
    return true;
}

bool hostname_is_valid(struct str name, bool utf8, struct arena *a)
{
    bool numeric = true;
    struct str rest;

    if (utf8 && !str_is_ascii(name))
        name = domain_to_ascii(a, name); /* stays as it is when that cannot be */
    if (name.n == 0 || name.n > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.n; i++)
        numeric = numeric && (is_digit(name.p[i]) || name.p[i] == '.');
    if (numeric)
        return false;
    rest = name;
    while (rest.p)
        if (!label_is_valid(str_cut(&rest, '.')))
            return false;
    return true;
}

bool literal_is_valid(struct str literal)
{
    static const struct str ipv6 = STR_INIT("IPv6:");
    char copy[INET6_ADDRSTRLEN + 1];
    unsigned char bytes[16];
    struct str text;
    bool six;

    if (literal.n < 3 || literal.p[0] != '[' || literal.p[literal.n - 1] != ']')
        return false;
    text = (struct str){literal.p + 1, literal.n - 2};
    six = str_has_prefix_nocase(text, ipv6);
    if (six)
        text = str_from(text, ipv6.n);
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    return inet_pton(six ? AF_INET6 : AF_INET, copy, bytes) == 1;
}
