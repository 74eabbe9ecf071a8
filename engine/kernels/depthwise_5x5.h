// Depthwise 5x5, each channel by itself. As in 3x3, the products of a line's pixels with each column of taps are summed up
// first, and then shifted to the windows that they belong to.

// The lines around one, and where it lies itself.
struct five_rows {
    const float *of[5];
};

// Sums with stride 1 by the column of taps, from the left one on.
struct five_columns {
    vector of[5];
};

ALWAYS_INLINE struct five_columns sum_five_columns(const vector *w, vector bias, struct five_rows rows, size_t p)
{
    struct five_columns sums = {.of[2] = bias};
#pragma GCC unroll 5
    for (size_t row = 0; row < 5; row++) {
        const vector pixels = load_once(rows.of[row] + p);
#pragma GCC unroll 5
        for (size_t column = 0; column < 5; column++)
            sums.of[column] += w[5 * row + column] * pixels;
    }
    return sums;
}

// Computes stride 1 over the plane as one long row of pixels: zeros stand around the plane and between its lines.
static void depthwise_5x5_stride1(const struct depthwise *s, const float *x, float *y, struct share share)
{
    const size_t pitch = s->in_pitch, pixels = (size_t)(s->height - 1) * pitch + s->width;
    const struct part part = part_of_rows(s->channels, (struct range){0, pixels}, share);
    const struct range some = part.pixels;
    const size_t period = s->period * VECTOR_FLOATS;
    const int32_t *inside = s->masks + 2 * period;
    const vector lower_bound = broadcast(s->lower_bound);
    for (size_t c = part.rows.begin; c < part.rows.end; c++) {
        const float *plane = x + s->in[c];
        float *out = y + s->out[c];
        const struct five_rows rows = {{plane - 2 * pitch, plane - pitch, plane, plane + pitch, plane + 2 * pitch}};
        const vector bias = broadcast(s->bias[c]);
        vector w[25];
        broadcast_each(25, s->weights + 25 * c, w);
        struct five_columns before = {{{0}}}, here = sum_five_columns(w, bias, rows, some.begin);
        if (some.begin > 0)
            before = sum_five_columns(w, bias, rows, some.begin - VECTOR_FLOATS);
        size_t phase = some.begin % period;
        for (size_t p = some.begin; p < some.end; p += VECTOR_FLOATS) {
            struct five_columns behind = {{{0}}};
            if (p + VECTOR_FLOATS < pixels)
                behind = sum_five_columns(w, bias, rows, p + VECTOR_FLOATS);
            vector sum = here.of[2] + shifted_right_by_2(before.of[0], here.of[0]);
            sum += shifted_right(before.of[1], here.of[1]) + shifted_left(here.of[3], behind.of[3]);
            sum += shifted_left_by_2(here.of[4], behind.of[4]);
            sum = keep(vector_max(lower_bound, sum), load_mask(inside + phase));
            phase = phase + VECTOR_FLOATS < period ? phase + VECTOR_FLOATS : 0;
            if (pixels - p < VECTOR_FLOATS)
                sum = keep(sum, first_lanes(pixels - p));
            store(out + p, sum);
            before = here;
            here = behind;
        }
        if (needs_pass(s->activation))
            activate_pixels(s->activation, out, some.begin, some.end, s->width, pitch);
    }
}

// Sums of a vector of windows with stride 2, in picked order, by what they have to be shifted by: a window's two left columns
// are the middle one and the next of the window before, and its last one is the middle one of the window behind.
struct columns_of_stride2 {
    vector left, centre, right, last;
};

// The windows whose middle columns are column, column + 2, ... Columns past the plane's width count as zero.
ALWAYS_INLINE struct columns_of_stride2 sum_stride2_columns(const vector *w, vector bias, struct five_rows rows,
                                                            size_t column, size_t width)
{
    struct columns_of_stride2 sums = {.centre = bias};
    if (column >= width)
        return sums;
#pragma GCC unroll 5
    for (size_t row = 0; row < 5; row++) {
        const struct columns_of_windows see = columns_of_line(rows.of[row], column, width);
        sums.left += w[5 * row] * see.middle;
        sums.left += w[5 * row + 1] * see.right;
        sums.centre += w[5 * row + 2] * see.middle;
        sums.right += w[5 * row + 3] * see.right;
        sums.last += w[5 * row + 4] * see.middle;
    }
    if (width - column < 2 * VECTOR_FLOATS) {
        sums.right = keep(sums.right, has_right(column, width));
        sums.last = keep(sums.last, 2 * (vector_mask){PICKED_ORDER} < (int32_t)(width - column));
    }
    sums.left = in_order(sums.left);
    sums.centre = in_order(sums.centre + sums.right);
    sums.last = in_order(sums.last);
    return sums;
}

static void depthwise_5x5_stride2(const struct depthwise *s, const float *x, float *y, struct share share)
{
    const size_t height = s->height, width = s->width, pitch = s->in_pitch;
    const size_t out_height = (height - 1) / 2 + 1, out_width = (width - 1) / 2 + 1;
    const struct range channels = range_of(share, s->channels);
    const vector lower_bound = broadcast(s->lower_bound);
    for (size_t c = channels.begin; c < channels.end; c++) {
        float *line = y + s->out[c];
        const float *end = line + out_height * s->out_pitch;
        const vector bias = broadcast(s->bias[c]);
        vector w[25];
        broadcast_each(25, s->weights + 25 * c, w);
        for (size_t i = 0; i < out_height; i++, line += s->out_pitch) {
            struct five_rows rows;
            for (size_t row = 0; row < 5; row++) {
                const size_t above = 2 * i + row; // two lines more than there are above the window's first
                rows.of[row] = above < 2 || above - 2 >= height ? s->zero_row : x + s->in[c] + (above - 2) * pitch;
            }
            vector left = {0};
            struct columns_of_stride2 here = sum_stride2_columns(w, bias, rows, 0, width);
            for (size_t j = 0; j < out_width; j += VECTOR_FLOATS) {
                const struct columns_of_stride2 behind =
                    sum_stride2_columns(w, bias, rows, 2 * (j + VECTOR_FLOATS), width);
                const vector sum = here.centre + shifted_right(left, here.left) + shifted_left(here.last, behind.last);
                store_before(end, line + j, kept_max(lower_bound, sum, first_lanes(out_width - j)));
                left = here.left;
                here = behind;
            }
            zero_gap(end, line, out_width, s->out_pitch);
        }
        if (needs_pass(s->activation))
            activate_pixels(s->activation, y + s->out[c], 0, out_height * s->out_pitch, out_width, s->out_pitch);
    }
}

static void depthwise_5x5(const struct depthwise *s, const float *x, float *y, struct share share)
{
    if (s->stride == 2)
        depthwise_5x5_stride2(s, x, y, share);
    else
        depthwise_5x5_stride1(s, x, y, share);
}
