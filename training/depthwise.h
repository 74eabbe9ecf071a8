// Depthwise 3x3 convolutions, forward and backward. A plane is one long row of pixels between margins of zeros; what wraps
// around at the left and right edge is masked. Stride 2 is stride 1 of which every other pixel is taken.

struct plane_scratch {
    size_t pixels, margin;
    int32_t *has_left, *has_right; // all ones where the pixel has such a neighbour
    float *a, *b, *c;              // planes with their margins
};

static struct plane_scratch plane_scratch(float *scratch, size_t height, size_t width)
{
    struct plane_scratch s = {.pixels = height * width, .margin = width + 1};
    const size_t size = s.pixels + 2 * s.margin + 64;
    memset(scratch, 0, 5 * size * sizeof *scratch);
    s.has_left = (int32_t *)scratch;
    s.has_right = s.has_left + size;
    s.a = scratch + 2 * size + s.margin;
    s.b = s.a + size;
    s.c = s.b + size;
    for (size_t p = 0; p < s.pixels; p++) {
        s.has_left[p] = -(p % width != 0);
        s.has_right[p] = -(p % width != width - 1);
    }
    return s;
}

static void affine(const float *x, size_t pixels, float scale, float offset, float lower_bound, float *y)
{
    const vector a = broadcast(scale), b = broadcast(offset), lowest = broadcast(lower_bound);
    for (size_t p = 0; p < pixels; p += VECTOR_FLOATS)
        store(y + p, keep(vector_max(lowest, a * load(x + p) + b), first_lanes(pixels - p)));
}

// At pixel p of the plane x; tap t has weight w[t].
ALWAYS_INLINE vector convolve3x3(const struct plane_scratch *s, const vector *w, const float *x, size_t width, size_t p)
{
    const float *above = x + p - width, *middle = x + p, *below = x + p + width;
    const vector left = w[0] * load(above - 1) + w[3] * load(middle - 1) + w[6] * load(below - 1);
    const vector centre = w[1] * load(above) + w[4] * load(middle) + w[7] * load(below);
    const vector right = w[2] * load(above + 1) + w[5] * load(middle + 1) + w[8] * load(below + 1);
    return centre + keep(left, load_mask(s->has_left + p)) + keep(right, load_mask(s->has_right + p));
}

// Every other pixel of every other row of x.
static void take_even(const float *x, size_t height, size_t width, float *y)
{
    for (size_t i = 0; i < height; i += 2)
        for (size_t j = 0; j < width; j += 2)
            *y++ = x[i * width + j];
}

// y, zero elsewhere, gets x at every other pixel of every other row.
static void put_even(const float *x, size_t height, size_t width, float *y)
{
    for (size_t i = 0; i < height; i += 2)
        for (size_t j = 0; j < width; j += 2)
            y[i * width + j] = *x++;
}

static void train_depthwise_forward(const void *arguments, struct workspace space, struct share share)
{
    const struct shufflenet_depthwise_forward *s = arguments;
    const size_t width = s->width, pixels = (size_t)s->height * width;
    const size_t out_pixels = s->stride == 1 ? pixels : (size_t)((s->height + 1) / 2) * ((width + 1) / 2);
    const struct plane_scratch plane = plane_scratch(space.scratch, s->height, width);
    const struct range channels = range_of(share, s->channels);
    for (size_t c = channels.begin; c < channels.end; c++) {
        vector w[9];
        for (size_t tap = 0; tap < 9; tap++)
            w[tap] = broadcast(s->w[c * 9 + tap]);
        for (size_t n = 0; n < s->images; n++) {
            float *y = s->y + c * s->y_pitch + n * out_pixels, *to = s->stride == 1 ? y : plane.b;
            affine(s->x + c * s->x_pitch + n * pixels, pixels, s->scale[c], s->offset[c], s->lower_bound, plane.a);
            // What is written past the plane is the next one's, or the row's tail.
            for (size_t p = 0; p < pixels; p += VECTOR_FLOATS)
                store(to + p, convolve3x3(&plane, w, plane.a, width, p));
            if (s->stride == 2)
                take_even(plane.b, s->height, width, y);
            if (s->sums)
                add_sums(y, y, out_pixels, s->sums + 2 * c);
        }
    }
}

