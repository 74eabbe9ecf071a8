// One struct for each kind of step, and the table of kernels that every instruction set level fills.
//
// Letters: x an arena row that is read, y one that is written, w weights, b bias. Row tables (in, out, residual)
// hold offsets in words from the start of the arena.
#ifndef SHUFFLENET_KERNELS_H
#define SHUFFLENET_KERNELS_H

#include "int8_steps.h"
#include "plan.h"

#include <stddef.h>
#include <stdint.h>

// Whether the compiler has the instructions of AVX-VNNI.
#if defined __x86_64__ && (defined __clang__ ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define SHUFFLENET_AVX_VNNI
#endif

// Marks what the engine's files share. A program that has them all in one, as an exported model has, makes it static.
#ifndef SHUFFLENET_LOCAL
#define SHUFFLENET_LOCAL
#endif

// The caller's picture [channels, height, width], or rows of the arena, split by row and column modulo stride into padded
// planes, so that the convolution behind it has only unit strides:
//   y[c, r, q][i * out_pitch + j] = x[c][i * stride + r - padding][j * stride + q - padding], outside 0, or around[c]
// for 0 <= i < out_height, 0 <= j < out_pitch and r, q < phases.
enum { MAX_STRIDE = 16 };

struct input {
    uint32_t stride, phases, padding, out_height, out_pitch;
    uint32_t channels, height, width, in_pitch;
    const uint32_t *in;    // [channels], or NULL: the picture
    const uint32_t *out;   // [channels][phases][phases]
    const int32_t *around; // words [channels], or NULL
};

// y[i][0 .. length) = word for each of count rows: what a convolution must find around its input.
struct zero {
    uint32_t count, length, word;
    const uint32_t *out; // [count]
};

// count tiles of mr outputs each, one after the other, the first of them at output row of the group.
struct tile_run {
    uint32_t mr, count, row;
};

// For each group g, output m and pixel p:
//   y[g, m][p] = activation(b[g, m] + sum over k of w[g, m, k] * x[g, k][p] + r[g, m][p])
// but 0 where p % pitch >= width: between lines, if zeros must be there. A k x k convolution finds its taps as shifted rows
// in the table. If in_pitch is another, each line by itself: x at p / pitch * in_pitch + p % pitch, and pitch is a multiple
// of ROW_ALIGNMENT.
// Packed weights: for each group, for each of its tiles of mr outputs, b [mr] then w [k][mr].
struct convolution {
    uint32_t groups, k, m, pixels, width, pitch, in_pitch, halo, activation;
    float lower_bound;        // of the activation, see lower_bound_of
    const uint32_t *in;       // [groups][k]
    const uint32_t *out;      // [groups][m]
    const uint32_t *residual; // [groups][m], or NULL
    const float *packed;
    const struct tile_run *tiles; // of a group, closed by one with mr 0
    uint32_t tile_count;          // of a group
    int cold;                     // see plan.h
    // The stem kernel reads the picture [k / 9, picture_height, picture_width] instead of in.
    int stem;
    uint32_t picture_height, picture_width;
    const float *zero_row; // as long as a line of the picture
};

// 3x3 with padding 1, or 5x5 with padding 2: y[c] = activation(b[c] + sum over taps of w[c][tap] * x[c][...]). With stride 1
// both pitches are the same, the words between the lines of x are zero, of which 5x5 needs two, and so are the padding *
// (in_pitch + 1) words before and after each row; in strips, where a sliding buffer has none, lines are the fewest whole
// ROW_ALIGNMENT words instead. What lies between the lines of y becomes zero.
struct depthwise {
    uint32_t kernel_size, channels, height, width, stride, in_pitch, out_pitch, activation;
    float lower_bound;
    const uint32_t *in, *out; // [channels]
    const float *weights;     // [channels][kernel_size][kernel_size]
    const float *bias;        // [channels]
    // Stride 1: [3][period][vector_floats], all ones where the pixel has a left, then a right neighbour, then where it is
    // one, and does not lie between the lines.
    const int32_t *masks;
    uint32_t period;       // in vectors
    const float *zero_row; // what stands above the first and below the last line
    int in_strips;         // 3x3 alone
};

// 3x3, stride 2. Padding 1, or 0; windows may reach over the lower and right edge by one. Average: the nine taps' sum / 9,
// padding counted. Maximum: of inputs that are not negative, so that padding counts as 0. What lies between the lines of y
// becomes zero.
struct pool {
    uint32_t channels, height, width, in_pitch, out_pitch, padding, out_height, out_width;
    const uint32_t *in, *out; // [channels]
    const float *zero_row;
};

