// Every int8 kernel of every level against the plain reference, bit for bit, on shapes chosen to hurt.
//
// A case is a plan of one step. Two arenas start with the same random bytes, one is run with the reference and one with the
// level; then the rows that the step writes must be equal, and every other byte must be untouched but for the zeros that may
// follow a row (plan.h, ROW_TAIL). A team of three threads must leave the same bits behind.
//
//   test_int8_kernels            all levels that this processor can run
//   test_int8_kernels LEVEL      that one
#include "int8_steps.h"
#include "plan.h"
#include "shufflenet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __wasm__ // without threads
enum { TEAM = 1 };
#else
#include "team/pool.h"
enum { TEAM = 3 };
#endif
enum { MAX_TABLE = 4096, MAX_BLOCKS = 5, MAX_WEIGHTS = 1 << 18, MAX_ARENA = 1 << 18, MAX_PICTURE = 4 * 200 * 200 };

struct test_case {
    struct plan_step step;
    uint32_t table_count, block_count, weight_bytes, arena_words, classes, channels, height, width;
    uint32_t tables[MAX_TABLE];
    struct plan_weights blocks[MAX_BLOCKS];
    uint8_t weights[MAX_WEIGHTS];
    // Outputs: rows of bytes, each followed by a tail that may become zero.
    uint32_t out, out_rows, out_bytes, tail;
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

static void check(shufflenet_status status, const char *what)
{
    if (status != SHUFFLENET_OK) {
        fprintf(stderr, "%s: %s\n", what, shufflenet_message(status));
        exit(1);
    }
}

static void run_team(const shufflenet_network *network, uint8_t *arena, size_t arena_bytes, const float *picture,
                     float *logits)
{
#ifdef __wasm__
    (void)network, (void)arena, (void)arena_bytes, (void)picture, (void)logits;
#else
    shufflenet_pool *pool = shufflenet_pool_create(TEAM);
    if (!pool) {
        fprintf(stderr, "no threads\n");
        exit(1);
    }
    check(shufflenet_pool_run(pool, network, arena, arena_bytes, picture, 1, logits), "team");
    shufflenet_pool_destroy(pool);
#endif
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
                         : written[i] == 2 ? got[i] == 0 || got[i] == start[i]
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

// The zeros that a depthwise convolution of stride 1 finds around its input.
static void write_zeros_around(const struct test_case *t, uint8_t *start)
{
    const struct plan_int8_depthwise *p = &t->step.as.int8_depthwise;
    if (t->step.kind != PLAN_INT8_DEPTHWISE || p->stride != 1)
        return;
    for (uint32_t c = 0; c < 4 * p->quads; c++) {
        uint8_t *row = start + (size_t)4 * t->tables[p->input + c];
        memset(row - p->in_pitch - 1, 0, p->in_pitch + 1);
        memset(row + (p->height - 1) * p->in_pitch + p->width, 0, p->in_pitch + 1);
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
    write_zeros_around(t, start);
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
        uint8_t *by_team = run(isa, plan, bytes, start, t, picture, team_logits, TEAM);
        const size_t logits = t->step.kind == PLAN_INT8_FULLY_CONNECTED ? sizeof(float) * t->classes : 0;
        if (TEAM > 1 && (memcmp(got, by_team, (size_t)4 * t->arena_words) || memcmp(got_logits, team_logits, logits))) {
            fprintf(stderr, "FAILED %s, %s: a team of %d threads gives other results\n", t->name, isa, TEAM);
            failures++;
        }
        if (memcmp(want_logits, got_logits, logits)) {
            fprintf(stderr, "FAILED %s, %s: logits are not the reference's\n", t->name, isa);
            failures++;
        }
        free(by_team);
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

struct size {
    uint32_t height, width, gap; // of lines
};

static int convolution_case(uint32_t groups, uint32_t k, uint32_t m, struct size size, enum int8_reads reads,
                            enum int8_writes wanted, const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_CONVOLUTION);
    const uint32_t pitch = size.width + size.gap, pixels = (size.height - 1) * pitch + size.width;
    const uint32_t line = (pitch * reads + 7) / 4, stride = reads == WINDOWS_OF_STRIDE_2_READ ? 2 : 1;
    const uint32_t outputs = groups * m, quads = wanted == BYTES_WRITTEN ? outputs : outputs / 4;
    const uint32_t in_words = reads == QUADS_READ ? pixels : line * stride * size.height;
    const uint32_t most = reads == QUADS_READ ? 127 : 63;
    struct plan_int8_convolution *p = &t->step.as.int8_convolution;
    *p = (struct plan_int8_convolution){.groups = groups,
                                        .k = k,
                                        .m = m,
                                        .pixels = pixels,
                                        .width = size.width,
                                        .pitch = pitch,
                                        .in_pitch = reads == QUADS_READ ? pitch : line * stride,
                                        .reads = reads,
                                        .writes = wanted,
                                        .residual = PLAN_NO_TABLE};
    p->input = add_rows(t, groups * k, in_words, 0);
    p->output = add_rows(t, quads, wanted == BYTES_WRITTEN ? (pixels + 3) / 4 : pixels, 0);
    if (wanted == QUADS_ADDED)
        p->residual = random_below(2) ? p->output : add_rows(t, quads, pixels, 0);
    p->weights = add_weights(t, 4 * outputs * k, (int32_t)most);
    p->bias = add_bias(t, outputs, 10000);
    p->factors = add_factors(t, outputs, values == LARGEST ? 1.0f / 512 / (float)k : 1.0f / 256 / sqrtf((float)k));
    if (wanted == QUADS_ADDED)
        p->residual_factors = add_factors(t, outputs, 0.5f);
    writes(t, p->output, quads, pixels * (wanted == BYTES_WRITTEN ? 1 : 4),
           wanted == BYTES_WRITTEN ? ROW_TAIL : 4 * ROW_TAIL);
    snprintf(t->name, sizeof t->name, "convolution of %u groups, %u quads to %u, %u x %u, gap %u, reads %d, writes %d",
             groups, k, m, size.height, size.width, size.gap, reads, wanted);
    return run_and_free(t, only);
}

static int depthwise_case(uint32_t quads, struct size size, uint32_t stride, const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_DEPTHWISE);
    const uint32_t pitch = size.width + size.gap, out_height = (size.height - 1) / stride + 1;
    const uint32_t out_width = (size.width - 1) / stride + 1, out_pitch = stride == 1 ? pitch : out_width + size.gap;
    const uint32_t plane = (size.height - 1) * pitch + size.width;
    struct plan_int8_depthwise *p = &t->step.as.int8_depthwise;
    *p = (struct plan_int8_depthwise){.quads = quads,
                                      .height = size.height,
                                      .width = size.width,
                                      .stride = stride,
                                      .in_pitch = pitch,
                                      .out_pitch = out_pitch};
    p->input = add_rows(t, 4 * quads, (plane + 3) / 4, (pitch + 4) / 4 + 1);
    p->output = add_rows(t, quads, out_height * out_pitch, 0);
    p->weights = add_weights(t, 36 * quads, 127);
    p->bias = add_bias(t, 4 * quads, 20000);
    p->factors = add_factors(t, 4 * quads, values == LARGEST ? 1.0f / 1024 : 1.0f / 256);
    p->offsets = add_factors(t, 4 * quads, 32);
    // Behind the last line is what a step of stride 1 may leave as it was.
    writes(t, p->output, quads, 4 * (stride == 1 ? plane : out_height * out_pitch), 4 * ROW_TAIL);
    snprintf(t->name, sizeof t->name, "depthwise of %u quads, %u x %u, gap %u, stride %u", quads, size.height,
             size.width, size.gap, stride);
    return run_and_free(t, only);
}

static int pool_case(enum plan_kind kind, uint32_t quads, struct size size, uint32_t padding, const char *only)
{
    const uint32_t out_height = (size.height + padding) / 2, out_width = (size.width + padding) / 2;
    if (out_height == 0 || out_width == 0)
        return 0;
    struct test_case *t = new_case(kind);
    const uint32_t pitch = size.width + size.gap, out_pitch = out_width + size.gap;
    struct plan_int8_pool *p = &t->step.as.int8_pool;
    *p = (struct plan_int8_pool){.quads = quads,
                                 .height = size.height,
                                 .width = size.width,
                                 .in_pitch = pitch,
                                 .out_pitch = out_pitch,
                                 .padding = padding,
                                 .out_height = out_height,
                                 .out_width = out_width};
    p->input = add_rows(t, quads, size.height * pitch, 0);
    p->output = add_rows(t, quads, out_height * out_pitch, 0);
    p->factors = add_factors(t, 4 * quads, 0.11f);
    writes(t, p->output, quads, 4 * out_height * out_pitch, 4 * ROW_TAIL);
    snprintf(t->name, sizeof t->name, "%s pool of %u quads, %u x %u, gap %u, padding %u",
             kind == PLAN_INT8_MAX_POOL ? "max" : "average", quads, size.height, size.width, size.gap, padding);
    return run_and_free(t, only);
}

static int global_average_pool_case(uint32_t quads, struct size size, const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_GLOBAL_AVERAGE_POOL);
    const uint32_t pitch = size.width + size.gap;
    struct plan_int8_global_average_pool *p = &t->step.as.int8_global_average_pool;
    *p = (struct plan_int8_global_average_pool){
        .quads = quads, .height = size.height, .width = size.width, .in_pitch = pitch};
    p->input = add_rows(t, quads, size.height * pitch, 0);
    p->output = add_rows(t, 1, quads, 0);
    p->factors = add_factors(t, 4 * quads, 1.5f / (float)(size.height * size.width));
    writes(t, p->output, 1, 4 * quads, 0);
    snprintf(t->name, sizeof t->name, "global average pool of %u quads, %u x %u, gap %u", quads, size.height,
             size.width, size.gap);
    return run_and_free(t, only);
}

static int fully_connected_case(uint32_t k, uint32_t m, const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_FULLY_CONNECTED);
    struct plan_int8_fully_connected *p = &t->step.as.int8_fully_connected;
    *p = (struct plan_int8_fully_connected){.k = k, .m = m};
    t->classes = m;
    p->input = add_rows(t, 1, k, 0);
    p->weights = add_weights(t, 4 * k * m, 127);
    p->bias = add_bias(t, m, 100000);
    p->factors = add_factors(t, m, 1e-4f);
    snprintf(t->name, sizeof t->name, "fully connected, %u quads to %u", k, m);
    return run_and_free(t, only);
}

