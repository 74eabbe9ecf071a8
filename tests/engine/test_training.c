// Every pass of training against plain loops in double, on every level, with one thread and with three, in memory of just
// the size that training.h asks for.
#include "kernels.h"
#include "shufflenet.h"
#include "training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t seed = 1;
static int failures, checks;
static char what[200];

static float random_float(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)((int32_t)seed >> 8) / (float)(1 << 23);
}

static float *random_floats(size_t count)
{
    float *floats = malloc(count * sizeof *floats);
    for (size_t i = 0; i < count; i++)
        floats[i] = random_float();
    return floats;
}

static size_t pitch_of(size_t pixels)
{
    return pixels + SHUFFLENET_TRAINING_TAIL;
}

// The tails are zero, as those of a fresh activation.
static float *random_rows(size_t channels, size_t pixels)
{
    float *rows = random_floats(channels * pitch_of(pixels));
    for (size_t c = 0; c < channels; c++)
        memset(rows + c * pitch_of(pixels) + pixels, 0, SHUFFLENET_TRAINING_TAIL * sizeof *rows);
    return rows;
}

static void close_to(const char *name, double got, double want, double terms)
{
    checks++;
    if (fabs(got - want) <= 4e-7 * (8 + terms))
        return;
    failures++;
    fprintf(stderr, "%s: %s is %g, not %g\n", what, name, got, want);
}

static double positive(double value, double lower_bound)
{
    return value > lower_bound ? value : lower_bound;
}

// Sums of a row and of its products with another.
static void check_sums(const double *sums, const float *row, const float *other, size_t pixels)
{
    double sum = 0, product = 0;
    for (size_t p = 0; p < pixels; p++) {
        sum += (double)row[p];
        product += (double)row[p] * (double)other[p];
    }
    close_to("sum", sums[0], sum, (double)pixels * 8);
    close_to("sum of products", sums[1], product, (double)pixels * 8);
}

static void check_status(int status)
{
    if (status != SHUFFLENET_TRAINING_DONE) {
        fprintf(stderr, "%s: status %d\n", what, status);
        exit(1);
    }
}

struct pointwise_shape {
    uint32_t groups, m, k, pixels;
};

// before: nothing; a unit whose output is x from a third of the rows on; one with a shortcut as well.
enum before { NOTHING, UNIT, UNIT_WITH_SHORTCUT };

