// Pools of quad rows.

static void int8_max_pool(const struct int8_pool *s, const uint8_t *x, uint8_t *y, struct lines lines,
                          struct share share)
{
    const struct pool words = {s->quads,      s->height,    s->width, s->in_pitch, s->out_pitch, s->padding,
                               s->out_height, s->out_width, s->in,    s->out,      s->zero_row};
    pool(&words, (const float *)x, (float *)y, lines, share, LARGEST_BYTES);
}

// Sums of even and of odd bytes, 16 bits each.
struct byte_sums {
    words even, odd;
};

ALWAYS_INLINE struct byte_sums sums_of_column(struct three_rows rows, size_t column, size_t width)
{
    struct byte_sums sums = {{0}, {0}};
#pragma GCC unroll 3
    for (size_t row = 0; row < 3; row++) {
        const words quads = (words)load_before(rows.of[row], column, width);
        sums.even += quads & 0x00ff00ff;
        sums.odd += (words)((unsigned_words)quads >> 8) & 0x00ff00ff;
    }
    return sums;
}

// The sums of windows whose middle columns are 2j + first of two vectors' columns; right_of_last: of the windows before.
ALWAYS_INLINE words sums_of_windows(words low, words high, vector_mask right_inside, words *right_of_last)
{
    const struct columns_of_windows see = pick_columns((vector)low, (vector)high);
    const words right = (words)in_order((vector)((words)see.right & right_inside));
    const words left = (words)shifted_right((vector)*right_of_last, (vector)right);
    *right_of_last = right;
    return (words)in_order(see.middle) + right + left;
}

static void int8_average_pool(const struct int8_pool *s, const uint8_t *x, uint8_t *y, struct lines lines,
                              struct share share)
{
    const struct range some = {lines.begin, lines.end < s->out_height ? lines.end : s->out_height};
    const struct range quads = range_of(share, s->quads);
    const size_t first = 1 - s->padding, width = s->width;
    for (size_t q = quads.begin; q < quads.end; q++) {
        const float *plane = (const float *)x + s->in[q];
        const float *factor = s->factors + 4 * q, *offset = s->offsets + 4 * q;
        float *row = (float *)y + s->out[q];
        const float *end = row + some.end * s->out_pitch;
        for (size_t i = some.begin; i < some.end; i++) {
            float *line = row + i * s->out_pitch;
            const struct three_rows rows = rows_around(plane, 2 * i + first, s->height, s->in_pitch, s->zero_row);
            struct byte_sums last = {{0}, {0}};
            if (!s->padding) { // to the left of the first window is column 0
                const struct byte_sums column = sums_of_column(rows, 0, width);
                last.even = broadcast_word(column.even[0]);
                last.odd = broadcast_word(column.odd[0]);
            }
            for (size_t j = 0; j < s->out_width; j += VECTOR_FLOATS) {
                const size_t column = 2 * j + first;
                const struct byte_sums low = sums_of_column(rows, column, width),
                                       high = sums_of_column(rows, column + VECTOR_FLOATS, width);
                const vector_mask right_inside = has_right(column, width);
                const words even = sums_of_windows(low.even, high.even, right_inside, &last.even);
                const words odd = sums_of_windows(low.odd, high.odd, right_inside, &last.odd);
                const words sum[4] = {even & 0xffff, odd & 0xffff, even >> 16, odd >> 16};
                words value[4];
#pragma GCC unroll 4
                for (size_t c = 0; c < 4; c++)
                    value[c] = rounded(product_of(float_of(sum[c]), broadcast(factor[c])) + broadcast(offset[c]));
                const words quad = quads_of(value[0], value[1], value[2], value[3]);
                store_before(end, line + j, keep((vector)quad, first_lanes(s->out_width - j)));
            }
            zero_gap(end, line, s->out_width, s->out_pitch);
        }
    }
}

enum { LONGEST_SUM = 512 }; // words whose bytes' sums fit 16 bits

// Adds the sums of each of the four channels over count words, at most LONGEST_SUM.
ALWAYS_INLINE void add_sums_of_channels(const uint8_t *quads, size_t count, int32_t *sum)
{
    words even = {0}, odd = {0};
    for (size_t p = 0; p < count; p += VECTOR_FLOATS) {
        const unsigned_words quad = (unsigned_words)(load_words(quads + 4 * p) & first_lanes(count - p));
        even += (words)(quad & 0x00ff00ff);
        odd += (words)(quad >> 8 & 0x00ff00ff);
    }
    const uint32_t sums[2] = {(uint32_t)sum_of_words(even), (uint32_t)sum_of_words(odd)};
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; c++)
        sum[c] += (int32_t)(sums[c % 2] >> 16 * (c / 2) & 0xffff);
}

// The sums of each of the four channels over a window of a plane.
ALWAYS_INLINE void sums_of_window(const uint8_t *plane, size_t pitch, struct range lines, struct range columns,
                                  int32_t *sum)
{
    const size_t width = columns.end - columns.begin;
    const int whole = width == pitch;
    const size_t rows = whole ? 1 : lines.end - lines.begin, length = whole ? (lines.end - lines.begin) * pitch : width;
    for (size_t row = 0; row < rows; row++)
        for (size_t p = 0; p < length; p += LONGEST_SUM)
            add_sums_of_channels(plane + 4 * ((lines.begin + row) * pitch + columns.begin + p),
                                 length - p < LONGEST_SUM ? length - p : LONGEST_SUM, sum);
}

// The pixels of window number i of count that divide size as evenly as they can.
ALWAYS_INLINE struct range part_of(size_t i, size_t count, size_t size)
{
    const struct range range = {i * size / count, ((i + 1) * size + count - 1) / count};
    return range;
}

static void int8_adaptive_average_pool(const struct int8_adaptive_average_pool *s, uint8_t *arena, float *logits,
                                       struct share share)
{
    const struct range quads = range_of(share, s->quads);
    const size_t windows = (size_t)s->out_height * s->out_width;
    for (size_t i = quads.begin * windows; i < quads.end * windows; i++) {
        const size_t window = i % windows, row = window / s->out_width, column = window % s->out_width;
        const uint8_t *plane = arena + (size_t)4 * s->in[i / windows];
        int32_t sum[4] = {0};
        sums_of_window(plane, s->in_pitch, part_of(row, s->out_height, s->height),
                       part_of(column, s->out_width, s->width), sum);
        for (size_t c = 4 * i; c < 4 * i + 4; c++) {
            const float mean = float_product((float)sum[c % 4], s->factors[c]) + s->offsets[c];
            if (s->out)
                arena[(size_t)4 * *s->out + c] = byte_of_float(mean, 127);
            else if (c < s->logits)
                logits[c] = mean;
        }
    }
}
