// The four channels of quad rows as byte rows, which depthwise convolutions read.

static void int8_bytes_of_quads(const struct int8_bytes_of_quads *s, uint8_t *arena, struct share share)
{
    const struct range quads = range_of(share, s->quads);
    for (size_t q = quads.begin; q < quads.end; q++)
        for (size_t line = 0; line < s->height; line++) {
            const uint8_t *x = arena + (size_t)4 * (s->in[q] + line * s->in_pitch);
#pragma GCC unroll 4
            for (size_t c = 0; c < 4; c++) {
                uint8_t *y = arena + (size_t)4 * s->out[4 * q + c] + line * s->width;
                size_t p = 0;
                for (; p + VECTOR_FLOATS <= s->width; p += VECTOR_FLOATS)
                    store_bytes(y + p, byte_of(load_words(x + 4 * p), c));
                for (; p < s->width; p++)
                    y[p] = x[4 * p + c];
            }
        }
}
