#include "postern-import/import.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/edit.h"
#include "table/table.h"
#include "util/file.h"

enum { TABLE_MAX = 256 * 1024 * 1024 };

static struct config_setting *find(struct import *i, const char *name)
{
    for (size_t k = 0; k < i->settings.n; k++)
        if (str_eq(i->settings.v[k].name, str_of(name)))
            return &i->settings.v[k];
    return NULL;
}

static void put(struct import *i, const char *name, struct str value)
{
    struct config_setting *old = find(i, name), new = {str_of(name), value, STR_NONE};

    if (old)
        old->value = value;
    else
        vec_add(i->arena, &i->settings, new);
}

void import_set(struct import *i, const char *name, struct str value)
{
    AUTO_BUF b = {0};

    buf_init(&b, CONFIG_LINE_MAX);
    for (size_t k = 0; k < value.n; k++) {
        if (value.p[k] == '$')
            buf_addc(&b, '$');
        buf_addc(&b, value.p[k]);
    }
    put(i, name, arena_copy(i->arena, buf_str(&b)));
}

void import_add(struct import *i, const char *name, const char *item)
{
    struct config_setting *old = find(i, name);

    put(i, name,
        old ? arena_printf(i->arena, STR_FMT ", %s", STR_ARG(old->value), item)
            : arena_copy(i->arena, str_of(item)));
}

struct import_table *import_table(struct import *i, const char *name, const char *type)
{
    struct import_table *t;

    for (size_t k = 0; k < i->tables.n; k++)
        if (strcmp(i->tables.v[k]->name, name) == 0)
            return i->tables.v[k];
    t = arena_new_of(i->arena, struct import_table);
    *t = (struct import_table){.name = arena_text(i->arena, str_of(name)), .type = type};
    buf_init(&t->text, TABLE_MAX);
    vec_add(i->arena, &i->tables, t);
    return t;
}

const char *import_table_name(struct import *i, const struct import_table *t)
{
    return arena_printf(i->arena, "%s%s%s/%s", t->type ? t->type : "", t->type ? ":" : "",
                        i->config_directory, t->name)
        .p;
}

void import_note(struct import *i, const char *format, ...)
{
    AUTO_BUF b = {0};
    va_list args;

    buf_init(&b, 4096);
    va_start(args, format);
    buf_vaddf(&b, format, args);
    va_end(args);
    vec_add(i->arena, &i->notes, arena_copy(i->arena, buf_str(&b)));
}

void import_each_file(struct import *i, const char *directory,
                      void (*visit)(struct import *i, const char *path, const char *name))
{
    struct dirent **entries = NULL;
    int n = scandir(directory, &entries, NULL, alphasort);

    for (int k = 0; k < n; k++) {
        visit(i, arena_printf(i->arena, "%s/%s", directory, entries[k]->d_name).p,
              entries[k]->d_name);
        free(entries[k]);
    }
    free(entries);
}

/* ---- print ---- */

static struct str service_line(struct import *i, const struct import_service *s)
{
    AUTO_BUF b = {0};

    buf_init(&b, CONFIG_LINE_MAX);
    buf_addf(&b, STR_FMT " inet n - n - " STR_FMT " smtpd", STR_ARG(s->name), STR_ARG(s->maxproc));
    for (size_t k = 0; k < s->settings.n; k++)
        buf_addf(&b, " -o { " STR_FMT " = " STR_FMT " }", STR_ARG(s->settings.v[k].name),
                 STR_ARG(s->settings.v[k].value));
    return arena_copy(i->arena, buf_str(&b));
}

static void print_notes(const struct import *i, FILE *to)
{
    if (i->notes.n)
        fprintf(to, "# What has no counterpart, or needs a decision of yours:\n");
    for (size_t k = 0; k < i->notes.n; k++)
        fprintf(to, "#   " STR_FMT "\n", STR_ARG(i->notes.v[k]));
}

