// Depthwise 3x3 of 8-bit values: byte rows to quad rows. A window's line of taps is one dot product.

// The channels of a quad: their weights, and where their rows start.
struct four_channels {
    const struct int8_channel *channel;
    const uint8_t *row[4];
};

// The quads of VECTOR_FLOATS windows, whose lines begin offset bytes behind the rows' starts; instead: a line to read in place of
// one that is not there, with stride 2.
ALWAYS_INLINE words depthwise_quads(const struct four_channels *s, const int stride, const ptrdiff_t *offset,
                                    const uint8_t *const *instead, words mask)
{
    words value[4];
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; c++) {
        words sum = broadcast_word(s->channel[c].bias);
#pragma GCC unroll 3
        for (size_t line = 0; line < 3; line++) {
            const uint8_t *from = stride == 2 && instead[line] ? instead[line] : s->row[c] + offset[line];
            const words seen = stride == 1 ? masked_windows(from, mask) : masked_windows_of_stride_2(from, mask);
            sum = dot(sum, seen, broadcast_word(s->channel[c].taps[line]));
        }
        const vector product = product_of(float_of(sum), broadcast(s->channel[c].factor));
        value[c] = rounded(product + broadcast(s->channel[c].offset));
    }
    return quads_of(value[0], value[1], value[2], value[3]);
}

ALWAYS_INLINE struct four_channels four_channels_of(const struct int8_depthwise *s, size_t quad, const uint8_t *x)
{
    struct four_channels four = {.channel = s->channels + 4 * quad};
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; c++)
        four.row[c] = x + (size_t)4 * s->in[4 * quad + c];
    return four;
}

// Stride 1, over the plane as one long row of pixels.
static void int8_depthwise_stride1(const struct int8_depthwise *s, const uint8_t *x, uint8_t *y, struct lines lines,
                                   struct share share)
{
    const ptrdiff_t pitch = (ptrdiff_t)s->in_pitch;
    const size_t plane = (size_t)(s->height - 1) * s->in_pitch + s->width;
    const struct range all = pixels_in_lines(lines, s->in_pitch, plane);
    const size_t vectors = (all.end - all.begin + VECTOR_FLOATS - 1) / VECTOR_FLOATS;
    const int by_pixels = vectors >= (size_t)SHARED_VECTORS * share.parts;
    const struct range quads = by_pixels ? (struct range){0, s->quads} : range_of(share, s->quads);
    const struct range some = by_pixels ? pixels_in(all, range_of(share, vectors)) : all;
    const size_t period = (size_t)s->period * VECTOR_FLOATS;
    const int gaps = s->in_pitch > s->width;
    for (size_t q = quads.begin; q < quads.end; q++) {
        const struct four_channels four = four_channels_of(s, q, x);
        uint8_t *row = y + (size_t)4 * s->out[q];
        size_t phase = some.begin % period;
        for (size_t p = some.begin; p < some.end; p += VECTOR_FLOATS) {
            const words mask = load_words(s->masks + phase);
            const ptrdiff_t at = (ptrdiff_t)p - 1, offset[3] = {at - pitch, at, at + pitch};
            words quad = depthwise_quads(&four, 1, offset, NULL, mask);
            if (gaps)
                quad &= mask != 0;
            if (plane - p < VECTOR_FLOATS)
                quad &= first_lanes(plane - p);
            store_words(row + 4 * p, quad);
            phase = phase + VECTOR_FLOATS < period ? phase + VECTOR_FLOATS : 0;
        }
    }
}

// Stride 2, line by line.
static void int8_depthwise_stride2(const struct int8_depthwise *s, const uint8_t *x, uint8_t *y, struct lines lines,
                                   struct share share)
{
    const size_t out_height = (s->height - 1) / 2 + 1, out_width = (s->width - 1) / 2 + 1;
    const struct range some = {lines.begin, lines.end < out_height ? lines.end : out_height};
    const struct range quads = range_of(share, s->quads);
    for (size_t q = quads.begin; q < quads.end; q++) {
        const struct four_channels four = four_channels_of(s, q, x);
        float *row = (float *)(y + (size_t)4 * s->out[q]);
        const float *end = row + some.end * s->out_pitch;
        for (size_t i = some.begin; i < some.end; i++) {
            float *line = row + i * s->out_pitch;
            for (size_t j = 0; j < out_width; j += VECTOR_FLOATS) {
                const uint8_t *zeros = s->zero_line;
                const uint8_t *instead[3] = {i > 0 ? NULL : zeros, NULL, 2 * i + 1 < s->height ? NULL : zeros};
                const ptrdiff_t at = (ptrdiff_t)(2 * i * s->in_pitch + 2 * j) - 1, pitch = (ptrdiff_t)s->in_pitch;
                const ptrdiff_t offset[3] = {at - pitch, at, at + pitch};
                const words mask = load_words(s->masks + j);
                store_before(end, line + j, (vector)(depthwise_quads(&four, 2, offset, instead, mask) & (mask != 0)));
            }
            zero_gap(end, line, out_width, s->out_pitch);
        }
    }
}

static void int8_depthwise(const struct int8_depthwise *s, const uint8_t *x, uint8_t *y, struct lines lines,
                           struct share share)
{
    if (s->stride == 1)
        int8_depthwise_stride1(s, x, y, lines, share);
    else
        int8_depthwise_stride2(s, x, y, lines, share);
}
