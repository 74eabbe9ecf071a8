// Pointwise group convolutions, forward and backward, through the microkernel of engine/kernels/tile.h.

// For each output: 0 in place of a bias, then its weights, as the microkernel walks
// them: tiles of MR outputs, then the rest.
enum { MR = 4 };

// weight(o, i) = w[o * o_stride + i * i_stride]
static void pack_group(const float *w, size_t m, size_t k, size_t o_stride, size_t i_stride, float *packed)
{
    for (size_t first = 0; first < m; first += MR) {
        const size_t mr = m - first < MR ? m - first : MR;
        for (size_t o = 0; o < mr; o++)
            *packed++ = 0;
        for (size_t i = 0; i < k; i++)
            for (size_t o = 0; o < mr; o++)
                *packed++ = w[(first + o) * o_stride + i * i_stride];
    }
}

// y[out[o]][p] = sum over i of w[o][i] * x[in[i]][p] (+ y[out[o]][p], if add), for some pixels of one group.
static void multiply(size_t m, size_t k, const float *packed, const uint32_t *in, const uint32_t *out, int add,
                     const float *x, float *y, size_t pixels)
{
    // cold: a batch is more than a second-level cache holds.
    const struct convolution shape = {.k = (uint32_t)k, .lower_bound = -__builtin_inff(), .cold = 1};
    const struct parts parts = split((pixels + VECTOR_FLOATS - 1) / VECTOR_FLOATS, widest_tile[MR]);
    const size_t whole = m / MR, rest = m % MR;
    size_t p = 0;
    for (size_t i = 0; i < parts.count; i++) {
        const size_t nv = parts.width + (i < parts.wider), all = nv * VECTOR_FLOATS, left = pixels - p;
        const size_t inside = left < all ? left : all;
        if (whole)
            tile_functions[MR][nv](&shape, whole, packed, in, out, add ? out : NULL, x + p, y + p, inside);
        if (rest)
            tile_functions[rest][nv](&shape, 1, packed + whole * MR * (k + 1), in, out + whole * MR,
                                     add ? out + whole * MR : NULL, x + p, y + p, inside);
        p += all;
    }
}

// In whole vectors of the widest level, so that no two shares write to the same.
static struct range pixels_of(struct share share, size_t pixels)
{
    struct range range = range_of(share, (pixels + 15) / 16);
    range.begin *= 16;
    range.end = range.end * 16 < pixels ? range.end * 16 : pixels;
    return range;
}