static void test_pointwise(shufflenet_pool *pool, const char *isa, struct pointwise_shape s, enum before before)
{
    const size_t outs = (size_t)s.groups * s.m, ins = (size_t)s.groups * s.k, pitch = pitch_of(s.pixels);
    float *x = random_rows(ins, s.pixels), *y = random_rows(outs, s.pixels), *w = random_floats(outs * s.k);
    uint32_t *order = malloc(outs * sizeof *order);
    for (size_t o = 0; o < outs; o++) // as a shuffle
        order[o] = (uint32_t)(o % s.m * s.groups + o / s.m);
    double *sums = malloc(2 * (outs + ins) * sizeof *sums);
    const uint32_t first = before == UNIT ? (uint32_t)ins / 3 : 0;
    float *raw = random_rows(ins, s.pixels), *unit_map = random_floats(2 * ins), *shortcut = random_rows(ins, s.pixels);
    check_status(shufflenet_train_pointwise_forward(
        pool, isa,
        &(struct shufflenet_pointwise_forward){.groups = s.groups,
                                               .m = s.m,
                                               .k = s.k,
                                               .first = first,
                                               .pixels = s.pixels,
                                               .x_pitch = pitch,
                                               .y_pitch = pitch,
                                               .w = w,
                                               .out = order,
                                               .raw = before == NOTHING ? NULL : raw,
                                               .scale = unit_map,
                                               .offset = unit_map + ins,
                                               .shortcut = before == UNIT_WITH_SHORTCUT ? shortcut : NULL,
                                               .x = x,
                                               .y = y,
                                               .sums = sums}));
    for (size_t row = first; before != NOTHING && row < ins; row++)
        for (size_t p = 0; p < s.pixels; p++) {
            const size_t from = row - first;
            const double sum = (double)unit_map[from] * (double)raw[from * pitch + p] + (double)unit_map[ins + from];
            const double added = before == UNIT_WITH_SHORTCUT ? (double)shortcut[row * pitch + p] : 0;
            close_to("x", (double)x[row * pitch + p], positive(sum + added, 0), 3);
        }
    for (size_t o = 0; o < outs; o++) {
        for (size_t p = 0; p < s.pixels; p++) {
            double sum = 0;
            for (size_t i = 0; i < s.k; i++)
                sum += (double)w[o * s.k + i] * (double)x[(o / s.m * s.k + i) * pitch + p];
            close_to("y", (double)y[order[o] * pitch + p], sum, s.k);
        }
        check_sums(sums + 2 * order[o], y + order[o] * pitch, y + order[o] * pitch, s.pixels);
    }

    float *g = random_rows(outs, s.pixels), *map = random_floats(3 * outs),
          *grad_w = malloc(outs * s.k * sizeof *grad_w);
    for (uint32_t add = 0; add < 2; add++) {
        float *grad_x = random_rows(ins, s.pixels), *earlier = malloc(ins * pitch * sizeof *earlier);
        memcpy(earlier, grad_x, ins * pitch * sizeof *earlier);
        check_status(shufflenet_train_pointwise_backward(
            pool, isa,
            &(struct shufflenet_pointwise_backward){.groups = s.groups,
                                                    .m = s.m,
                                                    .k = s.k,
                                                    .add = add,
                                                    .relu = add,
                                                    .first = first,
                                                    .pixels = s.pixels,
                                                    .x_pitch = pitch,
                                                    .y_pitch = pitch,
                                                    .w = w,
                                                    .out = order,
                                                    .g = g,
                                                    .raw = y,
                                                    .grad_scale = map,
                                                    .raw_scale = map + outs,
                                                    .constant = map + 2 * outs,
                                                    .x = x,
                                                    .grad_x = grad_x,
                                                    .grad_w = grad_w,
                                                    .partner = before == NOTHING ? NULL : raw,
                                                    .sums = sums}));
        double *d = calloc(outs * s.pixels, sizeof *d);
        for (size_t o = 0; o < outs; o++)
            for (size_t p = 0; p < s.pixels; p++) {
                const size_t row = order[o], at = row * pitch + p;
                d[o * s.pixels + p] = (double)map[row] * (double)g[at] + (double)map[outs + row] * (double)y[at] +
                                      (double)map[2 * outs + row];
            }
        for (size_t o = 0; o < outs; o++)
            for (size_t i = 0; i < s.k; i++) {
                double sum = 0;
                for (size_t p = 0; p < s.pixels; p++)
                    sum += d[o * s.pixels + p] * (double)x[(o / s.m * s.k + i) * pitch + p];
                close_to("grad_w", (double)grad_w[o * s.k + i], sum, s.pixels * (double)s.k);
            }
        for (size_t row = 0; row < ins; row++) {
            const size_t j = row / s.k, i = row % s.k;
            for (size_t p = 0; p < s.pixels; p++) {
                double sum = add ? (double)earlier[row * pitch + p] : 0;
                for (size_t o = j * s.m; o < (j + 1) * s.m; o++)
                    sum += (double)w[o * s.k + i] * d[o * s.pixels + p];
                const int stopped = add && !(x[row * pitch + p] > 0);
                close_to("grad_x", (double)grad_x[row * pitch + p], stopped ? 0 : sum, s.m * (double)s.k);
            }
            if (before != NOTHING && row >= first)
                check_sums(sums + 2 * (row - first), grad_x + row * pitch, raw + (row - first) * pitch, s.pixels);
        }
        free(grad_x), free(earlier), free(d);
    }
    free(x), free(y), free(w), free(order), free(sums), free(g), free(map), free(grad_w);
    free(raw), free(unit_map), free(shortcut);
}

struct plane_shape {
    uint32_t channels, images, height, width, stride;
};

static size_t half(size_t pixels, size_t stride)
{
    return (pixels - 1) / stride + 1;
}

// n at row i and column j of a plane, 0 outside.
static double at(const double *plane, ptrdiff_t height, ptrdiff_t width, ptrdiff_t i, ptrdiff_t j)
{
    return i < 0 || j < 0 || i >= height || j >= width ? 0 : plane[i * width + j];
}

