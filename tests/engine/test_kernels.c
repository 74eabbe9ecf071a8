// Every kernel of every level against the plain reference, on shapes chosen to hurt.
//
// A case is a plan of one step. Two arenas start with the same random floats, one is run with the reference and one
// with the level; then the rows that the step writes must agree to rounding, and every other float must be untouched
// but for the zeros that may follow a row (plan.h, ROW_TAIL). A team of three threads must leave the same bits behind.
//
//   test_kernels            all levels that this processor can run
//   test_kernels LEVEL      that one
#include "half.h"
#include "kernels.h"
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
enum { MAX_TABLE = 4096, MAX_WEIGHTS = 1 << 18, MAX_ARENA = 1 << 20, CHANNELS = 2, HEIGHT = 300, WIDTH = 300 };

// A plan of one step, and what the step writes.
struct test_case {
    struct plan_step step;
    uint32_t table_count, weight_count, arena_floats, classes;
    uint32_t tables[MAX_TABLE];
    uint32_t height, width;
    // Outputs: rows of pixels, each followed by a tail that may become zero.
    const uint32_t *out;
    uint32_t out_rows, pixels;
    uint32_t logits;
    double terms; // products summed for one output: rounding grows with it
    int halves;   // weights that half-precision floats hold
    int holes;    // floats that are not a number in every other plane that a pool reads
    char name[200];
};

static uint32_t seed = 1;

static uint32_t random_below(uint32_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)seed * limit) >> 32);
}

static float random_float(void)
{
    return (float)random_below(1 << 20) / (1 << 19) - 1;
}

// Of half precision: the smallest, subnormal ones and zeros too.
static float random_half(void)
{
    const float value = (float)random_below(2048) - 1024;
    return ldexpf(value, random_below(3) ? -10 : -24);
}

// rows rows of floats, in random order, with guard floats around each; returns the index of the table.
static uint32_t add_rows(struct test_case *t, uint32_t rows, uint32_t floats, uint32_t guard)
{
    const uint32_t pitch = (floats + guard + ROW_TAIL + ROW_ALIGNMENT - 1) / ROW_ALIGNMENT * ROW_ALIGNMENT;
    const uint32_t first = t->table_count, front = (guard + ROW_ALIGNMENT) / ROW_ALIGNMENT * ROW_ALIGNMENT;
    for (uint32_t i = 0; i < rows; i++) {
        const uint32_t j = random_below(i + 1);
        t->tables[first + i] = t->tables[first + j];
        t->tables[first + j] = t->arena_floats + front + i * pitch;
    }
    t->table_count += rows;
    t->arena_floats += front + rows * pitch;
    if (t->table_count > MAX_TABLE || t->arena_floats > MAX_ARENA)
        abort();
    return first;
}

static uint32_t add_weights(struct test_case *t, uint32_t count)
{
    t->weight_count += count;
    if (t->weight_count > MAX_WEIGHTS)
        abort();
    return t->weight_count - count;
}

static char *make_plan(const struct test_case *t, const float *weights, size_t *bytes)
{
    const struct plan_header header = {
        .magic = PLAN_MAGIC,
        .version = PLAN_VERSION,
        .step_count = 1,
        .table_count = t->table_count,
        .weight_count = t->weight_count,
        .arena_floats = t->arena_floats,
        .in_channels = CHANNELS,
        .height = t->height,
        .width = t->width,
        .classes = t->classes,
    };
    *bytes = sizeof header + sizeof t->step + sizeof(uint32_t) * ((size_t)t->table_count + t->weight_count);
    char *plan = malloc(*bytes), *end = plan;
    memcpy(end, &header, sizeof header);
    memcpy(end += sizeof header, &t->step, sizeof t->step);
    memcpy(end += sizeof t->step, t->tables, sizeof(uint32_t) * t->table_count);
    memcpy(end += sizeof(uint32_t) * t->table_count, weights, sizeof(float) * t->weight_count);
    return plan;
}

static void check(shufflenet_status status, const char *what)
{
    if (status != SHUFFLENET_OK) {
        fprintf(stderr, "%s: %s\n", what, shufflenet_message(status));
        exit(1);
    }
}

