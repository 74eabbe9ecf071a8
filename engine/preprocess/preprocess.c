// Which pixels become which, and the lines in their order: each is resized across when it comes, and each line of the input
// down as soon as the lines that it depends on are there.
#include "preprocess.h"
#include "resize.h"

#include "../kernels.h"

#include <string.h>

enum {
    REDUCING_GAP = 3,
    LONGEST = 1 << 16, // a side of so many pixels; of more, float does not tell well where the middle is
};

struct preprocessor {
    const struct resize_kernels *kernels;
    float *input;
    int32_t height, width; // of the input
    shufflenet_part part;
    int32_t factor;                 // the side of the boxes of pixels whose means are resized; 1: the pixels themselves
    int32_t most_across, most_down; // taps
    int32_t taken, resized, written; // lines: of the part, of them across, of the input
    struct taps *across, *down;      // [width], [height]
    struct pixel *line;              // [line_pixels(width)]
    struct pixel *lines;             // [MOST_TAPS][width]; line y is number y % MOST_TAPS
    float levels[3][256];            // what each value of a channel becomes
};

// One direction of the picture: where in it the input begins, and how long it is; of which pixels it is reduced.
struct side {
    double begin, length;
    int32_t first, end;
};

const shufflenet_kernels *shufflenet_find_kernels(const char *isa)
{
    return find_kernels(isa);
}

// The pixels of a reduced line, and those behind its end that the longest sum reads.
static size_t line_pixels(int32_t width)
{
    return (size_t)width * (MOST_REDUCED + 1) + 2 * MOST_TAPS;
}

size_t shufflenet_preprocess_bytes(int32_t height, int32_t width)
{
    return sizeof(struct preprocessor) + ((size_t)height + (size_t)width) * sizeof(struct taps) +
           (line_pixels(width) + (size_t)width * MOST_TAPS) * sizeof(struct pixel);
}

// A product as it is stored, so that no compiler adds to it in the same instruction: the same pixels everywhere.
static double product(double a, double b)
{
    const volatile double value = a * b;
    return value;
}

static void set_levels(float levels[3][256], const shufflenet_preprocessing *preprocessing)
{
    for (int c = 0; c < 3; c++)
        for (int value = 0; value < 256; value++) {
            const volatile float scaled = (float)value * preprocessing->scale[c];
            levels[c][value] = scaled + preprocessing->shift[c];
        }
}

// Sets the taps of an output whose triangle has its middle at centre and ends at a distance of reach, in a line of pixels.
static void set_taps_of(struct taps *taps, double centre, double reach, int32_t pixels)
{
    const int32_t low = (int32_t)(centre - reach + 0.5), high = (int32_t)(centre + reach + 0.5);
    taps->first = low > 0 ? low : 0;
    taps->count = (high < pixels ? high : pixels) - taps->first;
    double weight[MOST_TAPS] = {0}, sum = 0;
    for (int32_t t = 0; t < taps->count; t++) {
        const double place = product(taps->first + t - centre + 0.5, 1 / reach), away = place < 0 ? -place : place;
        weight[t] = away < 1 ? 1 - away : 0;
        sum += weight[t];
    }
    for (int32_t t = 0; t < MOST_TAPS; t++)
        taps->weight[t] = (uint32_t)(0.5 + weight[t] / sum * (1 << WEIGHT_BITS));
}

// Sets the taps of all outputs of one direction, for a line that begins with the first pixel under a triangle, and the
// part's pixels in this direction. Returns the largest count.
static int32_t set_taps(struct taps *taps, int32_t outputs, const struct side *side, int32_t factor,
                        int32_t *part_first, int32_t *part_pixels)
{
    const int32_t pixels = (int32_t)(((int64_t)side->end - side->first + factor - 1) / factor);
    const double first = (side->begin - side->first) / factor, behind = first + side->length / factor;
    // Pillow takes these as float and goes on in double.
    const float begin = (float)first, end = (float)(behind < pixels ? behind : pixels);
    const double step = (double)(end - begin) / outputs;
    int32_t most = 0;
    for (int32_t i = 0; i < outputs; i++) {
        set_taps_of(taps + i, begin + product(i + 0.5, step), step > 1 ? step : 1, pixels);
        most = taps[i].count > most ? taps[i].count : most;
    }
    const int32_t unused = taps->first;
    for (int32_t i = 0; i < outputs; i++)
        taps[i].first -= unused;
    *part_first = side->first + unused * factor;
    const int64_t needed = (int64_t)(taps[outputs - 1].first + taps[outputs - 1].count) * factor;
    *part_pixels = (int32_t)(needed < side->end - *part_first ? needed : side->end - *part_first);
    return most;
}

// Leaves only pixels that triangles cover.
static void crop(struct side *side, double reach)
{
    const double first = side->begin - reach, end = side->begin + side->length + reach;
    side->first = first > 0 ? (int32_t)first : 0;
    if (end < side->end)
        side->end = (int32_t)end + ((int32_t)end < end);
}

static int is_sensible(const shufflenet_preprocessing *p)
{
    return p->size >= 1 && p->resize >= p->size && p->height >= 1 && p->height <= SHUFFLENET_LARGEST_INPUT &&
           p->width >= 1 && p->width <= SHUFFLENET_LARGEST_INPUT;
}

