// Max pool and average pool, 3x3 with stride 2, and the adaptive average pool.

static void max_pool(const struct pool *s, const float *x, float *y, struct lines lines, struct share share)
{
    if (!pool(s, x, y, lines, share, LARGEST_NUMBER))
        pool(s, x, y, lines, share, LARGEST);
}

static void average_pool(const struct pool *s, const float *x, float *y, struct lines lines, struct share share)
{
    pool(s, x, y, lines, share, SUM);
}

ALWAYS_INLINE vector sum_of_line(const float *x, size_t pixels)
{
    const size_t whole = pixels / VECTOR_FLOATS * VECTOR_FLOATS;
    vector sum = keep(load(x + whole), first_lanes(pixels - whole));
    for (size_t p = 0; p < whole; p += VECTOR_FLOATS)
        sum += load(x + p);
    return sum;
}

static void adaptive_average_pool(const struct adaptive_average_pool *s, float *arena, float *logits,
                                  struct share share)
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