static void run_team(const shufflenet_network *network, uint32_t threads, float *arena, size_t arena_bytes,
                     const float *picture, float *logits)
{
#ifdef __wasm__
    (void)network, (void)threads, (void)arena, (void)arena_bytes, (void)picture, (void)logits;
#else
    shufflenet_pool *pool = shufflenet_pool_create(threads);
    if (!pool) {
        fprintf(stderr, "no threads\n");
        exit(1);
    }
    check(shufflenet_pool_run(pool, network, arena, arena_bytes, picture, 1, logits), "team");
    shufflenet_pool_destroy(pool);
#endif
}

// The arena of exactly the bytes that the engine asks for, so that a sanitizer sees a stray access.
static float *run(const char *isa, const char *plan, size_t plan_bytes, const float *start, const struct test_case *t,
                  const float *picture, float *logits, uint32_t threads)
{
    shufflenet_sizes sizes;
    check(shufflenet_measure(plan, plan_bytes, isa, &sizes), t->name);
    void *memory = aligned_alloc(SHUFFLENET_ALIGNMENT, sizes.network_bytes);
    const size_t arena_bytes = threads == 1 ? sizes.arena_bytes : sizes.arena_bytes + threads * sizes.thread_bytes;
    float *arena = aligned_alloc(SHUFFLENET_ALIGNMENT, arena_bytes);
    for (size_t i = 0; i < arena_bytes / sizeof(float); i++)
        arena[i] = i < t->arena_floats ? start[i] : NAN; // what lies behind may be read but must not be used
    const shufflenet_network *network;
    check(shufflenet_create(plan, plan_bytes, isa, memory, sizes.network_bytes, &network), t->name);
    if (threads == 1)
        check(shufflenet_run(network, arena, arena_bytes, picture, 1, logits), t->name);
    else
        run_team(network, threads, arena, arena_bytes, picture, logits);
    for (size_t i = t->arena_floats; threads == 1 && i < arena_bytes / sizeof(float); i++)
        if (!isnan(arena[i])) {
            fprintf(stderr, "FAILED %s, %s: wrote float %zu behind the arena\n", t->name, isa, i - t->arena_floats);
            exit(1);
        }
    free(memory);
    return arena;
}

