// The first convolution, 3x3 with stride 2 and padding 1, straight from the picture: what INPUT would lay out for the
// microkernel is picked into registers. It takes many of them, of sixteen floats.
#ifdef STEM_ROWS

enum { STEM_VECTORS = 2 };

// The three taps of nv vectors of outputs' windows in one line x of the picture. The left neighbour of a line's first pixel is 0.
ALWAYS_INLINE void pick_taps(size_t nv, const float *x, int has_left, vector (*tap)[STEM_VECTORS])
{
    vector before = has_left ? broadcast(x[-1]) : (vector){0};
#pragma GCC unroll 2
    for (size_t v = 0; v < nv; v++) {
        const vector low = load(x + 2 * v * VECTOR_FLOATS), high = load(x + (2 * v + 1) * VECTOR_FLOATS);
        tap[1][v] = pick_even(low, high);
        tap[2][v] = pick_odd(low, high);
        tap[0][v] = shifted_right(before, tap[2][v]);
        before = tap[2][v];
    }
}

// Adds the products of three taps to sum[m][v], for outputs first to end of mr.
ALWAYS_INLINE void add_taps(size_t mr, size_t first, size_t end, size_t nv, vector (*tap)[STEM_VECTORS],
                            const float *packed, vector (*sum)[STEM_VECTORS])
{
#pragma GCC unroll 3
    for (size_t t = 0; t < 3; t++)
#pragma GCC unroll 12
        for (size_t m = first; m < end; m++) {
            const vector weight = broadcast(packed[t * mr + m]);
#pragma GCC unroll 2
            for (size_t v = 0; v < nv; v++)
                sum[m][v] = multiply_add(sum[m][v], weight, tap[t][v]);
        }
}

// Computes mr outputs by nv vectors of one line, from column on. rows: the three lines around it of each channel, which have all
// floats from first on that the vectors read.
ALWAYS_INLINE void stem_tile(const size_t mr, const size_t nv, const struct convolution *s, const float *packed,
                             const float *const *rows, size_t first, const uint32_t *out, float *y, size_t column,
                             vector_mask inside)
{
    vector sum[STEM_ROWS][STEM_VECTORS], tap[3][STEM_VECTORS];
#pragma GCC unroll 12
    for (size_t m = 0; m < mr; m++)
#pragma GCC unroll 2
        for (size_t v = 0; v < nv; v++)
            sum[m][v] = broadcast(packed[m]);
    packed += mr;
    const size_t last = s->k / 3 - 1;
    for (size_t row = 0; row < last; row++, packed += 3 * mr) {
        pick_taps(nv, rows[row] + first, column > 0, tap);
        add_taps(mr, 0, mr, nv, tap, packed, sum);
    }
    // The last ones by few outputs, as in tile.h.
    const vector lower_bound = broadcast(s->lower_bound);
    pick_taps(nv, rows[last] + first, column > 0, tap);
#pragma GCC unroll 12
    for (size_t begin = 0; begin < mr; begin += OUTPUTS_AT_ONCE) {
        add_taps(mr, begin, begin + OUTPUTS_AT_ONCE, nv, tap, packed, sum);
#pragma GCC unroll 2
        for (size_t m = begin; m < begin + OUTPUTS_AT_ONCE; m++)
            write_output(nv, y + out[m] + column, NULL, sum[m], lower_bound, inside);
    }
}

typedef void stem_function(const struct convolution *s, const float *packed, const float *const *rows, size_t first,
                           const uint32_t *out, float *y, size_t column, vector_mask inside);

#define DEFINE_STEM(mr, nv)                                                                                            \
    static void stem_##mr##x##nv(const struct convolution *s, const float *packed, const float *const *rows,           \
                                 size_t first, const uint32_t *out, float *y, size_t column, vector_mask inside)       \
    {                                                                                                                  \
        stem_tile(mr, nv, s, packed, rows, first, out, y, column, inside);                                             \
    }
DEFINE_STEM(4, 1)
DEFINE_STEM(4, 2)
DEFINE_STEM(8, 1)
DEFINE_STEM(8, 2)
DEFINE_STEM(12, 1)
DEFINE_STEM(12, 2)
static stem_function *const stem_functions[][STEM_VECTORS] = {
    {stem_4x1, stem_4x2}, {stem_8x1, stem_8x2}, {stem_12x1, stem_12x2}};

// The picture's lines around output line i, three of each channel; zeros where it has none.
static void stem_rows(const struct convolution *s, const float *picture, size_t i, const float **rows)
{
    const size_t height = s->picture_height, width = s->picture_width;
    for (size_t c = 0; c < s->k / 9; c++, picture += height * width, rows += 3) {
        rows[0] = i > 0 ? picture + (2 * i - 1) * width : s->zero_row;
        rows[1] = picture + 2 * i * width;
        rows[2] = 2 * i + 1 < height ? rows[1] + width : s->zero_row;
    }
}

static void stem(const struct convolution *s, const float *picture, float *y, struct lines lines)
{
    enum { ROWS = 3 * MAX_STEM_CHANNELS, MOST_SEEN = 2 * STEM_VECTORS * VECTOR_FLOATS };
    const size_t width = s->picture_width, out_width = (width - 1) / 2 + 1;
    for (size_t i = lines.begin; i < lines.end; i++) {
        float *line = y + i * s->pitch, ends[ROWS][1 + MOST_SEEN];
        const float *rows[ROWS];
        stem_rows(s, picture, i, rows);
        size_t column = 0;
        for (size_t nv; column < out_width; column += nv * VECTOR_FLOATS) {
            nv = out_width - column > VECTOR_FLOATS ? STEM_VECTORS : 1;
            size_t first = 2 * column;
            if (first + 2 * nv * VECTOR_FLOATS > width) { // they would see what lies behind the line
                const size_t left = column > 0;
                memset(ends, 0, sizeof ends);
                for (size_t row = 0; row < s->k / 3; row++) {
                    memcpy(ends[row] + 1 - left, rows[row] + first - left, sizeof(float) * (left + width - first));
                    rows[row] = ends[row];
                }
                first = 1;
            }
            const vector_mask inside = first_lanes(out_width - column - (nv - 1) * VECTOR_FLOATS);
            const float *packed = s->packed;
            for (const struct tile_run *run = s->tiles; run->mr; run++)
                for (size_t tile = 0; tile < run->count; tile++, packed += run->mr * (1 + s->k))
                    stem_functions[run->mr / 4 - 1][nv - 1](s, packed, rows, first, s->out + run->row + tile * run->mr,
                                                            line, column, inside);
        }
        for (size_t m = 0; needs_pass(s->activation) && m < s->m; m++)
            activate_pixels(s->activation, line + s->out[m], 0, out_width, out_width, out_width);
        for (; column < s->pitch; column += VECTOR_FLOATS)
            for (size_t m = 0; m < s->m; m++)
                store(line + s->out[m] + column, (vector){0});
    }
}
#endif
