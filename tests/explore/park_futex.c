/* csrc/park.c as it is on Linux. */
#define np_park_wait futex_park_wait
#define np_unpark futex_unpark
#include "park.c"