static int compare(const struct test_case *t, const char *isa, const float *want, const float *got, const float *start)
{
    const double tolerance = 4 * (t->terms + 8) * 1.2e-7;
    uint8_t *written = calloc(t->arena_floats, 1); // 1: an output, 2: a tail
    for (uint32_t row = 0; row < t->out_rows; row++) {
        memset(written + t->out[row], 1, t->pixels);
        memset(written + t->out[row] + t->pixels, 2, ROW_TAIL);
    }
    int failures = 0;
    for (size_t i = 0; i < t->arena_floats && failures < 3; i++) {
        const int good = isnan(got[i])     ? isnan(written[i] == 1 ? want[i] : start[i])
                         : written[i] == 1 ? fabs(want[i] - got[i]) <= tolerance
                         : written[i] == 2 ? got[i] == 0 || got[i] == start[i]
                                           : got[i] == start[i];
        if (!good) {
            fprintf(stderr, "FAILED %s, %s: float %zu (%s) is %.9g, expected %.9g, was %.9g\n", t->name, isa, i,
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

static int run_case(struct test_case *t, const char *only)
{
    t->arena_floats += ROW_ALIGNMENT;
    static float weights[MAX_WEIGHTS], start[MAX_ARENA], picture[CHANNELS * HEIGHT * WIDTH];
    for (uint32_t i = 0; i < t->weight_count; i++)
        weights[i] = t->halves ? random_half() : random_float();
    for (uint32_t i = 0; i < t->arena_floats; i++)
        start[i] = random_float();
    for (uint32_t i = 0; i < CHANNELS * t->height * t->width; i++)
        picture[i] = random_float();
    if (t->step.kind == PLAN_MAX_POOL) // of values that are not negative
        for (uint32_t i = 0; i < t->arena_floats; i++)
            start[i] = fabsf(start[i]);
    for (uint32_t c = 0; t->holes && c < t->step.field[0]; c += 2)
        for (uint32_t hole = 0; hole < 2; hole++) {
            const uint32_t line = random_below(t->step.field[1]),
                           column = hole || c ? random_below(t->step.field[2]) : 0;
            start[t->tables[t->step.field[8] + c] + line * t->step.field[3] + column] = hole ? NAN : -NAN;
        }
    if (t->step.kind == PLAN_DEPTHWISE && t->step.field[3] == 1) { // zeros around its input
        const uint32_t height = t->step.field[1], width = t->step.field[2], pitch = t->step.field[4];
        for (uint32_t c = 0; c < t->step.field[0]; c++) {
            float *row = start + t->tables[t->step.field[7] + c];
            memset(row - pitch - 1, 0, sizeof(float) * (pitch + 1));
            for (uint32_t line = 0; line < height; line++)
                memset(row + line * pitch + width, 0, sizeof(float) * (pitch - width));
            memset(row + (height - 1) * pitch + width, 0, sizeof(float) * (pitch + 1));
        }
    }
    size_t bytes;
    char *plan = make_plan(t, weights, &bytes);
    float want_logits[1024], got_logits[1024];
    float *want = run("reference", plan, bytes, start, t, picture, want_logits, 1);
    int failures = 0;
    for (size_t level = 0; shufflenet_isa(level); level++) {
        const char *isa = shufflenet_isa(level);
        if (only && strcmp(only, isa))
            continue;
        float *got = run(isa, plan, bytes, start, t, picture, got_logits, 1), team_logits[1024];
        failures += compare(t, isa, want, got, start);
        float *by_team = run(isa, plan, bytes, start, t, picture, team_logits, TEAM);
        if (memcmp(got, by_team, sizeof(float) * t->arena_floats) ||
            memcmp(got_logits, team_logits, sizeof(float) * t->logits)) {
            fprintf(stderr, "FAILED %s, %s: a team of %d threads gives other results\n", t->name, isa, TEAM);
            failures++;
        }
        free(by_team);
        for (uint32_t c = 0; c < t->logits; c++)
            if (!(fabsf(want_logits[c] - got_logits[c]) <= 4 * (t->terms + 8) * 1.2e-7)) {
                fprintf(stderr, "FAILED %s, %s: logit %u is %.9g, expected %.9g\n", t->name, isa, c, got_logits[c],
                        want_logits[c]);
                failures++;
                break;
            }
        free(got);
    }
    free(want);
    free(plan);
    return failures;
}

static void writes(struct test_case *t, uint32_t table, uint32_t rows, uint32_t pixels)
{
    t->out = t->tables + table;
    t->out_rows = rows;
    t->pixels = pixels;
}

static struct test_case *new_case(void)
{
    static struct test_case t;
    memset(&t, 0, sizeof t);
    t.arena_floats = ROW_ALIGNMENT;
    t.classes = 1;
    t.height = t.width = 8;
    return &t;
}

static int test_pointwise(uint32_t groups, uint32_t k, uint32_t m, uint32_t pixels, int relu, int residual,
                          const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "pointwise groups %u k %u m %u pixels %u%s%s", groups, k, m, pixels,
             relu ? " relu" : "", residual ? " residual" : "");
    const uint32_t in = add_rows(t, groups * k, pixels, 1), out = add_rows(t, groups * m, pixels, 1);
    t->step = (struct plan_step){.kind = PLAN_CONVOLUTION,
                                 .field = {groups, k, m, pixels, pixels, pixels, pixels, (uint32_t)relu, in, out,
                                           residual ? out : PLAN_NO_TABLE, add_weights(t, groups * m * k),
                                           add_weights(t, groups * m)}};
    t->terms = k;
    writes(t, out, groups * m, pixels);
    return run_case(t, only);
}

// A kernel x kernel convolution as shifted rows, of planes with zeros or without between their lines; or, where out_pitch is
// not 0, of planes with another pitch.
static int test_dense(uint32_t groups, uint32_t channels, uint32_t m, uint32_t height, uint32_t width, uint32_t kernel,
                      int zeros, uint32_t out_pitch, const char *only)
{
    struct test_case *t = new_case();
    const uint32_t taps = kernel * kernel, k = taps * channels, in_pitch = (out_pitch ? out_pitch : width) + kernel - 1;
    const uint32_t pitch = out_pitch ? out_pitch : in_pitch;
    snprintf(t->name, sizeof t->name, "dense groups %u channels %u m %u height %u width %u kernel %u pitch %u%s",
             groups, channels, m, height, width, kernel, pitch, zeros ? " zeros" : "");
    const uint32_t planes = add_rows(t, groups * channels, (height + kernel) * in_pitch, 1), in = t->table_count;
    for (uint32_t i = 0; i < groups * k; i++)
        t->tables[t->table_count++] = t->tables[planes + i / taps] + i % taps / kernel * in_pitch + i % kernel;
    const uint32_t pixels = (height - 1) * pitch + width, out = add_rows(t, groups * m, pixels, 1);
    t->step = (struct plan_step){.kind = PLAN_CONVOLUTION,
                                 .field = {groups, k, m, pixels, zeros ? width : pitch, pitch, in_pitch, 1, in, out,
                                           PLAN_NO_TABLE, add_weights(t, groups * m * k), add_weights(t, groups * m)}};
    t->terms = k;
    writes(t, out, groups * m, pixels);
    return run_case(t, only);
}

static int test_depthwise(uint32_t channels, uint32_t height, uint32_t width, uint32_t stride, uint32_t gap, int relu,
                          const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "depthwise channels %u height %u width %u stride %u gap %u%s", channels, height,
             width, stride, gap, relu ? " relu" : "");
    t->height = t->width = width < 8 ? 8 : width;
    const uint32_t in_pitch = width + gap, out_pitch = (width - 1) / stride + 1 + gap;
    // What lies behind the last line is written at stride 2 only.
    const uint32_t out_pixels = ((height - 1) / stride + 1) * out_pitch - (stride == 1 ? gap : 0);
    const uint32_t in = add_rows(t, channels, height * in_pitch, 2 * (in_pitch + 1)),
                   out = add_rows(t, channels, out_pixels, 1);
    t->step = (struct plan_step){.kind = PLAN_DEPTHWISE,
                                 .field = {channels, height, width, stride, in_pitch, out_pitch, (uint32_t)relu, in,
                                           out, add_weights(t, 9 * channels), add_weights(t, channels)}};
    t->terms = 9;
    writes(t, out, channels, out_pixels);
    return run_case(t, only);
}

static int test_pool(uint32_t kind, uint32_t channels, uint32_t height, uint32_t width, uint32_t gap, uint32_t padding,
                     uint32_t over, int holes, const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "%s pool channels %u height %u width %u gap %u padding %u over %u%s",
             kind == PLAN_MAX_POOL ? "max" : "average", channels, height, width, gap, padding, over,
             holes ? " holes" : "");
    t->height = t->width = width < 8 ? 8 : width;
    const uint32_t out_height = (height + 2 * padding - 3 + over) / 2 + 1,
                   out_width = (width + 2 * padding - 3 + over) / 2 + 1;
    const uint32_t in_pitch = width + gap, out_pitch = out_width + gap / 2;
    const uint32_t in = add_rows(t, channels, height * in_pitch, 1),
                   out = add_rows(t, channels, out_height * out_pitch, 1);
    t->step = (struct plan_step){
        .kind = kind, .field = {channels, height, width, in_pitch, out_pitch, padding, out_height, out_width, in, out}};
    t->terms = 9;
    t->holes = holes;
    writes(t, out, channels, out_height * out_pitch);
    return run_case(t, only);
}

static int test_input(uint32_t height, uint32_t width, uint32_t kernel, uint32_t stride, uint32_t padding, int picture,
                      const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "input height %u width %u kernel %u stride %u padding %u%s", height, width,
             kernel, stride, padding, picture ? " picture" : "");
    t->height = height;
    t->width = width;
    const uint32_t phases = kernel < stride ? kernel : stride, more = (kernel - 1) / stride;
    const uint32_t rows = (height + 2 * padding - kernel) / stride + 1 + more;
    const uint32_t pitch = (width + 2 * padding - kernel) / stride + 1 + more, in_pitch = width + 3;
    const uint32_t in = picture ? PLAN_NO_TABLE : add_rows(t, CHANNELS, height * in_pitch, 1);
    const uint32_t out = add_rows(t, CHANNELS * phases * phases, rows * pitch, 1);
    t->step =
        (struct plan_step){.kind = PLAN_INPUT,
                           .field = {stride, phases, padding, rows, pitch, CHANNELS, height, width, in_pitch, in, out}};
    writes(t, out, CHANNELS * phases * phases, rows * pitch);
    return run_case(t, only);
}

