// Pools with windows of any size. A line of the output gathers its windows' pixels tap by tap: each tap is a run of the
// input's pixels, which the compiler turns into vectors.

// The outputs of a line that find a pixel inside at a tap, which is column tap of their windows.
static struct range outputs_at_tap(const struct window_pool *s, size_t tap)
{
    const size_t before = s->padding > tap ? s->padding - tap : 0, end = s->width + s->padding;
    const size_t first = (before + s->stride - 1) / s->stride;
    const size_t past = tap < end ? (end - tap + s->stride - 1) / s->stride : 0;
    const struct range outputs = {first, past < s->out_width ? past : s->out_width};
    return outputs;
}

// The pixels of a window that count, among those of a line, or the lines of a column.
static size_t counted(const struct window_pool *s, size_t window, size_t size)
{
    const size_t around = s->pooling == PLAN_AVERAGE_WITH_PADDING ? s->padding : 0, start = window * s->stride;
    const size_t first = s->padding - around, end = size + s->padding + around; // both counted from the padding's start
    const size_t begin = start > first ? start : first, past = start + s->kernel_size;
    return (past < end ? past : end) - begin;
}

// Adds a line of the input to the windows of a line of the output.
ALWAYS_INLINE void gather_line(const struct window_pool *s, const float *restrict x, float *restrict y, size_t stride)
{
    for (size_t tap = 0; tap < s->kernel_size; tap++) {
        const struct range outputs = outputs_at_tap(s, tap);
        const float *from = x + (outputs.begin * stride + tap - s->padding);
        const size_t count = outputs.begin < outputs.end ? outputs.end - outputs.begin : 0;
        float *to = y + outputs.begin;
        if (s->pooling == PLAN_MAXIMUM) {
            for (size_t j = 0; j < count; j++) {
                const float pixel = from[j * stride];
                to[j] = pixel > to[j] || pixel != pixel ? pixel : to[j]; // not a number stays
            }
        } else {
            for (size_t j = 0; j < count; j++)
                to[j] += from[j * stride];
        }
    }
}

static void window_pool(const struct window_pool *s, float *arena, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    const float start = s->pooling == PLAN_MAXIMUM ? -__builtin_inff() : 0;
    for (size_t c = channels.begin; c < channels.end; c++) {
        for (size_t i = 0; i < s->out_height; i++) {
            float *line = arena + s->out[c] + i * s->out_pitch;
            for (size_t j = 0; j < s->out_pitch; j++)
                line[j] = j < s->out_width ? start : 0;
            for (size_t tap = 0; tap < s->kernel_size; tap++) {
                const size_t row = i * s->stride + tap - s->padding; // wraps around above the first
                if (row >= s->height)
                    continue;
                const float *x = arena + s->in[c] + row * s->in_pitch;
                if (s->stride == 1)
                    gather_line(s, x, line, 1);
                else if (s->stride == 2)
                    gather_line(s, x, line, 2);
                else
                    gather_line(s, x, line, s->stride);
            }
            const size_t lines = counted(s, i, s->height);
            for (size_t j = 0; s->pooling != PLAN_MAXIMUM && j < s->out_width; j++)
                line[j] /= (float)(lines * counted(s, j, s->width));
        }
    }
}
