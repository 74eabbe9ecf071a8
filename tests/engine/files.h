// What tests of whole plans take from files, and memory for them as the engine wants it.
#include "shufflenet.h"

#include <stdio.h>
#include <stdlib.h>

static void *read_file(const char *name, const char *suffix, size_t *bytes)
{
    char path[4096];
    snprintf(path, sizeof path, "%s%s", name, suffix);
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        fprintf(stderr, "can't read %s\n", path);
        exit(2);
    }
    *bytes = (size_t)ftell(file);
    rewind(file);
    void *data = malloc(*bytes);
    if (fread(data, 1, *bytes, file) != *bytes)
        exit(2);
    fclose(file);
    return data;
}

static void *aligned(size_t bytes)
{
    const size_t rounded = (bytes + SHUFFLENET_ALIGNMENT - 1) / SHUFFLENET_ALIGNMENT * SHUFFLENET_ALIGNMENT;
    return aligned_alloc(SHUFFLENET_ALIGNMENT, rounded);
}