static int test_zero(uint32_t count, uint32_t length, const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "zero count %u length %u", count, length);
    const uint32_t out = add_rows(t, count, length, 1);
    t->step = (struct plan_step){.kind = PLAN_ZERO, .field = {count, length, out}};
    writes(t, out, count, length);
    return run_case(t, only);
}

static int test_means(uint32_t channels, uint32_t height, uint32_t width, uint32_t gap, uint32_t windows, int logits,
                      const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "means channels %u height %u width %u gap %u windows %u%s", channels, height,
             width, gap, windows, logits ? " logits" : "");
    const uint32_t means = channels * windows * windows;
    const uint32_t in = add_rows(t, channels, height * (width + gap), 1), out = add_rows(t, 1, means, 1);
    t->step = (struct plan_step){
        .kind = PLAN_MEANS,
        .field = {channels, height, width, width + gap, windows, windows, in, logits ? PLAN_NO_TABLE : out}};
    t->terms = height * width;
    t->classes = means;
    t->logits = logits ? means : 0;
    writes(t, out, logits ? 0 : 1, means);
    return run_case(t, only);
}

static int test_fully_connected(uint32_t k, uint32_t m, uint32_t activation, int logits, int halves, const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "fully connected k %u m %u activation %u%s%s", k, m, activation,
             logits ? " logits" : "", halves ? " halves" : "");
    const uint32_t in = add_rows(t, 1, k, 1), out = add_rows(t, 1, m, 1);
    t->step = (struct plan_step){
        .kind = PLAN_FULLY_CONNECTED,
        .field = {k, m, activation, in, logits ? PLAN_NO_TABLE : out, add_weights(t, k * m), add_weights(t, m)}};
    t->terms = k;
    t->classes = m;
    t->logits = logits ? m : 0;
    t->halves = halves;
    writes(t, out, logits ? 0 : 1, m);
    return run_case(t, only);
}

