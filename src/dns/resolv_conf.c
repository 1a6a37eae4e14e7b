#include "dns/transport.h"

static struct str keep(struct name_servers *s, size_t *used, struct str text)
{
    struct str copy = {s->text + *used, text.n};

    if (*used + text.n > sizeof s->text)
        return STR_NONE;
    memcpy(s->text + *used, text.p, text.n);
    *used += text.n;
    return copy;
}

static void add_server(struct name_servers *s, struct str text)
{
    struct str host = text, port = STR_NONE;
    long number = 53;

    if (s->n == NAME_SERVERS_MAX)
        return;
    if (text.n && text.p[0] == '[' && host_port_split(text, &host, &port, NULL) != RC_OK)
        return;
    if (port.n && !str_to_long(port, 1, 65535, &number))
        return;
    if (addr_parse(host, (unsigned)number, &s->at[s->n], NULL) == RC_OK)
        s->n++;
}

static void set_option(struct name_servers *s, struct str option)
{
    struct str name = str_cut(&option, ':');
    long value;

    if (str_eq(name, STR("timeout")) && str_to_long(option, 1, 30, &value))
        s->timeout_ms = value * 1000;
    else if (str_eq(name, STR("attempts")) && str_to_long(option, 1, 5, &value))
        s->attempts = (int)value;
}

void name_servers_parse(struct str text, struct name_servers *out)
{
    size_t used = 0;

    *out = (struct name_servers){.timeout_ms = 5000, .attempts = 2};
    while (text.n) {
        struct str line = str_trim(str_cut(&text, '\n')), word, verb;
        if (!str_token(&line, " \t\r", &verb) || verb.p[0] == '#' || verb.p[0] == ';')
            continue;
        if (str_eq(verb, STR("nameserver"))) {
            if (str_token(&line, " \t\r", &word))
                add_server(out, word);
        } else if (str_eq(verb, STR("domain")) || str_eq(verb, STR("search"))) {
            out->n_search = used = 0; /* the last one counts */
            while (out->n_search < SEARCH_MAX && str_token(&line, " \t\r", &word)) {
                struct str copy = keep(out, &used, word);
                if (copy.n)
                    out->search[out->n_search++] = copy;
            }
        } else if (str_eq(verb, STR("options"))) {
            while (str_token(&line, " \t\r", &word))
                set_option(out, word);
        }
    }
    if (out->n == 0)
        add_server(out, STR("127.0.0.1"));
}