ALWAYS_INLINE float lanes_sum(vector v)
{
    float lanes[VECTOR_FLOATS];
    memcpy(lanes, &v, sizeof v);
    for (size_t half = VECTOR_FLOATS / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

// Adds the sum of a and the sum of a * b.
static void add_sums(const float *a, const float *b, size_t pixels, double *sums)
{
    vector sum[2] = {{0}}, product[2] = {{0}};
    size_t p = 0;
    for (; p + 2 * VECTOR_FLOATS <= pixels; p += 2 * VECTOR_FLOATS)
        for (size_t i = 0; i < 2; i++) {
            const vector v = load(a + p + i * VECTOR_FLOATS);
            sum[i] += v;
            product[i] += v * load(b + p + i * VECTOR_FLOATS);
        }
    for (; p < pixels; p += VECTOR_FLOATS) {
        const vector v = keep(load(a + p), first_lanes(pixels - p));
        sum[0] += v;
        product[0] += v * keep(load(b + p), first_lanes(pixels - p));
    }
    sums[0] += (double)lanes_sum(sum[0] + sum[1]);
    sums[1] += (double)lanes_sum(product[0] + product[1]);
}

// y = max(0, scale * raw + offset + shortcut), the shortcut if there is one.
static void unit_output(const float *raw, const float *shortcut, float scale, float offset, size_t pixels, float *y)
{
    const vector a = broadcast(scale), b = broadcast(offset), zero = {0};
    if (shortcut)
        for (size_t p = 0; p < pixels; p += VECTOR_FLOATS)
            store(y + p, vector_max(zero, a * load(raw + p) + b + load(shortcut + p)));
    else
        for (size_t p = 0; p < pixels; p += VECTOR_FLOATS)
            store(y + p, vector_max(zero, a * load(raw + p) + b));
}

static void train_pointwise_forward(const void *arguments, struct workspace space, struct share share)
{
    const struct shufflenet_pointwise_forward *s = arguments;
    const size_t m = s->m, k = s->k, per_group = m * (k + 1);
    float *packed = space.scratch;
    uint32_t *in = (uint32_t *)(packed + s->groups * per_group), *out = in + s->groups * k;
    for (size_t j = 0; j < s->groups; j++)
        pack_group(s->w + j * m * k, m, k, k, 1, packed + j * per_group);
    for (size_t row = 0; row < s->groups * k; row++)
        in[row] = (uint32_t)(row * s->x_pitch);
    for (size_t row = 0; row < s->groups * m; row++)
        out[row] = (uint32_t)(s->out[row] * s->y_pitch);
    const struct range range = pixels_of(share, s->pixels);
    for (size_t p = range.begin; p < range.end; p += CHUNK) {
        const size_t pixels = range.end - p < CHUNK ? range.end - p : CHUNK;
        for (size_t j = 0; j < s->groups; j++) {
            for (size_t row = j * k > s->first ? j * k : s->first; s->raw && row < (j + 1) * k; row++) {
                const size_t from = row - s->first;
                unit_output(s->raw + from * s->x_pitch + p, s->shortcut ? s->shortcut + row * s->x_pitch + p : NULL,
                            s->scale[from], s->offset[from], pixels, s->x + row * s->x_pitch + p);
            }
            multiply(m, k, packed + j * per_group, in + j * k, out + j * m, 0, s->x + p, s->y + p, pixels);
            for (size_t o = j * m; o < (j + 1) * m; o++) {
                const float *row = s->y + out[o] + p;
                add_sums(row, row, pixels, space.sums + 2 * s->out[o]);
            }
        }
    }
}

// The outer product's tiles, as the level's OUTER_TABLE has them: the widest for each number of rows.
enum { MAX_OUTER = 5 };
static const uint8_t widest_outer[] = {OUTER_TABLE(WIDEST)};
enum { OUTER_ROWS = sizeof widest_outer - 1 };

ALWAYS_INLINE vector add_pairs(vector a, vector b)
{
    return pick_even(a, b) + pick_odd(a, b);
}

// to[i] += sum of the lanes of v[i], for four vectors at once: a sum at a time would take longer than a tile's products.
ALWAYS_INLINE void add_four_sums(const vector v[4], float to[4])
{
    float lanes[VECTOR_FLOATS];
    store(lanes, add_pairs(add_pairs(v[0], v[1]), add_pairs(v[2], v[3])));
#pragma GCC unroll 16
    for (size_t lane = 0; lane < VECTOR_FLOATS; lane++)
        to[lane % PICKED_WITHIN / (PICKED_WITHIN / 4)] += lanes[lane];
}

// grad[o * stride + i] += sum over pixels of d[o] * x[i], for a tile of mr rows of d and nr of x.
ALWAYS_INLINE void outer_tile(const size_t mr, const size_t nr, const float *d, const float *x, size_t x_pitch,
                              size_t pixels, float *grad, size_t stride)
{
    vector sum[MAX_OUTER * MAX_OUTER + 3] = {{0}}; // add_four_sums reads whole fours
    for (size_t p = 0; p < pixels; p += VECTOR_FLOATS) {
        vector left[MAX_OUTER];
#pragma GCC unroll 8
        for (size_t o = 0; o < mr; o++)
            left[o] = load(d + o * CHUNK_PITCH + p);
#pragma GCC unroll 8
        for (size_t i = 0; i < nr; i++) {
            const vector right = load(x + i * x_pitch + p);
#pragma GCC unroll 8
            for (size_t o = 0; o < mr; o++)
                sum[o * nr + i] += left[o] * right;
        }
    }
    float totals[MAX_OUTER * MAX_OUTER + 3] = {0};
#pragma GCC unroll 8
    for (size_t i = 0; i < mr * nr; i += 4)
        add_four_sums(sum + i, totals + i);
#pragma GCC unroll 8
    for (size_t o = 0; o < mr; o++)
#pragma GCC unroll 8
        for (size_t i = 0; i < nr; i++)
            grad[o * stride + i] += totals[o * nr + i];
}

typedef void outer_function(const float *d, const float *x, size_t x_pitch, size_t pixels, float *grad, size_t stride);

#define DEFINE_OUTER(mr, nr)                                                                                           \
    static void outer_##mr##x##nr(const float *d, const float *x, size_t x_pitch, size_t pixels, float *grad,          \
                                  size_t stride)                                                                       \
    {                                                                                                                  \
        outer_tile(mr, nr, d, x, x_pitch, pixels, grad, stride);                                                       \
    }
#define DEFINE_OUTERS(mr, nr) UP_TO_##nr(DEFINE_OUTER, mr)
OUTER_TABLE(DEFINE_OUTERS)

#define OUTER_ENTRY(mr, nr) [mr][nr] = outer_##mr##x##nr,
#define OUTER_ENTRIES(mr, nr) UP_TO_##nr(OUTER_ENTRY, mr)
static outer_function *const outer_functions[MAX_OUTER + 1][MAX_OUTER + 1] = {OUTER_TABLE(OUTER_ENTRIES)};

// d rows are zero from the last pixel to the end of its vector.
static void outer_product(size_t m, size_t k, const float *d, const float *x, size_t x_pitch, size_t pixels,
                          float *grad)
{
    for (size_t o = 0; o < m; o += OUTER_ROWS) {
        const size_t mr = m - o < OUTER_ROWS ? m - o : OUTER_ROWS, most = widest_outer[mr];
        for (size_t i = 0; i < k; i += most) {
            const size_t nr = k - i < most ? k - i : most;
            outer_functions[mr][nr](d + o * CHUNK_PITCH, x + i * x_pitch, x_pitch, pixels, grad + o * k + i, k);
        }
    }
}

static void batch_norm_backward(const float *g, const float *raw, float grad_scale, float raw_scale, float constant,
                                size_t pixels, float *d)
{
    const vector a = broadcast(grad_scale), b = broadcast(raw_scale), c = broadcast(constant);
    for (size_t p = 0; p < pixels; p += VECTOR_FLOATS)
        store(d + p, keep(a * load(g + p) + (b * load(raw + p) + c), first_lanes(pixels - p)));
}

// The gradient where x is above 0.
static void stop_at_zeros(const float *x, size_t pixels, float *grad_x)
{
    const vector zero = {0};
    for (size_t p = 0; p < pixels; p += VECTOR_FLOATS)
        store(grad_x + p, keep(load(grad_x + p), load(x + p) > zero));
}

static void train_pointwise_backward(const void *arguments, struct workspace space, struct share share)
{
    const struct shufflenet_pointwise_backward *s = arguments;
    const size_t m = s->m, k = s->k, per_group = k * (m + 1);
    float *d = space.scratch, *packed = d + m * CHUNK_PITCH;
    uint32_t *in = (uint32_t *)(packed + s->groups * per_group), *out = in + m;
    for (size_t j = 0; j < s->groups; j++)
        pack_group(s->w + j * m * k, k, m, 1, k, packed + j * per_group);
    for (size_t o = 0; o < m; o++)
        in[o] = (uint32_t)(o * CHUNK_PITCH);
    for (size_t row = 0; row < s->groups * k; row++)
        out[row] = (uint32_t)(row * s->x_pitch);
    const struct range range = pixels_of(share, s->pixels);
    for (size_t p = range.begin; p < range.end; p += CHUNK) {
        const size_t pixels = range.end - p < CHUNK ? range.end - p : CHUNK;
        for (size_t j = 0; j < s->groups; j++) {
            for (size_t o = 0; o < m; o++) {
                const size_t row = s->out[j * m + o], at = row * s->y_pitch + p;
                batch_norm_backward(s->g + at, s->raw + at, s->grad_scale[row], s->raw_scale[row], s->constant[row],
                                    pixels, d + o * CHUNK_PITCH);
            }
            const float *x = s->x + j * k * s->x_pitch + p;
            outer_product(m, k, d, x, s->x_pitch, pixels, space.grad_w + j * m * k);
            multiply(k, m, packed + j * per_group, in, out + j * k, s->add, d, s->grad_x + p, pixels);
            for (size_t i = 0; i < k; i++) {
                const size_t row = j * k + i;
                float *grad_x = s->grad_x + out[row] + p;
                if (s->relu)
                    stop_at_zeros(x + i * s->x_pitch, pixels, grad_x);
                if (s->partner && row >= s->first) {
                    const size_t from = row - s->first;
                    add_sums(grad_x, s->partner + from * s->x_pitch + p, pixels, space.sums + 2 * from);
                }
            }
        }
    }
}
