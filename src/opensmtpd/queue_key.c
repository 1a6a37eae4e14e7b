/*
 * The file of queue_encryption_key, from "queue encryption". A key is the 32 bytes of a text, as
 * with the original. Keys of the past stay in the file, behind the one in use: mail that waits must
 * not become unreadable because smtpd.conf changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "opensmtpd/generate.h"
#include "util/file.h"

enum { KEY_BYTES = 32, FILE_BYTES_MAX = 64 * 1024 };

static const char name[] = "queue_key";

static struct str old_keys(const struct generator *g)
{
    const char *path = arena_printf(g->arena, STR_FMT "/%s", STR_ARG(g->dir), name).p;
    struct str text = STR("");

    return file_read(path, FILE_BYTES_MAX, g->arena, &text, NULL) == RC_OK ? text : STR("");
}

static void put_old_keys(struct buf *b, struct str text, struct str except)
{
    struct str line;

    while (str_token(&text, "\n", &line))
        if (line.p[0] != '#' && !str_eq(line, STR("off")) && !str_eq(line, except))
            buf_addf(b, STR_FMT "\n", STR_ARG(line));
}

static void write_keys(struct generator *g, struct str first)
{
    struct str old = old_keys(g);
    struct buf *b = generate_file(g, name, true);

    buf_addf(b, "# made by opensmtpd(8); the first encrypts, all decrypt\n" STR_FMT "\n",
             STR_ARG(first));
    put_old_keys(b, old, first);
}

static bool take_key(struct generator *g, struct str text)
{
    char hex[2 * KEY_BYTES + 1];

    if (text.n != KEY_BYTES) {
        complain(g, &g->conf->encryption.place,
                 "queue encryption: invalid key: it has %zu characters, not %d; make one with: "
                 "openssl rand -hex 16",
                 text.n, KEY_BYTES);
        return false;
    }
    for (size_t i = 0; i < text.n; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)text.p[i]);
    write_keys(g, str_of(hex));
    return true;
}

static bool is_asked_for(const struct generator *g)
{
    struct str key = g->conf->encryption_key.value;

    return g->conf->encryption.place.line &&
           (key.n == 0 || str_eq_nocase(key, STR("stdin")) || str_eq(key, STR("-")));
}

void generate_queue_key(struct generator *g)
{
    const struct conf *c = g->conf;

    if (c->encryption.place.line == 0 && old_keys(g).n == 0)
        return;
    set(g, &c->encryption.place, "queue_encryption_key", STR_FMT "/%s", STR_ARG(literal(g, g->dir)),
        name);
    if (c->encryption.place.line == 0)
        write_keys(g, STR("off"));
    else if (!is_asked_for(g))
        (void)take_key(g, c->encryption_key.value);
}

bool queue_key_ask(struct generator *g)
{
    bool at_terminal = g->conf->encryption_key.value.n == 0;
    char line[1024];
    const char *text;

    if (!is_asked_for(g))
        return true;
    text = at_terminal ? getpass("queue key: ") : fgets(line, sizeof line, stdin);
    return take_key(g, text ? str_head(str_of(text), strcspn(text, "\r\n")) : STR(""));
}

bool queue_key_keep(struct generator *g)
{
    if (!is_asked_for(g) || old_keys(g).n)
        return true;
    complain(g, &g->conf->encryption.place,
             "queue encryption: the key is asked for at the start only; stop and start again");
    return false;
}
