// The caller's picture as bytes.

static void int8_input(const struct int8_input *s, const float *x, uint8_t *y, struct lines lines, struct share share)
{
    const struct range rows = shared_lines(share, lines, s->out_height);
    for (size_t c = 0; c < s->channels; c++) {
        const vector factor = broadcast(s->factors[c]), offset = broadcast(s->offsets[c]);
        for (size_t i = rows.begin; i < rows.end; i++) {
            uint8_t *line = y + (size_t)4 * s->out[c] + i * s->out_pitch;
            const size_t row = i - s->padding; // wraps around above the first
            if (row >= s->height) {
                memset(line, s->around[c], s->out_pitch);
                continue;
            }
            const float *from = x + (c * s->height + row) * s->width;
            memset(line, s->around[c], s->padding);
            line += s->padding;
            size_t j = 0;
            for (; j + VECTOR_FLOATS <= s->width; j += VECTOR_FLOATS) {
                const vector pixels = product_of(load(from + j), factor) + offset;
                store_pixels(line + j, rounded(limited(pixels, 255)));
            }
            for (; j < s->width; j++)
                line[j] = byte_of_float(float_product(from[j], s->factors[c]) + s->offsets[c], 255);
            memset(line + s->width, s->around[c], s->out_pitch - s->width - s->padding);
        }
    }
}