// sum[t] += d * n, seen from tap t.
ALWAYS_INLINE void add_tap_products(const struct plane_scratch *s, const float *d, const float *n, size_t width,
                                    vector *sum)
{
    for (size_t p = 0; p < s->pixels; p += VECTOR_FLOATS) {
        const float *above = n + p - width, *middle = n + p, *below = n + p + width;
        const vector centre = load(d + p);
        const vector left = keep(centre, load_mask(s->has_left + p)), right = keep(centre, load_mask(s->has_right + p));
        sum[0] += left * load(above - 1), sum[1] += centre * load(above), sum[2] += right * load(above + 1);
        sum[3] += left * load(middle - 1), sum[4] += centre * load(middle), sum[5] += right * load(middle + 1);
        sum[6] += left * load(below - 1), sum[7] += centre * load(below), sum[8] += right * load(below + 1);
    }
}

// The gradient at the plane whose affine map is n (NULL: without a bound) and x the plane itself.
static void depthwise_grad_x(const struct plane_scratch *s, const vector *flipped, const float *d, const float *n,
                             float lower_bound, size_t width, float *grad_x)
{
    const vector lowest = broadcast(lower_bound);
    for (size_t p = 0; p < s->pixels; p += VECTOR_FLOATS) {
        vector sum = convolve3x3(s, flipped, d, width, p);
        if (n)
            sum = keep(sum, load(n + p) > lowest);
        store(grad_x + p, sum);
    }
}

static void train_depthwise_backward(const void *arguments, struct workspace space, struct share share)
{
    const struct shufflenet_depthwise_backward *s = arguments;
    const size_t width = s->width, pixels = (size_t)s->height * width;
    const size_t out_pixels = s->stride == 1 ? pixels : (size_t)((s->height + 1) / 2) * ((width + 1) / 2);
    const struct plane_scratch plane = plane_scratch(space.scratch, s->height, width);
    const struct range channels = range_of(share, s->channels);
    for (size_t c = channels.begin; c < channels.end; c++) {
        vector flipped[9], products[9] = {{0}};
        for (size_t tap = 0; tap < 9; tap++)
            flipped[tap] = broadcast(s->w[c * 9 + 8 - tap]);
        for (size_t n = 0; n < s->images; n++) {
            const float *g = s->g + c * s->y_pitch + n * out_pixels;
            const float *raw = s->raw ? s->raw + c * s->y_pitch + n * out_pixels : g; // times 0
            float *d = s->stride == 1 ? plane.a : plane.c;
            batch_norm_backward(g, raw, s->grad_scale[c], s->raw_scale[c], s->constant[c], out_pixels, d);
            if (s->stride == 2)
                put_even(plane.c, s->height, width, plane.a);
            float *grad_x = s->grad_x + c * s->x_pitch + n * pixels;
            if (!s->x) {
                depthwise_grad_x(&plane, flipped, plane.a, NULL, s->lower_bound, width, grad_x);
                continue;
            }
            const float *x = s->x + c * s->x_pitch + n * pixels;
            affine(x, pixels, s->scale[c], s->offset[c], s->lower_bound, plane.b);
            add_tap_products(&plane, plane.a, plane.b, width, products);
            depthwise_grad_x(&plane, flipped, plane.a, plane.b, s->lower_bound, width, grad_x);
            add_sums(grad_x, x, pixels, s->sums + 2 * c);
        }
        for (size_t tap = 0; s->x && tap < 9; tap++)
            s->grad_w[c * 9 + tap] = (double)lanes_sum(products[tap]);
    }
}
