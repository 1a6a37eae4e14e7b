/* What the parts of postqueue share. */
#pragma once

#include <stdio.h>

#include "queue/queue.h"
#include "service/command.h"

enum { STATUS_FAILED = 69 };

struct printer;

/* Formats of the listing. Entries of one message follow each other. */
struct printer *printer_new(bool json, bool long_ids, FILE *out, struct arena *a);
void printer_entry(struct printer *p, const struct queue_entry *e);
void printer_end(struct printer *p);

void show_queue(struct command *c, bool json);
void flush_queue(struct command *c);
void flush_site(struct command *c, const char *site);
void flush_id(struct command *c, const char *id);