int shufflenet_preprocess_begin(const shufflenet_kernels *kernels, const shufflenet_preprocessing *preprocessing,
                                int32_t width, int32_t height, void *memory, float *input, shufflenet_part *part)
{
    const shufflenet_preprocessing *p = preprocessing;
    if (width < 1 || height < 1 || !is_sensible(p))
        return 0;
    // The largest rectangle of the input's proportions in the picture, and the central share of it.
    const int is_tall = (double)width * p->height <= (double)height * p->width;
    struct side across = {.length = is_tall ? width : (double)height * p->width / p->height, .end = width};
    struct side down = {.length = is_tall ? (double)width * p->height / p->width : height, .end = height};
    across.length = across.length * p->size / p->resize;
    down.length = down.length * p->size / p->resize;
    across.begin = (width - across.length) / 2;
    down.begin = (height - down.length) / 2;
    const double step = across.length / p->width, factors = step / REDUCING_GAP;
    if (factors >= MOST_FACTOR + 1)
        return 0;
    const int32_t factor = factors > 1 ? (int32_t)factors : 1;
    if (factor > 1 || width > LONGEST || height > LONGEST) {
        crop(&across, step > 2 ? step / 2 : 1);
        crop(&down, step > 2 ? step / 2 : 1);
    }

    struct preprocessor *state = memory;
    *state = (struct preprocessor){.kernels = kernels->resize, .input = input, .factor = factor};
    state->height = p->height;
    state->width = p->width;
    state->across = (struct taps *)(state + 1);
    state->down = state->across + p->width;
    state->line = (struct pixel *)(state->down + p->height);
    state->lines = state->line + line_pixels(p->width);
    memset(state->line, 0, line_pixels(p->width) * sizeof(struct pixel));
    set_levels(state->levels, p);
    state->most_across = set_taps(state->across, p->width, &across, factor, &state->part.left, &state->part.width);
    state->most_down = set_taps(state->down, p->height, &down, factor, &state->part.top, &state->part.height);
    *part = state->part;
    return 1;
}

// Adds lines of one row of boxes to their sums. Returns 1 once these are whole, as means.
static int reduce(struct preprocessor *p, const uint8_t *pixels, int32_t pixel_bytes, size_t line_bytes, int32_t lines)
{
    const int32_t count = p->part.width / p->factor, rest = p->part.width % p->factor;
    const size_t rest_at = (size_t)count * (size_t)p->factor * (size_t)pixel_bytes;
    const int32_t before = p->taken % p->factor, now = before + lines;
    if (before == 0)
        memset(p->line, 0, (size_t)(count + 1) * sizeof(struct pixel));
    p->kernels->add_boxes(pixels, line_bytes, lines, pixel_bytes, count, p->factor, p->line);
    if (rest)
        p->kernels->add_boxes(pixels + rest_at, line_bytes, lines, pixel_bytes, 1, rest, p->line + count);
    p->taken += lines;
    if (now < p->factor && p->taken < p->part.height)
        return 0;
    p->kernels->divide(p->line, count, (uint32_t)now * (uint32_t)p->factor);
    if (rest)
        p->kernels->divide(p->line + count, 1, (uint32_t)now * (uint32_t)rest);
    return 1;
}

static struct pixel *resized_line(const struct preprocessor *p, int32_t number)
{
    return p->lines + (size_t)(number % MOST_TAPS) * (size_t)p->width;
}

static void write_line(struct preprocessor *p)
{
    const struct taps *taps = p->down + p->written;
    const struct pixel *lines[MOST_TAPS];
    for (int32_t t = 0; t < MOST_TAPS; t++) // behind the last line any other, whose weight is 0
        lines[t] = resized_line(p, taps->first + (t < taps->count ? t : 0));
    p->kernels->down(taps, p->most_down, lines, p->width, p->levels, p->input + (size_t)p->written * (size_t)p->width,
                     (size_t)p->height * (size_t)p->width);
    p->written++;
}

static void resize_line(struct preprocessor *p)
{
    p->kernels->across(p->across, p->width, p->most_across, p->line, resized_line(p, p->resized));
    p->resized++;
    while (p->written < p->height && p->down[p->written].first + p->down[p->written].count <= p->resized)
        write_line(p);
}

void shufflenet_preprocess_lines(void *memory, const uint8_t *pixels, int32_t pixel_bytes, size_t line_bytes,
                                 int32_t lines)
{
    struct preprocessor *p = memory;
    const int32_t left = p->part.height - p->taken;
    for (int32_t i = 0, end = lines < left ? lines : left; i < end;) {
        const uint8_t *line = pixels + (size_t)i * line_bytes;
        if (p->factor == 1) {
            p->kernels->widen(line, pixel_bytes, p->part.width, p->line);
            p->taken++;
            i++;
            resize_line(p);
            continue;
        }
        const int32_t of_box = p->factor - p->taken % p->factor, now = of_box < end - i ? of_box : end - i;
        i += now;
        if (reduce(p, line, pixel_bytes, line_bytes, now))
            resize_line(p);
    }
}
