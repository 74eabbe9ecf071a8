// Every kernel of every level against the plain reference, on shapes chosen to hurt.
//
//   test_kernels            all levels that this processor can run
//   test_kernels LEVEL      that one
#include "test_case.h"

static int test_pointwise(uint32_t groups, uint32_t k, uint32_t m, uint32_t pixels, uint32_t activation, int residual,
                          const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "pointwise groups %u k %u m %u pixels %u activation %u%s", groups, k, m, pixels,
             activation, residual ? " residual" : "");
    const uint32_t in = add_rows(t, groups * k, pixels, 1), out = add_rows(t, groups * m, pixels, 1);
    t->step = (struct plan_step){.kind = PLAN_CONVOLUTION,
                                 .source = PLAN_WHOLE,
                                 .as.convolution = {.groups = groups,
                                                    .k = k,
                                                    .m = m,
                                                    .pixels = pixels,
                                                    .width = pixels,
                                                    .pitch = pixels,
                                                    .in_pitch = pixels,
                                                    .activation = activation,
                                                    .input = in,
                                                    .output = out,
                                                    .residual = residual ? out : PLAN_NO_TABLE,
                                                    .weights = add_weights(t, groups * m * k),
                                                    .bias = add_weights(t, groups * m)}};
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
    const uint32_t pitch = out_pitch ? out_pitch : in_pitch, activation = random_below(PLAN_ACTIVATIONS);
    snprintf(t->name, sizeof t->name,
             "dense groups %u channels %u m %u height %u width %u kernel %u pitch %u activation %u%s", groups, channels,
             m, height, width, kernel, pitch, activation, zeros ? " zeros" : "");
    const uint32_t planes = add_rows(t, groups * channels, (height + kernel) * in_pitch, 1), in = t->table_count;
    for (uint32_t i = 0; i < groups * k; i++)
        t->tables[t->table_count++] = t->tables[planes + i / taps] + i % taps / kernel * in_pitch + i % kernel;
    const uint32_t pixels = (height - 1) * pitch + width, out = add_rows(t, groups * m, pixels, 1);
    t->step = (struct plan_step){.kind = PLAN_CONVOLUTION,
                                 .source = PLAN_WHOLE,
                                 .as.convolution = {.groups = groups,
                                                    .k = k,
                                                    .m = m,
                                                    .pixels = pixels,
                                                    .width = zeros ? width : pitch,
                                                    .pitch = pitch,
                                                    .in_pitch = in_pitch,
                                                    .activation = activation,
                                                    .input = in,
                                                    .output = out,
                                                    .residual = PLAN_NO_TABLE,
                                                    .weights = add_weights(t, groups * m * k),
                                                    .bias = add_weights(t, groups * m)}};
    t->terms = k;
    writes(t, out, groups * m, pixels);
    return run_case(t, only);
}

static int test_depthwise(uint32_t kernel_size, uint32_t channels, uint32_t height, uint32_t width, uint32_t stride,
                          uint32_t gap, uint32_t activation, const char *only)
{
    struct test_case *t = new_case();
    const uint32_t padding = kernel_size / 2, taps = kernel_size * kernel_size;
    snprintf(t->name, sizeof t->name, "depthwise %ux%u channels %u height %u width %u stride %u gap %u activation %u",
             kernel_size, kernel_size, channels, height, width, stride, gap, activation);
    t->height = t->width = width < 8 ? 8 : width;
    const uint32_t in_pitch = width + gap, out_pitch = (width - 1) / stride + 1 + gap;
    // What lies behind the last line is written at stride 2 only.
    const uint32_t out_pixels = ((height - 1) / stride + 1) * out_pitch - (stride == 1 ? gap : 0);
    const uint32_t in = add_rows(t, channels, height * in_pitch, 2 * padding * (in_pitch + 1)),
                   out = add_rows(t, channels, out_pixels, 1);
    t->step = (struct plan_step){.kind = PLAN_DEPTHWISE,
                                 .source = PLAN_WHOLE,
                                 .as.depthwise = {.kernel_size = kernel_size,
                                                  .channels = channels,
                                                  .height = height,
                                                  .width = width,
                                                  .stride = stride,
                                                  .in_pitch = in_pitch,
                                                  .out_pitch = out_pitch,
                                                  .activation = activation,
                                                  .input = in,
                                                  .output = out,
                                                  .weights = add_weights(t, taps * channels),
                                                  .bias = add_weights(t, channels)}};
    t->terms = taps;
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
    t->step = (struct plan_step){.kind = kind,
                                 .source = PLAN_WHOLE,
                                 .as.pool = {.channels = channels,
                                             .height = height,
                                             .width = width,
                                             .in_pitch = in_pitch,
                                             .out_pitch = out_pitch,
                                             .padding = padding,
                                             .out_height = out_height,
                                             .out_width = out_width,
                                             .input = in,
                                             .output = out}};
    t->terms = 9;
    t->holes = holes;
    writes(t, out, channels, out_height * out_pitch);
    return run_case(t, only);
}

