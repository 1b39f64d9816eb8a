/* The fuzz target without libFuzzer, for any compiler.
 *
 *   replay FILE...            each file is one sequence
 *   replay --random N SEED    N sequences of random bytes; the one at work is kept in a file
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"

enum { LONGEST = 450 };
static const char *const at_work = "at-work.bin";

static int replay(const char *name)
{
    uint8_t bytes[LONGEST];
    FILE *f = fopen(name, "rb");
    if (!f) {
        perror(name);
        return EXIT_FAILURE;
    }
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    fprintf(stderr, "%s\n", name); /* the last name printed is that of the one that failed */
    return LLVMFuzzerTestOneInput(bytes, n);
}

static void random_one(uint64_t *state)
{
    uint8_t bytes[LONGEST];
    for (int i = 0; i < LONGEST; i++) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (uint8_t)(*state >> 40);
    }
    FILE *f = fopen(at_work, "wb");
    if (f) {
        fwrite(bytes, 1, sizeof bytes, f);
        fclose(f);
    }
    LLVMFuzzerTestOneInput(bytes, sizeof bytes);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--random") == 0) {
        uint64_t state = strtoull(argv[3], NULL, 10);
        long n = atol(argv[2]);
        for (long i = 0; i < n; i++)
            random_one(&state);
        printf("%ld sequences\n", n);
        return EXIT_SUCCESS;
    }
    for (int i = 1; i < argc; i++)
        if (replay(argv[i]) != EXIT_SUCCESS)
            return EXIT_FAILURE;
    printf("%d sequences\n", argc - 1);
    return EXIT_SUCCESS;
}
