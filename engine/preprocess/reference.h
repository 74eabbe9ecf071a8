// The plain loops over pixels: what those of the other levels are tested against.
#include "resize.h"

static void widen(const uint8_t *line, int32_t pixel_bytes, int32_t count, struct pixel *y)
{
    for (int32_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++)
            y[i].channel[c] = line[(size_t)i * (size_t)pixel_bytes + (size_t)c];
}

static void add_boxes(const uint8_t *pixels, size_t line_bytes, int32_t lines, int32_t pixel_bytes, int32_t count,
                      int32_t width, struct pixel *y)
{
    for (int32_t j = 0; j < lines; j++)
        for (int32_t i = 0; i < count * width; i++)
            for (int c = 0; c < 3; c++)
                y[i / width].channel[c] += pixels[(size_t)j * line_bytes + (size_t)(i * pixel_bytes + c)];
}

static void divide(struct pixel *y, int32_t count, uint32_t box_pixels)
{
    for (int32_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++)
            y[i].channel[c] = mean_of(y[i].channel[c], box_pixels);
}

static void across(const struct taps *taps, int32_t count, int32_t most, const struct pixel *x, struct pixel *y)
{
    (void)most;
    for (int32_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++) {
            uint32_t sum = HALF_WEIGHT;
            for (int32_t t = 0; t < taps[i].count; t++)
                sum += taps[i].weight[t] * x[taps[i].first + t].channel[c];
            y[i].channel[c] = sum >> WEIGHT_BITS;
        }
}

static void down(const struct taps *taps, int32_t most, const struct pixel *const *x, int32_t count,
                 const float levels[3][256], float *y, size_t plane)
{
    (void)most;
    for (int32_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++) {
            uint32_t sum = HALF_WEIGHT;
            for (int32_t t = 0; t < taps->count; t++)
                sum += taps->weight[t] * x[t][i].channel[c];
            y[(size_t)c * plane + (size_t)i] = levels[c][sum >> WEIGHT_BITS];
        }
}

static const struct resize_kernels resize_kernels = {
    .widen = widen, .add_boxes = add_boxes, .divide = divide, .across = across, .down = down};
