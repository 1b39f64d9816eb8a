/* A scheduler in miniature. */
#ifndef TOKENS_H
#define TOKENS_H

#include "check.h"
#include "netpoll.h"

static inline np_poller *new_poller(void)
{
    np_poller *p = NULL;
    CHECK(np_poller_new(NULL, &p) == NP_OK);
    return p;
}

static inline int pop(np_poller *p, int64_t timeout, np_token *token)
{
    int n = 0;
    CHECK(np_poll(p, timeout, token, 1, &n) == NP_OK);
    return n;
}

#endif
