#include "config/overlays.h"

#include <pthread.h>
#include <stdlib.h>

#include "util/buf.h"
#include "util/map.h"
#include "util/memory.h"

struct entry {
    struct overlay overlay; /* first: a pointer to it is one to the entry */
    struct str key;
    struct config *config;
    long users;
    struct entry *older, *newer; /* of those without users */
};

struct overlays {
    struct overlays_user user;
    size_t idle_max;
    pthread_mutex_t lock; /* guards below */
    struct map entries;   /* by key */
    struct entry *oldest, *newest;
    size_t idle, made;
};

struct overlays *overlays_new(const struct overlays_user *user, size_t idle_max)
{
    struct overlays *o = NEW(struct overlays);

    o->user = *user;
    o->idle_max = idle_max;
    pthread_mutex_init(&o->lock, NULL);
    map_init(&o->entries);
    return o;
}

static void entry_free(struct overlays *o, struct entry *e)
{
    if (e == NULL)
        return;
    if (o->user.unmake && e->overlay.state)
        o->user.unmake(o->user.context, e->overlay.state);
    config_free(e->config);
    free((char *)e->key.p);
    free(e);
}

void overlays_free(struct overlays *o)
{
    if (o == NULL)
        return;
    for (struct map_item *i = NULL; (i = map_next(&o->entries, i));)
        entry_free(o, i->value);
    map_done(&o->entries);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

/* Base and settings in the order given: who translates rules does it the same way each time. */
static struct str key_of(const struct config *base, const struct config_setting *settings, size_t n,
                         struct buf *b)
{
    buf_init(b, 1 << 20);
    buf_add(b, (struct str){(const char *)&base, sizeof base});
    for (size_t i = 0; i < n; i++) {
        buf_addf(b, "%zu,%zu:", settings[i].name.n, settings[i].value.n);
        buf_add(b, settings[i].name);
        buf_add(b, settings[i].value);
    }
    return buf_str(b);
}

/* lock held */
static void leave_idle(struct overlays *o, struct entry *e)
{
    *(e->older ? &e->older->newer : &o->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &o->newest) = e->older;
    e->older = e->newer = NULL;
    o->idle--;
}

/* lock held */
static void enter_idle(struct overlays *o, struct entry *e)
{
    e->older = o->newest;
    e->newer = NULL;
    *(o->newest ? &o->newest->newer : &o->oldest) = e;
    o->newest = e;
    o->idle++;
}

/* lock held; NULL: not there */
static struct entry *find(struct overlays *o, struct str key)
{
    struct entry *e = map_get(&o->entries, key);

    if (e && e->users++ == 0)
        leave_idle(o, e);
    return e;
}

static enum rc make(struct overlays *o, const struct config *base,
                    const struct config_setting *settings, size_t n, struct str key,
                    struct entry **out, struct why *why)
{
    struct entry *e = NEW(struct entry);
    enum rc rc = config_overlay(base, settings, n, &e->config, why);

    if (rc == RC_OK && o->user.make)
        rc = o->user.make(o->user.context, e->config, &e->overlay.state, why);
    if (rc != RC_OK) {
        entry_free(o, e);
        return rc;
    }
    e->key = (struct str){memory_new(key.n), key.n};
    memcpy((char *)e->key.p, key.p, key.n);
    e->overlay.config = e->config;
    e->users = 1;
    *out = e;
    return RC_OK;
}

enum rc overlay_take(struct overlays *o, const struct config *base,
                     const struct config_setting *settings, size_t n, const struct overlay **out,
                     struct why *why)
{
    struct entry *e, *mine = NULL;
    AUTO_BUF b = {0};
    struct str key = key_of(base, settings, n, &b);

    if (b.over)
        return FAIL(why, RC_CONFIG, "settings of a client are longer than %zu bytes", b.max);
    pthread_mutex_lock(&o->lock);
    e = find(o, key);
    pthread_mutex_unlock(&o->lock);
    if (e == NULL) {
        TRY(make(o, base, settings, n, key, &mine, why)); /* others need not wait for it */
        pthread_mutex_lock(&o->lock);
        e = find(o, key);
        if (e == NULL) {
            map_put(&o->entries, key, mine);
            o->made++;
            e = mine;
            mine = NULL;
        }
        pthread_mutex_unlock(&o->lock);
        entry_free(o, mine);
    }
    *out = &e->overlay;
    return RC_OK;
}

void overlay_give(struct overlays *o, const struct overlay *overlay)
{
    struct entry *e = (struct entry *)overlay, *gone = NULL;

    if (e == NULL)
        return;
    pthread_mutex_lock(&o->lock);
    if (--e->users == 0) {
        enter_idle(o, e);
        if (o->idle > o->idle_max) {
            gone = o->oldest;
            leave_idle(o, gone);
            (void)map_remove(&o->entries, gone->key);
        }
    }
    pthread_mutex_unlock(&o->lock);
    entry_free(o, gone);
}

void overlays_count(struct overlays *o, size_t *there, size_t *made)
{
    pthread_mutex_lock(&o->lock);
    *there = o->entries.n;
    *made = o->made;
    pthread_mutex_unlock(&o->lock);
}

bool overlays_any(struct overlays *o, bool (*each)(void *context, void *state), void *context)
{
    bool any = false;

    pthread_mutex_lock(&o->lock);
    for (struct map_item *i = NULL; !any && (i = map_next(&o->entries, i));)
        any = each(context, ((struct entry *)i->value)->overlay.state);
    pthread_mutex_unlock(&o->lock);
    return any;
}