static void test_depthwise(shufflenet_pool *pool, const char *isa, struct plane_shape s, float lower_bound)
{
    const size_t height = half(s.height, s.stride), width = half(s.width, s.stride), plane = (size_t)s.height * s.width;
    const size_t in_pixels = s.images * plane, out_plane = height * width, out_pixels = s.images * out_plane;
    const size_t x_pitch = pitch_of(in_pixels), y_pitch = pitch_of(out_pixels);
    float *x = random_rows(s.channels, in_pixels), *y = random_rows(s.channels, out_pixels);
    float *w = random_floats(9 * (size_t)s.channels), *map = random_floats(5 * (size_t)s.channels);
    float *scale = map, *offset = map + s.channels, *grad_map = map + 2 * s.channels;
    double *sums = malloc(2 * s.channels * sizeof *sums), *grad_w = malloc(9 * s.channels * sizeof *grad_w);
    check_status(shufflenet_train_depthwise_forward(
        pool, isa,
        &(struct shufflenet_depthwise_forward){s.channels, s.images, s.height, s.width, s.stride, x_pitch, y_pitch,
                                               lower_bound, w, scale, offset, x, y, sums}));
    float *g = random_rows(s.channels, out_pixels), *grad_x = random_rows(s.channels, in_pixels);
    double *grad_sums = malloc(2 * s.channels * sizeof *grad_sums);
    check_status(shufflenet_train_depthwise_backward(pool, isa,
                                                     &(struct shufflenet_depthwise_backward){s.channels,
                                                                                             s.images,
                                                                                             s.height,
                                                                                             s.width,
                                                                                             s.stride,
                                                                                             x_pitch,
                                                                                             y_pitch,
                                                                                             lower_bound,
                                                                                             w,
                                                                                             g,
                                                                                             y,
                                                                                             grad_map,
                                                                                             grad_map + s.channels,
                                                                                             grad_map + 2 * s.channels,
                                                                                             scale,
                                                                                             offset,
                                                                                             x,
                                                                                             grad_x,
                                                                                             grad_w,
                                                                                             grad_sums}));
    double *n = malloc(plane * sizeof *n), *grad_n = malloc(plane * sizeof *grad_n);
    for (size_t c = 0; c < s.channels; c++) {
        double want_w[9] = {0};
        for (size_t image = 0; image < s.images; image++) {
            const float *from = x + c * x_pitch + image * plane;
            const size_t to = c * y_pitch + image * out_plane;
            for (size_t p = 0; p < plane; p++) {
                n[p] = positive((double)scale[c] * (double)from[p] + (double)offset[c], (double)lower_bound);
                grad_n[p] = 0;
            }
            for (size_t o = 0; o < out_plane; o++) {
                const double d = (double)grad_map[c] * (double)g[to + o] +
                                 (double)grad_map[s.channels + c] * (double)y[to + o] +
                                 (double)grad_map[2 * s.channels + c];
                double sum = 0;
                for (ptrdiff_t tap = 0; tap < 9; tap++) {
                    const ptrdiff_t i = (ptrdiff_t)(o / width * s.stride) + tap / 3 - 1;
                    const ptrdiff_t j = (ptrdiff_t)(o % width * s.stride) + tap % 3 - 1;
                    const double value = at(n, s.height, s.width, i, j);
                    sum += (double)w[c * 9 + (size_t)tap] * value;
                    want_w[tap] += d * value;
                    if (i >= 0 && j >= 0 && i < (ptrdiff_t)s.height && j < (ptrdiff_t)s.width)
                        grad_n[i * (ptrdiff_t)s.width + j] += d * (double)w[c * 9 + (size_t)tap];
                }
                close_to("y", (double)y[to + o], sum, 18);
            }
            for (size_t p = 0; p < plane; p++)
                close_to("grad_x", (double)grad_x[c * x_pitch + image * plane + p],
                         n[p] > (double)lower_bound ? grad_n[p] : 0, 60);
        }
        for (size_t tap = 0; tap < 9; tap++)
            close_to("grad_w", grad_w[c * 9 + tap], want_w[tap], 8 * (double)out_pixels);
        check_sums(sums + 2 * c, y + c * y_pitch, y + c * y_pitch, out_pixels);
        check_sums(grad_sums + 2 * c, grad_x + c * x_pitch, x + c * x_pitch, in_pixels);
    }
    free(x), free(y), free(w), free(map), free(sums), free(grad_w), free(g), free(grad_x), free(grad_sums);
    free(n), free(grad_n);
}