// Every half-precision float, and its neighbours in single precision, of which none has a half's bits.
static int test_exact_half(void)
{
    int failures = 0;
    for (int32_t bits = 0; bits < 1 << 16; bits++) {
        const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
        if (exponent == 31)
            continue; // infinite, or not a number
        const float size = exponent ? ldexpf((float)(1024 + mantissa), exponent - 25) : ldexpf((float)mantissa, -24);
        const float value = bits >> 15 ? -size : size;
        failures += exact_half(value) != bits || exact_half(nextafterf(value, INFINITY)) != -1 ||
                    exact_half(nextafterf(value, -INFINITY)) != -1;
    }
    failures +=
        exact_half(65536) != -1 || exact_half(INFINITY) != -1 || exact_half(-INFINITY) != -1 || exact_half(NAN) != -1;
    if (failures)
        fprintf(stderr, "FAILED exact_half: %d values\n", failures);
    return failures != 0;
}

// The weights of half precision alone take half the memory, on levels that can read them; one other weight, and none does.
static int test_halves_take_half_the_memory(const char *only)
{
    enum { K = 100, M = 256 };
    struct test_case *t = new_case();
    const uint32_t in = add_rows(t, 1, K, 1);
    t->step = (struct plan_step){.kind = PLAN_FULLY_CONNECTED,
                                 .field = {K, M, 0, in, PLAN_NO_TABLE, add_weights(t, K * M), add_weights(t, M)}};
    t->classes = M;
    t->arena_floats += ROW_ALIGNMENT;
    static float weights[K * M + M];
    for (size_t i = 0; i < K * M + M; i++)
        weights[i] = i < K * M ? random_half() : random_float();
    int failures = 0;
    for (size_t level = 0; shufflenet_isa(level); level++) {
        const char *isa = shufflenet_isa(level);
        shufflenet_sizes halves, floats;
        size_t bytes;
        if (only && strcmp(only, isa))
            continue;
        char *plan = make_plan(t, weights, &bytes);
        check(shufflenet_measure(plan, bytes, isa, &halves), "halves");
        free(plan);
        const float kept = weights[K * M - 1];
        weights[K * M - 1] = 0.1f;
        plan = make_plan(t, weights, &bytes);
        check(shufflenet_measure(plan, bytes, isa, &floats), "floats");
        free(plan);
        weights[K * M - 1] = kept;
        const size_t saved = find_kernels(isa)->takes_halves ? K * M * sizeof(uint16_t) : 0;
        if (floats.network_bytes - halves.network_bytes != saved) {
            fprintf(stderr, "FAILED halves, %s: %zu and %zu bytes\n", isa, halves.network_bytes, floats.network_bytes);
            failures++;
        }
    }
    return failures;
}

