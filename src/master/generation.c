/* One reading of the configuration: checked, then sealed in memory files for the children. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/snapshot.h"
#include "master/master.h"
#include "util/buf.h"
#include "util/file.h"
#include "util/memory.h"

static enum rc seal(const char *name, struct str text, int *fd, struct why *why)
{
    int f = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (f < 0)
        return FAIL(why, RC_TEMP, "memfd_create: %m");
    *fd = f;
    TRY(fd_write_all(f, text, why));
    if (fcntl(f, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return FAIL(why, RC_TEMP, "seal %s: %m", name);
    return RC_OK;
}

/* Each service must be able to load its configuration. Only what differs is evaluated again. */
static enum rc check_overrides(const struct generation *g, struct why *why)
{
    for (size_t i = 0; i < g->services.n; i++) {
        const struct master_entry *e = &g->services.entries[i];
        struct config *own;
        if (e->overrides_n == 0)
            continue;
        TRY(config_overlay(g->config, e->overrides, e->overrides_n, &own, why));
        config_free(own);
    }
    return RC_OK;
}

static enum rc check_process_sessions(const struct generation *g, struct why *why)
{
    for (size_t i = 0; i < g->services.n; i++) {
        const struct master_entry *e = &g->services.entries[i];
        long sessions;
        TRY(config_transport_long(g->config, e->name, "process_sessions", &sessions, why));
        TRY(config_transport_long(g->config, e->command, "process_sessions", &sessions, why));
    }
    return RC_OK;
}

static enum rc read_texts(const struct master *m, struct generation *g, struct why *why)
{
    const char *dir = m->options.config_directory;
    struct config_request request = {.dir = dir, .process_name = "master"};
    struct master_reading how = {0};
    struct str main_text, master_text, path = arena_printf(g->arena, "%s/master.cf", dir);
    AUTO_BUF files = {0};

    TRY(config_file_read(dir, "main.cf", g->arena, &main_text, why));
    TRY(config_file_read(dir, "master.cf", g->arena, &master_text, why));
    TRY(seal("main.cf", main_text, &g->main_fd, why));
    TRY(seal("master.cf", master_text, &g->master_fd, why));
    request.main_cf = &main_text;
    TRY(config_load(&request, &g->config, why));
    how.config = g->config;
    TRY(master_cf_parse(master_text, path.p, &how, g->arena, &g->services, why));
    TRY(check_overrides(g, why));
    TRY(carried_files(g, &files, why));
    TRY(seal("files", buf_str(&files), &g->files_fd, why));
    return check_process_sessions(g, why);
}

enum rc generation_new(const struct master *m, struct generation **out, struct why *why)
{
    struct generation *g = NEW(struct generation);
    enum rc rc;

    *g = (struct generation){.number = m->current ? m->current->number + 1 : 0,
                             .arena = arena_new(16 * 1024),
                             .main_fd = -1,
                             .master_fd = -1,
                             .files_fd = -1};
    rc = read_texts(m, g, why);
    if (rc != RC_OK) {
        generation_free(g);
        return rc;
    }
    *out = g;
    return RC_OK;
}

void generation_free(struct generation *g)
{
    if (g == NULL)
        return;
    if (g->main_fd >= 0)
        close(g->main_fd);
    if (g->master_fd >= 0)
        close(g->master_fd);
    if (g->files_fd >= 0)
        close(g->files_fd);
    config_free(g->config);
    arena_free(g->arena);
    free(g);
}
