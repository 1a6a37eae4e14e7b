/*
 * Ring list through a member of the items. A head is a link of its own; an item that is in no list
 * has a link that points to itself (or is zero: never used).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *prev, *next;
};

#define ITEM_OF(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

static inline void list_init(struct link *l)
{
    l->prev = l->next = l;
}

static inline bool list_is_empty(const struct link *head)
{
    return head->next == head;
}

static inline bool is_listed(const struct link *l)
{
    return l->next != NULL && l->next != l;
}

/* Before head: at the end of the list. After head: at its front. */
static inline void list_insert_before(struct link *head, struct link *l)
{
    l->next = head;
    l->prev = head->prev;
    head->prev->next = l;
    head->prev = l;
}

static inline void list_append(struct link *head, struct link *l)
{
    list_insert_before(head, l);
}

static inline void list_prepend(struct link *head, struct link *l)
{
    list_insert_before(head->next, l);
}

static inline void list_remove(struct link *l)
{
    if (!is_listed(l))
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}