static int test_scale(uint32_t channels, uint32_t pixels, int relu, int residual, const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "scale channels %u pixels %u%s%s", channels, pixels, relu ? " relu" : "",
             residual ? " residual" : "");
    const uint32_t in = add_rows(t, channels, pixels, 1), factors = add_rows(t, 1, channels, 1);
    const uint32_t out = add_rows(t, channels, pixels, 1);
    t->step = (struct plan_step){
        .kind = PLAN_SCALE,
        .field = {channels, pixels, (uint32_t)relu, in, factors, residual ? out : PLAN_NO_TABLE, out}};
    t->terms = 2;
    writes(t, out, channels, pixels);
    return run_case(t, only);
}

// Steps whose bytes are a multiple of 2^32 more than there are: a size_t of 32 bits does not tell.
static int test_more_steps_than_there_are(void)
{
    const struct plan_header header = {.magic = PLAN_MAGIC,
                                       .version = PLAN_VERSION,
                                       .step_count = 63161284,
                                       .arena_floats = 1,
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
                                       .weight_count = INPUTS,
                                       .arena_floats = INPUTS,
                                       .in_channels = 1,
                                       .height = 1,
                                       .width = 1,
                                       .classes = 1};
    const size_t steps_bytes = STEPS * sizeof(struct plan_step);
    const size_t bytes = sizeof header + steps_bytes + sizeof(uint32_t) * (1 + INPUTS);
    char *plan = calloc(1, bytes);
    memcpy(plan, &header, sizeof header);
    for (size_t i = 0; i < STEPS; i++) {
        const struct plan_step step = {.kind = PLAN_FULLY_CONNECTED,
                                       .field = {INPUTS, 1, LINEAR, 0, PLAN_NO_TABLE, 0, 0}};
        memcpy(plan + sizeof header + i * sizeof step, &step, sizeof step);
    }
    shufflenet_sizes sizes;
    const shufflenet_status status = shufflenet_measure(plan, bytes, "reference", &sizes);
    free(plan);
    const int right = status == SHUFFLENET_BAD_PLAN || (uint64_t)sizes.network_bytes > (uint64_t)STEPS * 4 * INPUTS;
    if (!right)
        fprintf(stderr, "FAILED network of more bytes than a pointer reaches: %zu\n", sizes.network_bytes);
    return !right;
}

