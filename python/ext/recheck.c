#include "recheck.h"

#include "sys/layout.h"

#include <errno.h>
#include <stddef.h>

#ifndef _WIN32
#include <sys/socket.h>
#endif

enum { TOKENS_PER_RECHECK = 64, POLLS_BEFORE_RECHECK = 4 };

void ext_rechecks_init(ext_rechecks *list)
{
    *list = (ext_rechecks){.first = NULL};
    list->last = &list->first;
}

void ext_rechecks_clear(ext_rechecks *list)
{
    while (list->first)
        ext_recheck_remove(list->first);
}

NP_HOT void ext_recheck_add(ext_rechecks *list, ext_recheck *d)
{
    d->list = list;
    d->polls = list->polls;
    d->next = NULL;
    d->link = list->last;
    *list->last = d;
    list->last = &d->next;
}

NP_HOT void ext_recheck_remove(ext_recheck *d)
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
    return true; /* no stream needs it there */
}

#else

static bool readable(np_fd fd)
{
    char byte;
    return recv((int)fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
           (errno != EAGAIN && errno != EWOULDBLOCK);
}

#endif

static bool recheck_first(ext_rechecks *list)
{
    ext_recheck *d = list->first;
    ext_recheck_remove(d);
    if (!readable(np_desc_fd(d->desc)))
        return false;
    np_set_ready(d->desc, NP_READ);
    return true;
}

/* The oldest that waits still, if it has done so for some polls. */
NP_HOT static bool is_due(ext_rechecks *list)
{
    while (list->first && !np_is_parked(list->first->desc, NP_READ))
        ext_recheck_remove(list->first);
    return list->first && list->polls - list->first->polls >= POLLS_BEFORE_RECHECK;
}

NP_HOT bool ext_recheck_some(ext_rechecks *list, int n)
{
    bool any = false;

    list->polls++;
    for (list->tokens += n; list->tokens >= TOKENS_PER_RECHECK && is_due(list);
         list->tokens -= TOKENS_PER_RECHECK)
        any |= recheck_first(list);
    if (list->tokens > TOKENS_PER_RECHECK)
        list->tokens = TOKENS_PER_RECHECK;
    return any;
}

bool ext_recheck_all(ext_rechecks *list)
{
    bool any = false;
    while (list->first)
        any |= recheck_first(list);
    return any;
}
