// The way into the arena: the caller's picture into padded planes, and zeros where a convolution looks over an edge.

// Picture row x at stride 1: one plane's row, a column of padding first.
ALWAYS_INLINE void pad_row(const float *x, size_t width, float *y, size_t pitch)
{
    y[0] = 0;
    memcpy(y + 1, x, sizeof(float) * width);
    memset(y + 1 + width, 0, sizeof(float) * (pitch - 1 - width));
}

// At stride 2: padding and the odd columns to one plane's row, the even columns to the other's.
ALWAYS_INLINE void split_row(const float *x, size_t width, float *odd, float *even, size_t pitch)
{
    *odd++ = 0;
    size_t j = 0;
    for (; 2 * (j + VECTOR_FLOATS) <= width; j += VECTOR_FLOATS) {
        const vector first = load(x + 2 * j), second = load(x + 2 * j + VECTOR_FLOATS);
        store(even + j, in_order(pick_even(first, second)));
        store(odd + j, in_order(pick_odd(first, second)));
    }
    for (; 2 * j < width; j++) {
        even[j] = x[2 * j];
        odd[j] = 2 * j + 1 < width ? x[2 * j + 1] : 0;
    }
    memset(even + j, 0, sizeof(float) * (pitch - j));
    memset(odd + j, 0, sizeof(float) * (pitch - 1 - j));
}

static void input(const struct input *s, const float *picture, float *arena, struct share share)
{
    const struct range rows = range_of(share, s->rows);
    const uint32_t *out = s->out;
    for (size_t c = 0; c < s->channels; c++, picture += (size_t)s->height * s->width) {
        for (size_t row_phase = 0; row_phase < s->stride; row_phase++, out += s->stride) {
            for (size_t i = rows.begin; i < rows.end; i++) {
                float *y = arena + out[0] + i * s->pitch, *even = arena + out[s->stride - 1] + i * s->pitch;
                const size_t row = i * s->stride + row_phase; // one more than the picture's: padding comes first
                const float *x = picture + (row ? row - 1 : 0) * s->width;
                if (row < 1 || row > s->height) {
                    memset(y, 0, sizeof(float) * s->pitch);
                    memset(even, 0, sizeof(float) * s->pitch);
                } else if (s->stride == 1) {
                    pad_row(x, s->width, y, s->pitch);
                } else {
                    split_row(x, s->width, y, even, s->pitch);
                }
            }
        }
    }
}

static void zero(const struct zero *s, float *arena, struct share share)
{
    const struct range rows = range_of(share, s->count);
    for (size_t i = rows.begin; i < rows.end; i++)
        memset(arena + s->out[i], 0, sizeof(float) * s->length);
}
