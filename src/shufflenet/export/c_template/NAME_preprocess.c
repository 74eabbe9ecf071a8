// From 8-bit RGB of any size to the network's input: the central rectangle, resized as the Python package does it.
//
// That is Pillow's bilinear resize with reducing_gap=3: a picture that is at least six times too large is first
// reduced by a whole factor (the mean of each box of pixels), then each output pixel is a weighted mean under a triangle
// as wide as the reduction, first along rows, then along columns, rounded to 8 bits each time. Same arithmetic, so the
// same pixels.
//
// Rows are taken one at a time, so that memory doesn't depend on the picture's size.
#include "@NAME@_parts.h"

#include <math.h>
#include <string.h>

enum { HEIGHT = @GUARD@_HEIGHT, WIDTH = @GUARD@_WIDTH, LONGER_SIDE = HEIGHT > WIDTH ? HEIGHT : WIDTH };

// The shorter side would become RESIZE pixels, of which SIZE in the middle are kept.
enum { SIZE = @SIZE@, RESIZE = @RESIZE@ };

// Of red, green and blue: input = value * scale + shift.
static const float scale[3] = {@SCALE@};
static const float shift[3] = {@SHIFT@};

enum {
    REDUCING_GAP = 3,
    SPAN = 2 * REDUCING_GAP, // after reduction, at most this many pixels become one,
    TAPS = 2 * SPAN + 2,     // and the triangle covers at most twice as many
    WEIGHT_BITS = 22,
    HALF = 1 << (WEIGHT_BITS - 1),
};

// One direction, in reduced pixels: output i is the sum over t < count[i] of weight[i][t] * pixel[first[i] + t].
struct axis {
    int begin, end; // of the source pixels
    int factor;     // source pixels to one reduced pixel; fewer to the last one, if end comes before
    int first[LONGER_SIDE], count[LONGER_SIDE];
    int32_t weight[LONGER_SIDE][TAPS];
};

