// Pools of 3x3 windows with stride 2: a vector of windows from three lines.

ALWAYS_INLINE int is_number(float value)
{
    return value == value;
}

enum pooling { SUM, LARGEST, LARGEST_NUMBER, LARGEST_BYTES };

ALWAYS_INLINE vector pooled(vector a, vector b, const enum pooling kind)
{
    if (kind == SUM)
        return a + b;
#ifdef SHUFFLENET_WORDS_H
    if (kind == LARGEST_BYTES)
        return (vector)larger_bytes((words)a, (words)b);
#endif
    if (kind == LARGEST_NUMBER) // not a number if b is none
        return vector_max(a, b);
    return (vector)((vector_mask)vector_max(a, b) | (vector_mask)(a != a));
}

// Three lines become one, of which every window takes three floats. all: becomes not a number where one of them is none, be
// it behind a line, where no window looks.
ALWAYS_INLINE vector pool_lines(vector above, vector at, vector below, const enum pooling kind, vector *all)
{
    if (kind == LARGEST_NUMBER)
        *all += above + at + below;
    return pooled(pooled(above, at, kind), below, kind);
}

ALWAYS_INLINE vector pool_rows(struct three_rows rows, size_t column, const enum pooling kind, vector *all)
{
    return pool_lines(load(rows.of[0] + column), load(rows.of[1] + column), load(rows.of[2] + column), kind, all);
}

// To the left of a line's first window is padding, or column 0.
ALWAYS_INLINE vector left_of_windows(const struct pool *s, struct three_rows rows, const enum pooling kind, vector *all)
{
    return s->padding ? (vector){0} : first_lane(pool_rows(rows, 0, kind, all));
}

// Pools a vector of windows from what three lines became. right_inside: NULL if all their right columns are inside. last_right:
// the right columns of the windows before, and then of these.
ALWAYS_INLINE vector pool_columns(struct columns_of_windows see, const vector_mask *right_inside, vector *last_right,
                                  const enum pooling kind)
{
    const vector right = in_order(right_inside ? keep(see.right, *right_inside) : see.right);
    const vector window = pooled(pooled(in_order(see.middle), right, kind), shifted_right(*last_right, right), kind);
    *last_right = right;
    return kind == SUM ? window * (1.0f / 9) : window;
}

// Pools where the windows of a line are one vector. The lines that windows below one another share stay in registers. This and
// pool_wide return 0 if a kind that takes numbers only found something else.
ALWAYS_INLINE int pool_narrow(const struct pool *s, const float *x, float *y, struct range lines, struct range channels,
                              const enum pooling kind)
{
    const size_t first = 1 - s->padding, height = s->height, width = s->width,
                 out_width = s->out_width; // first middle column
    const size_t second = first + VECTOR_FLOATS;
    const vector_mask right_inside = has_right(first, width), inside = first_lanes(out_width);
    vector all = {0};
    for (size_t c = channels.begin; c < channels.end; c++) {
        const float *plane = x + s->in[c];
        float *line = y + s->out[c] + lines.begin * s->out_pitch, *end = y + s->out[c] + lines.end * s->out_pitch;
        struct three_rows rows = rows_around(plane, 2 * lines.begin + first, height, s->in_pitch, s->zero_row);
        vector above[2] = {load_once(rows.of[0] + first), load_before(rows.of[0], second, width)};
        for (size_t i = lines.begin; i < lines.end; i++, line += s->out_pitch) {
            rows = rows_around(plane, 2 * i + first, height, s->in_pitch, s->zero_row);
            const vector at[2] = {load(rows.of[1] + first), load_before(rows.of[1], second, width)};
            const vector below[2] = {load_once(rows.of[2] + first), load_before(rows.of[2], second, width)};
            vector last_right = left_of_windows(s, rows, kind, &all);
            const struct columns_of_windows see = pick_columns(pool_lines(above[0], at[0], below[0], kind, &all),
                                                               pool_lines(above[1], at[1], below[1], kind, &all));
            store_before(end, line, keep(pool_columns(see, &right_inside, &last_right, kind), inside));
            zero_gap(end, line, out_width, s->out_pitch);
            above[0] = below[0];
            above[1] = below[1];
        }
    }
    return is_number(sum_of_lanes(all));
}

ALWAYS_INLINE int pool_wide(const struct pool *s, const float *x, float *y, struct range lines, struct range channels,
                            const enum pooling kind)
{
    const size_t first = 1 - s->padding, width = s->width, out_width = s->out_width; // the first window's middle column
    const size_t whole = (out_width - 1) / VECTOR_FLOATS * VECTOR_FLOATS;            // windows before the last vector's
    const size_t column = 2 * whole + first, second = column + VECTOR_FLOATS;
    const vector_mask right_inside = has_right(column, width), inside = first_lanes(out_width - whole);
    vector all = {0};
    for (size_t c = channels.begin; c < channels.end; c++) {
        const float *plane = x + s->in[c], *end = y + s->out[c] + lines.end * s->out_pitch;
        for (size_t i = lines.begin; i < lines.end; i++) {
            float *line = y + s->out[c] + i * s->out_pitch;
            const struct three_rows rows = rows_around(plane, 2 * i + first, s->height, s->in_pitch, s->zero_row);
            vector last_right = left_of_windows(s, rows, kind, &all);
            for (size_t j = 0; j < whole; j += VECTOR_FLOATS) {
                const struct columns_of_windows see =
                    pick_columns(pool_rows(rows, 2 * j + first, kind, &all),
                                 pool_rows(rows, 2 * j + first + VECTOR_FLOATS, kind, &all));
                store_before(end, line + j, pool_columns(see, NULL, &last_right, kind));
            }
            const struct columns_of_windows see =
                pick_columns(pool_rows(rows, column, kind, &all),
                             second < width ? pool_rows(rows, second, kind, &all) : (vector){0});
            store_before(end, line + whole, keep(pool_columns(see, &right_inside, &last_right, kind), inside));
            zero_gap(end, line, out_width, s->out_pitch);
        }
    }
    return is_number(sum_of_lanes(all));
}

ALWAYS_INLINE int pool(const struct pool *s, const float *x, float *y, struct lines lines, struct share share,
                       const enum pooling kind)
{
    const struct range some = {lines.begin, lines.end < s->out_height ? lines.end : s->out_height};
    if (s->out_width <= VECTOR_FLOATS)
        return pool_narrow(s, x, y, some, range_of(share, s->channels), kind);
    return pool_wide(s, x, y, some, range_of(share, s->channels), kind);
}
