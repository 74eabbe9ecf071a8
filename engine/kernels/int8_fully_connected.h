// The classifier: bytes in, float32 logits out.

enum { FULLY_CONNECTED_BLOCK = FULLY_CONNECTED_VECTORS * VECTOR_FLOATS };

static void int8_fully_connected(const struct int8_fully_connected *s, const uint8_t *arena, float *logits,
                                 struct share share)
{
    enum { VECTORS = FULLY_CONNECTED_VECTORS, BLOCK = FULLY_CONNECTED_BLOCK };
    const struct range blocks = range_of(share, (s->m + BLOCK - 1) / BLOCK);
    const uint8_t *x = arena + (size_t)4 * *s->in;
    const int32_t *weights = s->weights + blocks.begin * BLOCK * s->k;
    for (size_t first = blocks.begin * BLOCK; first < blocks.end * BLOCK; first += BLOCK) {
        words sum[VECTORS];
#pragma GCC unroll 8
        for (size_t v = 0; v < VECTORS; v++)
            sum[v] = load_words(s->bias + first + v * VECTOR_FLOATS);
        for (size_t k = 0; k < s->k; k++, weights += BLOCK) {
            const words features = broadcast_word(load_word(x + 4 * k));
#pragma GCC unroll 8
            for (size_t v = 0; v < VECTORS; v++)
                sum[v] = dot(sum[v], features, load_words(weights + v * VECTOR_FLOATS));
        }
        float block[BLOCK];
#pragma GCC unroll 8
        for (size_t v = 0; v < VECTORS; v++)
            store(block + v * VECTOR_FLOATS,
                  product_of(float_of(sum[v]), load(s->factors + first + v * VECTOR_FLOATS)));
        memcpy(logits + first, block, sizeof(float) * (s->m - first < BLOCK ? s->m - first : BLOCK));
    }
}
