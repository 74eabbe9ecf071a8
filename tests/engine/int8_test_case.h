// One case of test_int8_kernels.c: a plan of one step with random tables and weights, and how its runs are compared.
#ifndef INT8_TEST_CASE_H
#define INT8_TEST_CASE_H

#include "int8_steps.h"
#include "plan.h"
#include "shufflenet.h"
#include "team.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TABLE = 4096, MAX_BLOCKS = 4, MAX_WEIGHTS = 1 << 18, MAX_ARENA = 1 << 18, MAX_PICTURE = 4 * 200 * 200 };

struct test_case {
    struct plan_step step;
    uint32_t table_count, block_count, weight_bytes, arena_words, classes, channels, height, width;
    uint32_t tables[MAX_TABLE];
    struct plan_weights blocks[MAX_BLOCKS];
    uint8_t weights[MAX_WEIGHTS];
    // Outputs: rows of bytes, each followed by a tail that may become zero or what is around.
    uint32_t out, out_rows, out_bytes, tail;
    uint8_t around; // what a tail may become
    int logits;     // whether the step writes them
    char name[200];
};

enum values { RANDOM, LARGEST, VALUE_KINDS }; // of activations and weights

static enum values values;
static int cases;
static uint32_t seed = 1;

static uint32_t random_below(uint32_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)seed * limit) >> 32);
}

static uint8_t random_activation(uint32_t most)
{
    return (uint8_t)(values == LARGEST ? most : random_below(most + 1));
}

static int8_t random_weight(int32_t most)
{
    if (values == LARGEST)
        return (int8_t)(random_below(2) ? most : -most);
    return (int8_t)((int32_t)random_below(2 * (uint32_t)most + 1) - most);
}

// rows rows of words, in random order, with guard words around each; returns the index of the table.
static uint32_t add_rows(struct test_case *t, uint32_t rows, uint32_t words, uint32_t guard)
{
    const uint32_t pitch = (words + guard + ROW_TAIL + ROW_ALIGNMENT) / ROW_ALIGNMENT * ROW_ALIGNMENT;
    const uint32_t first = t->table_count, front = (guard + ROW_ALIGNMENT) / ROW_ALIGNMENT * ROW_ALIGNMENT;
    for (uint32_t i = 0; i < rows; i++) {
        const uint32_t j = random_below(i + 1);
        t->tables[first + i] = t->tables[first + j];
        t->tables[first + j] = t->arena_words + front + i * pitch;
    }
    t->table_count += rows;
    t->arena_words += front + rows * pitch;
    if (t->table_count > MAX_TABLE || t->arena_words > MAX_ARENA - ROW_ALIGNMENT)
        abort();
    return first;
}

static void *add_block(struct test_case *t, enum plan_dtype dtype, uint32_t count, uint32_t *number)
{
    void *values_of_block = t->weights + t->weight_bytes;
    *number = t->block_count++;
    t->blocks[*number] = (struct plan_weights){dtype, count, t->weight_bytes};
    t->weight_bytes += (dtype == PLAN_INT8 ? count + 3 : 4 * count + 3) / 4 * 4;
    if (t->weight_bytes > MAX_WEIGHTS || t->block_count > MAX_BLOCKS)
        abort();
    return values_of_block;
}

static uint32_t add_weights(struct test_case *t, uint32_t count, int32_t most)
{
    uint32_t number;
    int8_t *w = add_block(t, PLAN_INT8, count, &number);
    for (uint32_t i = 0; i < count; i++)
        w[i] = random_weight(most);
    return number;
}

static uint32_t add_bias(struct test_case *t, uint32_t count, uint32_t most)
{
    uint32_t number;
    int32_t *bias = add_block(t, PLAN_INT32, count, &number);
    for (uint32_t i = 0; i < count; i++)
        bias[i] = (int32_t)random_below(2 * most) - (int32_t)most;
    return number;
}

// Around typical; every fourth a power of two, so that results lie halfway between integers.
static uint32_t add_factors(struct test_case *t, uint32_t count, float typical)
{
    uint32_t number;
    float *factors = add_block(t, PLAN_FLOAT32, count, &number);
    for (uint32_t i = 0; i < count; i++) {
        const float power = ldexpf(1, (int)roundf(log2f(typical)));
        factors[i] = random_below(4) ? typical * (0.5f + (float)random_below(1000) / 1000) : power;
    }
    return number;
}