static int input_case(uint32_t channels, struct size size, uint32_t padding, const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_INPUT);
    t->channels = channels;
    t->height = size.height;
    t->width = size.width;
    struct plan_int8_input *p = &t->step.as.int8_input;
    const uint32_t pitch = (size.width + padding + size.gap + 3) / 4 * 4, height = size.height + padding + size.gap;
    *p = (struct plan_int8_input){.padding = padding, .out_height = height, .out_pitch = pitch};
    p->output = add_rows(t, channels, height * pitch / 4, 0);
    p->factors = add_factors(t, channels, 60);
    p->offsets = add_factors(t, channels, 120);
    int32_t *around = add_block(t, PLAN_INT32, channels, &p->around);
    for (uint32_t c = 0; c < channels; c++)
        around[c] = (int32_t)random_below(256);
    writes(t, p->output, channels, height * pitch, 0);
    snprintf(t->name, sizeof t->name, "input of %u channels, %u x %u, padding %u", channels, size.height, size.width,
             padding);
    return run_and_free(t, only);
}

static int cases_of_size(struct size size, const char *only)
{
    int failures = 0;
    const struct {
        uint32_t groups, k, m;
        enum int8_reads reads;
        enum int8_writes writes;
    } convolutions[] = {
        {3, 5, 20, QUADS_READ, QUADS_WRITTEN},
        {1, 1, 4, QUADS_READ, QUADS_WRITTEN},
        {2, 3, 12, QUADS_READ, QUADS_ADDED},
        {2, 10, 28, QUADS_READ, QUADS_ADDED},
        {3, 7, 10, QUADS_READ, BYTES_WRITTEN},
        {2, 2, 17, QUADS_READ, BYTES_WRITTEN},
        {1, 12, 1, QUADS_READ, BYTES_WRITTEN},
        {1, 9, 24, WINDOWS_READ, QUADS_WRITTEN},
        {1, 3, 4, WINDOWS_READ, BYTES_WRITTEN},
        {1, 9, 12, WINDOWS_OF_STRIDE_2_READ, QUADS_WRITTEN},
        {1, 9, 8, WINDOWS_OF_STRIDE_2_READ, BYTES_WRITTEN},
    };
    for (size_t i = 0; i < sizeof convolutions / sizeof *convolutions; i++)
        failures += convolution_case(convolutions[i].groups, convolutions[i].k, convolutions[i].m, size,
                                     convolutions[i].reads, convolutions[i].writes, only);
    for (uint32_t stride = 1; stride <= 2; stride++)
        failures += depthwise_case(3, size, stride, only);
    for (uint32_t padding = 0; padding < 2; padding++) {
        failures += pool_case(PLAN_INT8_MAX_POOL, 3, size, padding, only);
        failures += pool_case(PLAN_INT8_AVERAGE_POOL, 3, size, padding, only);
    }
    failures += global_average_pool_case(3, size, only);
    failures += input_case(3, size, 1, only) + input_case(1, size, 0, only) + input_case(4, size, 3, only);
    return failures;
}

int main(int count, char **arguments)
{
    const char *only = count > 1 ? arguments[1] : NULL;
    const struct size sizes[] = {{1, 1, 0},   {1, 2, 1},  {1, 17, 0},  {2, 3, 0},  {7, 7, 0},  {7, 7, 1},
                                 {14, 14, 0}, {5, 31, 2}, {28, 28, 0}, {3, 65, 0}, {9, 16, 3}, {13, 1, 0}};
    int failures = 0;
    for (values = RANDOM; values < VALUE_KINDS; values++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            failures += cases_of_size(sizes[i], only);
        failures += convolution_case(1, 300, 64, (struct size){3, 14, 0}, QUADS_READ, QUADS_WRITTEN, only);
        failures += fully_connected_case(1, 1, only) + fully_connected_case(5, 10, only);
        failures += fully_connected_case(60, 200, only) + fully_connected_case(15, 1000, only);
    }
    printf("%d cases on", cases);
    for (size_t level = 0; shufflenet_isa(level); level++)
        if (!only || !strcmp(only, shufflenet_isa(level)))
            printf(" %s", shufflenet_isa(level));
    printf(", %d failures\n", failures);
    return failures != 0;
}
