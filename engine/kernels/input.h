// The way into a convolution that is not of one size and stride 1: padded planes.

// y[j] = x[j * stride] for count floats.
ALWAYS_INLINE void pick(const float *x, size_t stride, float *y, size_t count)
{
    if (stride == 1) {
        memcpy(y, x, sizeof(float) * count);
        return;
    }
    for (size_t j = 0; j < count; j++)
        y[j] = x[j * stride];
}

// even[j] = x[2 * j] and odd[j] = x[2 * j + 1] for as many floats each.
ALWAYS_INLINE void pick_both(const float *x, float *even, size_t even_count, float *odd, size_t odd_count)
{
    size_t j = 0;
    for (; j + VECTOR_FLOATS <= odd_count && j + VECTOR_FLOATS <= even_count; j += VECTOR_FLOATS) {
        const vector first = load(x + 2 * j), second = load(x + 2 * j + VECTOR_FLOATS);
        store(even + j, in_order(pick_even(first, second)));
        store(odd + j, in_order(pick_odd(first, second)));
    }
    for (size_t i = j; i < even_count; i++)
        even[i] = x[2 * i];
    for (size_t i = j; i < odd_count; i++)
        odd[i] = x[2 * i + 1];
}

// Where the columns phase - padding + j * stride of an input line go: what stands for zero for the first before,
// then the line's from first on for count, then that again.
struct columns {
    size_t before, first, count;
};

static struct columns columns_of(const struct input *s, size_t phase)
{
    const size_t padding = s->padding > phase ? s->padding - phase : 0;
    const size_t zeros = (padding + s->stride - 1) / s->stride, first = zeros * s->stride + phase - s->padding;
    const size_t there = first < s->width ? (s->width - first + s->stride - 1) / s->stride : 0;
    const size_t before = zeros < s->out_pitch ? zeros : s->out_pitch, room = s->out_pitch - before;
    const struct columns columns = {before, first, there < room ? there : room};
    return columns;
}

// Writes one line of a phase's plane, from a line x of the input. end: where the last of the lines to be written ends.
ALWAYS_INLINE void input_line(const struct input *s, const float *x, struct columns c, const float *end, float *line,
                              vector around)
{
    fill_some(end, line, 0, c.before, around);
    pick(x + c.first, s->stride, line + c.before, c.count);
    fill_some(end, line, c.before + c.count, s->out_pitch, around);
}

// Writes the lines of both phases of stride 2; the even one starts with the line's first float.
ALWAYS_INLINE void input_both_lines(const struct input *s, const float *x, struct columns even, const float *even_end,
                                    float *even_line, struct columns odd, const float *odd_end, float *odd_line,
                                    vector around)
{
    fill_some(even_end, even_line, 0, even.before, around);
    fill_some(odd_end, odd_line, 0, odd.before, around);
    pick_both(x, even_line + even.before, even.count, odd_line + odd.before, odd.count);
    fill_some(even_end, even_line, even.before + even.count, s->out_pitch, around);
    fill_some(odd_end, odd_line, odd.before + odd.count, s->out_pitch, around);
}

static void input(const struct input *s, const float *x, float *y, struct lines lines, struct share share)
{
    const struct range rows = shared_lines(share, lines, s->out_height);
    const uint32_t *out = s->out;
    const int both = s->stride == 2 && s->phases == 2;
    struct columns columns[MAX_STRIDE];
    for (size_t phase = 0; phase < s->phases; phase++)
        columns[phase] = columns_of(s, phase);
    const size_t first = columns[0].first; // with both, the number of the even phase
    const struct columns even = columns[both ? first : 0], odd = columns[both ? 1 - first : 0];
    for (size_t c = 0; c < s->channels; c++) {
        const float *plane = x + (s->in ? s->in[c] : c * s->height * s->width);
        const int32_t word = s->around ? s->around[c] : 0;
        const vector around = (vector)(word - (vector_mask){0});
        for (size_t row_phase = 0; row_phase < s->phases; row_phase++, out += s->phases) {
            const float *end = y + rows.end * s->out_pitch;
            for (size_t i = rows.begin; i < rows.end; i++) {
                const size_t row = i * s->stride + row_phase - s->padding; // wraps around above the first
                float *line = y + i * s->out_pitch;
                if (row >= s->height) {
                    for (size_t phase = 0; phase < s->phases; phase++)
                        fill_words(line + out[phase], word, s->out_pitch);
                    continue;
                }
                const float *from = plane + row * s->in_pitch;
                if (both)
                    input_both_lines(s, from, even, end + out[first], line + out[first], odd, end + out[1 - first],
                                     line + out[1 - first], around);
                else
                    for (size_t phase = 0; phase < s->phases; phase++)
                        input_line(s, from, columns[phase], end + out[phase], line + out[phase], around);
            }
        }
    }
}
