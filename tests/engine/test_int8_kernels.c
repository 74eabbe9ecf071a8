// Every int8 kernel of every level against the plain reference, bit for bit, on shapes chosen to hurt.
//
// A case is a plan of one step. Two arenas start with the same random bytes, one is run with the reference and one with the
// level; then the rows that the step writes must be equal, and every other byte must be untouched but for the zeros that may
// follow a row (plan.h, ROW_TAIL). A team of three threads must leave the same bits behind.
//
//   test_int8_kernels            all levels that this processor can run
//   test_int8_kernels LEVEL      that one
#include "int8_test_case.h"

struct size {
    uint32_t height, width, gap; // of lines
};

static int convolution_case(uint32_t groups, uint32_t k, uint32_t m, struct size size, enum int8_reads reads,
                            enum int8_writes wanted, enum plan_activation activation, const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_CONVOLUTION);
    const uint32_t pitch = size.width + size.gap, pixels = (size.height - 1) * pitch + size.width;
    const uint32_t step = bytes_of_step(reads), line = (pitch * step + 7) / 4;
    const uint32_t stride = reads == WINDOWS_OF_STRIDE_2_READ ? 2 : 1;
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
                                        .activation = activation,
                                        .around = wanted == BYTES_WRITTEN && activation == PLAN_HARD_SWISH ? 19 : 0,
                                        .residual = PLAN_NO_TABLE};
    p->input = add_rows(t, groups * k, in_words, 0);
    p->output = add_rows(t, quads, wanted == BYTES_WRITTEN ? (pixels + 3) / 4 : pixels, 0);
    if (wanted == QUADS_ADDED)
        p->residual = random_below(2) ? p->output : add_rows(t, quads, pixels, 0);
    p->weights = add_weights(t, 4 * outputs * k, (int32_t)most);
    p->bias = add_bias(t, outputs, 10000);
    const float typical = values == LARGEST ? 1.0f / 512 / (float)k : 1.0f / 256 / sqrtf((float)k);
    p->outputs =
        add_outputs(t, outputs, activation > PLAN_RELU ? typical / 20 : typical, 0.5f, activation != PLAN_RELU);
    writes(t, p->output, quads, pixels * (wanted == BYTES_WRITTEN ? 1 : 4),
           wanted == BYTES_WRITTEN ? ROW_TAIL : 4 * ROW_TAIL);
    t->around = (uint8_t)p->around;
    snprintf(t->name, sizeof t->name,
             "convolution of %u groups, %u quads to %u, %u x %u, gap %u, reads %d, writes %d, activation %d", groups, k,
             m, size.height, size.width, size.gap, reads, wanted, activation);
    return run_and_free(t, only);
}

static int depthwise_case(uint32_t kernel_size, uint32_t quads, struct size size, uint32_t stride, uint32_t around,
                          enum plan_activation activation, const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_DEPTHWISE);
    const uint32_t pitch = size.width + size.gap, out_height = (size.height - 1) / stride + 1;
    const uint32_t out_width = (size.width - 1) / stride + 1, out_pitch = stride == 1 ? pitch : out_width + size.gap;
    const uint32_t plane = (size.height - 1) * pitch + size.width, padding = kernel_size / 2;
    struct plan_int8_depthwise *p = &t->step.as.int8_depthwise;
    *p = (struct plan_int8_depthwise){.kernel_size = kernel_size,
                                      .quads = quads,
                                      .height = size.height,
                                      .width = size.width,
                                      .stride = stride,
                                      .in_pitch = pitch,
                                      .out_pitch = out_pitch,
                                      .activation = activation,
                                      .around = around};
    p->input = add_rows(t, 4 * quads, (plane + 3) / 4, padding * (pitch + 4) / 4 + 1);
    p->output = add_rows(t, quads, out_height * out_pitch, 0);
    p->weights = add_weights(t, 4 * kernel_size * kernel_size * quads, 127);
    p->bias = add_bias(t, 4 * quads, 20000);
    const float typical = values == LARGEST ? 1.0f / 1024 : 1.0f / 256;
    p->outputs = add_outputs(t, 4 * quads, activation > PLAN_RELU ? typical / 20 : typical, 0, activation != PLAN_RELU);
    // Behind the last line is what a step of stride 1 may leave as it was.
    writes(t, p->output, quads, 4 * (stride == 1 ? plane : out_height * out_pitch), 4 * ROW_TAIL);
    snprintf(t->name, sizeof t->name, "depthwise %u of %u quads, %u x %u, gap %u, stride %u, around %u, activation %d",
             kernel_size, quads, size.height, size.width, size.gap, stride, around, activation);
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
    p->offsets = add_factors(t, 4 * quads, 8);
    writes(t, p->output, quads, 4 * out_height * out_pitch, 4 * ROW_TAIL);
    snprintf(t->name, sizeof t->name, "%s pool of %u quads, %u x %u, gap %u, padding %u",
             kind == PLAN_INT8_MAX_POOL ? "max" : "average", quads, size.height, size.width, size.gap, padding);
    return run_and_free(t, only);
}