// Constants of count channels, struct int8_output: with offset and zero points if there is a sum's own zero point or an activation.
static uint32_t add_outputs(struct test_case *t, uint32_t count, float factor, float residual_factor, int offset)
{
    uint32_t number;
    struct int8_output *outputs = add_block(t, PLAN_FLOAT32, 5 * count, &number);
    for (uint32_t i = 0; i < count; i++) {
        const float scale = 0.5f + (float)random_below(1000) / 1000, power = ldexpf(1, (int)roundf(log2f(factor)));
        outputs[i] = (struct int8_output){
            .factor = random_below(4) ? factor * scale : power, // of powers of two: results halfway between integers
            .residual_factor = residual_factor * scale,
            .offset = offset ? (float)random_below(2000) / 100 - 5 : 0,
            .gain = 20 * scale,
            .zero = (float)random_below(64),
        };
    }
    return number;
}

static char *make_plan(const struct test_case *t, size_t *bytes)
{
    const struct plan_header header = {
        .magic = PLAN_MAGIC,
        .version = PLAN_VERSION,
        .block_count = t->block_count,
        .step_count = 1,
        .table_count = t->table_count,
        .weight_bytes = t->weight_bytes,
        .arena_words = t->arena_words,
        .in_channels = t->channels,
        .height = t->height,
        .width = t->width,
        .classes = t->classes,
    };
    *bytes = sizeof header + t->block_count * sizeof *t->blocks + sizeof t->step + t->table_count * sizeof *t->tables +
             t->weight_bytes;
    char *plan = malloc(*bytes), *end = plan;
    memcpy(end, &header, sizeof header);
    memcpy(end += sizeof header, t->blocks, t->block_count * sizeof *t->blocks);
    memcpy(end += t->block_count * sizeof *t->blocks, &t->step, sizeof t->step);
    memcpy(end += sizeof t->step, t->tables, t->table_count * sizeof *t->tables);
    memcpy(end += t->table_count * sizeof *t->tables, t->weights, t->weight_bytes);
    return plan;
}

// The arena of exactly the bytes that the engine asks for, so that a sanitizer sees a stray access.
static uint8_t *run(const char *isa, const char *plan, size_t plan_bytes, const uint8_t *start,
                    const struct test_case *t, const float *picture, float *logits, uint32_t threads)
{
    shufflenet_sizes sizes;
    check(shufflenet_measure(plan, plan_bytes, isa, &sizes), t->name);
    void *memory = aligned_alloc(SHUFFLENET_ALIGNMENT, sizes.network_bytes);
    const size_t arena_bytes = sizes.arena_bytes + (threads == 1 ? 0 : threads * sizes.thread_bytes);
    const size_t used = (size_t)4 * t->arena_words;
    uint8_t *arena = aligned_alloc(SHUFFLENET_ALIGNMENT, arena_bytes);
    memcpy(arena, start, used);
    memset(arena + used, 0xff, arena_bytes - used); // what lies behind may be read but must not be used
    const shufflenet_network *network;
    check(shufflenet_create(plan, plan_bytes, isa, memory, sizes.network_bytes, &network), t->name);
    if (threads == 1)
        check(shufflenet_run(network, arena, arena_bytes, picture, 1, logits), t->name);
    else
        run_team(network, arena, arena_bytes, picture, logits);
    for (size_t i = used; i < arena_bytes; i++)
        if (arena[i] != 0xff) {
            fprintf(stderr, "FAILED %s, %s: wrote byte %zu behind the arena\n", t->name, isa, i - used);
            exit(1);
        }
    free(memory);
    return arena;
}

static int compare(const struct test_case *t, const char *isa, const uint8_t *want, const uint8_t *got,
                   const uint8_t *start)
{
    const size_t bytes = (size_t)4 * t->arena_words;
    uint8_t *written = calloc(bytes, 1); // 1: an output, 2: a tail
    for (uint32_t row = 0; row < t->out_rows; row++) {
        uint8_t *begin = written + (size_t)4 * t->tables[t->out + row];
        memset(begin, 1, t->out_bytes);
        memset(begin + t->out_bytes, 2, t->tail);
    }
    int failures = 0;
    for (size_t i = 0; i < bytes && failures < 3; i++) {
        const int good = written[i] == 1   ? got[i] == want[i]
                         : written[i] == 2 ? got[i] == t->around || got[i] == start[i]
                                           : got[i] == start[i];
        if (!good) {
            fprintf(stderr, "FAILED %s, %s: byte %zu (%s) is %u, expected %u, was %u\n", t->name, isa, i,
                    written[i] == 1   ? "output"
                    : written[i] == 2 ? "tail"
                                      : "not of this step",
                    got[i], want[i], start[i]);
            failures++;
        }
    }
    free(written);
    return failures;
}

