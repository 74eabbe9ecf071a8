// Fully connected layers: bytes in, bytes, float32 factors or logits out.

enum { FULLY_CONNECTED_BLOCK = FULLY_CONNECTED_VECTORS * VECTOR_FLOATS };

// Writes the outputs from first on, a block of them or what is left.
ALWAYS_INLINE void write_block(const struct int8_fully_connected *s, const words *sum, size_t first, uint8_t *arena,
                               float *logits, const enum plan_activation activation)
{
    enum { VECTORS = FULLY_CONNECTED_VECTORS, BLOCK = FULLY_CONNECTED_BLOCK };
    const float *factors = s->constants + 4 * first, *offsets = factors + BLOCK;
    float block[BLOCK];
    uint8_t bytes[BLOCK];
    for (size_t v = 0; v < VECTORS; v++) {
        const size_t at = v * VECTOR_FLOATS;
        const vector t = product_of(float_of(sum[v]), load(factors + at)) + load(offsets + at);
        if (!s->writes_bytes) {
            store(block + at, s->activation == PLAN_RELU ? activation_of(t, PLAN_RELU) : activation_of(t, activation));
            continue;
        }
        const vector gain = load(offsets + BLOCK + at), zero = load(offsets + 2 * BLOCK + at);
        store_bytes(bytes + at, rounded(finished(t, gain, zero, activation)));
    }
    const size_t left = s->m - first, count = left < BLOCK ? left : BLOCK;
    if (s->writes_bytes)
        memcpy(arena + (size_t)4 * *s->out + first, bytes, (count + 3) / 4 * 4);
    else
        memcpy((s->out ? (float *)arena + *s->out : logits) + first, block, sizeof(float) * count);
}

static void int8_fully_connected(const struct int8_fully_connected *s, uint8_t *arena, float *logits,
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
        WITH_ACTIVATION(s->activation, write_block, s, sum, first, arena, logits)
    }
}