// windows: along each side; 0: one, whose averages are the logits.
static int adaptive_average_pool_case(uint32_t quads, struct size size, uint32_t windows, const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_ADAPTIVE_AVERAGE_POOL);
    const uint32_t pitch = size.width + size.gap, side = windows ? windows : 1;
    struct plan_int8_adaptive_average_pool *p = &t->step.as.int8_adaptive_average_pool;
    *p = (struct plan_int8_adaptive_average_pool){.quads = quads,
                                                  .height = size.height,
                                                  .width = size.width,
                                                  .in_pitch = pitch,
                                                  .out_height = side,
                                                  .out_width = side,
                                                  .output = PLAN_NO_TABLE};
    p->input = add_rows(t, quads, size.height * pitch, 0);
    if (windows)
        p->output = add_rows(t, 1, quads * side * side, 0);
    const float area = (float)(size.height * size.width) / (float)(side * side);
    p->factors = add_factors(t, 4 * quads * side * side, 1.5f / area);
    p->offsets = add_factors(t, 4 * quads * side * side, 4);
    t->classes = 4 * quads - 1;
    t->logits = !windows;
    writes(t, p->output, windows > 0, 4 * quads * side * side, 0);
    snprintf(t->name, sizeof t->name, "%u x %u averages of %u quads, %u x %u, gap %u", windows, windows, quads,
             size.height, size.width, size.gap);
    return run_and_free(t, only);
}

enum floats { LOGITS, FACTORS, BYTES }; // what a fully connected layer writes

static int fully_connected_case(uint32_t k, uint32_t m, enum floats wanted, enum plan_activation activation,
                                const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_FULLY_CONNECTED);
    struct plan_int8_fully_connected *p = &t->step.as.int8_fully_connected;
    *p = (struct plan_int8_fully_connected){
        .k = k, .m = m, .activation = activation, .writes_bytes = wanted == BYTES, .output = PLAN_NO_TABLE};
    t->classes = m;
    t->logits = wanted == LOGITS;
    p->input = add_rows(t, 1, k, 0);
    const uint32_t bytes = wanted == BYTES ? (m + 3) / 4 * 4 : 4 * m;
    if (wanted != LOGITS)
        p->output = add_rows(t, 1, bytes / 4, 0);
    p->weights = add_weights(t, 4 * k * m, 127);
    p->bias = add_bias(t, m, 100000);
    p->outputs = add_outputs(t, m, 1e-4f, 0, 1);
    writes(t, p->output, wanted != LOGITS, bytes, 0);
    snprintf(t->name, sizeof t->name, "fully connected, %u quads to %u, writes %d, activation %d", k, m, wanted,
             activation);
    return run_and_free(t, only);
}

static int scale_case(uint32_t quads, struct size size, int adds, enum plan_activation activation, const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_SCALE);
    const uint32_t pitch = size.width + size.gap, pixels = (size.height - 1) * pitch + size.width;
    struct plan_int8_scale *p = &t->step.as.int8_scale;
    *p = (struct plan_int8_scale){.quads = quads,
                                  .pixels = pixels,
                                  .width = size.width,
                                  .pitch = pitch,
                                  .activation = activation,
                                  .residual = PLAN_NO_TABLE};
    p->input = add_rows(t, quads, pixels, 0);
    p->factors = add_rows(t, 1, 4 * quads, 0);
    p->output = add_rows(t, quads, pixels, 0);
    if (adds)
        p->residual = random_below(2) ? p->output : add_rows(t, quads, pixels, 0);
    p->zeros = add_factors(t, 4 * quads, 32);
    p->outputs = add_outputs(t, 4 * quads, activation > PLAN_RELU ? 0.05f : 2, 0.5f, 1);
    writes(t, p->output, quads, 4 * pixels, 4 * ROW_TAIL);
    snprintf(t->name, sizeof t->name, "scale of %u quads, %u x %u, gap %u, adds %d, activation %d", quads, size.height,
             size.width, size.gap, adds, activation);
    return run_and_free(t, only);
}

