// Depthwise convolutions of 8-bit values: byte rows to quad rows. A window's line of taps is a dot product for each four of them.

enum { MAX_WORDS_OF_LINE = (MAX_INT8_KERNEL_SIZE + 3) / 4 };

// The channels of a quad: their weights and constants, and where their rows start.
struct four_channels {
    const int32_t *taps, *bias;
    const struct int8_output *output;
    const uint8_t *row[4];
};

// What is the same for all vectors of a kernel that the compiler makes: size of the window, stride, and whether there is anything
// but zeros beyond the edges.
struct window {
    size_t size;
    int stride, has_around;
};

// Activations other than a ReLU.
static __attribute__((noinline)) vector finished_by(vector t, const struct int8_output *output, uint32_t activation)
{
    vector value = t;
#define FINISH(t, output, activation)                                                                                  \
    value = finished(t, broadcast((output)->gain), broadcast((output)->zero), activation)
    WITH_ACTIVATION(activation, FINISH, t, output)
#undef FINISH
    return value;
}

// The quads of VECTOR_FLOATS windows, whose lines begin offset bytes behind the rows' starts; instead: a line to read in place of
// one that is not there, with stride 2. masks: for each word of a line.
ALWAYS_INLINE words depthwise_quads(const struct four_channels *s, const struct window window, const ptrdiff_t *offset,
                                    const uint8_t *const *instead, const words *masks, const words *beyond,
                                    uint32_t activation)
{
    const size_t count = (window.size + 3) / 4;
    words value[4];
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; c++) {
        const int32_t *taps = s->taps + c * window.size * count;
        words sum = broadcast_word(s->bias[c]);
#pragma GCC unroll 5
        for (size_t line = 0; line < window.size; line++) {
            const uint8_t *from = window.stride == 2 && instead[line] ? instead[line] : s->row[c] + offset[line];
#pragma GCC unroll 2
            for (size_t i = 0; i < count; i++) {
                words seen = window.stride == 1 ? masked_windows(from + 4 * i, masks[i])
                                                : masked_windows_of_stride_2(from + 4 * i, masks[i]);
                if (window.has_around)
                    seen |= beyond[i];
                sum = dot(sum, seen, broadcast_word(taps[line * count + i]));
            }
        }
        const struct int8_output *output = s->output + c;
        vector t = product_of(float_of(sum), broadcast(output->factor)) + broadcast(output->offset);
        if (activation > PLAN_RELU)
            t = finished_by(t, output, activation);
        value[c] = rounded(t);
    }
    return quads_of(value[0], value[1], value[2], value[3]);
}

ALWAYS_INLINE struct four_channels four_channels_of(const struct int8_depthwise *s, size_t quad, const uint8_t *x)
{
    struct four_channels four = {
        .taps = s->taps + 4 * quad * s->kernel_size * words_of_line(s->kernel_size),
        .bias = s->bias + 4 * quad,
        .output = s->outputs + 4 * quad,
    };
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; c++)
        four.row[c] = x + (size_t)4 * s->in[4 * quad + c];
    return four;
}

// The masks of a vector of windows from number p of the pattern on, and what windows see beyond the edges.
ALWAYS_INLINE void load_masks(const struct int8_depthwise *s, const struct window window, size_t p, words *masks,
                              words *beyond)
{
    const size_t count = (window.size + 3) / 4;
#pragma GCC unroll 2
    for (size_t i = 0; i < count; i++) {
        masks[i] = load_words(s->masks + p * count + i * VECTOR_FLOATS);
        beyond[i] = ~masks[i] & broadcast_word((int32_t)(s->around * 0x01010101));
    }
}

// Stride 1, over the plane as one long row of pixels.
ALWAYS_INLINE void int8_depthwise_stride1(const struct int8_depthwise *s, const struct window window, const uint8_t *x,
                                          uint8_t *y, struct lines lines, struct share share)
{
    const ptrdiff_t pitch = (ptrdiff_t)s->in_pitch, padding = (ptrdiff_t)window.size / 2;
    const size_t plane = (size_t)(s->height - 1) * s->in_pitch + s->width;
    const struct range all = pixels_in_lines(lines, s->in_pitch, plane);
    const struct part part = part_of_rows(s->quads, all, share);
    const struct range some = part.pixels;
    const size_t period = (size_t)s->period * VECTOR_FLOATS;
    const int gaps = s->in_pitch > s->width;
    for (size_t q = part.rows.begin; q < part.rows.end; q++) {
        const struct four_channels four = four_channels_of(s, q, x);
        uint8_t *row = y + (size_t)4 * s->out[q];
        size_t phase = some.begin % period;
        for (size_t p = some.begin; p < some.end; p += VECTOR_FLOATS) {
            words masks[MAX_WORDS_OF_LINE], beyond[MAX_WORDS_OF_LINE];
            load_masks(s, window, phase, masks, beyond);
            ptrdiff_t offset[MAX_INT8_KERNEL_SIZE];
#pragma GCC unroll 5
            for (size_t line = 0; line < window.size; line++)
                offset[line] = (ptrdiff_t)p - padding + ((ptrdiff_t)line - padding) * pitch;
            words quad = depthwise_quads(&four, window, offset, NULL, masks, beyond, s->activation);
            if (gaps)
                quad &= masks[0] != 0;
            if (plane - p < VECTOR_FLOATS)
                quad &= first_lanes(plane - p);
            store_words(row + 4 * p, quad);
            phase = phase + VECTOR_FLOATS < period ? phase + VECTOR_FLOATS : 0;
        }
    }
}

