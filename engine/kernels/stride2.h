// What 3x3 windows of stride 2 and padding 1 see of their input: shared by the depthwise convolution and the pools.
//
// They write one output row after the other: a row's tail of zeros is overwritten by the next row.

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

struct edges {
    vector_mask has_left, has_right;
};

// For windows whose middle columns are column, column + 2, ...: which have a left and a right neighbour.
ALWAYS_INLINE struct edges edges_at(size_t column, size_t width)
{
    const vector_mask middle = 2 * (vector_mask){LANES} + (int32_t)column;
    const struct edges edges = {.has_left = middle > 0, .has_right = middle < (int32_t)width - 1};
    return edges;
}

struct three_taps {
    vector left, centre, right;
};

ALWAYS_INLINE struct three_taps taps_of(const float *row, struct edges edges)
{
    const vector a = load(row - 1), b = load(row - 1 + VECTOR_FLOATS);
    const vector c = load(row + 1), d = load(row + 1 + VECTOR_FLOATS);
    const struct three_taps taps = {
        .left = keep(even_lanes(a, b), edges.has_left),
        .centre = odd_lanes(a, b),
        .right = keep(even_lanes(c, d), edges.has_right),
    };
    return taps;
}
