// The fully connected layer: weights are read once, in the order in which they lie.

enum { CLASSIFIER_VECTORS = 4 };

static void classifier(const struct classifier *s, const float *arena, float *logits)
{
    enum { BLOCK = CLASSIFIER_VECTORS * VECTOR_FLOATS };
    const float *w = s->packed, *x = arena + *s->in;
    for (size_t first = 0; first < s->classes; first += BLOCK) {
        vector sum[CLASSIFIER_VECTORS];
        for (size_t v = 0; v < CLASSIFIER_VECTORS; v++)
            sum[v] = load(w + v * VECTOR_FLOATS);
        w += BLOCK;
        for (size_t k = 0; k < s->k; k++, w += BLOCK) {
            const vector feature = broadcast(x[k]);
            for (size_t v = 0; v < CLASSIFIER_VECTORS; v++)
                sum[v] += feature * load(w + v * VECTOR_FLOATS);
        }
        const size_t left = s->classes - first;
        memcpy(logits + first, sum, sizeof(float) * (left < BLOCK ? left : BLOCK));
    }
}
