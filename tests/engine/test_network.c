// Whole networks against logits from PyTorch: test_network NAME..., each with files NAME.plan, NAME.input (float32
// [batch, channels, height, width]) and NAME.logits (float32 [batch, classes]). Runs every level of this processor in
// memory of exactly the sizes that the engine asks for, so that a sanitizer sees a stray access; where there are threads, by
// teams of them too.
#ifndef __wasm__
#include "team/pool.h"
#endif
#include "files.h"
#include "plan.h"
#include "shufflenet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What a word of the arena holds before it is written: another finite number alone than by a team, whose words are not numbers.
enum { ALONE_FILL = 0x5a, TEAM_FILL = 0xff };

// The logits by a team of threads, which must be the same bits: also if no word is read that nobody has written.
static int same_by_team(const shufflenet_network *network, const shufflenet_sizes *sizes, uint32_t threads,
                        const float *input, size_t batch, const float *want, size_t logits_bytes)
{
#ifdef __wasm__
    (void)network, (void)sizes, (void)threads, (void)input, (void)batch, (void)want, (void)logits_bytes;
    return 1;
#else
    shufflenet_pool *pool = shufflenet_pool_create(threads);
    float *got = malloc(logits_bytes);
    const size_t arena_bytes = sizes->arena_bytes + threads * sizes->thread_bytes;
    void *arena = aligned(arena_bytes);
    memset(arena, TEAM_FILL, arena_bytes);
    const int small = shufflenet_pool_run(pool, network, arena, arena_bytes - 1, input, batch, got);
    const int status = shufflenet_pool_run(pool, network, arena, arena_bytes, input, batch, got);
    const int same = small == SHUFFLENET_SMALL_MEMORY && status == SHUFFLENET_OK && !memcmp(want, got, logits_bytes);
    shufflenet_pool_destroy(pool);
    free(got);
    free(arena);
    return same;
#endif
}

// Whether the plan's first step is one of int8.
static int is_quantized(const void *plan)
{
    const struct plan_header *header = plan;
    const struct plan_weights *blocks = (const struct plan_weights *)(header + 1);
    return ((const struct plan_step *)(blocks + header->block_count))->kind >= PLAN_INT8_INPUT;
}

static int test(const char *name, const char *isa)
{
    size_t plan_bytes, input_bytes, logits_bytes;
    void *plan = read_file(name, ".plan", &plan_bytes);
    float *input = read_file(name, ".input", &input_bytes), *want = read_file(name, ".logits", &logits_bytes);
    shufflenet_sizes sizes;
    const shufflenet_network *network;
    shufflenet_status status = shufflenet_measure(plan, plan_bytes, isa, &sizes);
    const int quantized = status == SHUFFLENET_OK && is_quantized(plan); // then the logits are to be the same bits
    void *memory = aligned(sizes.network_bytes), *arena = aligned(sizes.arena_bytes);
    memset(arena, ALONE_FILL, sizes.arena_bytes);
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
    if (failures || !(error <= (quantized ? 0 : 1e-5f * largest))) {
        fprintf(stderr, "FAILED %s, %s: error %.2e of the largest logit\n", name, isa, error / largest);
        failures = 1;
    }
    for (uint32_t threads = 2; !failures && threads <= 4; threads++)
        if (!same_by_team(network, &sizes, threads, input, batch, got, logits_bytes)) {
            fprintf(stderr, "FAILED %s, %s: other logits by a team of %u threads\n", name, isa, threads);
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
        for (size_t level = 0; shufflenet_isa(level); level++, runs++)
            failures += test(names[i], shufflenet_isa(level));
    printf("%d runs, %d failures\n", runs, failures);
    return failures != 0;
}
