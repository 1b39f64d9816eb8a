/* csrc/posix/futex.c as it is on Linux. */
#define np_futex_wait linux_futex_wait
#define np_futex_wake linux_futex_wake
#include "posix/futex.c"