static void test_output(shufflenet_pool *pool, const char *isa, uint32_t channels, size_t pixels)
{
    const size_t pitch = pitch_of(pixels);
    float *raw = random_rows(channels, pixels), *shortcut = random_rows(channels, pixels),
          *map = random_floats(2 * channels);
    float *y = random_rows(channels, pixels), *grad_y = random_rows(channels, pixels),
          *g = random_rows(channels, pixels);
    double *sums = malloc(2 * channels * sizeof *sums);
    for (int alone = 0; alone < 2; alone++) {
        check_status(shufflenet_train_output_forward(pool, isa,
                                                     &(struct shufflenet_output_forward){channels, pixels, pitch, map,
                                                                                         map + channels, raw,
                                                                                         alone ? NULL : shortcut, y}));
        check_status(shufflenet_train_output_backward(
            pool, isa, &(struct shufflenet_output_backward){channels, pixels, pitch, y, grad_y, raw, g, sums}));
        for (size_t c = 0; c < channels; c++) {
            for (size_t p = c * pitch; p < c * pitch + pixels; p++) {
                const double sum = (double)map[c] * (double)raw[p] + (double)map[channels + c];
                close_to("y", (double)y[p], positive(sum + (alone ? 0 : (double)shortcut[p]), 0), 3);
                close_to("g", (double)g[p], y[p] > 0 ? (double)grad_y[p] : 0, 0);
            }
            check_sums(sums + 2 * c, g + c * pitch, raw + c * pitch, pixels);
        }
    }
    free(raw), free(shortcut), free(map), free(y), free(grad_y), free(g), free(sums);
}

static void test_stem(shufflenet_pool *pool, const char *isa, struct plane_shape s)
{
    enum { M = 7 };
    const size_t height = half(s.height, s.stride), width = half(s.width, s.stride), pixels = s.images * height * width;
    const size_t pitch = pitch_of(pixels), plane = (size_t)s.height * s.width, k = 9 * (size_t)s.channels;
    float *x = random_floats(s.images * s.channels * plane), *w = random_floats(M * k), *y = random_rows(M, pixels);
    float *g = random_rows(M, pixels), *map = random_floats(3 * M), *grad_w = malloc(M * k * sizeof *grad_w);
    double sums[2 * M], *taps = malloc(k * pixels * sizeof *taps);
    check_status(shufflenet_train_stem_forward(
        pool, isa,
        &(struct shufflenet_stem_forward){s.images, s.channels, s.height, s.width, s.stride, M, pitch, w, x, y, sums}));
    check_status(shufflenet_train_stem_backward(
        pool, isa,
        &(struct shufflenet_stem_backward){s.images, s.channels, s.height, s.width, s.stride, M, pitch, g, y, map,
                                           map + M, map + 2 * M, x, grad_w}));
    for (size_t row = 0; row < k; row++)
        for (size_t p = 0; p < pixels; p++) {
            const ptrdiff_t i = (ptrdiff_t)(p / width % height * s.stride + row % 9 / 3) - 1;
            const ptrdiff_t j = (ptrdiff_t)(p % width * s.stride + row % 3) - 1;
            const float *from = x + (p / (height * width) * s.channels + row / 9) * plane;
            const int outside = i < 0 || j < 0 || i >= (ptrdiff_t)s.height || j >= (ptrdiff_t)s.width;
            taps[row * pixels + p] = outside ? 0 : (double)from[i * (ptrdiff_t)s.width + j];
        }
    for (size_t o = 0; o < M; o++) {
        for (size_t p = 0; p < pixels; p++) {
            double sum = 0;
            for (size_t row = 0; row < k; row++)
                sum += (double)w[o * k + row] * taps[row * pixels + p];
            close_to("y", (double)y[o * pitch + p], sum, (double)k);
        }
        for (size_t row = 0; row < k; row++) {
            double sum = 0;
            for (size_t p = 0; p < pixels; p++)
                sum +=
                    taps[row * pixels + p] * ((double)map[o] * (double)g[o * pitch + p] +
                                              (double)map[M + o] * (double)y[o * pitch + p] + (double)map[2 * M + o]);
            close_to("grad_w", (double)grad_w[o * k + row], sum, (double)(pixels * k));
        }
        check_sums(sums + 2 * o, y + o * pitch, y + o * pitch, pixels);
    }
    free(x), free(w), free(y), free(g), free(map), free(grad_w), free(taps);
}

