// Max pool and average pool, 3x3 with stride 2, and the global average.

ALWAYS_INLINE vector pooled(vector a, vector b, const int maximum)
{
    if (maximum)
        return vector_max(a, b);
    return a + b;
}

// Columns first: three rows become one, of which every window takes three floats.
ALWAYS_INLINE struct span pool_columns(struct span a, struct span b, struct span c, const int maximum)
{
    const struct span span = {
        pooled(pooled(a.a, b.a, maximum), c.a, maximum),
        pooled(pooled(a.b, b.b, maximum), c.b, maximum),
        pooled(pooled(a.c, b.c, maximum), c.c, maximum),
        pooled(pooled(a.d, b.d, maximum), c.d, maximum),
    };
    return span;
}

ALWAYS_INLINE void pool(const struct pool *s, float *arena, struct share share, const int maximum)
{
    const struct range channels = range_of(share, s->channels);
    const size_t out_height = (s->height - 1) / 2 + 1, out_width = (s->width - 1) / 2 + 1;
    for (size_t c = channels.begin; c < channels.end; c++) {
        const float *x = arena + s->in[c];
        float *y = arena + s->out[c];
        for (size_t i = 0; i < out_height; i++, y += out_width) {
            const struct three_rows rows = rows_around(x, 2 * i, s->height, s->in_pitch, s->zero_row);
            for (size_t j = 0; j < out_width; j += VECTOR_FLOATS) {
                const struct span columns = pool_columns(span_at(rows.above + 2 * j), span_at(rows.middle + 2 * j),
                                                         span_at(rows.below + 2 * j), maximum);
                const struct taps taps = taps_of(columns, edges_at(2 * j, s->width));
                const vector window = pooled(pooled(taps.left, taps.centre, maximum), taps.right, maximum);
                const vector result = in_order(window) * (maximum ? 1.0f : 1.0f / 9);
                store(y + j, keep(result, first_lanes(out_width - j)));
            }
        }
    }
}

static void max_pool(const struct pool *s, float *arena, struct share share)
{
    pool(s, arena, share, 1);
}

static void average_pool(const struct pool *s, float *arena, struct share share)
{
    pool(s, arena, share, 0);
}

static void global_average(const struct global_average *s, float *arena, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    for (size_t c = channels.begin; c < channels.end; c++) {
        const float *x = arena + s->in[c];
        vector sum = {0};
        for (size_t p = 0; p < s->pixels; p += VECTOR_FLOATS)
            sum += keep(load(x + p), first_lanes(s->pixels - p));
        arena[*s->out + c] = sum_of_lanes(sum) / (float)s->pixels;
    }
}
