// What creating a network asks of a plan, and how much memory it takes.
#include "half.h"
#include "plan.h"
#include "kernels.h"
#include "shufflenet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_float_of_half(void)
{
    int failures = 0;
    for (int32_t bits = 0; bits < 1 << 16; bits++) {
        const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
        const float size = exponent == 31 ? mantissa ? NAN : INFINITY
                           : exponent     ? ldexpf((float)(1024 + mantissa), exponent - 25)
                                          : ldexpf((float)mantissa, -24);
        const float value = bits >> 15 ? -size : size, got = float_of_half((uint16_t)bits);
        failures += isnan(value) ? !isnan(got) : got != value || !signbit(got) != !signbit(value);
    }
    if (failures)
        fprintf(stderr, "FAILED float_of_half: %d values\n", failures);
    return failures != 0;
}

// What a plan of one fully connected layer needs, whose weights [m][k] are of a dtype.
static shufflenet_status measure(uint32_t k, uint32_t m, enum plan_dtype dtype, const char *isa,
                                 shufflenet_sizes *sizes)
{
    const struct plan_header header = {
        .magic = PLAN_MAGIC,
        .version = PLAN_VERSION,
        .block_count = 2,
        .step_count = 1,
        .table_count = 1,
        .weight_bytes = sizeof(float) * (k * m + m), // as many as the largest dtype needs
        .arena_words = k,
        .in_channels = 1,
        .height = 1,
        .width = 1,
        .classes = m,
    };
    const struct plan_weights blocks[] = {{dtype, k * m, 0}, {PLAN_FLOAT32, m, sizeof(float) * k * m}};
    const struct plan_step step = {
        .kind = PLAN_FULLY_CONNECTED,
        .as.fully_connected = {.k = k, .m = m, .output = PLAN_NO_TABLE, .weights = 0, .bias = 1},
    };
    const size_t bytes = sizeof header + sizeof blocks + sizeof step + sizeof(uint32_t) + header.weight_bytes;
    char *plan = calloc(1, bytes);
    memcpy(plan, &header, sizeof header);
    memcpy(plan + sizeof header, blocks, sizeof blocks);
    memcpy(plan + sizeof header + sizeof blocks, &step, sizeof step);
    const shufflenet_status status = shufflenet_measure(plan, bytes, isa, sizes);
    free(plan);
    return status;
}

// On levels that can read them weights of half precision take half the memory.
static int test_halves_take_half_the_memory(void)
{
    enum { K = 100, M = 256 };
    int failures = 0;
    for (size_t level = 0; shufflenet_isa(level); level++) {
        const char *isa = shufflenet_isa(level);
        shufflenet_sizes halves, floats;
        failures += measure(K, M, PLAN_FLOAT16, isa, &halves) != SHUFFLENET_OK;
        failures += measure(K, M, PLAN_FLOAT32, isa, &floats) != SHUFFLENET_OK;
        const size_t saved = find_kernels(isa)->takes_halves ? K * M * sizeof(uint16_t) : 0;
        if (floats.network_bytes - halves.network_bytes != saved) {
            fprintf(stderr, "FAILED halves, %s: %zu and %zu bytes\n", isa, halves.network_bytes, floats.network_bytes);
            failures++;
        }
    }
    return failures;
}

// The format has them; no operator does.
static int test_integer_weights_are_refused(void)
{
    shufflenet_sizes sizes;
    const int refused = measure(8, 4, PLAN_INT8, NULL, &sizes) == SHUFFLENET_BAD_PLAN &&
                        measure(8, 4, PLAN_INT32, NULL, &sizes) == SHUFFLENET_BAD_PLAN &&
                        measure(8, 4, (enum plan_dtype)0, NULL, &sizes) == SHUFFLENET_BAD_PLAN;
    if (!refused)
        fprintf(stderr, "FAILED integer weights are refused\n");
    return !refused;
}

