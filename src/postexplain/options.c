/* The command line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "postexplain/postexplain.h"

static const char usage[] =
    "usage: postexplain [-c config_dir] [-o name=value] [--service name] [--check-rules file | "
    "--instructions type:file] --client address[,name] [--helo name] [--sender address] "
    "[--recipient address] [--etrn domain] [--sasl-user name] [--ident user] [--json]";

enum {
    OPT_CLIENT = 256,
    OPT_HELO,
    OPT_SENDER,
    OPT_RECIPIENT,
    OPT_ETRN,
    OPT_SASL_USER,
    OPT_IDENT,
    OPT_JSON,
    OPT_CHECK_RULES,
    OPT_INSTRUCTIONS,
    OPT_SERVICE,
};

static const struct option options[] = {
    {"client", required_argument, NULL, OPT_CLIENT},
    {"helo", required_argument, NULL, OPT_HELO},
    {"sender", required_argument, NULL, OPT_SENDER},
    {"recipient", required_argument, NULL, OPT_RECIPIENT},
    {"etrn", required_argument, NULL, OPT_ETRN},
    {"sasl-user", required_argument, NULL, OPT_SASL_USER},
    {"ident", required_argument, NULL, OPT_IDENT},
    {"json", no_argument, NULL, OPT_JSON},
    {"check-rules", required_argument, NULL, OPT_CHECK_RULES},
    {"instructions", required_argument, NULL, OPT_INSTRUCTIONS},
    {"service", required_argument, NULL, OPT_SERVICE},
    {NULL, 0, NULL, 0},
};

/* "<user@host>" or "user@host" */
static const char *address_of(struct arena *a, const char *text)
{
    struct str s = str_trim(str_of(text));

    if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
        s = (struct str){s.p + 1, s.n - 2};
    return arena_text(a, s);
}

static void read_client(struct arena *a, const char *text, struct question *q)
{
    struct str rest = str_of(text), address = str_cut(&rest, ',');

    q->client = arena_text(a, address);
    q->client_name = rest.p && rest.n ? arena_text(a, rest) : NULL;
}

static void add_override(struct command *c, struct arena *a, struct question *q)
{
    struct config_setting setting = {0};
    struct why why;

    if (config_parse_setting(str_of(optarg), &setting, &why) != RC_OK)
        log_fatal(&c->log, 1, "-o %s: %s", optarg, why.text);
    setting.origin = STR("-o");
    vec_add(a, &q->overrides, setting);
}

void question_read(struct command *c, struct arena *a, int argc, char **argv, struct question *q)
{
    int letter;

    while ((letter = getopt_long(argc, argv, "c:o:", options, NULL)) > 0)
        switch (letter) {
        case 'c': q->config_directory = optarg; break;
        case 'o': add_override(c, a, q); break;
        case OPT_CLIENT: read_client(a, optarg, q); break;
        case OPT_HELO: q->helo = optarg; break;
        case OPT_SENDER: q->sender = address_of(a, optarg); break;
        case OPT_RECIPIENT: q->recipient = address_of(a, optarg); break;
        case OPT_ETRN: q->etrn = optarg; break;
        case OPT_SASL_USER: q->sasl_user = optarg; break;
        case OPT_IDENT: q->ident = optarg; break;
        case OPT_JSON: q->json = true; break;
        case OPT_CHECK_RULES: q->rules_file = optarg; break;
        case OPT_INSTRUCTIONS: q->instructions = optarg; break;
        case OPT_SERVICE: q->service = optarg; break;
        default: log_fatal(&c->log, 1, "%s", usage);
        }
    if (optind < argc || q->client == NULL)
        log_fatal(&c->log, 1, "%s", usage);
    if (q->rules_file && q->instructions)
        log_fatal(&c->log, 1, "--check-rules and --instructions exclude each other");
    if (q->rules_file && (q->sender == NULL || q->recipient == NULL))
        log_fatal(&c->log, 1, "--check-rules needs --sender and --recipient");
}
