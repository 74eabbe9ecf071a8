// The plain kernels: what every step means, to be checked by eye. The other levels are tested against these.
#include "../int8.h"
#include "../preprocess/reference.h"

#include <string.h>

static float float_of_bits(int32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void zero(const struct zero *s, float *arena, struct share share)
{
    const struct range rows = range_of(share, s->count);
    for (size_t i = rows.begin; i < rows.end; i++)
        for (uint32_t p = 0; p < s->length; p++)
            arena[s->out[i] + p] = float_of_bits((int32_t)s->word);
}

static void input(const struct input *s, const float *x, float *y, struct lines lines, struct share share)
{
    const uint32_t phases = s->phases * s->phases;
    const struct range planes = range_of(share, (size_t)s->channels * phases);
    for (size_t plane = planes.begin; plane < planes.end; plane++) {
        const size_t c = plane / phases, row_phase = plane % phases / s->phases, phase = plane % s->phases;
        const float *line = x + (s->in ? s->in[c] : c * s->height * s->width);
        const float around = float_of_bits(s->around ? s->around[c] : 0);
        for (uint32_t i = lines.begin; i < lines.end && i < s->out_height; i++)
            for (uint32_t j = 0; j < s->out_pitch; j++) {
                const int64_t row = (int64_t)(i * s->stride + row_phase) - s->padding;
                const int64_t column = (int64_t)(j * s->stride + phase) - s->padding;
                const int inside = row >= 0 && row < s->height && column >= 0 && column < s->width;
                y[s->out[plane] + (size_t)i * s->out_pitch + j] = inside ? line[row * s->in_pitch + column] : around;
            }
    }
}

#ifndef SHUFFLENET_WITHOUT_FLOAT32
#include "../kernels/activation.h"

// The value at (row, column) of a picture with zeros around it.
static float padded(const float *x, uint32_t height, uint32_t width, uint32_t pitch, int64_t row, int64_t column)
{
    return row < 0 || row >= height || column < 0 || column >= width ? 0 : x[row * pitch + column];
}

static void convolution(const struct convolution *s, const float *x, float *y, struct lines lines, struct share share)
{
    const struct range rows = range_of(share, (size_t)s->groups * s->m);
    const struct range pixels = pixels_in_lines(lines, s->pitch, s->pixels);
    for (size_t row = rows.begin; row < rows.end; row++) {
        const float *packed = s->packed + row * (1 + s->k); // tiles of one output
        const uint32_t *in = s->in + row / s->m * s->k;
        for (size_t p = pixels.begin; p < pixels.end; p++) {
            float sum = packed[0];
            for (uint32_t k = 0; k < s->k; k++)
                sum += packed[1 + k] * x[in[k] + p / s->pitch * s->in_pitch + p % s->pitch];
            if (s->residual)
                sum += y[s->residual[row] + p];
            y[s->out[row] + p] = p % s->pitch >= s->width ? 0 : activate(s->activation, sum);
        }
    }
}

// Writes zeros between line i of a plane and the next.
static void zero_gap(float *y, uint32_t i, uint32_t width, uint32_t pitch)
{
    for (uint32_t j = width; j < pitch; j++)
        y[(size_t)i * pitch + j] = 0;
}

static void depthwise(const struct depthwise *s, const float *x, float *y, struct lines lines, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    const uint32_t size = s->kernel_size, padding = size / 2;
    const size_t out_height = (s->height - 1) / s->stride + 1, out_width = (s->width - 1) / s->stride + 1;
    const size_t all = out_height * s->out_pitch;
    const struct range pixels = pixels_in_lines(lines, s->out_pitch, all);
    for (size_t c = channels.begin; c < channels.end; c++) {
        for (size_t p = pixels.begin; p < pixels.end; p++) {
            const size_t i = p / s->out_pitch, j = p % s->out_pitch;
            float sum = s->bias[c];
            for (uint32_t tap = 0; tap < size * size; tap++)
                sum += s->weights[c * size * size + tap] * padded(x + s->in[c], s->height, s->width, s->in_pitch,
                                                                  (int64_t)(i * s->stride + tap / size) - padding,
                                                                  (int64_t)(j * s->stride + tap % size) - padding);
            y[s->out[c] + p] = j >= out_width ? 0 : activate(s->activation, sum);
        }
    }
}

static void pool(const struct pool *s, const float *x, float *y, struct lines lines, struct share share, int maximum)
{
    const struct range channels = range_of(share, s->channels);
    for (size_t c = channels.begin; c < channels.end; c++) {
        for (uint32_t i = lines.begin; i < lines.end && i < s->out_height; i++) {
            for (uint32_t j = 0; j < s->out_width; j++) {
                float sum = 0, largest = 0;
                for (int tap = 0; tap < 9; tap++) {
                    const float tap_x =
                        padded(x + s->in[c], s->height, s->width, s->in_pitch, (int64_t)i * 2 + tap / 3 - s->padding,
                               (int64_t)j * 2 + tap % 3 - s->padding);
                    sum += tap_x;
                    largest = tap_x > largest || tap_x != tap_x ? tap_x : largest; // not a number stays
                }
                y[s->out[c] + (size_t)i * s->out_pitch + j] = maximum ? largest : sum / 9;
            }
            zero_gap(y + s->out[c], i, s->out_width, s->out_pitch);
        }
    }
}

static void max_pool(const struct pool *s, const float *x, float *y, struct lines lines, struct share share)
{
    pool(s, x, y, lines, share, 1);
}

static void average_pool(const struct pool *s, const float *x, float *y, struct lines lines, struct share share)
{
    pool(s, x, y, lines, share, 0);
}

static void window_pool(const struct window_pool *s, float *arena, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    const int64_t around = s->pooling == PLAN_AVERAGE_WITH_PADDING ? s->padding : 0;
    for (size_t c = channels.begin; c < channels.end; c++) {
        for (uint32_t i = 0; i < s->out_height; i++) {
            for (uint32_t j = 0; j < s->out_width; j++) {
                const int64_t top = (int64_t)i * s->stride - s->padding, left = (int64_t)j * s->stride - s->padding;
                float sum = 0, largest = -__builtin_inff();
                uint32_t counted = 0;
                for (int64_t row = top; row < top + s->kernel_size; row++)
                    for (int64_t column = left; column < left + s->kernel_size; column++) {
                        const int inside = row >= 0 && row < s->height && column >= 0 && column < s->width;
                        const float tap = padded(arena + s->in[c], s->height, s->width, s->in_pitch, row, column);
                        counted += row >= -around && row < s->height + around && column >= -around &&
                                   column < s->width + around;
                        sum += tap;
                        largest = inside && (tap > largest || tap != tap) ? tap : largest; // not a number stays
                    }
                arena[s->out[c] + (size_t)i * s->out_pitch + j] =
                    s->pooling == PLAN_MAXIMUM ? largest : sum / (float)counted;
            }
            zero_gap(arena + s->out[c], i, s->out_width, s->out_pitch);
        }
    }
}

static void adaptive_average_pool(const struct adaptive_average_pool *s, float *arena, float *logits,
                                  struct share share)
{
    const uint32_t windows = s->out_height * s->out_width;
    const struct range means = range_of(share, (size_t)s->channels * windows);
    float *y = s->out ? arena + *s->out : logits;
    for (size_t n = means.begin; n < means.end; n++) {
        const size_t i = n % windows / s->out_width, j = n % s->out_width;
        const size_t top = i * s->height / s->out_height, bottom = ((i + 1) * s->height - 1) / s->out_height + 1;
        const size_t left = j * s->width / s->out_width, right = ((j + 1) * s->width - 1) / s->out_width + 1;
        float sum = 0;
        for (size_t row = top; row < bottom; row++)
            for (size_t column = left; column < right; column++)
                sum += arena[s->in[n / windows] + row * s->in_pitch + column];
        y[n] = sum / (float)((bottom - top) * (right - left));
    }
}

static void fully_connected(const struct fully_connected *s, float *arena, float *logits, struct share share)
{
    const struct range outputs = range_of(share, s->m);
    float *y = s->out ? arena + *s->out : logits;
    for (size_t m = outputs.begin; m < outputs.end; m++) {
        const float *weights = (const float *)s->weights + m * s->k; // blocks of one output
        float sum = s->bias[m];
        for (uint32_t k = 0; k < s->k; k++)
            sum += weights[k] * arena[*s->in + k];
        y[m] = activate(s->activation, sum);
    }
}

static void scale(const struct scale *s, float *arena, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    for (size_t c = channels.begin; c < channels.end; c++)
        for (uint32_t p = 0; p < s->pixels; p++) {
            const float sum =
                arena[*s->factors + c] * arena[s->in[c] + p] + (s->residual ? arena[s->residual[c] + p] : 0);
            arena[s->out[c] + p] = activate(s->activation, sum);
        }
}
#endif

const struct kernels shufflenet_kernels_reference = {
    .name = "reference",
    .vector_floats = 1,
    .input = input,
    .zero = zero,
#ifndef SHUFFLENET_WITHOUT_FLOAT32
    .fully_connected_block = 1,
    .vectors = {[1] = 1},
    .convolution = convolution,
    .depthwise = depthwise,
    .max_pool = max_pool,
    .average_pool = average_pool,
    .window_pool = window_pool,
    .adaptive_average_pool = adaptive_average_pool,
    .fully_connected = fully_connected,
    .scale = scale,
#endif
    .resize = &resize_kernels,
#ifndef SHUFFLENET_WITHOUT_INT8
    .int8 = &shufflenet_int8_reference,
#endif
};
