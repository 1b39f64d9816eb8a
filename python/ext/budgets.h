/* Numbers that both engines have, that in C and that in Python. */
#ifndef NP_BUDGETS_H
#define NP_BUDGETS_H

enum {
    EXT_TOKEN_BATCH = 128, /* tokens that one call takes out of a poller */
    EXT_COOP_BUDGET = 128, /* operations that did not wait, until it yields to others */
    EXT_MAX_EXITS = 16,    /* waits that GreenletExit ends as a thread ends, of each greenlet */
    EXT_LAST_TURNS = 1000  /* of those whose waits are over by then */
};

#endif
