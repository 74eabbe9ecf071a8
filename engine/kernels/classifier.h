// The fully connected layer: weights are read once, in the order in which they lie.

enum { CLASSIFIER_VECTORS = 8 }; // sums in registers: as many as hide the latency of two multiply-add units

static void classifier(const struct classifier *s, const float *arena, float *logits, struct share share)
{
    enum { BLOCK = CLASSIFIER_VECTORS * VECTOR_FLOATS };
    const struct range blocks = range_of(share, (s->classes + BLOCK - 1) / BLOCK);
    const float *w = s->packed + blocks.begin * BLOCK * (1 + s->k), *x = arena + *s->in;
    for (size_t i = blocks.begin; i < blocks.end; i++) {
        const size_t first = i * BLOCK;
        vector sum[CLASSIFIER_VECTORS];
#pragma GCC unroll 8
        for (size_t v = 0; v < CLASSIFIER_VECTORS; v++)
            sum[v] = load(w + v * VECTOR_FLOATS);
        w += BLOCK;
        for (size_t k = 0; k < s->k; k++, w += BLOCK) {
            const vector feature = broadcast(x[k]);
#pragma GCC unroll 8
            for (size_t v = 0; v < CLASSIFIER_VECTORS; v++)
                sum[v] += feature * load(w + v * VECTOR_FLOATS);
        }
        float block[BLOCK];
#pragma GCC unroll 8
        for (size_t v = 0; v < CLASSIFIER_VECTORS; v++)
            store(block + v * VECTOR_FLOATS, sum[v]);
        const size_t left = s->classes - first;
        memcpy(logits + first, block, sizeof(float) * (left < BLOCK ? left : BLOCK));
    }
}
