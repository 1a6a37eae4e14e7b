/*
 * qshape - where the mail in the queue goes to (or comes from), and how old it is.
 *
 * Counts recipients, or senders, of the messages in the named queues by domain and age.
 */
#include <unistd.h>

#include "qshape/shape.h"
#include "queue/index.h"
#include "service/command.h"
#include "util/map.h"

static const char usage[] =
    "usage: qshape [-s] [-p] [-m min_subdomains] [-b bucket_count] [-t bucket_minutes] [-l] "
    "[-w terminal_width] [-N batch_msg_count] [-n batch_top_domains] [-c config_directory] "
    "[queue_name ...]";

static void set_number(struct command *c, char letter, long *number)
{
    if (!str_to_long(str_of(optarg), 1, 1000000, number))
        log_fatal(&c->log, 1, "option -%c: \"%s\" is no positive number; %s", letter, optarg,
                  usage);
}

static const char *read_options(struct command *c, int argc, char **argv, struct shape_options *o)
{
    const char *dir = NULL;
    int letter;

    while ((letter = getopt(argc, argv, "b:c:lm:n:N:pst:w:")) > 0)
        switch (letter) {
        case 'b': set_number(c, 'b', &o->buckets); break;
        case 'c': dir = optarg; break;
        case 'l': o->linear = true; break;
        case 'm': set_number(c, 'm', &o->min_subdomains); break;
        case 'n': set_number(c, 'n', &o->top); break;
        case 'N': set_number(c, 'N', &o->batch); break;
        case 'p': o->parents = true; break;
        case 's': o->senders = true; break;
        case 't': set_number(c, 't', &o->minutes); break;
        case 'w': set_number(c, 'w', &o->width); break;
        default: log_fatal(&c->log, 1, "%s", usage);
        }
    return dir;
}

static bool count(void *context, const struct queue_entry *e)
{
    shape_count(context, e);
    return true;
}

/* While qmgr runs it keeps an index of deferred/; else the files tell. */
static bool count_by_index(struct command *c, const struct queue *q, struct shape *s)
{
    struct queue_index_reader *reader = queue_index_reader_new(q, c->config->data_directory);
    struct queue_index *index = NULL;
    struct map active;
    struct why why;
    bool done = false;

    map_init(&active);
    if (queue_ask_active(c->config->queue_directory, &active, &why) == RC_OK)
        index = queue_index_reader_get(reader);
    if (index) {
        done = queue_index_list(index, count, s, &why) == RC_OK;
        queue_index_reader_put(reader);
    }
    map_done(&active);
    return done;
}

static void count_queue(struct command *c, const struct queue *q, const char *name, struct shape *s)
{
    struct why why = {0};

    if (strcmp(name, "deferred") == 0 && count_by_index(c, q, s))
        return;
    if (faccessat(q->dir, name, R_OK | X_OK, 0) < 0)
        log_warning(&c->log, "queue %s: %m", name);
    else if (queue_list_some(q, &name, 1, NULL, count, s, &why) != RC_OK)
        log_warning(&c->log, "%s", why.text);
}

int main(int argc, char **argv)
{
    static const char *const standard[] = {"incoming", "active", NULL};
    struct shape_options o = {.buckets = 10,
                              .minutes = 5,
                              .min_subdomains = 5,
                              .width = 80,
                              .batch = 1000,
                              .top = 20,
                              .on_terminal = isatty(STDOUT_FILENO)};
    struct command c;
    struct queue queue = {0};
    struct why why = {0};
    const char *const *names, *dir;
    struct shape *shape;

    command_init(&c, argv[0]);
    dir = read_options(&c, argc, argv, &o);
    command_configure(&c, dir);
    if (queue_open(c.config, &queue, &why) != RC_OK)
        log_fatal(&c.log, 1, "%s", why.text);
    names = argc > optind ? (const char *const *)argv + optind : standard;
    shape = shape_new(&o);
    for (; *names; names++)
        count_queue(&c, &queue, *names, shape);
    shape_print(shape, stdout, (size_t)-1);
    shape_free(shape);
    queue_close(&queue);
    return fflush(stdout) == 0 ? 0 : 1;
}
