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

static uint8_t requantized(float value)
{
    return rounded(value, 127);
}

static float product_of(float a, float b)
{
    const volatile float product = a * b;
    return product;
}

// Four weights, the first in the lowest byte, and what they are multiplied with.
static int32_t dot(int32_t weights, const uint8_t *x)
{
    int32_t sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (int8_t)((uint32_t)weights >> 8 * i) * (int32_t)x[i];
    return sum;
}

static float as_float(int32_t word)
{
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
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
    const size_t step = s->reads == QUADS_READ ? 4 : s->reads == WINDOWS_READ ? 1 : 2;
    return line * s->in_pitch * 4 + column * step;
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
            float value = product_of((float)sum, as_float(packed[(1 + s->k) * mr]));
            if (s->writes == QUADS_ADDED)
                value += product_of(*byte_at(s, s->residual, y, output, p), as_float(packed[(2 + s->k) * mr]));
            *byte_at(s, s->out, y, output, p) = p % s->pitch >= s->width ? 0 : requantized(value);
        }
    }
}

static void depthwise(const struct int8_depthwise *s, const uint8_t *x, uint8_t *y, struct lines lines,
                      struct share share)
{
    const struct range quads = range_of(share, s->quads);
    const uint32_t out_height = (s->height - 1) / s->stride + 1, out_width = (s->width - 1) / s->stride + 1;
    for (size_t c = 4 * quads.begin; c < 4 * quads.end; c++)
        for (uint32_t i = lines.begin; i < lines.end && i < out_height; i++)
            for (uint32_t j = 0; j < s->out_pitch; j++) {
                const struct int8_channel *channel = &s->channels[c];
                int32_t sum = channel->bias;
                for (int line = 0; line < 3; line++) {
                    uint8_t seen[4] = {0};
                    const int64_t row = (int64_t)i * s->stride + line - 1;
                    for (int tap = 0; tap < 3; tap++) {
                        const int64_t column = (int64_t)j * s->stride + tap - 1;
                        if (row >= 0 && row < s->height && column >= 0 && column < s->width)
                            seen[tap] = x[(size_t)4 * s->in[c] + (size_t)row * s->in_pitch + (size_t)column];
                    }
                    sum += dot(channel->taps[line], seen);
                }
                const int last = i + 1 == out_height && s->stride == 1 && j >= out_width;
                uint8_t *byte = y + (size_t)4 * (s->out[c / 4] + (size_t)i * s->out_pitch + j) + c % 4;
                if (!last)
                    *byte = j < out_width ? requantized(product_of((float)sum, channel->factor) + channel->offset) : 0;
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

static void pool(const struct int8_pool *s, const float *factors, const uint8_t *x, uint8_t *y, struct lines lines,
                 struct share share)
{
    const struct range quads = range_of(share, s->quads);
    for (size_t c = 4 * quads.begin; c < 4 * quads.end; c++)
        for (uint32_t i = lines.begin; i < lines.end && i < s->out_height; i++)
            for (uint32_t j = 0; j < s->out_pitch; j++) {
                uint8_t value = 0;
                if (j < s->out_width) {
                    const int32_t window = pooled(s, x, c, i, j, factors == NULL);
                    value = factors ? requantized(product_of((float)window, factors[c])) : (uint8_t)window;
                }
                y[(size_t)4 * (s->out[c / 4] + (size_t)i * s->out_pitch + j) + c % 4] = value;
            }
}

static void max_pool(const struct int8_pool *s, const uint8_t *x, uint8_t *y, struct lines lines, struct share share)
{
    pool(s, NULL, x, y, lines, share);
}

static void average_pool(const struct int8_pool *s, const uint8_t *x, uint8_t *y, struct lines lines,
                         struct share share)
{
    pool(s, s->factors, x, y, lines, share);
}

static void global_average_pool(const struct int8_global_average_pool *s, uint8_t *arena, struct share share)
{
    const struct range quads = range_of(share, s->quads);
    for (size_t c = 4 * quads.begin; c < 4 * quads.end; c++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < s->height; i++)
            for (uint32_t j = 0; j < s->width; j++)
                sum += arena[(size_t)4 * (s->in[c / 4] + (size_t)i * s->in_pitch + j) + c % 4];
        arena[(size_t)4 * *s->out + c] = requantized(product_of((float)sum, s->factors[c]));
    }
}

static void fully_connected(const struct int8_fully_connected *s, const uint8_t *arena, float *logits,
                            struct share share)
{
    const struct range outputs = range_of(share, s->m);
    for (size_t m = outputs.begin; m < outputs.end; m++) {
        int32_t sum = s->bias[m];
        for (uint32_t k = 0; k < s->k; k++)
            sum += dot(s->weights[m * s->k + k], arena + (size_t)4 * (*s->in + k));
        logits[m] = (float)sum * s->factors[m];
    }
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
    .global_average_pool = global_average_pool,
    .fully_connected = fully_connected,
};
