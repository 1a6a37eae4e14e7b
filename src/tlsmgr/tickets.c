/*
 * Keys of session tickets. A key seals new tickets for as long as a session may be resumed, and
 * opens old ones for as long again; then it is forgotten, and with it what the tickets protected.
 */
#include "service/kept.h"
#include "tlsmgr/tlsmgr.h"

struct kept_keys {
    size_t size; /* of this struct: another version's is not read */
    struct {
        struct ticket_key current, previous;
    } caches[SESSION_CACHES];
};
_Static_assert(sizeof(struct kept_keys) <= KEPT_BYTES, "kept_keys fit");

void ticket_keys_take(struct tlsmgr *m)
{
    m->kept = kept_join();
    for (size_t i = 0; m->kept && m->kept->size == sizeof *m->kept && i < SESSION_CACHES; i++) {
        m->caches[i].current = m->kept->caches[i].current;
        m->caches[i].previous = m->kept->caches[i].previous;
    }
}

void ticket_keys_keep(struct tlsmgr *m)
{
    for (size_t i = 0; m->kept && i < SESSION_CACHES; i++) {
        m->kept->caches[i].current = m->caches[i].current;
        m->kept->caches[i].previous = m->caches[i].previous;
    }
    if (m->kept)
        m->kept->size = sizeof *m->kept;
}

static bool is_good(const struct session_cache *c, const struct ticket_key *k, long now)
{
    return k->made && now >= k->made && now - k->made < 2 * c->timeout;
}

static void renew(struct session_cache *c, long now)
{
    if (c->current.made && now >= c->current.made && now - c->current.made < c->timeout)
        return;
    c->previous = c->current;
    c->current = (struct ticket_key){.made = now};
    if (!seed_bytes(c->current.name, sizeof c->current.name) ||
        !seed_bytes(c->current.key, sizeof c->current.key))
        c->current.made = 0;
}

const struct ticket_key *ticket_key_find(struct session_cache *c, struct str name, long now)
{
    struct ticket_key *keys[] = {&c->current, &c->previous};

    if (c->timeout <= 0)
        return NULL;
    renew(c, now);
    for (size_t i = 0; i < 2; i++) {
        if (!is_good(c, keys[i], now))
            *keys[i] = (struct ticket_key){0};
        else if (name.n == 0 || str_eq(name, (struct str){keys[i]->name, sizeof keys[i]->name}))
            return keys[i];
    }
    return NULL;
}
