/*
 * postcat - show the contents of queue files.
 *
 * Reads the named files, files named by queue id with -q, or standard input; prints envelope,
 * header and body as asked, one line for each record.
 */
#include "postcat/postcat.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "queue/queue.h"
#include "service/command.h"
#include "util/file.h"

static const char usage[] = "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record "
                            "type)] [-e (envelope records)] [-f (file name)] [-h (header text)] "
                            "[-o (offset)] [-q (access queue)] [-r (file order)] [-s offset] [-v] "
                            "[file(s)...]";

static const char *const queues[] = {"hold",  "incoming", "active",   "deferred", "maildrop",
                                     "saved", "corrupt",  "incoming", NULL};

/* Files by name are shown without a configuration, unless it is needed for its keys. */
static void find_keys(struct command *c, struct postcat *p, int fd)
{
    struct why why;

    if (p->keys || !postcat_needs_keys(p, fd))
        return;
    if (c->config == NULL)
        command_configure(c, NULL);
    if (queue_keys_open(c->config, &p->keys, &why) != RC_OK)
        log_fatal(&c->log, 1, "%s", why.text);
}

static void show(struct command *c, struct postcat *p, int fd, const char *name)
{
    struct why why = {0};

    find_keys(c, p, fd);
    if (postcat_print(p, fd, name, stdout, &why) == RC_OK)
        return;
    fflush(stdout);
    if (why.rc == RC_PERM && why.text[0] == '\0') {
        log_warning(&c->log, "%s: input is not a valid queue file", name);
        return;
    }
    log_warning(&c->log, "%s: %s", name, why.text);
    log_fatal(&c->log, 1, "record read error");
}

static void show_file(struct command *c, struct postcat *p, const char *name)
{
    AUTO_CLOSE int fd = open(name, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        log_fatal(&c->log, 1, "open %s: %m", name);
    show(c, p, fd, name);
}

static void show_id(struct command *c, struct postcat *p, const struct queue *q, const char *id)
{
    char path[QUEUE_PATH_SIZE];

    if (!queue_id_is_valid(str_of(id)))
        log_fatal(&c->log, 1, "bad mail queue ID: %s", id);
    for (const char *const *name = queues; *name; name++) {
        queue_path(q, str_of(*name), str_of(id), path);
        AUTO_CLOSE int fd = openat(q->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0) {
            show(c, p, fd, path);
            return;
        }
    }
    log_fatal(&c->log, 1, "open queue file %s: %m", id);
}

static bool set_option(struct postcat *p, int letter)
{
    switch (letter) {
    case 'b': p->body = true; return true;
    case 'd': p->decimal = true; return true;
    case 'e': p->envelope = true; return true;
    case 'f': p->file_name = true; return true;
    case 'h': p->header = true; return true;
    case 'n': return true; /* once meant what -f means the other way round */
    case 'o': p->offset = true; return true;
    case 'r': p->raw = true; return true;
    case 's': return str_to_long(str_of(optarg), 0, LONG_MAX, &p->start);
    case 'v': p->verbose = true; return true;
    default: return false;
    }
}

int main(int argc, char **argv)
{
    struct postcat p = {0};
    struct command c;
    struct queue queue = {0};
    struct why why = {0};
    const char *dir = NULL;
    bool by_id = false;
    int letter;

    command_init(&c, argv[0]);
    while ((letter = getopt(argc, argv, "bc:defhnoqrs:v")) > 0) {
        if (letter == 'c')
            dir = optarg;
        else if (letter == 'q')
            by_id = true;
        else if (!set_option(&p, letter))
            log_fatal(&c.log, 1, "%s", usage);
    }
    if (!p.body && !p.header && !p.envelope)
        p.body = p.header = p.envelope = true;
    if (by_id || dir) {
        command_configure(&c, dir);
        if (by_id && queue_open(c.config, &queue, &why) != RC_OK)
            log_fatal(&c.log, 1, "%s", why.text);
    }
    if (argc == optind && !by_id)
        show(&c, &p, STDIN_FILENO, "stdin");
    for (char **arg = argv + optind; *arg; arg++) {
        if (by_id)
            show_id(&c, &p, &queue, *arg);
        else
            show_file(&c, &p, *arg);
    }
    queue_keys_free(p.keys);
    queue_close(&queue);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