static int test_window_pool(uint32_t pooling, uint32_t kernel_size, uint32_t stride, uint32_t padding, uint32_t over,
                            uint32_t height, uint32_t width, uint32_t gap, const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "window pool %u kernel %u stride %u padding %u over %u height %u width %u gap %u",
             pooling, kernel_size, stride, padding, over, height, width, gap);
    t->height = t->width = width < 8 ? 8 : width;
    const uint32_t out_height = (height + 2 * padding - kernel_size + over) / stride + 1,
                   out_width = (width + 2 * padding - kernel_size + over) / stride + 1;
    const uint32_t in_pitch = width + gap, out_pitch = out_width + gap / 2;
    const uint32_t in = add_rows(t, CHANNELS, height * in_pitch, 1),
                   out = add_rows(t, CHANNELS, out_height * out_pitch, 1);
    t->step = (struct plan_step){.kind = PLAN_WINDOW_POOL,
                                 .as.window_pool = {.pooling = pooling,
                                                    .kernel_size = kernel_size,
                                                    .stride = stride,
                                                    .channels = CHANNELS,
                                                    .height = height,
                                                    .width = width,
                                                    .in_pitch = in_pitch,
                                                    .out_pitch = out_pitch,
                                                    .padding = padding,
                                                    .out_height = out_height,
                                                    .out_width = out_width,
                                                    .input = in,
                                                    .output = out}};
    t->terms = kernel_size * kernel_size;
    writes(t, out, CHANNELS, out_height * out_pitch);
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
    t->step = (struct plan_step){.kind = PLAN_INPUT,
                                 .source = PLAN_WHOLE,
                                 .as.input = {.stride = stride,
                                              .phases = phases,
                                              .padding = padding,
                                              .out_height = rows,
                                              .out_pitch = pitch,
                                              .channels = CHANNELS,
                                              .height = height,
                                              .width = width,
                                              .in_pitch = in_pitch,
                                              .around = PLAN_NO_TABLE,
                                              .input = in,
                                              .output = out}};
    writes(t, out, CHANNELS * phases * phases, rows * pitch);
    return run_case(t, only);
}

static int test_zero(uint32_t count, uint32_t length, const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "zero count %u length %u", count, length);
    const uint32_t out = add_rows(t, count, length, 1);
    t->step = (struct plan_step){.kind = PLAN_ZERO, .as.zero = {.count = count, .length = length, .output = out}};
    writes(t, out, count, length);
    return run_case(t, only);
}

static int test_adaptive_average_pool(uint32_t channels, uint32_t height, uint32_t width, uint32_t gap,
                                      uint32_t windows, int logits, const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "adaptive average pool channels %u height %u width %u gap %u windows %u%s",
             channels, height, width, gap, windows, logits ? " logits" : "");
    const uint32_t means = channels * windows * windows;
    const uint32_t in = add_rows(t, channels, height * (width + gap), 1), out = add_rows(t, 1, means, 1);
    t->step = (struct plan_step){.kind = PLAN_ADAPTIVE_AVERAGE_POOL,
                                 .as.adaptive_average_pool = {.channels = channels,
                                                              .height = height,
                                                              .width = width,
                                                              .in_pitch = width + gap,
                                                              .out_height = windows,
                                                              .out_width = windows,
                                                              .input = in,
                                                              .output = logits ? PLAN_NO_TABLE : out}};
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
    t->step =
        (struct plan_step){.kind = PLAN_FULLY_CONNECTED,
                           .as.fully_connected = {.k = k,
                                                  .m = m,
                                                  .activation = activation,
                                                  .input = in,
                                                  .output = logits ? PLAN_NO_TABLE : out,
                                                  .weights = add_block(t, halves ? PLAN_FLOAT16 : PLAN_FLOAT32, k * m),
                                                  .bias = add_weights(t, m)}};
    t->terms = k;
    t->classes = m;
    t->logits = logits ? m : 0;
    writes(t, out, logits ? 0 : 1, m);
    return run_case(t, only);
}

