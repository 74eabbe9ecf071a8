// Depthwise 3x3, each channel by itself.

// Sums with stride 1. The products of pixels and a window's left taps belong to the pixels' right neighbours, those of its right
// taps to the left neighbours: three columns are summed up first, and then shifted.
struct column_sums {
    vector left, centre, right;
};

// The masks of struct depthwise. period: in floats.
struct neighbours {
    const int32_t *has_left, *has_right, *inside;
    size_t period;
};

static struct neighbours neighbours_of(const struct depthwise *s)
{
    const size_t period = s->period * VECTOR_FLOATS;
    const struct neighbours neighbours = {s->masks, s->masks + period, s->masks + 2 * period, period};
    return neighbours;
}

// The sums of a vector of pixels of the middle line, from p on.
ALWAYS_INLINE struct column_sums sum_columns(const vector *w, vector bias, struct three_rows rows, size_t p,
                                             struct neighbours neighbours, size_t phase)
{
    struct column_sums sums = {.centre = bias};
#pragma GCC unroll 3
    for (size_t row = 0; row < 3; row++) {
        const vector pixels = load_once(rows.of[row] + p);
        sums.left += w[3 * row] * pixels;
        sums.centre += w[3 * row + 1] * pixels;
        sums.right += w[3 * row + 2] * pixels;
    }
    sums.left = keep(sums.left, load_mask(neighbours.has_right + phase));
    sums.right = keep(sums.right, load_mask(neighbours.has_left + phase));
    return sums;
}

// One column of taps at pixel p, in all lanes: rounded as above, so that it is the same at the border of two threads' pixels.
ALWAYS_INLINE vector sum_column(const vector *w, size_t tap, struct three_rows rows, size_t p)
{
    vector sum = {0};
#pragma GCC unroll 3
    for (size_t row = 0; row < 3; row++)
        sum += w[3 * row + tap] * broadcast(rows.of[row][p]);
    return sum;
}

// Writes the windows around some of the middle line's pixels.
ALWAYS_INLINE void stride1_windows(const vector *w, vector bias, vector lower_bound, struct three_rows rows,
                                   size_t pixels, struct range some, struct neighbours neighbours, float *y,
                                   const int relu, const int gaps)
{
    size_t phase = some.begin % neighbours.period;
    struct column_sums here = sum_columns(w, bias, rows, some.begin, neighbours, phase);
    vector before = {0};
    if (some.begin > 0 && neighbours.has_left[phase])
        before = sum_column(w, 0, rows, some.begin - 1);
    for (size_t p = some.begin, next = p + VECTOR_FLOATS; p < some.end; p = next, next += VECTOR_FLOATS) {
        const int32_t *inside = neighbours.inside + phase;
        phase = phase + VECTOR_FLOATS < neighbours.period ? phase + VECTOR_FLOATS : 0;
        struct column_sums behind = {.right = {0}};
        if (next < some.end)
            behind = sum_columns(w, bias, rows, next, neighbours, phase);
        else if (next < pixels && neighbours.has_left[phase])
            behind.right = sum_column(w, 2, rows, next);
        vector sum = here.centre + shifted_right(before, here.left) + shifted_left(here.right, behind.right);
        if (relu)
            sum = vector_max(lower_bound, sum);
        if (gaps)
            sum = keep(sum, load_mask(inside));
        if (pixels - p < VECTOR_FLOATS)
            sum = keep(sum, first_lanes(pixels - p));
        store(y + p, sum);
        before = here.left;
        here = behind;
    }
}

