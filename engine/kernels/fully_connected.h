// Fully connected layers: weights are read once, in the order in which they lie.

enum { FULLY_CONNECTED_VECTORS = 8 }; // sums in registers: as many as hide the latency of two multiply-add units

static void fully_connected(const struct fully_connected *s, float *arena, float *logits, struct share share)
{
    enum { BLOCK = FULLY_CONNECTED_VECTORS * VECTOR_FLOATS };
    const struct range blocks = range_of(share, (s->m + BLOCK - 1) / BLOCK);
    const float *w = s->packed + blocks.begin * BLOCK * (1 + s->k), *x = arena + *s->in;
    float *y = s->out ? arena + *s->out : logits;
    for (size_t i = blocks.begin; i < blocks.end; i++) {
        const size_t first = i * BLOCK;
        vector sum[FULLY_CONNECTED_VECTORS];
#pragma GCC unroll 8
        for (size_t v = 0; v < FULLY_CONNECTED_VECTORS; v++)
            sum[v] = load(w + v * VECTOR_FLOATS);
        w += BLOCK;
        for (size_t k = 0; k < s->k; k++, w += BLOCK) {
            const vector feature = broadcast(x[k]);
#pragma GCC unroll 8
            for (size_t v = 0; v < FULLY_CONNECTED_VECTORS; v++)
                sum[v] += feature * load(w + v * VECTOR_FLOATS);
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