static int test_scale(uint32_t channels, uint32_t pixels, int relu, int residual, const char *only)
{
    struct test_case *t = new_case();
    snprintf(t->name, sizeof t->name, "scale channels %u pixels %u%s%s", channels, pixels, relu ? " relu" : "",
             residual ? " residual" : "");
    const uint32_t in = add_rows(t, channels, pixels, 1), factors = add_rows(t, 1, channels, 1);
    const uint32_t out = add_rows(t, channels, pixels, 1);
    t->step = (struct plan_step){.kind = PLAN_SCALE,
                                 .as.scale = {.channels = channels,
                                              .pixels = pixels,
                                              .activation = relu ? PLAN_RELU : PLAN_LINEAR,
                                              .input = in,
                                              .factors = factors,
                                              .output = out,
                                              .residual = residual ? out : PLAN_NO_TABLE}};
    t->terms = 2;
    writes(t, out, channels, pixels);
    return run_case(t, only);
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
            CASE(test_pointwise(1 + random_below(4), 1 + random_below(12), m, pixels[p], (m + p) % PLAN_ACTIVATIONS,
                                m % 3 == 0, only));
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
            CASE(test_depthwise(3, 3, size, 36 - size, stride, 0, size % PLAN_ACTIVATIONS, only));
            CASE(test_depthwise(3, 2, size, size, stride, 0, (size + 1) % PLAN_ACTIVATIONS, only));
            CASE(test_depthwise(3, 2, size, 36 - size, stride, 1 + size % 5, size % PLAN_ACTIVATIONS, only));
            CASE(test_depthwise(5, 3, size, 36 - size, stride, 2 + size % 4, size % PLAN_ACTIVATIONS, only));
            CASE(test_depthwise(5, 2, 36 - size, 2 * size, stride, 2, (size + 1) % PLAN_ACTIVATIONS, only));
            CASE(test_depthwise(5, 2, size, size, 2, size % 2, size % PLAN_ACTIVATIONS, only));
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
        for (uint32_t pooling = PLAN_MAXIMUM; pooling <= PLAN_AVERAGE_WITH_PADDING; pooling++) {
            CASE(test_window_pool(pooling, 2, 2, 0, size % 2, 1 + size, 36 - size, size % 3, only));
            CASE(test_window_pool(pooling, 3, 1, 1, 0, size, 36 - size, size % 2, only));
            CASE(test_window_pool(pooling, 5, 3, size % 3, 2 * (size % 2), 4 + size, 40 - size, 2, only));
        }
        CASE(test_adaptive_average_pool(3, size, 36 - size, size % 3, 1, 0, only));
        CASE(test_adaptive_average_pool(2, size, 36 - size, size % 2, 1 + size % 7, size % 3 == 0, only));
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
        CASE(test_depthwise(3, 5, 7, 7, stride, 0, 0, only));
        CASE(test_depthwise(3, 5, 14, 14, stride, 0, 0, only));
        CASE(test_depthwise(3, 3, 28, 28, stride, 0, 0, only));
        CASE(test_depthwise(3, 1, 1, 299, stride, 0, 0, only));
        CASE(test_depthwise(3, 1, 299, 1, stride, 0, 0, only));
        CASE(test_depthwise(3, 2, 33, 128, stride, 0, 0, only));
        CASE(test_depthwise(3, 2, 12, 112, stride, 1, PLAN_SIGMOID, only));
        CASE(test_depthwise(5, 1, 1, 299, stride, 2, 0, only));
        CASE(test_depthwise(5, 1, 299, 1, stride, 2, 0, only));
        CASE(test_depthwise(5, 2, 33, 126, stride, 2, 0, only));
        CASE(test_depthwise(5, 3, 7, 7, stride, 2, PLAN_HARD_SWISH, only));
    }
    for (uint32_t m = 1; m < 300; m += 1 + m / 3)
        CASE(test_fully_connected(1 + random_below(60), m, m % PLAN_ACTIVATIONS, m % 2, m / 2 % 2, only));
    printf("%d cases on", cases);
    for (size_t level = 0; shufflenet_isa(level); level++)
        if (!only || !strcmp(only, shufflenet_isa(level)))
            printf(" %s", shufflenet_isa(level));
    printf(", %d failures\n", failures);
    return failures != 0;
}