// Computes stride 1 over the plane as one long row of pixels: zeros stand before and behind the plane, and between its lines
// if there is room.
ALWAYS_INLINE void depthwise_stride1(const struct depthwise *s, const float *x, float *y, struct share share,
                                     const int relu, const int gaps)
{
    const size_t pixels = (size_t)(s->height - 1) * s->in_pitch + s->width, pitch = s->in_pitch;
    const struct part part = part_of_rows(s->channels, (struct range){0, pixels}, share);
    const struct range some = part.pixels;
    const struct neighbours neighbours = neighbours_of(s);
    for (size_t c = part.rows.begin; c < part.rows.end; c++) {
        vector w[9];
        broadcast_each(9, s->weights + 9 * c, w);
        const float *plane = x + s->in[c];
        const struct three_rows rows = {.of = {plane - pitch, plane, plane + pitch}};
        stride1_windows(w, broadcast(s->bias[c]), broadcast(s->lower_bound), rows, pixels, some, neighbours,
                        y + s->out[c], relu, gaps);
        if (needs_pass(s->activation))
            activate_pixels(s->activation, y + s->out[c], some.begin, some.end, s->width, pitch);
    }
}

// Computes stride 1 line by line: a sliding buffer has no zeros above and below. Lines are whole vectors.
static void depthwise_stride1_lines(const struct depthwise *s, const float *x, float *y, struct lines lines)
{
    const struct range line = {0, s->in_pitch};
    const struct neighbours neighbours = neighbours_of(s);
    for (size_t c = 0; c < s->channels; c++) {
        vector w[9];
        broadcast_each(9, s->weights + 9 * c, w);
        for (size_t i = lines.begin; i < lines.end && i < s->height; i++) {
            const struct three_rows rows = rows_around(x + s->in[c], i, s->height, s->in_pitch, s->zero_row);
            stride1_windows(w, broadcast(s->bias[c]), broadcast(s->lower_bound), rows, s->in_pitch, line, neighbours,
                            y + s->out[c] + i * s->out_pitch, 1, 1);
        }
        if (needs_pass(s->activation))
            activate_pixels(s->activation, y + s->out[c], lines.begin * s->out_pitch, lines.end * s->out_pitch,
                            s->width, s->out_pitch);
    }
}

// Adds one line's products to the sums of a vector of windows, by the window's column: the left one's belong to the next window.
ALWAYS_INLINE void add_line(const vector *w, struct columns_of_windows see, struct column_sums *sums)
{
    sums->left += w[0] * see.right;
    sums->centre += w[1] * see.middle;
    sums->right += w[2] * see.right;
}

// The sums of a vector of windows. right_inside: NULL if all their right columns are inside. left: the left columns' part, in
// order, of the windows before, and then of these.
ALWAYS_INLINE vector sum_of_windows(struct column_sums sums, const vector_mask *right_inside, vector *left)
{
    const vector before = *left, right = right_inside ? keep(sums.right, *right_inside) : sums.right;
    *left = in_order(sums.left);
    return in_order(sums.centre + right) + shifted_right(before, *left);
}

// Computes stride 2 where a line of the output is one vector. The lines that windows below one another share stay in registers.
static void depthwise_stride2_narrow(const struct depthwise *s, const float *x, float *y, struct range lines,
                                     struct range channels)
{
    const size_t height = s->height, width = s->width, pitch = s->in_pitch, out_width = (width - 1) / 2 + 1;
    const vector lower_bound = broadcast(s->lower_bound);
    const vector_mask right_inside = has_right(0, width), inside = first_lanes(out_width);
    for (size_t c = channels.begin; c < channels.end; c++) {
        const float *row = x + s->in[c] + 2 * lines.begin * pitch;
        float *line = y + s->out[c] + lines.begin * s->out_pitch, *end = y + s->out[c] + lines.end * s->out_pitch;
        const vector bias = broadcast(s->bias[c]);
        vector w[9];
        broadcast_each(9, s->weights + 9 * c, w);
        struct columns_of_windows above = columns_of_line(lines.begin > 0 ? row - pitch : s->zero_row, 0, width);
        for (size_t i = lines.begin; i < lines.end; i++, row += 2 * pitch, line += s->out_pitch) {
            const struct columns_of_windows below =
                columns_of_line(2 * i + 1 < height ? row + pitch : s->zero_row, 0, width);
            struct column_sums sums = {.centre = bias};
            add_line(w, above, &sums);
            add_line(w + 3, columns_of_line(row, 0, width), &sums);
            add_line(w + 6, below, &sums);
            vector left = {0};
            store_before(end, line, kept_max(lower_bound, sum_of_windows(sums, &right_inside, &left), inside));
            zero_gap(end, line, out_width, s->out_pitch);
            above = below;
        }
    }
}

