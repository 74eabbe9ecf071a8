// The plain kernels: what every step means, to be checked by eye. The other levels are tested against these.
#include "../kernels.h"

static void input(const struct input *s, const float *picture, float *arena, struct share share)
{
    const struct range planes = range_of(share, (size_t)s->channels * s->stride * s->stride);
    for (size_t plane = planes.begin; plane < planes.end; plane++) {
        float *y = arena + s->out[plane];
        const size_t c = plane / (s->stride * s->stride);
        const size_t row_phase = plane / s->stride % s->stride, column_phase = plane % s->stride;
        for (uint32_t i = 0; i < s->rows; i++) {
            for (uint32_t j = 0; j < s->pitch; j++) {
                // One more than the place in the picture, which padding would make -1.
                const size_t row = i * s->stride + row_phase, column = j * s->stride + column_phase;
                const int inside = row >= 1 && row <= s->height && column >= 1 && column <= s->width;
                y[(size_t)i * s->pitch + j] =
                    inside ? picture[(c * s->height + row - 1) * s->width + column - 1] : 0;
            }
        }
    }
}

static void zero(const struct zero *s, float *arena, struct share share)
{
    const struct range rows = range_of(share, s->count);
    for (size_t i = rows.begin; i < rows.end; i++)
        for (uint32_t p = 0; p < s->length; p++)
            arena[s->out[i] + p] = 0;
}

static void convolution(const struct convolution *s, float *arena, struct share share)
{
    const struct range rows = range_of(share, (size_t)s->groups * s->m);
    for (size_t row = rows.begin; row < rows.end; row++) {
        const float *packed = s->packed + row * (1 + s->k); // tiles of one output
        const uint32_t *in = s->in + row / s->m * s->k;
        for (uint32_t line = 0; line < s->lines; line++) {
            for (uint32_t p = 0; p < s->pixels; p++) {
                float sum = packed[0];
                for (uint32_t k = 0; k < s->k; k++)
                    sum += packed[1 + k] * arena[in[k] + (size_t)line * s->in_pitch + p];
                if (s->residual)
                    sum += arena[s->residual[row] + (size_t)line * s->out_pitch + p];
                arena[s->out[row] + (size_t)line * s->out_pitch + p] = sum < s->least ? s->least : sum;
            }
        }
    }
}

// The value at (row, column) of a picture with zeros around it.
static float padded(const float *x, uint32_t height, uint32_t width, uint32_t pitch, int64_t row, int64_t column)
{
    return row < 0 || row >= height || column < 0 || column >= width ? 0 : x[row * pitch + column];
}

static void depthwise(const struct depthwise *s, float *arena, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    const uint32_t out_height = (s->height - 1) / s->stride + 1, out_width = (s->width - 1) / s->stride + 1;
    for (size_t c = channels.begin; c < channels.end; c++)
        for (uint32_t i = 0; i < out_height; i++)
            for (uint32_t j = 0; j < out_width; j++) {
                float sum = s->bias[c];
                for (int tap = 0; tap < 9; tap++)
                    sum += s->weights[c * 9 + tap] * padded(arena + s->in[c], s->height, s->width, s->width,
                                                            (int64_t)i * s->stride + tap / 3 - 1,
                                                            (int64_t)j * s->stride + tap % 3 - 1);
                arena[s->out[c] + (size_t)i * out_width + j] = sum;
            }
}

static void pool(const struct pool *s, float *arena, struct share share, int maximum)
{
    const struct range channels = range_of(share, s->channels);
    const uint32_t out_height = (s->height - 1) / 2 + 1, out_width = (s->width - 1) / 2 + 1;
    for (size_t c = channels.begin; c < channels.end; c++)
        for (uint32_t i = 0; i < out_height; i++)
            for (uint32_t j = 0; j < out_width; j++) {
                float sum = 0, largest = 0;
                for (int tap = 0; tap < 9; tap++) {
                    const float x = padded(arena + s->in[c], s->height, s->width, s->in_pitch,
                                           (int64_t)i * 2 + tap / 3 - 1, (int64_t)j * 2 + tap % 3 - 1);
                    sum += x;
                    largest = x > largest ? x : largest;
                }
                arena[s->out[c] + (size_t)i * out_width + j] = maximum ? largest : sum / 9;
            }
}

static void max_pool(const struct pool *s, float *arena, struct share share)
{
    pool(s, arena, share, 1);
}

static void average_pool(const struct pool *s, float *arena, struct share share)
{
    pool(s, arena, share, 0);
}

static void global_average(const struct global_average *s, float *arena, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    for (size_t c = channels.begin; c < channels.end; c++) {
        float sum = 0;
        for (uint32_t p = 0; p < s->pixels; p++)
            sum += arena[s->in[c] + p];
        arena[*s->out + c] = sum / (float)s->pixels;
    }
}

static void classifier(const struct classifier *s, const float *arena, float *logits, struct share share)
{
    const struct range classes = range_of(share, s->classes);
    for (size_t c = classes.begin; c < classes.end; c++) {
        const float *packed = s->packed + c * (1 + s->k); // blocks of one class
        float sum = packed[0];
        for (uint32_t k = 0; k < s->k; k++)
            sum += packed[1 + k] * arena[*s->in + k];
        logits[c] = sum;
    }
}

const struct kernels kernels_reference = {
    .name = "reference",
    .vector_floats = 1,
    .classifier_block = 1,
    .vectors = {[1] = 1},
    .input = input,
    .zero = zero,
    .convolution = convolution,
    .depthwise = depthwise,
    .max_pool = max_pool,
    .average_pool = average_pool,
    .global_average = global_average,
    .classifier = classifier,
};
