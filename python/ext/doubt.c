#include "doubt.h"

#include <errno.h>
#include <stddef.h>

#ifndef _WIN32
#include <sys/socket.h>
#endif

enum { TOKENS_A_LOOK = 64 };

void ext_doubts_init(ext_doubts *list)
{
    *list = (ext_doubts){.first = NULL};
    list->last = &list->first;
}

void ext_doubts_clear(ext_doubts *list)
{
    while (list->first)
        ext_doubt_remove(list->first);
}

void ext_doubt_add(ext_doubts *list, ext_doubt *d)
{
    d->list = list;
    d->next = NULL;
    d->link = list->last;
    *list->last = d;
    list->last = &d->next;
}

void ext_doubt_remove(ext_doubt *d)
{
    if (!d->list)
        return;
    *d->link = d->next;
    if (d->next)
        d->next->link = d->link;
    else
        d->list->last = d->link;
    d->list = NULL;
}

#ifdef _WIN32

static bool readable(np_fd fd)
{
    (void)fd;
    return true; /* no stream is in doubt there */
}

#else

static bool readable(np_fd fd)
{
    char byte;
    return recv((int)fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
           (errno != EAGAIN && errno != EWOULDBLOCK);
}

#endif

static bool look_at_first(ext_doubts *list)
{
    ext_doubt *d = list->first;
    ext_doubt_remove(d);
    if (!readable(np_desc_fd(d->desc)))
        return false;
    np_set_ready(d->desc, NP_READ);
    return true;
}

bool ext_doubts_look(ext_doubts *list, int n)
{
    bool any = false;

    for (list->tokens += n; list->first && list->tokens >= TOKENS_A_LOOK;
         list->tokens -= TOKENS_A_LOOK)
        any |= look_at_first(list);
    if (!list->first)
        list->tokens = 0;
    return any;
}

bool ext_doubts_look_at_all(ext_doubts *list)
{
    bool any = false;
    while (list->first)
        any |= look_at_first(list);
    return any;
}
