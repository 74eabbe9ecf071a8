// Max pool and average pool, 3x3 with stride 2, and the means of windows that divide a plane.

ALWAYS_INLINE vector pooled(vector a, vector b, const int maximum)
{
    if (maximum) // not a number if a is none; if b is none, by itself
        return (vector)((vector_mask)vector_max(a, b) | (vector_mask)(a != a));
    return a + b;
}

// Three lines become one, of which every window takes three floats.
ALWAYS_INLINE vector pool_lines(struct three_rows rows, size_t column, const int maximum)
{
    return pooled(pooled(load(rows.of[0] + column), load(rows.of[1] + column), maximum), load(rows.of[2] + column), maximum);
}

// narrow: the windows of a line are one vector, whose masks stay in registers.
ALWAYS_INLINE void pool_planes(const struct pool s, const float *x, float *y, struct lines lines, struct share share,
                               const int maximum, const int narrow)
{
    const struct range channels = range_of(share, s.channels);
    const size_t first = 1 - s.padding, out_width = s.out_width; // the middle of the first window
    const size_t last = (lines.end < s.out_height ? lines.end : s.out_height) - 1;
    for (size_t c = channels.begin; c < channels.end; c++) {
        const float *plane = x + s.in[c], *end = y + s.out[c] + last * s.out_pitch + s.out_pitch;
        for (size_t i = lines.begin; i <= last; i++) {
            float *line = y + s.out[c] + i * s.out_pitch;
            const struct three_rows rows = rows_around(plane, 2 * i + first, s.height, s.in_pitch, s.zero_row);
            // To the left of the first window is padding, or column 0.
            vector last_right = s.padding ? (vector){0} : broadcast(pool_lines(rows, 0, maximum)[0]);
            for (size_t j = 0; j < (narrow ? 1 : out_width); j += VECTOR_FLOATS) {
                const size_t column = 2 * j + first, second = column + VECTOR_FLOATS;
                const struct columns_of_windows see = pick_columns(
                    pool_lines(rows, column, maximum), second < s.width ? pool_lines(rows, second, maximum) : (vector){0});
                const vector right = in_order(keep(see.right, has_right(column, s.width)));
                const vector window = pooled(pooled(in_order(see.middle), right, maximum), shifted_right(last_right, right), maximum);
                last_right = right;
                const vector result = window * (maximum ? 1.0f : 1.0f / 9);
                store_before(end, line + j, keep(result, first_lanes(out_width - j)));
            }
            zero_gap(end, line, out_width, s.out_pitch);
        }
    }
}

ALWAYS_INLINE void pool(const struct pool *s, const float *x, float *y, struct lines lines, struct share share,
                        const int maximum)
{
    if (s->out_width <= VECTOR_FLOATS)
        pool_planes(*s, x, y, lines, share, maximum, 1);
    else
        pool_planes(*s, x, y, lines, share, maximum, 0);
}

static void max_pool(const struct pool *s, const float *x, float *y, struct lines lines, struct share share)
{
    pool(s, x, y, lines, share, 1);
}

static void average_pool(const struct pool *s, const float *x, float *y, struct lines lines, struct share share)
{
    pool(s, x, y, lines, share, 0);
}

ALWAYS_INLINE vector sum_of_line(const float *x, size_t pixels)
{
    vector sum = {0};
    for (size_t p = 0; p < pixels; p += VECTOR_FLOATS)
        sum += keep(load(x + p), first_lanes(pixels - p));
    return sum;
}

static void means(const struct means *s, float *arena, float *logits, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    const size_t windows = (size_t)s->out_height * s->out_width;
    float *y = s->out ? arena + *s->out : logits;
    for (size_t window = 0; window < windows; window++) {
        const size_t i = window / s->out_width, j = window % s->out_width;
        const size_t top = i * s->height / s->out_height, bottom = ((i + 1) * s->height - 1) / s->out_height + 1;
        const size_t left = j * s->width / s->out_width, right = ((j + 1) * s->width - 1) / s->out_width + 1;
        const float pixels = (float)((bottom - top) * (right - left));
        // Lines without gaps are one.
        const int whole = right - left == s->in_pitch;
        const size_t lines = whole ? 1 : bottom - top, length = whole ? (bottom - top) * s->in_pitch : right - left;
        for (size_t c = channels.begin; c < channels.end; c++) {
            const float *x = arena + s->in[c] + top * s->in_pitch + left;
            vector sum = {0};
            for (size_t line = 0; line < lines; line++)
                sum += sum_of_line(x + line * s->in_pitch, length);
            y[c * windows + window] = sum_of_lanes(sum) / pixels;
        }
    }
}
