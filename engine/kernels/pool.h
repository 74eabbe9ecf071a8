// Max pool and average pool, 3x3 with stride 2, and the global average.

ALWAYS_INLINE void pool(const struct pool *s, float *arena, const int maximum)
{
    const size_t out_height = (s->height - 1) / 2 + 1, out_width = (s->width - 1) / 2 + 1;
    for (size_t c = 0; c < s->channels; c++) {
        const float *x = arena + s->in[c];
        float *y = arena + s->out[c];
        for (size_t i = 0; i < out_height; i++, y += out_width) {
            const struct three_rows rows = rows_around(x, 2 * i, s->height, s->in_pitch, s->zero_row);
            for (size_t j = 0; j < out_width; j += VECTOR_FLOATS) {
                const struct edges edges = edges_at(2 * j, s->width);
                const struct three_taps above = taps_of(rows.above + 2 * j, edges);
                const struct three_taps middle = taps_of(rows.middle + 2 * j, edges);
                const struct three_taps below = taps_of(rows.below + 2 * j, edges);
                vector result;
                if (maximum) {
                    const vector left = vector_max(vector_max(above.left, middle.left), below.left);
                    const vector centre = vector_max(vector_max(above.centre, middle.centre), below.centre);
                    const vector right = vector_max(vector_max(above.right, middle.right), below.right);
                    result = vector_max(vector_max(left, centre), right);
                } else {
                    const vector left = above.left + middle.left + below.left;
                    const vector centre = above.centre + middle.centre + below.centre;
                    const vector right = above.right + middle.right + below.right;
                    result = (left + centre + right) * (1.0f / 9);
                }
                store(y + j, keep(result, first_lanes(out_width - j)));
            }
        }
    }
}

static void max_pool(const struct pool *s, float *arena)
{
    pool(s, arena, 1);
}

static void average_pool(const struct pool *s, float *arena)
{
    pool(s, arena, 0);
}

static void global_average(const struct global_average *s, float *arena)
{
    for (size_t c = 0; c < s->channels; c++) {
        const float *x = arena + s->in[c];
        vector sum = {0};
        for (size_t p = 0; p < s->pixels; p += VECTOR_FLOATS)
            sum += keep(load(x + p), first_lanes(s->pixels - p));
        arena[*s->out + c] = sum_of_lanes(sum) / (float)s->pixels;
    }
}