// y[c, i, j] = the largest or the mean of x[c, i * stride - padding + r, j * stride - padding + q] for 0 <= r, q < kernel_size:
// of the pixels inside, but with PLAN_AVERAGE_WITH_PADDING of zeros up to padding pixels around the plane too. Each window
// has a pixel inside. What lies between the lines of y becomes zero.
struct window_pool {
    uint32_t pooling, kernel_size, stride, channels, height, width, in_pitch, out_pitch, padding, out_height, out_width;
    const uint32_t *in, *out; // [channels]
};

// y[c, i, j] = mean of x[c] over window i, j of out_height * out_width windows that divide the plane as evenly as they can:
// lines from floor(i * height / out_height) to ceil((i + 1) * height / out_height), and columns by the same rule. y is one row. One window
// is the global average pool.
struct adaptive_average_pool {
    uint32_t channels, height, width, in_pitch, out_height, out_width;
    const uint32_t *in;  // [channels]
    const uint32_t *out; // [1], or NULL: the logits
};

// y[m] = activation(b[m] + sum over k of w[m][k] * x[k]), of one row each. In the last block weights and biases are
// zero behind the last output.
struct fully_connected {
    uint32_t k, m, activation;
    const uint32_t *in;  // [1]
    const uint32_t *out; // [1], or NULL: the logits
    const void *weights; // for each block of fully_connected_block outputs w [k][block]
    const float *bias;
    int halves; // weights are of half precision, and take half the time to read
};

// y[c][p] = activation(f[c] * x[c][p] + r[c][p])
struct scale {
    uint32_t channels, pixels, activation;
    float lower_bound;
    const uint32_t *in;       // [channels]
    const uint32_t *factors;  // [1]: where f [channels] starts
    const uint32_t *residual; // [channels], or NULL
    const uint32_t *out;      // [channels]
};

// The next count steps, at most MAX_GROUP_STEPS, are run a few lines at a time, so that what one of them writes is still in
// the second-level cache when the next one reads it. See strips.h.
enum { MAX_GROUP_STEPS = 16, MAX_STRIP_THREADS = 8 }; // more threads than these have nothing to do meanwhile

struct strips {
    uint32_t count;
    uint32_t height, lines;                // lines that the last steps write, in all and in each strip
    uint32_t sliding_begin, sliding_words; // the part of the arena where their sliding buffers lie
};

struct step {
    const struct kind *kind;
    uint32_t source, sliding_lines; // see plan.h
    int reads_picture;              // instead of its source
    int left_out;                   // an input step that nothing reads at this level
    union {
        struct input input;
        struct zero zero;
        struct convolution convolution;
        struct depthwise depthwise;
        struct pool pool;
        struct window_pool window_pool;
        struct adaptive_average_pool adaptive_average_pool;
        struct fully_connected fully_connected;
        struct scale scale;
        struct strips strips;
        struct int8_input int8_input;
        struct int8_convolution int8_convolution;
        struct int8_depthwise int8_depthwise;
        struct int8_pool int8_pool;
        struct int8_adaptive_average_pool int8_adaptive_average_pool;
        struct int8_fully_connected int8_fully_connected;
        struct int8_scale int8_scale;
        struct int8_bytes_of_quads int8_bytes_of_quads;
    } as;
};

// A thread's part of a step's work: number part of parts, which the threads that share a step number from 0.
struct share {
    uint32_t part, parts;
};

struct range {
    size_t begin, end;
};

enum { LINE_FLOATS = 16 }; // of a cache line

// Lines of the plane that a step writes.
struct lines {
    uint32_t begin, end;
};

// The part of count items that is a thread's.
static inline struct range range_of(struct share share, size_t count)
{
    const struct range range = {count * share.part / share.parts, count * (share.part + 1) / share.parts};
    return range;
}

// Pixels behind whole vectors, up to so many, are convolved one by one, where another vector would be nearly empty.
enum { MOST_COLUMNS = 2 };

// How many vectors cover the pixels in tiles of mr outputs, or all but a few, which are convolved one by one.
static inline size_t vectors_in_tiles(uint32_t mr, size_t pixels, uint32_t vector_floats)
{
    const size_t rest = pixels % vector_floats;
    const int columns = rest <= MOST_COLUMNS && mr > 1 && mr <= vector_floats;
    return pixels / vector_floats + (rest && !columns);
}

