// Zeros around planes, or what stands for zero there, which the windows of a convolution see.

// y[0 .. count) = word, bit for bit.
ALWAYS_INLINE void fill_words(float *y, int32_t word, size_t count)
{
    for (size_t i = 0; i < count; i++)
        memcpy(y + i, &word, sizeof word);
}

static void zero(const struct zero *s, float *arena, struct share share)
{
    const struct range rows = range_of(share, s->count);
    for (size_t i = rows.begin; i < rows.end; i++)
        fill_words(arena + s->out[i], (int32_t)s->word, s->length);
}