static void test_max_pool(shufflenet_pool *pool, const char *isa, struct plane_shape s)
{
    const size_t height = half(s.height, 2), width = half(s.width, 2), plane = (size_t)s.height * s.width;
    const size_t in_pixels = s.images * plane, out_pixels = s.images * height * width;
    const size_t x_pitch = pitch_of(in_pixels), y_pitch = pitch_of(out_pixels);
    float *x = random_rows(s.channels, in_pixels), *y = random_rows(s.channels, out_pixels),
          *map = random_floats(2 * s.channels);
    float *g = random_rows(s.channels, out_pixels), *grad_x = random_rows(s.channels, in_pixels);
    int32_t *tap = malloc(s.channels * y_pitch * sizeof *tap);
    double *sums = malloc(2 * s.channels * sizeof *sums), *want = malloc(plane * sizeof *want);
    for (size_t i = 0; i < s.channels * x_pitch; i += 3) // equal maxima: the first gets the gradient
        x[i] = 0.5f;
    check_status(shufflenet_train_max_pool_forward(pool, isa,
                                                   &(struct shufflenet_max_pool_forward){s.channels, s.images, s.height,
                                                                                         s.width, x_pitch, y_pitch, map,
                                                                                         map + s.channels, x, y, tap}));
    check_status(shufflenet_train_max_pool_backward(
        pool, isa,
        &(struct shufflenet_max_pool_backward){s.channels, s.images, s.height, s.width, x_pitch, y_pitch, x, y, g, tap,
                                               grad_x, sums}));
    for (size_t c = 0; c < s.channels; c++) {
        for (size_t image = 0; image < s.images; image++) {
            const size_t from = c * x_pitch + image * plane, to = c * y_pitch + image * height * width;
            memset(want, 0, plane * sizeof *want);
            for (size_t o = 0; o < height * width; o++) {
                double best = 0;
                size_t place = plane;
                for (size_t t = 0; t < 9; t++) {
                    const size_t i = o / width * 2 + t / 3 - 1, j = o % width * 2 + t % 3 - 1; // wrap around below 0
                    if (i >= s.height || j >= s.width)
                        continue;
                    const double n = (double)map[c] * (double)x[from + i * s.width + j] + (double)map[s.channels + c];
                    if (n > best + 1e-6)
                        best = n, place = i * s.width + j;
                }
                close_to("y", (double)y[to + o], best, 2);
                if (place < plane)
                    want[place] += (double)g[to + o];
            }
            for (size_t p = 0; p < plane; p++)
                close_to("grad_x", (double)grad_x[from + p], want[p], 4);
        }
        check_sums(sums + 2 * c, grad_x + c * x_pitch, x + c * x_pitch, in_pixels);
    }
    free(x), free(y), free(map), free(g), free(grad_x), free(tap), free(sums), free(want);
}

static void test_level(const char *isa, uint32_t threads)
{
    static const struct pointwise_shape pointwise[] = {{1, 1, 1, 1},  {3, 10, 40, 49},  {3, 40, 10, 100},
                                                       {8, 5, 3, 17}, {2, 7, 13, 1050}, {1, 6, 9, 512}};
    static const struct plane_shape planes[] = {{3, 2, 7, 7, 1},   {4, 5, 4, 4, 1},  {1, 1, 1, 1, 1}, {2, 3, 1, 9, 1},
                                                {5, 2, 28, 28, 1}, {3, 2, 7, 7, 2},  {2, 3, 8, 6, 2}, {1, 2, 1, 1, 2},
                                                {2, 1, 5, 40, 2},  {3, 2, 33, 20, 2}};
    shufflenet_pool *pool = shufflenet_pool_create(threads);
    for (size_t i = 0; i < sizeof pointwise / sizeof *pointwise; i++) {
        const struct pointwise_shape s = pointwise[i];
        snprintf(what, sizeof what, "%s, %u threads, pointwise %ux%ux%u, %u pixels", isa, threads, s.groups, s.m, s.k,
                 s.pixels);
        for (enum before before = NOTHING; before <= UNIT_WITH_SHORTCUT; before++)
            test_pointwise(pool, isa, s, before);
    }
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i++) {
        const struct plane_shape s = planes[i];
        char shape[80];
        snprintf(shape, sizeof shape, "%u channels, %u pictures %ux%u, stride %u", s.channels, s.images, s.height,
                 s.width, s.stride);
        snprintf(what, sizeof what, "%s, %u threads, depthwise, %s", isa, threads, shape);
        test_depthwise(pool, isa, s, 0);
        test_depthwise(pool, isa, s, -INFINITY);
        snprintf(what, sizeof what, "%s, %u threads, stem, %s", isa, threads, shape);
        test_stem(pool, isa, s);
        if (s.stride == 1)
            continue;
        snprintf(what, sizeof what, "%s, %u threads, maximum pool, %s", isa, threads, shape);
        test_max_pool(pool, isa, s);
    }
    for (size_t pixels = 1; pixels < 1200; pixels += 173) {
        snprintf(what, sizeof what, "%s, %u threads, output, %zu pixels", isa, threads, pixels);
        test_output(pool, isa, 5, pixels);
    }
    shufflenet_pool_destroy(pool);
}

int main(void)
{
    for (size_t level = 0; shufflenet_isa(level); level++) {
        const char *isa = shufflenet_isa(level);
        if (!find_kernels(isa)->training)
            continue;
        test_level(isa, 1);
        test_level(isa, 3);
    }
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}
