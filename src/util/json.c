#include "util/json.h"

static void add_byte(struct buf *b, char c)
{
    switch (c) {
    case '"': buf_add(b, STR("\\\"")); break;
    case '\\': buf_add(b, STR("\\\\")); break;
    case '\b': buf_add(b, STR("\\b")); break;
    case '\f': buf_add(b, STR("\\f")); break;
    case '\n': buf_add(b, STR("\\n")); break;
    case '\r': buf_add(b, STR("\\r")); break;
    case '\t': buf_add(b, STR("\\t")); break;
    default:
        if ((unsigned char)c < ' ' || c == 0x7f)
            buf_addf(b, "\\u%04X", (unsigned)(unsigned char)c);
        else
            buf_addc(b, c);
    }
}

void json_add_string(struct buf *b, struct str s)
{
    bool utf8 = str_is_utf8(s);

    buf_addc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        size_t n = 1;
        if ((unsigned char)s.p[i] < 0x80) {
            add_byte(b, s.p[i]);
            continue;
        }
        if (utf8) {
            buf_addc(b, s.p[i]);
            continue;
        }
        while (n < 4 && i + n < s.n && !str_is_utf8((struct str){s.p + i, n}))
            n++;
        if (str_is_utf8((struct str){s.p + i, n})) {
            buf_add(b, (struct str){s.p + i, n});
            i += n - 1;
        } else {
            buf_addc(b, '?');
        }
    }
    buf_addc(b, '"');
}