// The sums of the windows whose middle columns are column, column + 2, ...
ALWAYS_INLINE vector windows_of_lines(const vector *w, vector bias, struct three_rows rows, size_t column, size_t width,
                                      const vector_mask *right_inside, vector *left)
{
    struct column_sums sums = {.centre = bias};
#pragma GCC unroll 3
    for (size_t row = 0; row < 3; row++)
        add_line(w + 3 * row, columns_of_line(rows.of[row], column, width), &sums);
    return sum_of_windows(sums, right_inside, left);
}

static void depthwise_stride2_wide(const struct depthwise *s, const float *x, float *y, struct range lines,
                                   struct range channels)
{
    const size_t height = s->height, width = s->width, pitch = s->in_pitch, out_width = (width - 1) / 2 + 1;
    const size_t whole = (out_width - 1) / VECTOR_FLOATS * VECTOR_FLOATS;
    const vector_mask right_inside = has_right(2 * whole, width), inside = first_lanes(out_width - whole);
    const vector lower_bound = broadcast(s->lower_bound);
    for (size_t c = channels.begin; c < channels.end; c++) {
        const float *plane = x + s->in[c], *end = y + s->out[c] + lines.end * s->out_pitch;
        const vector bias = broadcast(s->bias[c]);
        vector w[9];
        broadcast_each(9, s->weights + 9 * c, w);
        for (size_t i = lines.begin; i < lines.end; i++) {
            float *line = y + s->out[c] + i * s->out_pitch;
            const struct three_rows rows = rows_around(plane, 2 * i, height, pitch, s->zero_row);
            vector left = {0};
            for (size_t j = 0; j < whole; j += VECTOR_FLOATS)
                store_before(end, line + j,
                             vector_max(lower_bound, windows_of_lines(w, bias, rows, 2 * j, width, NULL, &left)));
            const vector sum = windows_of_lines(w, bias, rows, 2 * whole, width, &right_inside, &left);
            store_before(end, line + whole, kept_max(lower_bound, sum, inside));
            zero_gap(end, line, out_width, s->out_pitch);
        }
    }
}

static void depthwise_stride2(const struct depthwise *s, const float *x, float *y, struct lines lines,
                              struct share share)
{
    const size_t out_height = (s->height - 1) / 2 + 1, out_width = (s->width - 1) / 2 + 1;
    const struct range some = {lines.begin, lines.end < out_height ? lines.end : out_height};
    if (out_width <= VECTOR_FLOATS)
        depthwise_stride2_narrow(s, x, y, some, range_of(share, s->channels));
    else
        depthwise_stride2_wide(s, x, y, some, range_of(share, s->channels));
    const struct range channels = range_of(share, s->channels);
    for (size_t c = channels.begin; needs_pass(s->activation) && c < channels.end; c++)
        activate_pixels(s->activation, y + s->out[c], some.begin * s->out_pitch, some.end * s->out_pitch, out_width,
                        s->out_pitch);
}

static void depthwise_3x3(const struct depthwise *s, const float *x, float *y, struct lines lines, struct share share)
{
    const int relu = s->lower_bound == 0, gaps = s->in_pitch > s->width;
    if (s->stride == 2)
        depthwise_stride2(s, x, y, lines, share);
    else if (s->in_strips)
        depthwise_stride1_lines(s, x, y, lines);
    else if (gaps)
        depthwise_stride1(s, x, y, share, relu, 1);
    else if (relu)
        depthwise_stride1(s, x, y, share, 1, 0);
    else
        depthwise_stride1(s, x, y, share, 0, 0);
}
