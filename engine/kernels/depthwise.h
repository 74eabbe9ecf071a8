// Depthwise 3x3, each channel by itself.

ALWAYS_INLINE void broadcast_taps(const struct depthwise *s, size_t channel, vector *w)
{
#pragma GCC unroll 9
    for (size_t tap = 0; tap < 9; tap++)
        w[tap] = broadcast(s->weights[channel * 9 + tap]);
}

// What lies to the left of the pixels here, at x; before ends with the first of them. Wide vectors would be loaded from two
// cache lines, which takes longer than to shift them.
ALWAYS_INLINE vector left_of(const float *x, vector before, vector here)
{
    return VECTOR_FLOATS == 16 ? shifted(before, here) : load(x - 1);
}

// Of three image rows, the vectors to the left of the next ones: before the first, only the last lane is of use.
ALWAYS_INLINE void begin_rows(struct three_rows rows, size_t first, vector *before)
{
#pragma GCC unroll 3
    for (size_t row = 0; row < 3; row++)
        before[row] = broadcast(rows.of[row][(ptrdiff_t)first - 1]);
}

// The windows around the pixels of the middle row from first on. What wraps around at the left and right edge is masked.
ALWAYS_INLINE vector stride1_windows(const vector *w, vector bias, struct three_rows rows, size_t first, vector *before,
                                     const int32_t *left_masks, const int32_t *right_masks)
{
    vector left = {0}, centre = bias, right = {0};
#pragma GCC unroll 3
    for (size_t row = 0; row < 3; row++) {
        const float *pixels = rows.of[row] + first;
        const vector here = load(pixels);
        left += w[3 * row] * left_of(pixels, before[row], here);
        centre += w[3 * row + 1] * here;
        right += w[3 * row + 2] * load(pixels + 1);
        before[row] = here;
    }
    return centre + keep(left, load_mask(left_masks)) + keep(right, load_mask(right_masks));
}

// Stride 1, over the plane as one long row of pixels: zeros stand before and behind the plane, and between its lines if
// there is room.
ALWAYS_INLINE void depthwise_stride1(const struct depthwise *s, const float *x, float *y, struct share share, const int relu,
                                     const int gaps)
{
    const size_t pixels = (size_t)(s->height - 1) * s->in_pitch + s->width, pitch = s->in_pitch;
    const size_t vectors = (pixels + VECTOR_FLOATS - 1) / VECTOR_FLOATS;
    // By pixels, as the convolutions around it are shared, so that a thread finds what it has written itself.
    const int by_pixels = vectors >= (size_t)SHARED_VECTORS * share.parts;
    const struct range channels = by_pixels ? (struct range){0, s->channels} : range_of(share, s->channels);
    const struct range part = by_pixels ? range_of(share, vectors) : (struct range){0, vectors};
    const size_t end = part.end * VECTOR_FLOATS < pixels ? part.end * VECTOR_FLOATS : pixels;
    const int32_t *left_masks = s->masks, *right_masks = left_masks + s->period * VECTOR_FLOATS;
    const int32_t *inside_masks = right_masks + s->period * VECTOR_FLOATS;
    const vector least = broadcast(s->least);
    for (size_t c = channels.begin; c < channels.end; c++) {
        const float *plane = x + s->in[c];
        float *out = y + s->out[c];
        vector w[9];
        broadcast_taps(s, c, w);
        const vector bias = broadcast(s->bias[c]);
        size_t phase = part.begin % s->period * VECTOR_FLOATS;
        const struct three_rows rows = {.of = {plane - pitch, plane, plane + pitch}};
        vector before[3];
        begin_rows(rows, part.begin * VECTOR_FLOATS, before);
        for (size_t p = part.begin * VECTOR_FLOATS; p < end; p += VECTOR_FLOATS) {
            vector sum = stride1_windows(w, bias, rows, p, before, left_masks + phase, right_masks + phase);
            if (relu)
                sum = vector_max(least, sum);
            if (gaps)
                sum = keep(sum, load_mask(inside_masks + phase));
            if (pixels - p < VECTOR_FLOATS)
                sum = keep(sum, first_lanes(pixels - p));
            store(out + p, sum);
            phase += VECTOR_FLOATS;
            if (phase == s->period * VECTOR_FLOATS)
                phase = 0;
        }
    }
}

// Stride 1, line by line: a window of a plane has no zeros above and below. Lines are whole vectors.
static void depthwise_stride1_lines(const struct depthwise *s, const float *x, float *y, struct lines lines)
{
    const int32_t *left_masks = s->masks, *right_masks = left_masks + s->in_pitch, *inside_masks = right_masks + s->in_pitch;
    const vector least = broadcast(s->least);
    for (size_t c = 0; c < s->channels; c++) {
        vector w[9];
        broadcast_taps(s, c, w);
        const vector bias = broadcast(s->bias[c]);
        for (size_t i = lines.begin; i < lines.end && i < s->height; i++) {
            float *line = y + s->out[c] + i * s->out_pitch;
            const struct three_rows rows = rows_around(x + s->in[c], i, s->height, s->in_pitch, s->zero_row);
            vector before[3];
            begin_rows(rows, 0, before);
            for (size_t j = 0; j < s->in_pitch; j += VECTOR_FLOATS) {
                const vector sum = stride1_windows(w, bias, rows, j, before, left_masks + j, right_masks + j);
                store(line + j, keep(vector_max(least, sum), load_mask(inside_masks + j)));
            }
        }
    }
}

static void depthwise_stride2(const struct depthwise *s, const float *x, float *y, struct lines lines, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    const size_t out_height = (s->height - 1) / 2 + 1, out_width = (s->width - 1) / 2 + 1;
    const size_t last = (lines.end < out_height ? lines.end : out_height) - 1;
    const vector least = broadcast(s->least);
    for (size_t c = channels.begin; c < channels.end; c++) {
        const float *plane = x + s->in[c], *end = y + s->out[c] + last * s->out_pitch + s->out_pitch;
        vector w[9];
        broadcast_taps(s, c, w);
        const float bias = s->bias[c];
        for (size_t i = lines.begin; i <= last; i++) {
            float *line = y + s->out[c] + i * s->out_pitch;
            const struct three_rows rows = rows_around(plane, 2 * i, s->height, s->in_pitch, s->zero_row);
            vector last_left = {0};
            for (size_t j = 0; j < out_width; j += VECTOR_FLOATS) {
                vector left = {0}, centre = {0}, right = {0};
                const int second = 2 * j + VECTOR_FLOATS < s->width;
#pragma GCC unroll 3
                for (size_t row = 0; row < 3; row++) {
                    const float *pixels = rows.of[row] + 2 * j;
                    const struct columns_of_windows see =
                        pick_columns(load(pixels), second ? load(pixels + VECTOR_FLOATS) : (vector){0});
                    left += w[3 * row] * see.right;
                    centre += w[3 * row + 1] * see.middle;
                    right += w[3 * row + 2] * see.right;
                }
                left = in_order(left);
                vector sum = in_order(centre + keep(right, has_right(2 * j, s->width)));
                sum = vector_max(least, bias + sum + shifted(last_left, left));
                last_left = left;
                store_before(end, line + j, keep(sum, first_lanes(out_width - j)));
            }
            zero_gap(end, line, out_width, s->out_pitch);
        }
    }
}

static void depthwise(const struct depthwise *s, const float *x, float *y, struct lines lines, struct share share)
{
    const int relu = s->least == 0, gaps = s->in_pitch > s->width;
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
