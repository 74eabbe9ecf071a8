// What threads hand to one another: a few pixels of many rows, side by side in a box.

ALWAYS_INLINE void copy_few(float *to, const float *from, size_t floats)
{
    if (floats < VECTOR_FLOATS) {
        for (size_t p = 0; p < floats; p++)
            to[p] = from[p];
        return;
    }
    for (size_t p = 0; p < floats; p += VECTOR_FLOATS) { // the last of them may begin within the one before
        const size_t first = p + VECTOR_FLOATS <= floats ? p : floats - VECTOR_FLOATS;
        store(to + first, load(from + first));
    }
}

static void fill_box(const uint32_t *rows, size_t count, const float *x, size_t floats, float *box)
{
    for (size_t i = 0; i < count; i++)
        copy_few(box + i * floats, x + rows[i], floats);
}

static void empty_box(const uint32_t *rows, size_t count, float *y, size_t floats, const float *box)
{
    for (size_t i = 0; i < count; i++)
        copy_few(y + rows[i], box + i * floats, floats);
}
