// Fully connected layers: weights are read once, in the order in which they are packed.

// FULLY_CONNECTED_VECTORS sums in registers hide the latency of two multiply-add units.
enum { FULLY_CONNECTED_BLOCK = FULLY_CONNECTED_VECTORS * VECTOR_FLOATS };

ALWAYS_INLINE vector load_weights(const void *weights, size_t i, const int halves)
{
#ifdef load_halves
    if (halves)
        return load_halves((const uint16_t *)weights + i);
#endif
    (void)halves;
    return load((const float *)weights + i);
}

ALWAYS_INLINE void fully_connected_blocks(const struct fully_connected *s, const float *x, float *y,
                                          struct range blocks, const int halves)
{
    enum { BLOCK = FULLY_CONNECTED_BLOCK };
    size_t w = blocks.begin * BLOCK * s->k;
    for (size_t first = blocks.begin * BLOCK; first < blocks.end * BLOCK; first += BLOCK) {
        vector sum[FULLY_CONNECTED_VECTORS];
#pragma GCC unroll 8
        for (size_t v = 0; v < FULLY_CONNECTED_VECTORS; v++)
            sum[v] = load(s->bias + first + v * VECTOR_FLOATS);
        for (size_t k = 0; k < s->k; k++, w += BLOCK) {
            const vector feature = broadcast(x[k]);
#pragma GCC unroll 8
            for (size_t v = 0; v < FULLY_CONNECTED_VECTORS; v++)
                sum[v] += feature * load_weights(s->weights, w + v * VECTOR_FLOATS, halves);
        }
        float block[BLOCK];
#pragma GCC unroll 8
        for (size_t v = 0; v < FULLY_CONNECTED_VECTORS; v++)
            store(block + v * VECTOR_FLOATS, sum[v]);
        const size_t left = s->m - first < BLOCK ? s->m - first : BLOCK;
        for (size_t j = 0; j < left; j++)
            y[first + j] = activate(s->activation, block[j]);
    }
}

static void fully_connected(const struct fully_connected *s, float *arena, float *logits, struct share share)
{
    const struct range blocks = range_of(share, (s->m + FULLY_CONNECTED_BLOCK - 1) / FULLY_CONNECTED_BLOCK);
    float *y = s->out ? arena + *s->out : logits;
    if (s->halves)
        fully_connected_blocks(s, arena + *s->in, y, blocks, 1);
    else
        fully_connected_blocks(s, arena + *s->in, y, blocks, 0);
}
