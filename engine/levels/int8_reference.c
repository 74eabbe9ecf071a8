// The plain int8 kernels: what every step means, to be checked by eye. The other levels give the same bits.
#include "../int8.h"

#include <string.h>

// clamp(round(value), 0, most), ties to even. Stored in between, so that no compiler makes one operation of two.
static uint8_t rounded(float value, float most)
{
    const float limited = value > 0 ? value < most ? value : most : 0;
    const volatile float shifted = limited + 12582912.0f; // 1.5 * 2^23: the sum's last bit is 1
    return (uint8_t)(shifted - 12582912.0f);
}

static float product_of(float a, float b)
{
    const volatile float product = a * b;
    return product;
}

static float as_float(int32_t word)
{
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static float within(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

// 2^n times a polynomial of the rest, which is at most ln(2) / 2.
static float exponential(float x)
{
    const volatile float shifted = product_of(x, 1.44269504f) + 12582912.0f;
    const float n = shifted - 12582912.0f;
    const volatile float most = x - product_of(n, 0.693359375f); // ln(2) in two parts
    const float rest = most + product_of(n, 2.12194440e-4f);
    static const float factors[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1, 1};
    volatile float sum = factors[0];
    for (int i = 1; i < 7; i++)
        sum = product_of(sum, rest) + factors[i];
    return product_of(sum, as_float(((int32_t)n + 127) << 23));
}

static float hard_sigmoid(float x)
{
    const volatile float shifted = x + 3;
    return product_of(within(shifted, 0, 6), 1.0f / 6);
}

static float activated(enum plan_activation activation, float x)
{
    switch (activation) {
    case PLAN_LINEAR:
    case PLAN_RELU6: // not in 8 bits: PLAN_INT8_ACTIVATIONS
    case PLAN_SILU:
    case PLAN_GELU:
        break;
    case PLAN_RELU:
        return x > 0 ? x : 0;
    case PLAN_SIGMOID:
        return 1 / (1 + exponential(within(-x, -30, 30)));
    case PLAN_HARD_SIGMOID:
        return hard_sigmoid(x);
    case PLAN_HARD_SWISH:
        return product_of(x, hard_sigmoid(x));
    }
    return x;
}

// What a residual is added to.
static float before_addition(uint32_t activation, float value)
{
    const volatile float shifted = value + 12582912;
    return activation > PLAN_RELU ? value : shifted - 12582912;
}

// What precedes the activation as a byte.
static uint8_t byte_of(const struct int8_output *output, uint32_t activation, float value)
{
    if (activation > PLAN_RELU)
        value = product_of(activated((enum plan_activation)activation, value), output->gain) + output->zero;
    return rounded(value, 127);
}

// Four weights, the first in the lowest byte, and what they are multiplied with.
static int32_t dot(int32_t weights, const uint8_t *x)
{
    int32_t sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (int8_t)((uint32_t)weights >> 8 * i) * (int32_t)x[i];
    return sum;
}

static void input(const struct int8_input *s, const float *x, uint8_t *y, struct lines lines, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    for (size_t c = channels.begin; c < channels.end; c++)
        for (uint32_t i = lines.begin; i < lines.end && i < s->out_height; i++)
            for (uint32_t j = 0; j < s->out_pitch; j++) {
                const int64_t row = (int64_t)i - s->padding, column = (int64_t)j - s->padding;
                const int inside = row >= 0 && row < s->height && column >= 0 && column < s->width;
                uint8_t *byte = y + (size_t)4 * s->out[c] + (size_t)i * s->out_pitch + j;
                *byte = s->around[c];
                if (inside) {
                    const float pixel = x[(c * s->height + (size_t)row) * s->width + (size_t)column];
                    *byte = rounded(product_of(pixel, s->factors[c]) + s->offsets[c], 255);
                }
            }
}

// Where pixel p's four bytes begin in a row.
static size_t seen_at(const struct int8_convolution *s, size_t p)
{
    const size_t line = p / s->pitch, column = p % s->pitch;
    return line * s->in_pitch * 4 + column * bytes_of_step(s->reads);
}

static uint8_t *byte_at(const struct int8_convolution *s, const uint32_t *rows, uint8_t *y, size_t output, size_t p)
{
    return s->writes == BYTES_WRITTEN ? y + (size_t)4 * rows[output] + p
                                      : y + (size_t)4 * (rows[output / 4] + p) + output % 4;
}

static void convolution(const struct int8_convolution *s, const uint8_t *x, uint8_t *y, struct lines lines,
                        struct share share)
{
    const struct range pixels = pixels_in_lines(lines, s->pitch, s->pixels);
    const struct range outputs = range_of(share, (size_t)s->groups * s->m / 4);
    const uint32_t mr = s->writes == BYTES_WRITTEN ? 1 : 4, words = s->k + 2 + (s->writes == QUADS_ADDED);
    const size_t end = share.part + 1 == share.parts ? (size_t)s->groups * s->m : 4 * outputs.end;
    for (size_t output = 4 * outputs.begin; output < end; output++) {
        const int32_t *packed = s->packed + output / mr * mr * words + output % mr;
        const uint32_t *in = s->in + output / s->m * s->k;
        for (size_t p = pixels.begin; p < pixels.end; p++) {
            int32_t sum = packed[0];
            for (uint32_t k = 0; k < s->k; k++)
                sum += dot(packed[(1 + k) * mr], x + (size_t)4 * in[k] + seen_at(s, p));
            struct int8_output constants = {.factor = as_float(packed[(1 + s->k) * mr])};
            if (s->outputs)
                constants = s->outputs[output];
            else if (s->writes == QUADS_ADDED)
                constants.residual_factor = as_float(packed[(2 + s->k) * mr]);
            float value = product_of((float)sum, constants.factor);
            if (s->writes == QUADS_ADDED)
                value = before_addition(s->outputs ? s->activation : PLAN_RELU, value) +
                        product_of(*byte_at(s, s->residual, y, output, p), constants.residual_factor);
            const uint8_t byte = byte_of(&constants, s->outputs ? s->activation : PLAN_RELU, value + constants.offset);
            *byte_at(s, s->out, y, output, p) = p % s->pitch >= s->width ? 0 : byte;
        }
    }
}

// Four bytes of a line of a depthwise convolution's window, those of words number word.
static int32_t dot_of_line(const struct int8_depthwise *s, const uint8_t *plane, int64_t row, int64_t column,
                           int32_t weights)
{
    uint8_t seen[4];
    for (int tap = 0; tap < 4; tap++, column++) {
        const int inside = row >= 0 && row < s->height && column >= 0 && column < s->width;
        seen[tap] = inside ? plane[row * s->in_pitch + column] : (uint8_t)s->around;
    }
    return dot(weights, seen);
}

static void depthwise(const struct int8_depthwise *s, const uint8_t *x, uint8_t *y, struct lines lines,
                      struct share share)
{
    const struct range quads = range_of(share, s->quads);
    const uint32_t out_height = (s->height - 1) / s->stride + 1, out_width = (s->width - 1) / s->stride + 1;
    const uint32_t words = words_of_line(s->kernel_size), padding = s->kernel_size / 2;
    for (size_t c = 4 * quads.begin; c < 4 * quads.end; c++)
        for (uint32_t i = lines.begin; i < lines.end && i < out_height; i++)
            for (uint32_t j = 0; j < s->out_pitch; j++) {
                int32_t sum = s->bias[c];
                for (uint32_t word = 0; word < s->kernel_size * words; word++)
                    sum += dot_of_line(s, x + (size_t)4 * s->in[c], (int64_t)i * s->stride + word / words - padding,
                                       (int64_t)j * s->stride + 4 * (word % words) - padding,
                                       s->taps[c * s->kernel_size * words + word]);
                const struct int8_output *output = &s->outputs[c];
                const float value = product_of((float)sum, output->factor) + output->offset;
                const int last = i + 1 == out_height && s->stride == 1 && j >= out_width;
                uint8_t *byte = y + (size_t)4 * (s->out[c / 4] + (size_t)i * s->out_pitch + j) + c % 4;
                if (!last)
                    *byte = j < out_width ? byte_of(output, s->activation, value) : 0;
            }
}

// Bytes of the 3x3 window of output (i, j) in the plane of channel c: their sum or the largest.
static int32_t pooled(const struct int8_pool *s, const uint8_t *x, size_t c, uint32_t i, uint32_t j, int largest)
{
    int32_t sum = 0, most = 0;
    for (int tap = 0; tap < 9; tap++) {
        const int64_t row = (int64_t)2 * i + tap / 3 - s->padding, column = (int64_t)2 * j + tap % 3 - s->padding;
        const int inside = row >= 0 && row < s->height && column >= 0 && column < s->width;
        const int32_t value =
            inside ? x[(size_t)4 * (s->in[c / 4] + (size_t)row * s->in_pitch + (size_t)column) + c % 4] : 0;
        sum += value;
        most = value > most ? value : most;
    }
    return largest ? most : sum;
}

static void pool(const struct int8_pool *s, int largest, const uint8_t *x, uint8_t *y, struct lines lines,
                 struct share share)
{
    const struct range quads = range_of(share, s->quads);
    for (size_t c = 4 * quads.begin; c < 4 * quads.end; c++)
        for (uint32_t i = lines.begin; i < lines.end && i < s->out_height; i++)
            for (uint32_t j = 0; j < s->out_pitch; j++) {
                uint8_t value = 0;
                if (j < s->out_width) {
                    const int32_t window = pooled(s, x, c, i, j, largest);
                    value = (uint8_t)window;
                    if (!largest)
                        value = rounded(product_of((float)window, s->factors[c]) + s->offsets[c], 127);
                }
                y[(size_t)4 * (s->out[c / 4] + (size_t)i * s->out_pitch + j) + c % 4] = value;
            }
}

static void max_pool(const struct int8_pool *s, const uint8_t *x, uint8_t *y, struct lines lines, struct share share)
{
    pool(s, 1, x, y, lines, share);
}

static void average_pool(const struct int8_pool *s, const uint8_t *x, uint8_t *y, struct lines lines,
                         struct share share)
{
    pool(s, 0, x, y, lines, share);
}

static void adaptive_average_pool(const struct int8_adaptive_average_pool *s, uint8_t *arena, float *logits,
                                  struct share share)
{
    const struct range quads = range_of(share, s->quads);
    const uint32_t windows = s->out_height * s->out_width;
    for (size_t c = 4 * windows * quads.begin; c < 4 * windows * quads.end; c++) {
        const size_t quad = c / 4 / windows, row = c / 4 % windows / s->out_width, column = c / 4 % s->out_width;
        int32_t sum = 0;
        for (size_t i = row * s->height / s->out_height; i * s->out_height < (row + 1) * s->height; i++)
            for (size_t j = column * s->width / s->out_width; j * s->out_width < (column + 1) * s->width; j++)
                sum += arena[(size_t)4 * (s->in[quad] + i * s->in_pitch + j) + c % 4];
        const float mean = product_of((float)sum, s->factors[c]) + s->offsets[c];
        if (s->out)
            arena[(size_t)4 * *s->out + c] = rounded(mean, 127);
        else if (c < s->logits)
            logits[c] = mean;
    }
}

static void fully_connected(const struct int8_fully_connected *s, uint8_t *arena, float *logits, struct share share)
{
    const struct range outputs = range_of(share, s->m);
    float *floats = s->out ? (float *)arena + *s->out : logits;
    for (size_t m = outputs.begin; m < outputs.end; m++) {
        int32_t sum = s->bias[m];
        for (uint32_t k = 0; k < s->k; k++)
            sum += dot(s->weights[m * s->k + k], arena + (size_t)4 * (*s->in + k));
        const float *constants = s->constants + 4 * m; // blocks of one output
        const struct int8_output output = {.gain = constants[2], .zero = constants[3]};
        const float value = product_of((float)sum, constants[0]) + constants[1];
        if (s->writes_bytes)
            arena[(size_t)4 * *s->out + m] = byte_of(&output, s->activation, value);
        else
            floats[m] = activated((enum plan_activation)s->activation, value);
    }
    for (size_t m = s->m; s->writes_bytes && share.part + 1 == share.parts && m % 4; m++)
        arena[(size_t)4 * *s->out + m] = 0;
}

static void scale(const struct int8_scale *s, uint8_t *arena, struct share share)
{
    const struct range quads = range_of(share, s->quads);
    const float *factors = (const float *)arena + *s->factors;
    for (size_t c = 4 * quads.begin; c < 4 * quads.end; c++)
        for (size_t p = 0; p < s->pixels; p++) {
            const struct int8_output *output = &s->outputs[c];
            const float x = arena[(size_t)4 * (s->in[c / 4] + p) + c % 4];
            float value = product_of(x - s->zeros[c], product_of(factors[c], output->factor));
            if (s->residual)
                value = before_addition(s->activation, value) +
                        product_of(arena[(size_t)4 * (s->residual[c / 4] + p) + c % 4], output->residual_factor);
            const uint8_t byte = byte_of(output, s->activation, value + output->offset);
            arena[(size_t)4 * (s->out[c / 4] + p) + c % 4] = p % s->pitch >= s->width ? 0 : byte;
        }
}

static void bytes_of_quads(const struct int8_bytes_of_quads *s, uint8_t *arena, struct share share)
{
    const struct range quads = range_of(share, s->quads);
    for (size_t c = 4 * quads.begin; c < 4 * quads.end; c++)
        for (size_t i = 0; i < s->height; i++)
            for (size_t j = 0; j < s->width; j++)
                arena[(size_t)4 * s->out[c] + i * s->width + j] =
                    arena[(size_t)4 * (s->in[c / 4] + i * s->in_pitch + j) + c % 4];
}

const struct int8_kernels shufflenet_int8_reference = {
    .vector_words = 1,
    .fully_connected_block = 1,
    .widest = {{{[4] = 1}, {[4] = 1}, {[1] = 1}}, {{[4] = 1}, {0}, {[1] = 1}}},
    .input = input,
    .convolution = convolution,
    .depthwise = depthwise,
    .max_pool = max_pool,
    .average_pool = average_pool,
    .adaptive_average_pool = adaptive_average_pool,
    .fully_connected = fully_connected,
    .scale = scale,
    .bytes_of_quads = bytes_of_quads,
};