static int test_no_level_needs_more_than_the_widest(void)
{
    int failures = 0;
    for (size_t level = 0; shufflenet_isa(level); level++) {
        const char *isa = shufflenet_isa(level);
        shufflenet_sizes sizes, most;
        for (uint32_t m = 1; m < 300; m += 1 + m / 3) {
            const enum plan_dtype dtype = m % 2 ? PLAN_FLOAT16 : PLAN_FLOAT32;
            failures += measure(7, m, dtype, isa, &sizes) != SHUFFLENET_OK;
            failures += measure(7, m, dtype, SHUFFLENET_WIDEST, &most) != SHUFFLENET_OK;
            failures += sizes.network_bytes > most.network_bytes || sizes.arena_bytes > most.arena_bytes;
        }
    }
    if (failures)
        fprintf(stderr, "FAILED no level needs more than the widest\n");
    return failures != 0;
}

// Steps whose bytes are a multiple of 2^32 more than there are: a size_t of 32 bits does not tell.
static int test_more_steps_than_there_are(void)
{
    const struct plan_header header = {.magic = PLAN_MAGIC,
                                       .version = PLAN_VERSION,
                                       .step_count = 63161284,
                                       .arena_words = 1,
                                       .in_channels = 1,
                                       .height = 1,
                                       .width = 1,
                                       .classes = 1};
    const size_t bytes = sizeof header + (uint32_t)(header.step_count * sizeof(struct plan_step));
    void *plan = calloc(1, bytes);
    memcpy(plan, &header, sizeof header);
    shufflenet_sizes sizes;
    const shufflenet_status status = shufflenet_measure(plan, bytes, "reference", &sizes);
    free(plan);
    if (status != SHUFFLENET_BAD_PLAN)
        fprintf(stderr, "FAILED more steps than there are: %s\n", shufflenet_message(status));
    return status != SHUFFLENET_BAD_PLAN;
}

// Layers that share their weights in the plan, and take more than 2^32 bytes in the network.
static int test_network_of_more_bytes_than_a_pointer_reaches(void)
{
    enum { STEPS = 260, INPUTS = 1 << 22 };
    const struct plan_header header = {.magic = PLAN_MAGIC,
                                       .version = PLAN_VERSION,
                                       .step_count = STEPS,
                                       .table_count = 1,
                                       .block_count = 2,
                                       .weight_bytes = sizeof(float) * INPUTS,
                                       .arena_words = INPUTS,
                                       .in_channels = 1,
                                       .height = 1,
                                       .width = 1,
                                       .classes = 1};
    const size_t steps_bytes = STEPS * sizeof(struct plan_step);
    const struct plan_weights blocks[] = {{PLAN_FLOAT32, INPUTS, 0}, {PLAN_FLOAT32, 1, 0}};
    const size_t bytes = sizeof header + sizeof blocks + steps_bytes + sizeof(uint32_t) * (1 + INPUTS);
    char *plan = calloc(1, bytes);
    memcpy(plan, &header, sizeof header);
    memcpy(plan + sizeof header, blocks, sizeof blocks);
    for (size_t i = 0; i < STEPS; i++) {
        const struct plan_step step = {
            .kind = PLAN_FULLY_CONNECTED,
            .as.fully_connected = {
                .k = INPUTS, .m = 1, .activation = PLAN_LINEAR, .output = PLAN_NO_TABLE, .weights = 0, .bias = 1}};
        memcpy(plan + sizeof header + sizeof blocks + i * sizeof step, &step, sizeof step);
    }
    shufflenet_sizes sizes;
    const shufflenet_status status = shufflenet_measure(plan, bytes, "reference", &sizes);
    free(plan);
    const int right = status == SHUFFLENET_BAD_PLAN || (uint64_t)sizes.network_bytes > (uint64_t)STEPS * 4 * INPUTS;
    if (!right)
        fprintf(stderr, "FAILED network of more bytes than a pointer reaches: %zu\n", sizes.network_bytes);
    return !right;
}

int main(void)
{
    const int failures = test_float_of_half() + test_halves_take_half_the_memory() +
                         test_integer_weights_are_refused() + test_no_level_needs_more_than_the_widest() +
                         test_more_steps_than_there_are() + test_network_of_more_bytes_than_a_pointer_reaches();
    printf("%d failures\n", failures);
    return failures != 0;
}
