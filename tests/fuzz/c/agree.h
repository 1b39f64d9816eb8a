/* What calls.c and semas.c share: the poller and its reference. */
#ifndef AGREE_H
#define AGREE_H

#include "reference.h"
#include "target.h"

extern np_poller *poller;
extern ref_poller ref;
extern np_token last_token;

void begin_semas(void);
void on_sema(int call, int which, int value);
void compare_semas(void);
void end_semas(void);

#endif
