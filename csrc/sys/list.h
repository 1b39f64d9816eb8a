/* Intrusive doubly linked lists, with a head that is a link itself. */
#ifndef NP_LIST_H
#define NP_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "sys/assert.h"

typedef struct np_link {
    struct np_link *next, *prev;
} np_link;

static inline void np_list_init(np_link *head)
{
    head->next = head->prev = head;
}
static inline bool np_list_empty(const np_link *head)
{
    return head->next == head;
}
static inline void np_list_append(np_link *head, np_link *l)
{
    np_assert(head->prev->next == head);
    l->prev = head->prev;
    l->next = head;
    l->prev->next = l;
    head->prev = l;
}
static inline void np_list_remove(np_link *l)
{
    np_assert(l->prev->next == l && l->next->prev == l);
    l->prev->next = l->next;
    l->next->prev = l->prev;
}
#define NP_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
