// Each channel of quad rows times a factor of its own, as squeeze-and-excitation needs it, and the shortcut added.

// The quads of one row, of number quad.
ALWAYS_INLINE void scale_quads(const struct int8_scale *s, size_t quad, uint8_t *arena,
                               const enum plan_activation activation)
{
    const struct int8_output *output = s->outputs + 4 * quad;
    const uint8_t *x = arena + (size_t)4 * s->in[quad];
    const uint8_t *residual = s->residual ? arena + (size_t)4 * s->residual[quad] : NULL;
    uint8_t *y = arena + (size_t)4 * s->out[quad];
    vector factor[4], zero[4];
    for (size_t c = 0; c < 4; c++) {
        factor[c] = broadcast(float_product(((const float *)arena)[*s->factors + 4 * quad + c], output[c].factor));
        zero[c] = broadcast(s->zeros[4 * quad + c]);
    }
    for (size_t line = 0; line < s->pixels; line += s->pitch) {
        const size_t left = s->pixels - line, end = line + (left < s->pitch ? left : s->pitch);
        for (size_t p = line; p < end; p += VECTOR_FLOATS) {
            const words quads = load_words(x + 4 * p);
            words value[4];
#pragma GCC unroll 4
            for (size_t c = 0; c < 4; c++) {
                vector t = product_of(float_of(byte_of(quads, c)) - zero[c], factor[c]);
                if (residual)
                    t = with_residual(t, byte_of(load_words(residual + 4 * p), c), broadcast(output[c].residual_factor),
                                      activation);
                t += broadcast(output[c].offset);
                t = finished(t, broadcast(output[c].gain), broadcast(output[c].zero), activation);
                value[c] = rounded(limited(t, 127)); // factors may be of any size
            }
            const size_t inside = p < line + s->width ? line + s->width - p : 0;
            const vector bytes = keep((vector)quads_of(value[0], value[1], value[2], value[3]), first_lanes(inside));
            store_before((const float *)y + end, (float *)y + p, bytes);
        }
    }
}

ALWAYS_INLINE void scale_all_quads(const struct int8_scale *s, struct range quads, uint8_t *arena,
                                   const enum plan_activation activation)
{
    for (size_t quad = quads.begin; quad < quads.end; quad++)
        scale_quads(s, quad, arena, activation);
}

static void int8_scale(const struct int8_scale *s, uint8_t *arena, struct share share)
{
    const struct range quads = range_of(share, s->quads);
    WITH_ACTIVATION(s->activation, scale_all_quads, s, quads, arena)
}
