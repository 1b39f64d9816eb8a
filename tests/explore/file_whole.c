/* csrc/io/file.c with its statics in reach: an execution that was given up may have left them in
 * any state. */
#include "io/file.c"

#include "explore.h"

void file_reset(void)
{
    for (int i = 0; i < SHARDS; i++)
        shards[i] = (shard)SHARD;
    installed.value = 0;
    overflow = NULL;
}

/* No file is left; and what the process keeps for all of them goes. */
void file_finish(void)
{
    for (int i = 0; i < SHARDS; i++) {
        EXPECT(shards[i].lock.owner == 0);
        EXPECT(np_list_empty(files_of(&shards[i])));
    }
    if (overflow)
        np_poller_unref(overflow);
}