// Stride 2, line by line.
ALWAYS_INLINE void int8_depthwise_stride2(const struct int8_depthwise *s, const struct window window, const uint8_t *x,
                                          uint8_t *y, struct lines lines, struct share share)
{
    const size_t out_height = (s->height - 1) / 2 + 1, out_width = (s->width - 1) / 2 + 1;
    const struct range some = {lines.begin, lines.end < out_height ? lines.end : out_height};
    const struct range quads = range_of(share, s->quads);
    const ptrdiff_t padding = (ptrdiff_t)window.size / 2;
    for (size_t q = quads.begin; q < quads.end; q++) {
        const struct four_channels four = four_channels_of(s, q, x);
        float *row = (float *)(y + (size_t)4 * s->out[q]);
        const float *end = row + some.end * s->out_pitch;
        for (size_t i = some.begin; i < some.end; i++) {
            float *line = row + i * s->out_pitch;
            for (size_t j = 0; j < out_width; j += VECTOR_FLOATS) {
                const uint8_t *instead[MAX_INT8_KERNEL_SIZE];
                ptrdiff_t offset[MAX_INT8_KERNEL_SIZE];
#pragma GCC unroll 5
                for (size_t tap = 0; tap < window.size; tap++) {
                    const ptrdiff_t at = (ptrdiff_t)(2 * i + tap) - padding;
                    instead[tap] = at < 0 || at >= (ptrdiff_t)s->height ? s->around_line : NULL;
                    offset[tap] = at * (ptrdiff_t)s->in_pitch + (ptrdiff_t)(2 * j) - padding;
                }
                words masks[MAX_WORDS_OF_LINE], beyond[MAX_WORDS_OF_LINE];
                load_masks(s, window, j, masks, beyond);
                const words quad = depthwise_quads(&four, window, offset, instead, masks, beyond, s->activation);
                store_before(end, line + j, (vector)(quad & (masks[0] != 0)));
            }
            zero_gap(end, line, out_width, s->out_pitch);
        }
    }
}

// Each a kernel of its own: the compiler knows its window.
#define DEFINE_DEPTHWISE(size, stride, around)                                                                         \
    static void int8_depthwise_##size##_##stride##_##around(const struct int8_depthwise *s, const uint8_t *x,          \
                                                            uint8_t *y, struct lines lines, struct share share)        \
    {                                                                                                                  \
        int8_depthwise_stride##stride(s, (struct window){size, stride, around}, x, y, lines, share);                   \
    }
DEFINE_DEPTHWISE(3, 1, 0)
DEFINE_DEPTHWISE(3, 1, 1)
DEFINE_DEPTHWISE(3, 2, 0)
DEFINE_DEPTHWISE(3, 2, 1)
DEFINE_DEPTHWISE(5, 1, 0)
DEFINE_DEPTHWISE(5, 1, 1)
DEFINE_DEPTHWISE(5, 2, 0)
DEFINE_DEPTHWISE(5, 2, 1)

static void int8_depthwise(const struct int8_depthwise *s, const uint8_t *x, uint8_t *y, struct lines lines,
                           struct share share)
{
    typedef void kernel(const struct int8_depthwise *, const uint8_t *, uint8_t *, struct lines, struct share);
    static kernel *const kernels[2][2][2] = {
        {{int8_depthwise_3_1_0, int8_depthwise_3_1_1}, {int8_depthwise_3_2_0, int8_depthwise_3_2_1}},
        {{int8_depthwise_5_1_0, int8_depthwise_5_1_1}, {int8_depthwise_5_2_0, int8_depthwise_5_2_1}},
    };
    kernels[s->kernel_size == 5][s->stride == 2][s->around > 0](s, x, y, lines, share);
}