static int factor_of(double length, int outputs)
{
    const int factor = (int)(length / outputs / REDUCING_GAP);
    return factor > 1 ? factor : 1;
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

// Pillow takes the window's ends as float.
static void set_weights(struct axis *a, float window_begin, float window_end, int outputs)
{
    const int pixels = (a->end - a->begin + a->factor - 1) / a->factor;
    const double step = (double)(window_end - window_begin) / outputs, reach = step > 1 ? step : 1;
    for (int i = 0; i < outputs; i++) {
        const double centre = window_begin + (i + 0.5) * step;
        const int low = (int)(centre - reach + 0.5), high = (int)(centre + reach + 0.5);
        a->first[i] = low > 0 ? low : 0;
        a->count[i] = (high < pixels ? high : pixels) - a->first[i];
        double weight[TAPS], sum = 0;
        for (int t = 0; t < a->count[i]; t++) {
            weight[t] = triangle((a->first[i] + t - centre + 0.5) * (1 / reach));
            sum += weight[t];
        }
        for (int t = 0; t < a->count[i]; t++)
            a->weight[i][t] = (int32_t)(0.5 + weight[t] / sum * (1 << WEIGHT_BITS));
    }
}

// Of pixels source pixels, those from begin on, length of them, become outputs pixels.
static void set_axis(struct axis *a, int pixels, double begin, double length, int outputs, int factor, int reduced)
{
    double end = begin + length;
    *a = (struct axis){.end = pixels, .factor = factor};
    if (reduced) { // only what the triangles reach
        const double reach = 0.5 * ((end - begin) / outputs);
        const double last = ceil(end + reach);
        a->begin = begin - reach > 0 ? (int)(begin - reach) : 0;
        a->end = last < pixels ? (int)last : pixels;
        begin = (begin - a->begin) / factor;
        end = (end - a->begin) / factor;
    }
    set_weights(a, (float)begin, (float)end, outputs);
}

// The mean of one box of pixels, rounded.
static uint8_t mean_of_box(const uint8_t *rgb, size_t pitch, int width, int height)
{
    const uint32_t pixels = (uint32_t)width * (uint32_t)height;
    uint64_t sum = pixels / 2;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            sum += rgb[y * pitch + (size_t)x * 3];
    return (uint8_t)(sum * ((1 << 24) / pixels) >> 24);
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

// Row y of the reduced picture, pixels from first on.
static const uint8_t *reduced_row(const uint8_t *rgb, size_t pitch, const struct axis *across, const struct axis *down,
                                  int y, int first, int count)
{
    static uint8_t row[(SPAN * WIDTH + 2 * TAPS) * 3];
    const int top = down->begin + y * down->factor, height = smaller(down->factor, down->end - top);
    const int left = across->begin + first * across->factor;
    rgb += (size_t)top * pitch + (size_t)left * 3;
    if (across->factor == 1 && down->factor == 1)
        return rgb;
    for (int x = 0; x < count; x++) {
        const int width = smaller(across->factor, across->end - left - x * across->factor);
        for (int c = 0; c < 3; c++)
            row[x * 3 + c] = mean_of_box(rgb + (size_t)x * (size_t)across->factor * 3 + c, pitch, width, height);
    }
    return row;
}

static void resize_row(const uint8_t *row, int row_begin, const struct axis *across, uint8_t *line)
{
    for (int x = 0; x < WIDTH; x++) {
        const uint8_t *pixel = row + (across->first[x] - row_begin) * 3;
        int32_t red = HALF, green = HALF, blue = HALF;
        for (int t = 0; t < across->count[x]; t++, pixel += 3) {
            red += across->weight[x][t] * pixel[0];
            green += across->weight[x][t] * pixel[1];
            blue += across->weight[x][t] * pixel[2];
        }
        *line++ = (uint8_t)(red >> WEIGHT_BITS);
        *line++ = (uint8_t)(green >> WEIGHT_BITS);
        *line++ = (uint8_t)(blue >> WEIGHT_BITS);
    }
}

static void add_line(const uint8_t *line, int32_t weight, int32_t *sum)
{
    for (int c = 0; c < 3; c++)
        for (int x = 0; x < WIDTH; x++)
            sum[c * HEIGHT * WIDTH + x] += weight * line[x * 3 + c];
}

void @NAME@_preprocess(const uint8_t *rgb, int width, int height, union input *input)
{
    static struct axis across, down;
    const int is_tall = (double)width * HEIGHT <= (double)height * WIDTH;
    const double across_length = (is_tall ? width : (double)height * WIDTH / HEIGHT) * SIZE / RESIZE;
    const double down_length = (is_tall ? (double)width * HEIGHT / WIDTH : height) * SIZE / RESIZE;
    const double left = (width - across_length) / 2, top = (height - down_length) / 2;
    const int across_factor = factor_of(left + across_length - left, WIDTH);
    const int down_factor = factor_of(top + down_length - top, HEIGHT);
    const int reduced = across_factor > 1 || down_factor > 1;
    set_axis(&across, width, left, across_length, WIDTH, across_factor, reduced);
    set_axis(&down, height, top, down_length, HEIGHT, down_factor, reduced);

    const size_t pitch = (size_t)width * 3;
    const int row_begin = across.first[0], row_end = across.first[WIDTH - 1] + across.count[WIDTH - 1];
    for (int i = 0; i < INPUT_FLOATS; i++)
        input->sum[i] = HALF;
    int done = 0; // outputs before this one need no further row
    for (int y = down.first[0]; done < HEIGHT; y++) {
        uint8_t line[WIDTH * 3];
        resize_row(reduced_row(rgb, pitch, &across, &down, y, row_begin, row_end - row_begin), row_begin, &across, line);
        for (int i = done; i < HEIGHT && down.first[i] <= y; i++)
            if (y < down.first[i] + down.count[i])
                add_line(line, down.weight[i][y - down.first[i]], input->sum + i * WIDTH);
        while (done < HEIGHT && y + 1 >= down.first[done] + down.count[done])
            done++;
    }
    for (int c = 0; c < 3; c++)
        for (int i = c * HEIGHT * WIDTH; i < (c + 1) * HEIGHT * WIDTH; i++)
            input->value[i] = (float)(input->sum[i] >> WEIGHT_BITS) * scale[c] + shift[c];
}
