/* The rules of a file and its users, as simply as they can be said: one thread, arrays, no lock.
 *
 * What the kernel will report the reference does not know; calls.c asks poll(2), and a token may
 * always come out for nothing.
 */
#ifndef FILE_REFERENCE_H
#define FILE_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "netpoll.h"

enum { REF_OPS = 6, REF_HUBS = 2 };

typedef struct ref_op ref_op;

typedef struct ref_file {
    bool closed, detached;
    int64_t timeout;
    struct {
        int64_t deadline;
        bool retry, drained;
        ref_op *holder, *queue[REF_OPS];
        int queued;
    } mode[2];
} ref_file;

typedef struct ref_hub {
    bool closed;
} ref_hub;

enum ref_stage { REF_NONE, REF_WANTS_TURN, REF_INSIDE };
enum ref_wait { REF_RUNS, REF_FOR_TURN, REF_FOR_READY, REF_FOR_PAUSE };

struct ref_op {
    ref_file *f;
    int mode;
    bool may_wait;
    enum ref_stage stage;
    bool limited, in_parts;
    int64_t limit;
    uint32_t vain;
    int64_t since;

    enum ref_wait wait; /* while its token is parked */
    ref_hub *hub;
    int64_t until; /* of the wait */
    int end;       /* NP_PARKED: it goes on; else what has ended it */
};

void ref_init(ref_file *f);
int ref_begin(ref_op *op, ref_file *f, int mode, bool may_wait);
int ref_check(const ref_op *op);
int ref_try(ref_op *op);
void ref_moved(ref_op *op, bool is_short);
bool ref_end(ref_op *op); /* true: the number is closed now */

/* What np_op_park says; of a wait for readiness NP_PARKED may also be NP_OK. */
int ref_park(ref_op *op, ref_hub *hub);
/* What np_op_wait says, or NP_PARKED: it would block, perhaps. */
int ref_wait_in_thread(ref_op *op, bool readable);
/* Is the token ready, or will it be as soon as its hub is polled? */
bool ref_must_come_out(const ref_op *op, bool readable);
int ref_resume(ref_op *op);
void ref_cancel(ref_op *op);

bool ref_close(ref_file *f, bool detach); /* true: the number is closed now */
bool ref_is_retired(const ref_file *f);
void ref_hub_polled(ref_hub *hub, ref_op *ops, int n);
void ref_hub_close(ref_hub *hub, ref_op *ops, int n);

#endif
