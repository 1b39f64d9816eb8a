/* The thread that gets the signals: Windows has none; Ctrl-C comes as np_futex_interrupt. */
#include "sys/sync.h"

bool np_is_signal_thread(void)
{
    return false;
}
