/* pki of several names: which certificate a client gets that asks for a server's name. */
#include <errno.h>
#include <unistd.h>

#include "opensmtpd/generate.h"
#include "tls/tls.h"

struct names { /* of one pki, on their way into the table */
    struct generator *g;
    struct buf *b;
    const struct conf_pki *pki;
};

static void add_name(const struct names *n, struct str name)
{
    if (str_has_prefix(name, STR("*.")))
        name = str_from(name, 1);
    if (name.n && str_index_any(name, "*/: \t") < 0)
        buf_addf(n->b, STR_FMT " " STR_FMT " " STR_FMT "\n",
                 STR_ARG(arena_lower(n->g->arena, name)), STR_ARG(n->pki->key),
                 STR_ARG(n->pki->cert));
}

static void add_other_name(void *context, struct str name)
{
    const struct names *n = context;

    if (!str_eq_nocase(name, n->pki->name))
        add_name(n, name);
}

/* The pki's own name, and those in its certificate. */
static void add_names(struct generator *g, struct buf *b, const struct conf_pki *k)
{
    struct names n = {g, b, k};

    buf_addf(b, "# " STR_FMT "\n", STR_ARG(generate_place(g, &k->place)));
    add_name(&n, k->name);
    tls_file_names(k->cert.p, add_other_name, &n);
}

/* What is there but may not be read by who only checks, is taken as good. */
static void check_file(struct generator *g, const struct conf_place *place, struct str path,
                       const char *what)
{
    if (access(path.p, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
        complain(g, place, "cannot load %s: " STR_FMT ": %m", what, STR_ARG(path));
}

static void check_files(struct generator *g)
{
    const struct conf *c = g->conf;

    for (size_t i = 0; i < c->pkis.n; i++) {
        const struct conf_pki *k = c->pkis.v[i];
        if (k->cert.n == 0 || k->key.n == 0) {
            complain(g, &k->place, "pki " STR_FMT ": missing %s file", STR_ARG(k->name),
                     k->cert.n ? "key" : "certificate");
            continue;
        }
        check_file(g, &k->place, k->cert, "certificate");
        check_file(g, &k->place, k->key, "key");
    }
    for (size_t i = 0; c->grammar != GRAMMAR_2011 && i < c->cas.n; i++)
        check_file(g, &c->cas.v[i]->place, c->cas.v[i]->cert, "CA file");
}

void generate_certificates(struct generator *g)
{
    const struct conf *c = g->conf;
    struct buf *b = NULL;

    check_files(g);
    if (c->grammar == GRAMMAR_2011 || c->pkis.n < 2)
        return;
    for (size_t i = 0; i < c->pkis.n; i++) {
        const struct conf_pki *k = c->pkis.v[i];
        if (b == NULL) {
            b = generate_file(g, "certificates", false);
            set(g, &k->place, "tls_server_sni_maps", "texthash:" STR_FMT "/certificates",
                STR_ARG(g->dir));
        }
        add_names(g, b, k);
    }
}
