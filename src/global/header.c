#include "global/header.h"

static const struct header_field fields[] = {
#define HEADER(name, type, flags) {name, flags, type},
#include "global/header_fields.def"
#undef HEADER
};

/* Upper and lower case alike: letters differ in one bit. */
static int compare(struct str name, const char *field)
{
    for (size_t i = 0;; i++) {
        int x = i < name.n ? (unsigned char)to_lower(name.p[i]) : 0;
        int y = (unsigned char)to_lower(field[i]);
        if (x != y || y == 0)
            return x - y;
    }
}

const struct header_field *header_find(struct str name)
{
    size_t low = 0, high = sizeof fields / sizeof *fields;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare(name, fields[middle].name);
        if (order == 0)
            return &fields[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

size_t header_name_length(struct str line)
{
    size_t n = 0, colon;

    while (n < line.n && line.p[n] > ' ' && line.p[n] < 127 && line.p[n] != ':')
        n++;
    for (colon = n; colon < line.n && is_blank(line.p[colon]); colon++)
        continue;
    return n > 0 && colon < line.n && line.p[colon] == ':' ? n : 0;
}

struct str header_body(struct str header)
{
    ssize_t colon = str_index(header, ':');

    return colon < 0 ? STR("") : str_trim(str_from(header, (size_t)colon + 1));
}