// What a depthwise convolution of stride 1 finds around its input.
static void write_around(const struct test_case *t, uint8_t *start)
{
    const struct plan_int8_depthwise *p = &t->step.as.int8_depthwise;
    if (t->step.kind != PLAN_INT8_DEPTHWISE || p->stride != 1)
        return;
    const size_t around = p->kernel_size / 2 * (p->in_pitch + 1);
    for (uint32_t c = 0; c < 4 * p->quads; c++) {
        uint8_t *row = start + (size_t)4 * t->tables[p->input + c];
        memset(row - around, (int)p->around, around);
        memset(row + (p->height - 1) * p->in_pitch + p->width, (int)p->around, around);
    }
}

// The float32 factors of a scale among the bytes.
static void write_factors(const struct test_case *t, uint8_t *start)
{
    const struct plan_int8_scale *p = &t->step.as.int8_scale;
    for (uint32_t c = 0; t->step.kind == PLAN_INT8_SCALE && c < 4 * p->quads; c++) {
        const float factor = (float)random_below(1000) / 1000;
        memcpy(start + (size_t)4 * (t->tables[p->factors] + c), &factor, sizeof factor);
    }
}

static int run_case(struct test_case *t, const char *only)
{
    cases++;
    t->arena_words += ROW_ALIGNMENT;
    static uint8_t start[4 * MAX_ARENA];
    static float picture[MAX_PICTURE], want_logits[1024], got_logits[1024], team_logits[1024];
    const int pixels = t->step.kind == PLAN_INT8_CONVOLUTION && t->step.as.int8_convolution.reads != QUADS_READ;
    for (size_t i = 0; i < (size_t)4 * t->arena_words; i++)
        start[i] = random_activation(pixels ? 255 : 127);
    for (uint32_t i = 0; i < t->channels * t->height * t->width; i++)
        picture[i] = random_below(50) ? ((float)random_below(1000) - 500) / 200 : random_below(2) ? NAN : 1e30f;
    write_around(t, start);
    write_factors(t, start);
    size_t bytes;
    char *plan = make_plan(t, &bytes);
    uint8_t *want = run("reference", plan, bytes, start, t, picture, want_logits, 1);
    int failures = 0;
    for (size_t level = 0; shufflenet_isa(level); level++) {
        const char *isa = shufflenet_isa(level);
        if (only && strcmp(only, isa))
            continue;
        uint8_t *got = run(isa, plan, bytes, start, t, picture, got_logits, 1);
        failures += compare(t, isa, want, got, start);
        const size_t logits = t->logits ? sizeof(float) * t->classes : 0;
        if (is_teams_turn()) {
            uint8_t *by_team = run(isa, plan, bytes, start, t, picture, team_logits, TEAM);
            if (memcmp(got, by_team, (size_t)4 * t->arena_words) || memcmp(got_logits, team_logits, logits)) {
                fprintf(stderr, "FAILED %s, %s: a team of %d threads gives other results\n", t->name, isa, TEAM);
                failures++;
            }
            free(by_team);
        }
        if (memcmp(want_logits, got_logits, logits)) {
            fprintf(stderr, "FAILED %s, %s: logits are not the reference's\n", t->name, isa);
            failures++;
        }
        free(got);
    }
    free(want);
    free(plan);
    return failures;
}

static struct test_case *new_case(enum plan_kind kind)
{
    struct test_case *t = calloc(1, sizeof *t);
    t->step.kind = kind;
    t->step.source = PLAN_WHOLE;
    t->classes = 1;
    t->channels = 1;
    t->height = t->width = 200; // lines of zeros are as long
    return t;
}

static void writes(struct test_case *t, uint32_t table, uint32_t rows, uint32_t bytes, uint32_t tail)
{
    t->out = table;
    t->out_rows = rows;
    t->out_bytes = bytes;
    t->tail = tail;
}

static int run_and_free(struct test_case *t, const char *only)
{
    const int failures = run_case(t, only);
    free(t);
    return failures;
}

#endif