int main(int count, char **arguments)
{
    const char *only = count > 1 ? arguments[1] : NULL;
    int failures = 0, cases = 0;
#define CASE(call) (failures += (call), cases++)
    // Around the edges of vectors (4, 8, 16) and tiles, and the planes of the network: 7x7, 14x14, 28x28.
    static const uint32_t pixels[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 18, 24, 31, 33, 49, 63, 65, 97, 98, 196, 784};
    for (size_t p = 0; p < sizeof pixels / sizeof *pixels; p++)
        for (uint32_t m = 1; m <= 13; m++)
            CASE(test_pointwise(1 + random_below(4), 1 + random_below(12), m, pixels[p], m % 2, m % 3 == 0, only));
    // Channels per group of the family, and a strip that does not fit at once.
    static const uint32_t group_channels[] = {5, 10, 17, 20, 30, 34, 40, 60, 80};
    for (size_t i = 0; i < sizeof group_channels / sizeof *group_channels; i++)
        CASE(test_pointwise(2, group_channels[i], 20, 49, 1, 1, only));
    CASE(test_pointwise(1, 3, 70, 100, 1, 0, only));
    CASE(test_pointwise(1, 150, 9, 900, 0, 1, only));
    // Planes that a team shares by pixels whatever the vectors' width.
    CASE(test_pointwise(1, 5, 9, 1601, 0, 1, only));
    CASE(test_dense(1, 2, 9, 41, 43, 3, 1, 0, only));
    // Tiles with more weights than pixels.
    CASE(test_pointwise(1, 500, 67, 49, 1, 1, only));
    CASE(test_pointwise(2, 300, 70, 33, 0, 0, only));
    for (uint32_t size = 1; size <= 35; size += 1 + size / 8) {
        CASE(test_dense(1, 3, 12, size, 36 - size, 3, 1, 0, only));
        CASE(test_dense(2, 2, 5, 36 - size, size, 3, 1, 0, only));
        CASE(test_dense(1, 1, 3, size, 36 - size, 5, 0, 0, only));
        for (uint32_t stride = 1; stride <= 2; stride++) {
            CASE(test_depthwise(3, size, 36 - size, stride, 0, 0, only));
            CASE(test_depthwise(2, size, size, stride, 0, 1, only));
            CASE(test_depthwise(2, size, 36 - size, stride, 1 + size % 5, 1, only));
            CASE(test_input(size, 36 - size, 3, stride, 1, 1, only));
            CASE(test_input(36 - size, size, 1, stride, 0, 0, only));
        }
        CASE(test_input(10 + size, 46 - size, 11, 4, 2, 1, only));
        CASE(test_input(6 + size, 42 - size, 7, 2, 3, 0, only));
        CASE(test_input(6 + size, 42 - size, 7, 2, 0, 1, only));
        for (int holes = 0; holes <= 1; holes++) {
            CASE(test_pool(PLAN_MAX_POOL, 3, size, 36 - size, 12, 1, 0, holes, only));
            CASE(test_pool(PLAN_MAX_POOL, 3, 2 + size, 38 - size, size % 4, 0, size % 2, holes, only));
            CASE(test_pool(PLAN_MAX_POOL, 4, 3 + size / 8, 30 + 2 * size, size % 3, size % 2, 0, holes, only));
            CASE(test_pool(PLAN_AVERAGE_POOL, 3, 36 - size, size, 0, 1, 0, holes, only));
            CASE(test_pool(PLAN_AVERAGE_POOL, 3, 2 + size, 70 - size, size % 2, 0, size % 2, holes, only));
        }
        CASE(test_zero(size, 36 - size, only));
        CASE(test_means(3, size, 36 - size, size % 3, 1, 0, only));
        CASE(test_means(2, size, 36 - size, size % 2, 1 + size % 7, size % 3 == 0, only));
        CASE(test_scale(3, size * size, size % 2, size % 3 == 0, only));
    }
    CASE(test_dense(1, 2, 9, 14, 14, 3, 1, 0, only));
    CASE(test_dense(4, 3, 2, 7, 7, 3, 1, 0, only));
    CASE(test_dense(1, 1, 6, 13, 55, 11, 0, 0, only));
    CASE(test_dense(1, 3, 12, 9, 112, 3, 1, 112, only));
    CASE(test_dense(2, 2, 5, 7, 16, 3, 0, 16, only));
    CASE(test_dense(1, 2, 9, 5, 59, 5, 1, 64, only));
    CASE(test_dense(1, 2, 9, 1, 16, 2, 0, 16, only));
    for (uint32_t stride = 1; stride <= 2; stride++) {
        CASE(test_depthwise(5, 7, 7, stride, 0, 0, only));
        CASE(test_depthwise(5, 14, 14, stride, 0, 0, only));
        CASE(test_depthwise(3, 28, 28, stride, 0, 0, only));
        CASE(test_depthwise(1, 1, 299, stride, 0, 0, only));
        CASE(test_depthwise(1, 299, 1, stride, 0, 0, only));
        CASE(test_depthwise(2, 33, 128, stride, 0, 0, only));
        CASE(test_depthwise(2, 12, 112, stride, 1, 0, only));
    }
    CASE(test_exact_half());
    CASE(test_halves_take_half_the_memory(only));
    CASE(test_more_steps_than_there_are());
    CASE(test_network_of_more_bytes_than_a_pointer_reaches());
    for (uint32_t m = 1; m < 300; m += 1 + m / 3)
        CASE(test_fully_connected(1 + random_below(60), m, m % 3, m % 2, m / 2 % 2, only));
    printf("%d cases on", cases);
    for (size_t level = 0; shufflenet_isa(level); level++)
        if (!only || !strcmp(only, shufflenet_isa(level)))
            printf(" %s", shufflenet_isa(level));
    printf(", %d failures\n", failures);
    return failures != 0;
}
