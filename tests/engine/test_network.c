// Whole networks against logits from PyTorch: test_network NAME..., each with files NAME.plan, NAME.input (float32
// [batch, channels, height, width]) and NAME.logits (float32 [batch, classes]). Runs every level of this processor in
// memory of exactly the sizes that the engine asks for, so that a sanitizer sees a stray access.
#include "shufflenet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    return aligned_alloc(SHUFFLENET_ALIGNMENT, (bytes + SHUFFLENET_ALIGNMENT - 1) / SHUFFLENET_ALIGNMENT * SHUFFLENET_ALIGNMENT);
}

static int test(const char *name, const char *isa)
{
    size_t plan_bytes, input_bytes, logits_bytes;
    void *plan = read_file(name, ".plan", &plan_bytes);
    float *input = read_file(name, ".input", &input_bytes), *want = read_file(name, ".logits", &logits_bytes);
    shufflenet_sizes sizes;
    const shufflenet_network *network;
    shufflenet_status status = shufflenet_measure(plan, plan_bytes, isa, &sizes);
    void *memory = aligned(sizes.network_bytes), *arena = aligned(sizes.arena_bytes);
    float *got = malloc(logits_bytes);
    if (status == SHUFFLENET_OK)
        status = shufflenet_create(plan, plan_bytes, isa, memory, sizes.network_bytes, &network);
    free(plan); // the network must not need it
    const size_t batch = input_bytes / sizeof(float) / sizes.input_floats;
    if (status == SHUFFLENET_OK)
        status = shufflenet_run(network, arena, sizes.arena_bytes, input, batch, got);
    int failures = status != SHUFFLENET_OK;
    if (failures)
        fprintf(stderr, "FAILED %s, %s: %s\n", name, isa, shufflenet_message(status));
    float largest = 0, error = 0;
    for (size_t i = 0; !failures && i < logits_bytes / sizeof(float); i++) {
        largest = fmaxf(largest, fabsf(want[i]));
        const float difference = fabsf(want[i] - got[i]);
        error = difference <= error ? error : difference; // not a number is one
        failures |= difference != difference;
    }
    if (failures || !(error <= 1e-5f * largest)) {
        fprintf(stderr, "FAILED %s, %s: error %.2e of the largest logit\n", name, isa, error / largest);
        failures = 1;
    }
    free(input);
    free(want);
    free(got);
    free(memory);
    free(arena);
    return failures;
}

int main(int count, char **names)
{
    int runs = 0, failures = 0;
    for (int i = 1; i < count; i++)
        for (const char *const *isa = shufflenet_isas(); *isa; isa++, runs++)
            failures += test(names[i], *isa);
    printf("%d runs, %d failures\n", runs, failures);
    return failures != 0;
}
