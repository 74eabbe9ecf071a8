// The loops over pixels, which each instruction set level compiles for itself. They use whole numbers alone, so that the
// pixels are the same at every level. Pillow's arithmetic: weights of 22 bits, sums rounded to 8 bits.
#ifndef SHUFFLENET_RESIZE_H
#define SHUFFLENET_RESIZE_H

#include <stddef.h>
#include <stdint.h>

enum {
    WEIGHT_BITS = 22,
    HALF_WEIGHT = 1 << (WEIGHT_BITS - 1),
    MOST_REDUCED = 6,                   // pixels of a line that become one output
    MOST_TAPS = 2 * MOST_REDUCED + 1,   // pixels under the triangle of an output, which is twice as wide
    MOST_FACTOR = 1024,                 // the side of a box of pixels; their sum fits in 32 bits
    PILLOWS_MOST_MEAN_PIXELS = 1 << 14, // of larger boxes Pillow's reciprocal is too coarse
};

// Red, green, blue, and a fourth channel that doesn't matter.
struct pixel {
    uint32_t channel[4];
};

// One output pixel in one direction: the sum over t < count of weight[t] * pixel[first + t]; the other weights are 0.
struct taps {
    int32_t first, count;
    uint32_t weight[MOST_TAPS];
};

struct resize_kernels {
    // y[i] = pixel i of a line of bytes, for i < count.
    void (*widen)(const uint8_t *line, int32_t pixel_bytes, int32_t count, struct pixel *y);
    // y[i] += the sum of the pixels i * width to (i + 1) * width - 1 of each of `lines` lines of bytes, for i < count.
    void (*add_boxes)(const uint8_t *pixels, size_t line_bytes, int32_t lines, int32_t pixel_bytes, int32_t count,
                      int32_t width, struct pixel *y);
    // y[i], the sum of box_pixels pixels, becomes their mean, for i < count.
    void (*divide)(struct pixel *y, int32_t count, uint32_t box_pixels);
    // y[i] = output i of the line x, for i < count. x goes on for most pixels behind the last one, where most is at least
    // every count of the taps.
    void (*across)(const struct taps *taps, int32_t count, int32_t most, const struct pixel *x, struct pixel *y);
    // y[c * plane + i] = levels[c][value of channel c of the output of x[0][i], x[1][i], ...], for i < count. x has most lines.
    void (*down)(const struct taps *taps, int32_t most, const struct pixel *const *x, int32_t count,
                 const float levels[3][256], float *y, size_t plane);
};

// The mean of a box from the sum of its pixels. Pillow multiplies by a reciprocal of 24 bits.
static inline uint32_t mean_of(uint32_t sum, uint32_t pixels)
{
    if (pixels > PILLOWS_MOST_MEAN_PIXELS)
        return (uint32_t)(((uint64_t)sum + pixels / 2) / pixels);
    return (sum + pixels / 2) * ((1 << 24) / pixels) >> 24;
}

#endif
