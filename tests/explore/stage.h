/* What the scenarios share: one poller, descriptors on it, and what became of each actor. */
#ifndef STAGE_H
#define STAGE_H

#include "explore.h"
#include "netpoll.h"

enum { DESCS = 3, FAR = 50000000 };

extern np_poller *p;
extern np_desc *d[DESCS];
extern int fd[DESCS], result[EX_ACTORS];

/* By how much a timeout may be late.  A completion port has one high-resolution timer; a thread
 * that finds it in use sleeps by a clock of milliseconds. */
#define LATE (strcmp(ex_backend, "iocp") == 0 ? 1000000 : 0)

void with(int n);      /* before: a poller with n descriptors */
void finish(void);     /* after: everything is closed, and nothing left */
void end_with(int rc); /* the actor's result */

#define WHO(name, body) {name, body}

#endif
