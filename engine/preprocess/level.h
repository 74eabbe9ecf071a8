// The loops of resize.h at the level whose file includes this: the four channels of a pixel are a vector, and sums have as
// many terms as the most usual reductions need: to half the size at least, to a third, any.
#include "resize.h"

// At any multiple of a uint32_t.
typedef uint32_t channels __attribute__((vector_size(16), aligned(4), may_alias));

static void widen(const uint8_t *line, int32_t pixel_bytes, int32_t count, struct pixel *y)
{
    if (pixel_bytes == 4) {
        uint32_t *values = y->channel;
        for (size_t i = 0; i < 4 * (size_t)count; i++)
            values[i] = line[i];
        return;
    }
    for (int32_t i = 0; i < count; i++, line += 3)
        y[i] = (struct pixel){{line[0], line[1], line[2], 0}};
}

ALWAYS_INLINE void add_pixels(const uint16_t *sums, int32_t count, int32_t width, struct pixel *y, const int channels_)
{
    for (int32_t i = 0; i < count; i++) {
        channels sum = *(const channels *)(y + i);
        for (int32_t t = 0; t < width; t++, sums += channels_)
            sum += channels_ == 4 ? (channels){sums[0], sums[1], sums[2], sums[3]}
                                  : (channels){sums[0], sums[1], sums[2], 0};
        *(channels *)(y + i) = sum;
    }
}

// Sums of columns first, of as many boxes as fit, in 16 bits each: of at most 257 bytes.
static void add_boxes(const uint8_t *pixels, size_t line_bytes, int32_t lines, int32_t pixel_bytes, int32_t count,
                      int32_t width, struct pixel *y)
{
    enum { MOST_LINES = 257 };
    uint16_t sums[4 * MOST_FACTOR];
    for (; lines > MOST_LINES; lines -= MOST_LINES, pixels += MOST_LINES * line_bytes)
        add_boxes(pixels, line_bytes, MOST_LINES, pixel_bytes, count, width, y);
    for (int32_t at_once = MOST_FACTOR / width; count > 0; count -= at_once, y += at_once) {
        const int32_t boxes = count < at_once ? count : at_once;
        const size_t bytes = (size_t)(boxes * width * pixel_bytes);
        for (size_t i = 0; i < bytes; i++)
            sums[i] = pixels[i];
        for (int32_t j = 1; j < lines; j++)
            for (size_t i = 0; i < bytes; i++)
                sums[i] += pixels[(size_t)j * line_bytes + i];
        if (pixel_bytes == 4)
            add_pixels(sums, boxes, width, y, 4);
        else
            add_pixels(sums, boxes, width, y, 3);
        pixels += bytes;
    }
}

static void divide(struct pixel *y, int32_t count, uint32_t box_pixels)
{
    uint32_t *values = y->channel;
    for (size_t i = 0; i < 4 * (size_t)count; i++)
        values[i] = mean_of(values[i], box_pixels);
}

ALWAYS_INLINE void across_with(const struct taps *taps, int32_t count, const struct pixel *x, struct pixel *y,
                               const int most)
{
    for (int32_t i = 0; i < count; i++) {
        const struct pixel *pixel = x + taps[i].first;
        channels sum = {HALF_WEIGHT, HALF_WEIGHT, HALF_WEIGHT, HALF_WEIGHT};
        for (int t = 0; t < most; t++)
            sum += *(const channels *)(pixel + t) * taps[i].weight[t];
        *(channels *)(y + i) = sum >> WEIGHT_BITS;
    }
}

static void across(const struct taps *taps, int32_t count, int32_t most, const struct pixel *x, struct pixel *y)
{
    if (most <= 3)
        across_with(taps, count, x, y, 3);
    else if (most <= 5)
        across_with(taps, count, x, y, 5);
    else if (most <= 7)
        across_with(taps, count, x, y, 7);
    else
        across_with(taps, count, x, y, MOST_TAPS);
}

ALWAYS_INLINE void down_with(const struct taps *taps, const struct pixel *const *x, int32_t count,
                             const float levels[3][256], float *y, size_t plane, const int most)
{
    for (int32_t i = 0; i < count; i++) {
        channels sum = {HALF_WEIGHT, HALF_WEIGHT, HALF_WEIGHT, HALF_WEIGHT};
        for (int t = 0; t < most; t++)
            sum += *(const channels *)(x[t] + i) * taps->weight[t];
        sum >>= WEIGHT_BITS;
        for (int c = 0; c < 3; c++)
            y[(size_t)c * plane + (size_t)i] = levels[c][sum[c]];
    }
}

static void down(const struct taps *taps, int32_t most, const struct pixel *const *x, int32_t count,
                 const float levels[3][256], float *y, size_t plane)
{
    if (most <= 3)
        down_with(taps, x, count, levels, y, plane, 3);
    else if (most <= 5)
        down_with(taps, x, count, levels, y, plane, 5);
    else if (most <= 7)
        down_with(taps, x, count, levels, y, plane, 7);
    else
        down_with(taps, x, count, levels, y, plane, MOST_TAPS);
}

static const struct resize_kernels resize_kernels = {
    .widen = widen, .add_boxes = add_boxes, .divide = divide, .across = across, .down = down};
