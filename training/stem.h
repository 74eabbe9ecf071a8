// The network's first convolution as a pointwise one of its taps, and the maximum pool behind it.

struct stem_shape {
    size_t channels, height, width, stride, out_height, out_width;
};

static struct stem_shape stem_shape(size_t channels, size_t height, size_t width, size_t stride)
{
    return (struct stem_shape){channels, height, width, stride, (height - 1) / stride + 1, (width - 1) / stride + 1};
}

// to[0 .. count) = row[j * stride + shift], from j = first on, 0 outside 0 <= index < width
static void take_taps(const float *row, size_t width, size_t stride, ptrdiff_t shift, size_t first, size_t count,
                      float *to)
{
    const ptrdiff_t start = (ptrdiff_t)(first * stride) + shift;
    const size_t skip = start < 0; // shift is -1 at least
    size_t inside = start >= (ptrdiff_t)width ? 0 : (size_t)((ptrdiff_t)width - 1 - start) / stride + 1;
    inside = inside < count ? inside : count;
    if (skip)
        to[0] = 0;
    if (stride == 1 && inside > skip)
        memcpy(to + skip, row + start + (ptrdiff_t)skip, (inside - skip) * sizeof *to);
    else
        for (size_t j = skip; j < inside; j++)
            to[j] = row[start + (ptrdiff_t)(j * stride)];
    for (size_t j = inside; j < count; j++)
        to[j] = 0;
}

// The taps of some output pixels, counted over all pictures: a row of CHUNK_PITCH for each channel and tap.
static void gather_taps(const struct stem_shape *s, const float *x, size_t pixel, size_t pixels, float *taps)
{
    for (size_t done = 0; done < pixels;) {
        const size_t line = (pixel + done) / s->out_width, first = (pixel + done) % s->out_width;
        const size_t n = line / s->out_height, i = line % s->out_height;
        const size_t left = s->out_width - first, count = left < pixels - done ? left : pixels - done;
        float *to = taps + done;
        for (size_t c = 0; c < s->channels; c++)
            for (size_t dy = 0; dy < 3; dy++) {
                const size_t row = i * s->stride + dy - 1; // wraps around above the picture
                const float *from = row < s->height ? x + ((n * s->channels + c) * s->height + row) * s->width : NULL;
                for (ptrdiff_t shift = -1; shift < 2; shift++, to += CHUNK_PITCH)
                    if (from)
                        take_taps(from, s->width, s->stride, shift, first, count, to);
                    else
                        memset(to, 0, count * sizeof *to);
            }
        done += count;
    }
    for (size_t row = 0; row < 9 * s->channels; row++) // to the end of the last vector
        for (size_t p = pixels; p % VECTOR_FLOATS; p++)
            taps[row * CHUNK_PITCH + p] = 0;
}

static void train_stem_forward(const void *arguments, struct workspace space, struct share share)
{
    const struct shufflenet_stem_forward *s = arguments;
    const struct stem_shape shape = stem_shape(s->channels, s->height, s->width, s->stride);
    const size_t m = s->m, k = 9 * shape.channels;
    float *taps = space.scratch, *packed = taps + k * CHUNK_PITCH;
    uint32_t *in = (uint32_t *)(packed + m * (k + 1)), *out = in + k;
    pack_group(s->w, m, k, k, 1, packed);
    for (size_t row = 0; row < k; row++)
        in[row] = (uint32_t)(row * CHUNK_PITCH);
    for (size_t row = 0; row < m; row++)
        out[row] = (uint32_t)(row * s->y_pitch);
    const struct range range = pixels_of(share, s->images * shape.out_height * shape.out_width);
    for (size_t p = range.begin; p < range.end; p += CHUNK) {
        const size_t pixels = range.end - p < CHUNK ? range.end - p : CHUNK;
        gather_taps(&shape, s->x, p, pixels, taps);
        multiply(m, k, packed, in, out, 0, taps, s->y + p, pixels);
        for (size_t o = 0; o < m; o++)
            add_sums(s->y + out[o] + p, s->y + out[o] + p, pixels, space.sums + 2 * o);
    }
}

static void train_stem_backward(const void *arguments, struct workspace space, struct share share)
{
    const struct shufflenet_stem_backward *s = arguments;
    const struct stem_shape shape = stem_shape(s->channels, s->height, s->width, s->stride);
    const size_t m = s->m, k = 9 * shape.channels;
    float *taps = space.scratch, *d = taps + k * CHUNK_PITCH;
    const struct range range = pixels_of(share, s->images * shape.out_height * shape.out_width);
    for (size_t p = range.begin; p < range.end; p += CHUNK) {
        const size_t pixels = range.end - p < CHUNK ? range.end - p : CHUNK;
        gather_taps(&shape, s->x, p, pixels, taps);
        for (size_t o = 0; o < m; o++)
            batch_norm_backward(s->g + o * s->y_pitch + p, s->raw + o * s->y_pitch + p, s->grad_scale[o],
                                s->raw_scale[o], s->constant[o], pixels, d + o * CHUNK_PITCH);
        outer_product(m, k, d, taps, CHUNK_PITCH, pixels, space.grad_w);
    }
}

