// Lines are written one after the other: the zeros behind a line are overwritten by the next one. Behind the last line lies
// what another thread writes.

// Stores v at y, but nothing at or past end.
ALWAYS_INLINE void store_before(const float *end, float *y, vector v)
{
    if (__builtin_expect(y + VECTOR_FLOATS <= end, 1))
        store(y, v);
    else if (y < end)
        store_first(y, v, (size_t)(end - y));
}

// Writes v, of lanes all alike, to a line from first to before last, and up to a vector beyond, which is written later.
ALWAYS_INLINE void fill_some(const float *end, float *line, size_t first, size_t last, vector v)
{
    for (size_t j = first; j < last; j += VECTOR_FLOATS)
        store_before(end, line + j, v);
}

ALWAYS_INLINE void zero_some(const float *end, float *line, size_t first, size_t last)
{
    fill_some(end, line, first, last, (vector){0});
}

// Writes zeros between a line of width floats, whose last vector ends with zeros, and the next line.
ALWAYS_INLINE void zero_gap(const float *end, float *line, size_t width, size_t pitch)
{
    zero_some(end, line, (width + VECTOR_FLOATS - 1) / VECTOR_FLOATS * VECTOR_FLOATS, pitch);
}