static int bytes_of_quads_case(uint32_t quads, struct size size, const char *only)
{
    struct test_case *t = new_case(PLAN_INT8_BYTES_OF_QUADS);
    const uint32_t pitch = size.width + size.gap, bytes = size.height * size.width;
    struct plan_int8_bytes_of_quads *p = &t->step.as.int8_bytes_of_quads;
    *p = (struct plan_int8_bytes_of_quads){
        .quads = quads, .height = size.height, .width = size.width, .in_pitch = pitch};
    p->input = add_rows(t, quads, size.height * pitch, 0);
    p->output = add_rows(t, 4 * quads, (bytes + 3) / 4, 0);
    writes(t, p->output, 4 * quads, bytes, 0);
    snprintf(t->name, sizeof t->name, "bytes of %u quads, %u x %u, gap %u", quads, size.height, size.width, size.gap);
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

// Quad rows split by row and column, with other words than zeros around.
static int split_case(struct size size, uint32_t kernel_size, uint32_t stride, const char *only)
{
    struct test_case *t = new_case(PLAN_INPUT);
    const uint32_t channels = 3, padding = kernel_size / 2, phases = kernel_size < stride ? kernel_size : stride;
    const uint32_t height = (size.height - 1) / stride + 2, pitch = (size.width - 1) / stride + 2;
    struct plan_input *p = &t->step.as.input;
    *p = (struct plan_input){.stride = stride,
                             .phases = phases,
                             .padding = padding,
                             .out_height = height,
                             .out_pitch = pitch,
                             .channels = channels,
                             .height = size.height,
                             .width = size.width,
                             .in_pitch = size.width + size.gap};
    p->input = add_rows(t, channels, size.height * p->in_pitch, 0);
    p->output = add_rows(t, channels * phases * phases, height * pitch, 0);
    p->around = add_bias(t, channels, 1 << 30);
    writes(t, p->output, channels * phases * phases, 4 * height * pitch, 0);
    snprintf(t->name, sizeof t->name, "split of %u x %u, gap %u, for %u x %u and stride %u", size.height, size.width,
             size.gap, kernel_size, kernel_size, stride);
    return run_and_free(t, only);
}

static int fill_case(uint32_t rows, uint32_t length, const char *only)
{
    struct test_case *t = new_case(PLAN_ZERO);
    t->step.as.zero = (struct plan_zero){.count = rows, .length = length, .word = 0x13131313};
    t->step.as.zero.output = add_rows(t, rows, length, 0);
    writes(t, t->step.as.zero.output, rows, 4 * length, 0);
    snprintf(t->name, sizeof t->name, "%u rows of %u words alike", rows, length);
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
        {1, 5, 8, WINDOWS_OF_STRIDE_4_READ, QUADS_WRITTEN},
        {1, 3, 4, WINDOWS_OF_STRIDE_4_READ, BYTES_WRITTEN},
    };
    for (size_t i = 0; i < sizeof convolutions / sizeof *convolutions; i++)
        for (int activation = i % 2 ? PLAN_RELU : PLAN_LINEAR; activation < PLAN_INT8_ACTIVATIONS; activation += 2)
            failures +=
                convolution_case(convolutions[i].groups, convolutions[i].k, convolutions[i].m, size,
                                 convolutions[i].reads, convolutions[i].writes, (enum plan_activation)activation, only);
    for (uint32_t stride = 1; stride <= 2; stride++)
        for (uint32_t kernel_size = 3; kernel_size <= MAX_INT8_KERNEL_SIZE; kernel_size += 2) {
            failures += depthwise_case(kernel_size, 3, size, stride, 0, PLAN_LINEAR, only);
            failures += depthwise_case(kernel_size, 1, size, stride, 23, PLAN_RELU, only);
            failures += depthwise_case(kernel_size, 2, size, stride, 64, PLAN_HARD_SWISH, only);
        }
    for (uint32_t padding = 0; padding < 2; padding++) {
        failures += pool_case(PLAN_INT8_MAX_POOL, 3, size, padding, only);
        failures += pool_case(PLAN_INT8_AVERAGE_POOL, 3, size, padding, only);
    }
    for (uint32_t windows = 0; windows < 4; windows++)
        failures += adaptive_average_pool_case(3, size, windows, only);
    for (int activation = PLAN_LINEAR; activation < PLAN_INT8_ACTIVATIONS; activation++)
        failures += scale_case(2, size, activation % 2, (enum plan_activation)activation, only);
    failures += bytes_of_quads_case(2, size, only) + fill_case(3, size.height + size.width, only);
    failures += split_case(size, 3, 1, only) + split_case(size, 3, 2, only) + split_case(size, 5, 3, only);
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
        failures += convolution_case(1, 300, 64, (struct size){3, 14, 0}, QUADS_READ, QUADS_WRITTEN, PLAN_RELU, only);
        failures += fully_connected_case(1, 1, LOGITS, PLAN_LINEAR, only);
        failures += fully_connected_case(60, 200, LOGITS, PLAN_RELU, only);
        failures += fully_connected_case(15, 1000, LOGITS, PLAN_LINEAR, only);
        for (int activation = PLAN_LINEAR; activation < PLAN_INT8_ACTIVATIONS; activation++) {
            failures += fully_connected_case(5, 10, BYTES, (enum plan_activation)activation, only);
            failures += fully_connected_case(9, 203, BYTES, (enum plan_activation)activation, only);
            failures += fully_connected_case(7, 68, FACTORS, (enum plan_activation)activation, only);
        }
    }
    printf("%d cases on", cases);
    for (size_t level = 0; shufflenet_isa(level); level++)
        if (!only || !strcmp(only, shufflenet_isa(level)))
            printf(" %s", shufflenet_isa(level));
    printf(", %d failures\n", failures);
    return failures != 0;
}