// vectors in parts of nearly the same width, none wider than most: a narrow last tile would leave the multiply-add units
// waiting.
struct parts {
    size_t count, width, wider; // the first wider parts have width + 1 vectors
};

static inline struct parts split(size_t vectors, size_t most)
{
    const size_t count = (vectors + most - 1) / most, some = count ? count : 1;
    const struct parts parts = {.count = count, .width = vectors / some, .wider = vectors % some};
    return parts;
}

// The part of these lines, of a plane of height lines, that is a thread's.
static inline struct range shared_lines(struct share share, struct lines lines, uint32_t height)
{
    const struct range part = range_of(share, (lines.end < height ? lines.end : height) - lines.begin);
    const struct range range = {lines.begin + part.begin, lines.begin + part.end};
    return range;
}

// The range of pixels that lines cover in a plane of pixels pixels.
static inline struct range pixels_in_lines(struct lines lines, size_t pitch, size_t pixels)
{
    const uint64_t end = (uint64_t)lines.end * pitch;
    const struct range range = {(size_t)lines.begin * pitch, end < pixels ? (size_t)end : pixels};
    return range;
}

enum { MAX_TILE_ROWS = 8, MAX_STEM_CHANNELS = 4 };

// The largest of all levels.
enum { MAX_VECTOR_FLOATS = 16, FULLY_CONNECTED_VECTORS = 8 };

struct kernels {
    const char *name;
    uint32_t vector_floats;
    uint32_t fully_connected_block; // outputs, at most FULLY_CONNECTED_VECTORS vectors
    int takes_halves;               // in fully connected layers
    // vectors[mr]: the widest tile with mr outputs, 0 if there is none; vectors[1] is never 0.
    uint8_t vectors[MAX_TILE_ROWS + 1];
    uint32_t stem_rows;
    void (*zero)(const struct zero *, float *arena, struct share);
    // These write the given lines only. x: where offsets of rows that are read count from, the picture if there is no
    // table; y: where offsets of rows that are written count from.
    void (*input)(const struct input *, const float *x, float *y, struct lines, struct share);
    void (*convolution)(const struct convolution *, const float *x, float *y, struct lines, struct share);
    // A stem convolution from the picture, in tiles of stem_rows outputs and one of the rest, 4 or 8. NULL: the level has no such
    // kernel, and convolves the planes that INPUT makes.
    void (*stem)(const struct convolution *, const float *picture, float *y, struct lines);
    void (*depthwise)(const struct depthwise *, const float *x, float *y, struct lines, struct share);
    void (*max_pool)(const struct pool *, const float *x, float *y, struct lines, struct share);
    void (*average_pool)(const struct pool *, const float *x, float *y, struct lines, struct share);
    void (*window_pool)(const struct window_pool *, float *arena, struct share);
    void (*adaptive_average_pool)(const struct adaptive_average_pool *, float *arena, float *logits, struct share);
    void (*fully_connected)(const struct fully_connected *, float *arena, float *logits, struct share);
    void (*scale)(const struct scale *, float *arena, struct share);
    // See shufflenet_peak. factor and sum keep it from being optimised away. The plain reference has none.
    size_t (*peak)(size_t rounds, float factor, float *sum);
    const struct resize_kernels *resize;     // of preprocessing
    const struct training_kernels *training; // NULL in an engine built for inference alone
    const struct int8_kernels *int8;         // int8.h; NULL in an engine built for float32 alone
};

// One for each level, in levels/; cpu.c says which of them this processor can run.
extern const struct kernels shufflenet_kernels_reference;
extern const struct kernels shufflenet_kernels_generic;
extern const struct kernels shufflenet_kernels_avx2;
extern const struct kernels shufflenet_kernels_avx_vnni;
extern const struct kernels shufflenet_kernels_avx512;
extern const struct kernels shufflenet_kernels_avx512_vnni;
extern const struct kernels shufflenet_kernels_neon;
extern const struct kernels shufflenet_kernels_neon_dot;
extern const struct kernels shufflenet_kernels_simd128_pairs;
extern const struct kernels shufflenet_kernels_simd128;

// The level of that name, the best for NULL, or NULL if there is none that this processor can run.
SHUFFLENET_LOCAL const struct kernels *find_kernels(const char *isa);

#endif
