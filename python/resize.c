// Each output pixel is a weighted mean under a triangle as wide as the reduction, first along rows, then along columns,
// rounded to 8 bits each time; weights are whole numbers of 22 bits. Pillow's arithmetic, so Pillow's pixels.
#include "resize.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum {
    WEIGHT_BITS = 22,
    HALF = 1 << (WEIGHT_BITS - 1),
    MOST_TAPS = 2 * SHUFFLENET_MOST_REDUCED + 1, // the triangle covers twice as many pixels as become one
};

// Output i is the sum over t of weight[t] * pixel[first + t]; weights behind the last pixel of the triangle are 0.
struct output {
    int32_t first;
    int32_t weight[MOST_TAPS];
};

// Red, green, blue and the fourth byte; at any multiple of an int32_t.
typedef int32_t channels __attribute__((vector_size(16), aligned(4), may_alias));

// What a call works with: both directions, a row of the picture, and the rows that are resized already.
struct work {
    struct output *across, *down; // [size]
    channels *rows;               // [MOST_TAPS][size], row y of the picture in place y % MOST_TAPS
    channels *row;                // [width + MOST_TAPS]
};

size_t shufflenet_resize_bytes(int32_t width, int32_t size)
{
    return (size_t)size * (2 * sizeof(struct output) + MOST_TAPS * sizeof(channels)) +
           ((size_t)width + MOST_TAPS) * sizeof(channels);
}

static struct work work_in(void *memory, int32_t size)
{
    struct work work;
    work.across = memory;
    work.down = work.across + size;
    work.rows = (channels *)(work.down + size);
    work.row = work.rows + MOST_TAPS * (size_t)size;
    return work;
}

// Outputs of a window of pixels that are there. Pillow has the window's ends as float and goes on with double.
static void set_outputs(struct output *outputs, int32_t size, float begin, float end, int32_t pixels)
{
    const double step = (double)(end - begin) / size, reach = step > 1 ? step : 1;
    for (int32_t i = 0; i < size; i++) {
        struct output *o = outputs + i;
        const double centre = begin + (i + 0.5) * step;
        const int32_t low = (int32_t)(centre - reach + 0.5), high = (int32_t)(centre + reach + 0.5);
        o->first = low > 0 ? low : 0;
        const int32_t count = (high < pixels ? high : pixels) - o->first;
        double weight[MOST_TAPS] = {0}, sum = 0;
        for (int32_t t = 0; t < count; t++) {
            const double place = (o->first + t - centre + 0.5) * (1 / reach), away = place < 0 ? -place : place;
            weight[t] = away < 1 ? 1 - away : 0;
            sum += weight[t];
        }
        for (int32_t t = 0; t < MOST_TAPS; t++)
            o->weight[t] = (int32_t)(0.5 + weight[t] / sum * (1 << WEIGHT_BITS));
    }
}

ALWAYS_INLINE void resize_row(const struct work *work, const uint8_t *rgbx, int32_t width, int32_t size, channels *out,
                              const int taps)
{
    const int32_t first = work->across->first, behind = work->across[size - 1].first + taps;
    int32_t *values = (int32_t *)work->row;
    for (int32_t i = 4 * first; i < 4 * (behind < width ? behind : width); i++)
        values[i] = rgbx[i];
    for (int32_t x = 0; x < size; x++) {
        const struct output *o = work->across + x;
        const channels *pixel = work->row + o->first;
        channels sum = {HALF, HALF, HALF, HALF};
        for (int t = 0; t < taps; t++)
            sum += pixel[t] * o->weight[t];
        out[x] = sum >> WEIGHT_BITS;
    }
}

ALWAYS_INLINE void resize_column(const struct work *work, const struct output *o, int32_t size,
                                 const float levels[3][256], float *input, const int taps)
{
    const size_t plane = (size_t)size * (size_t)size;
    const channels *rows[MOST_TAPS];
    for (int t = 0; t < taps; t++)
        rows[t] = work->rows + (size_t)(o->first + t) % MOST_TAPS * (size_t)size;
    for (int32_t x = 0; x < size; x++) {
        channels sum = {HALF, HALF, HALF, HALF};
        for (int t = 0; t < taps; t++)
            sum += rows[t][x] * o->weight[t];
        sum >>= WEIGHT_BITS;
        for (int c = 0; c < 3; c++)
            input[(size_t)c * plane + (size_t)x] = levels[c][sum[c]];
    }
}

ALWAYS_INLINE void resize_with(const shufflenet_picture *picture, const struct work *work, int32_t size,
                               const float levels[3][256], float *input, const int taps)
{
    int32_t done = work->down->first; // rows before this one are resized, or not needed
    for (int32_t y = 0; y < size; y++, input += size) {
        const struct output *o = work->down + y;
        for (; done < o->first + taps && done < picture->height; done++)
            resize_row(work, picture->rgbx + 4 * (size_t)done * (size_t)picture->width, picture->width, size,
                       work->rows + (size_t)done % MOST_TAPS * (size_t)size, taps);
        resize_column(work, o, size, levels, input, taps);
    }
}

// With loops of a fixed length for the most usual reductions: to half the size at least, to a third, any.
ALWAYS_INLINE void resize(const shufflenet_picture *picture, const struct work *work, int32_t size, double step,
                          const float levels[3][256], float *input)
{
    if (step <= 1)
        resize_with(picture, work, size, levels, input, 3);
    else if (step <= 2)
        resize_with(picture, work, size, levels, input, 5);
    else if (step <= 3)
        resize_with(picture, work, size, levels, input, 7);
    else
        resize_with(picture, work, size, levels, input, MOST_TAPS);
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2"))) static void resize_avx2(const shufflenet_picture *picture, const struct work *work,
                                                        int32_t size, double step, const float levels[3][256],
                                                        float *input)
{
    resize(picture, work, size, step, levels, input);
}
#endif

static int fits(float begin, float end, int32_t pixels, int32_t size)
{
    return begin >= 0 && begin < end && end <= (float)pixels &&
           (double)(end - begin) <= (double)SHUFFLENET_MOST_REDUCED * size;
}

int shufflenet_resize(const shufflenet_picture *picture, const shufflenet_rectangle *rectangle, int32_t size,
                      const float levels[3][256], void *memory, float *input)
{
    if (size < 1 || !fits(rectangle->left, rectangle->right, picture->width, size) ||
        !fits(rectangle->top, rectangle->bottom, picture->height, size))
        return 0;
    const struct work work = work_in(memory, size);
    set_outputs(work.across, size, rectangle->left, rectangle->right, picture->width);
    set_outputs(work.down, size, rectangle->top, rectangle->bottom, picture->height);
    const double across = rectangle->right - rectangle->left, down = rectangle->bottom - rectangle->top;
    const double step = (across > down ? across : down) / size;
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) {
        resize_avx2(picture, &work, size, step, levels, input);
        return 1;
    }
#endif
    resize(picture, &work, size, step, levels, input);
    return 1;
}