// Every other float of a row of width, and those between with a zero before and behind them.
static void even_and_odd(const float *row, size_t width, float *even, float *odd)
{
    const size_t pairs = width / 2;
    odd[0] = 0;
    for (size_t j = 0; j < pairs; j++) {
        even[j] = row[2 * j];
        odd[j + 1] = row[2 * j + 1];
    }
    if (width % 2) {
        even[pairs] = row[width - 1];
        odd[pairs + 1] = 0;
    }
}

// The maximum of each window of three rows, split as above, and which tap it is; of equal ones the first.
static void max_of_windows(const float *const even[3], const float *const odd[3], size_t count, float *y, int32_t *tap)
{
    for (size_t j = 0; j < count; j += VECTOR_FLOATS) {
        vector best = load(odd[0] + j);
        vector_mask which = {0};
        for (int t = 1; t < 9; t++) {
            const float *at = (t % 3 == 1 ? even[t / 3] : odd[t / 3] + t % 3 / 2) + j;
            const vector_mask larger = load(at) > best;
            which = (which & ~larger) | ((which - which + t) & larger);
            best = vector_max(load(at), best);
        }
        const size_t left = count - j < VECTOR_FLOATS ? count - j : VECTOR_FLOATS;
        memcpy(y + j, &best, left * sizeof *y);
        memcpy(tap + j, &which, left * sizeof *tap);
    }
}

static void train_max_pool_forward(const void *arguments, struct workspace space, struct share share)
{
    const struct shufflenet_max_pool_forward *s = arguments;
    const size_t height = s->height, width = s->width, out_height = (height + 1) / 2, out_width = (width + 1) / 2;
    const struct plane_scratch plane = plane_scratch(space.scratch, height, width);
    const struct range channels = range_of(share, s->channels);
    const size_t room = out_width + 1 + 16;
    float *even[3], *odd[3];
    for (size_t row = 0; row < 3; row++) {
        even[row] = space.scratch + depthwise_scratch(height, width) + row * 2 * room;
        odd[row] = even[row] + room;
    }
    memset(even[0], 0, 6 * room * sizeof(float));
    for (size_t c = channels.begin; c < channels.end; c++)
        for (size_t n = 0; n < s->images; n++) {
            const size_t at = c * s->y_pitch + n * out_height * out_width;
            affine(s->x + c * s->x_pitch + n * height * width, height * width, s->scale[c], s->offset[c], 0, plane.a);
            for (size_t i = 0; i < out_height; i++) {
                for (size_t row = 0; row < 3; row++) // the margins' zeros stand above and below the plane
                    even_and_odd(plane.a + (2 * i + row) * width - width, width, even[row], odd[row]);
                max_of_windows((const float *const *)even, (const float *const *)odd, out_width,
                               s->y + at + i * out_width, s->tap + at + i * out_width);
            }
        }
}

static void train_max_pool_backward(const void *arguments, struct workspace space, struct share share)
{
    const struct shufflenet_max_pool_backward *s = arguments;
    const size_t height = s->height, width = s->width, pixels = height * width;
    const size_t out_height = (height + 1) / 2, out_width = (width + 1) / 2;
    const struct plane_scratch plane = plane_scratch(space.scratch, height, width);
    const struct range channels = range_of(share, s->channels);
    ptrdiff_t place[9];
    for (ptrdiff_t tap = 0; tap < 9; tap++)
        place[tap] = (tap / 3 - 1) * (ptrdiff_t)width + tap % 3 - 1;
    for (size_t c = channels.begin; c < channels.end; c++)
        for (size_t n = 0; n < s->images; n++) {
            size_t at = c * s->y_pitch + n * out_height * out_width;
            memset(plane.a, 0, pixels * sizeof *plane.a);
            for (size_t i = 0; i < out_height; i++)
                for (size_t j = 0; j < out_width; j++, at++) // a maximum of 0 may be the margin's: nothing is added
                    plane.a[(ptrdiff_t)(2 * i * width + 2 * j) + place[s->tap[at]]] += s->y[at] > 0 ? s->g[at] : 0;
            float *grad_x = s->grad_x + c * s->x_pitch + n * pixels;
            memcpy(grad_x, plane.a, pixels * sizeof *grad_x);
            add_sums(grad_x, s->x + c * s->x_pitch + n * pixels, pixels, s->sums + 2 * c);
        }
}
