// A driver for a target where there is no libFuzzer: COUNT FILE... gives the target each file, then COUNT changed ones of each.
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 64 }; // bytes by which an input may grow

static uint64_t state = 1707;

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most)
{
    if (size < most && random_below(&state, 4) == 0)
        data[size++] = 0;
    if (size && random_below(&state, 8) == 0)
        return random_below(&state, (uint32_t)size);
    for (uint32_t changes = size ? 1 + random_below(&state, 3) : 0; changes; changes--)
        data[random_below(&state, (uint32_t)size)] = (uint8_t)random_below(&state, 256);
    return size;
}

// Whole inputs in memory of exactly their size, so that a sanitizer sees what reads beyond them.
static void give(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);
    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

int main(int count, char **arguments)
{
    LLVMFuzzerInitialize(&count, &arguments);
    const int changed = count > 1 ? atoi(arguments[1]) : 0;
    for (int i = 2; i < count; i++) {
        FILE *file = fopen(arguments[i], "rb");
        if (!file || fseek(file, 0, SEEK_END)) {
            perror(arguments[i]);
            return 2;
        }
        const size_t size = (size_t)ftell(file);
        uint8_t *whole = malloc(size + ROOM), *data = malloc(size + ROOM);
        rewind(file);
        if (fread(whole, 1, size, file) != size)
            return 2;
        fclose(file);
        give(whole, size);
        for (int number = 0; number < changed; number++) {
            memcpy(data, whole, size);
            give(data, LLVMFuzzerCustomMutator(data, size, size + ROOM, random_below(&state, UINT32_MAX)));
        }
        free(whole);
        free(data);
    }
    printf("%d inputs\n", (count - 2) * (1 + changed));
    return 0;
}
