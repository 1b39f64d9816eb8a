/* Waits that are in doubt: begun without a failed try, because the last read was short.
 *
 * A read of a UNIX stream also stops, short, behind a message that carries descriptors or
 * credentials; then there is more to read, and the event that told of it may have been used up.
 * No cheap call tells.  So the hub looks later, when it costs nothing: at all of them before it
 * goes to sleep, and while it is busy at one for so many tokens that came out, oldest first.  Most
 * waits have ended by then, and a look at one is enough: what comes after the wait began makes an
 * event. */
#ifndef NP_DOUBT_H
#define NP_DOUBT_H

#include <stdbool.h>

#include "netpoll.h"

/* One for each FD; in the list of its hub while its reader waits there in doubt. */
typedef struct ext_doubt {
    struct ext_doubts *list; /* NULL: in none */
    struct ext_doubt *next, **link;
    np_desc *desc; /* valid while in a list: the reader holds it */
} ext_doubt;

/* Of a hub, whose thread alone uses it.  Oldest first. */
typedef struct ext_doubts {
    ext_doubt *first, **last;
    int tokens; /* that came out since one was looked at */
} ext_doubts;

void ext_doubts_init(ext_doubts *list);
void ext_doubts_clear(ext_doubts *list);

void ext_doubt_add(ext_doubts *list, ext_doubt *d);
void ext_doubt_remove(ext_doubt *d);

/* n tokens came out of the poller.  True: somebody can read after all, and his token is ready. */
bool ext_doubts_look(ext_doubts *list, int n);
bool ext_doubts_look_at_all(ext_doubts *list);

#endif