enum rc import_print(struct import *i, struct why *why)
{
    print_notes(i, stdout);
    printf("\n# ---- %s/main.cf\n", i->config_directory);
    for (size_t k = 0; k < i->settings.n; k++)
        printf(STR_FMT " = " STR_FMT "\n", STR_ARG(i->settings.v[k].name),
               STR_ARG(i->settings.v[k].value));
    if (i->services.n)
        printf("\n# ---- %s/master.cf\n", i->config_directory);
    for (size_t k = 0; k < i->services.n; k++) {
        struct str line = service_line(i, &i->services.v[k]);
        printf(STR_FMT "\n", STR_ARG(line));
    }
    for (size_t k = 0; k < i->tables.n; k++) {
        const struct import_table *t = i->tables.v[k];
        printf("\n# ---- %s/%s\n%s", i->config_directory, t->name, buf_text(&t->text));
    }
    return fflush(stdout) == 0 ? RC_OK : FAIL(why, RC_TEMP, "write output: %m");
}

/* ---- write ---- */

static enum rc write_table(struct import *i, const struct import_table *t, struct why *why)
{
    struct str path = arena_printf(i->arena, "%s/%s", i->config_directory, t->name);

    if (t->text.over)
        return FAIL(why, RC_PERM, "%s is larger than %d bytes", t->name, TABLE_MAX);
    return file_replace(path.p, buf_str(&t->text), 0644, why);
}

static enum rc check_free(struct import *i, struct why *why)
{
    struct str master_cf = arena_printf(i->arena, "%s/master.cf", i->config_directory);

    if (i->services.n && access(master_cf.p, F_OK) < 0)
        return FAIL(why, RC_CONFIG,
                    "%s: %m; services are added to it: copy the one that was installed",
                    master_cf.p);
    for (size_t k = 0; k < i->tables.n; k++) {
        struct str path =
            arena_printf(i->arena, "%s/%s", i->config_directory, i->tables.v[k]->name);
        if (access(path.p, F_OK) == 0)
            return FAIL(why, RC_CONFIG,
                        "%s is there already; move it away, or choose another directory with -c",
                        path.p);
    }
    return RC_OK;
}

static enum rc write_services(struct import *i, struct why *why)
{
    for (size_t k = 0; k < i->services.n; k++) {
        const struct import_service *s = &i->services.v[k];
        struct str line = service_line(i, s);
        struct str request =
            arena_printf(i->arena, STR_FMT "/inet=" STR_FMT, STR_ARG(s->name), STR_ARG(line));
        struct master_edit edit = {0};
        TRY(master_edit_parse(MASTER_EDIT_ENTRY, request, &edit, why));
        TRY(master_cf_edit(i->config_directory, &edit, 1, why));
    }
    return RC_OK;
}

enum rc import_write(struct import *i, struct why *why)
{
    struct str main_cf = arena_printf(i->arena, "%s/main.cf", i->config_directory);
    struct edit_warnings no_warnings = {0};

    TRY(check_free(i, why));
    TRY(dir_make(i->config_directory, 0755, why));
    for (size_t k = 0; k < i->tables.n; k++)
        TRY(write_table(i, i->tables.v[k], why));
    if (access(main_cf.p, F_OK) < 0 && errno == ENOENT)
        TRY(file_replace(main_cf.p, STR("compatibility_level = 3.11\n"), 0644, why));
    TRY(main_cf_edit(i->config_directory, EDIT_REPLACE, i->settings.v, i->settings.n, &no_warnings,
                     why));
    TRY(write_services(i, why));
    print_notes(i, stdout);
    for (size_t k = 0; k < i->tables.n; k++)
        if (i->tables.v[k]->type && table_type_is_writable(str_of(i->tables.v[k]->type)))
            printf("run: %s %s\n", i->tables.v[k]->is_alias ? "postalias" : "postmap",
                   import_table_name(i, i->tables.v[k]));
    return RC_OK;
}
