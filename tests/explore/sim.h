/* The explorer's memory.  Core and backends are compiled with the names of the C library defined to
 * these (explore.py). */
#ifndef SIM_H
#define SIM_H

#include <stddef.h>

void sim_start(void);
void *sim_malloc(size_t size);
void *sim_calloc(size_t n, size_t size);
void *sim_realloc(void *p, size_t size);
void sim_free(void *p);
void sim_check_address(const void *p);
void sim_fence(void);

#endif
