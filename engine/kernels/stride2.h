// What windows of stride 2 see of their input: shared by the depthwise convolutions and the pools. They compute the left columns'
// part for the columns to the right, and shift it by a window.

struct three_rows {
    const float *of[3];
};

// The lines around line i of a plane; zero_row where the plane has none.
ALWAYS_INLINE struct three_rows rows_around(const float *x, size_t i, size_t height, size_t pitch,
                                            const float *zero_row)
{
    const struct three_rows rows = {
        .of = {i > 0 ? x + (i - 1) * pitch : zero_row, x + i * pitch, i + 1 < height ? x + (i + 1) * pitch : zero_row},
    };
    return rows;
}

// The floats of one line that the windows of a vector see, in picked order: their middle columns, and those to the right. A
// window's left column is the right one of the window before.
struct columns_of_windows {
    vector middle, right;
};

ALWAYS_INLINE struct columns_of_windows pick_columns(vector first, vector second)
{
    const struct columns_of_windows columns = {pick_even(first, second), pick_odd(first, second)};
    return columns;
}

// A line's floats from column on, if it has some there.
ALWAYS_INLINE vector load_before(const float *line, size_t column, size_t width)
{
    return column < width ? load_once(line + column) : (vector){0};
}

// The columns of the windows whose middle ones are column, column + 2, ..., in a line of width floats.
ALWAYS_INLINE struct columns_of_windows columns_of_line(const float *line, size_t column, size_t width)
{
    return pick_columns(load_once(line + column), load_before(line, column + VECTOR_FLOATS, width));
}

// A mask of the windows whose middle columns are column, column + 2, ...: whether their right column is inside, in picked order.
ALWAYS_INLINE vector_mask has_right(size_t column, size_t width)
{
    return 2 * (vector_mask){PICKED_ORDER} < (int32_t)width - 1 - (int32_t)column;
}
