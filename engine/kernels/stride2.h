// What 3x3 windows of stride 2 see of their input: shared by the depthwise convolution and the pools.
//
// They write one output line after the other: the zeros behind a line are overwritten by the next one. Behind the last line
// they would be another thread's.

struct three_rows {
    const float *above, *middle, *below;
};

// The rows around image row i, each with zeros where the image has none.
ALWAYS_INLINE struct three_rows rows_around(const float *x, size_t i, size_t height, size_t pitch,
                                            const float *zero_row)
{
    const struct three_rows rows = {
        .above = i > 0 ? x + (i - 1) * pitch : zero_row,
        .middle = x + i * pitch,
        .below = i + 1 < height ? x + (i + 1) * pitch : zero_row,
    };
    return rows;
}

// Which windows have a left and a right neighbour, in the order of pick_even and pick_odd.
struct edges {
    vector_mask has_left, has_right;
};

// For windows whose middle columns are column, column + 2, ...
ALWAYS_INLINE struct edges edges_at(size_t column, size_t width)
{
    const vector_mask middle = 2 * (vector_mask){PICKED_ORDER} + (int32_t)column;
    const struct edges edges = {.has_left = middle > 0, .has_right = middle < (int32_t)width - 1};
    return edges;
}

// The floats that the windows of one vector see of one row: a, b to the left of their middle columns and at them, c, d
// from their right on.
struct span {
    vector a, b, c, d;
};

ALWAYS_INLINE struct span span_at(const float *row)
{
    const struct span span = {load(row - 1), load(row - 1 + VECTOR_FLOATS), load(row + 1),
                              load(row + 1 + VECTOR_FLOATS)};
    return span;
}

// The left, middle and right column of each window, in picked order.
struct taps {
    vector left, centre, right;
};

ALWAYS_INLINE struct taps taps_of(struct span span, struct edges edges)
{
    const struct taps taps = {
        .left = keep(pick_even(span.a, span.b), edges.has_left),
        .centre = pick_odd(span.a, span.b),
        .right = keep(pick_even(span.c, span.d), edges.has_right),
    };
    return taps;
}

// At y, of which the last of the given lines ends at end.
ALWAYS_INLINE void store_before(const float *end, float *y, vector v)
{
    if (y + VECTOR_FLOATS <= end) {
        store(y, v);
        return;
    }
    for (size_t j = 0; y + j < end; j++)
        y[j] = v[j];
}

// Behind a line of width floats, whose last vector ends with zeros: zeros up to the next line at least.
ALWAYS_INLINE void zero_gap(const float *end, float *line, size_t width, size_t pitch)
{
    for (size_t j = (width + VECTOR_FLOATS - 1) / VECTOR_FLOATS * VECTOR_FLOATS; j < pitch; j += VECTOR_FLOATS)
        store_before(end, line + j, (vector){0});
}
