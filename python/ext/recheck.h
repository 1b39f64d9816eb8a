/* Waits to recheck: begun without a failed try, because the last read was short.
 *
 * A read of a UNIX stream also stops, short, behind a message that carries descriptors or
 * credentials; then there is more to read, and its event may have been used up.  No cheap call
 * detects that.  So the hub rechecks later, when it costs nothing: all of them before it sleeps,
 * and while it is busy one per so many tokens, oldest first, if a few polls have brought nothing
 * for it.  Most waits have ended by then, and one recheck is enough: what comes after the wait
 * began makes an event. */
#ifndef NP_RECHECK_H
#define NP_RECHECK_H

#include <stdbool.h>

#include "netpoll.h"

/* One for each FD; in the list of its hub while its reader waits there. */
typedef struct ext_recheck {
    struct ext_rechecks *list; /* NULL: in none */
    struct ext_recheck *next, **link;
    np_desc *desc;  /* valid while in a list: the reader holds it */
    unsigned polls; /* the list's, when it came in */
} ext_recheck;

/* Of a hub, whose thread alone uses it.  Oldest first. */
typedef struct ext_rechecks {
    ext_recheck *first, **last;
    int tokens;     /* that came out since the last recheck */
    unsigned polls; /* so many calls of ext_recheck_some */
} ext_rechecks;

void ext_rechecks_init(ext_rechecks *list);
void ext_rechecks_clear(ext_rechecks *list);

void ext_recheck_add(ext_rechecks *list, ext_recheck *d);
void ext_recheck_remove(ext_recheck *d);

/* n tokens came out of the poller.  True: one can read after all, and its token is ready. */
bool ext_recheck_some(ext_rechecks *list, int n);
bool ext_recheck_all(ext_rechecks *list);

#endif
