// The plan: what src/shufflenet/engine/plan.py writes and create.c reads, in 32-bit words of a little-endian machine.
//
//   struct plan_header
//   struct plan_weights [block_count]     blocks of weights and biases
//   struct plan_step    [step_count]
//   uint32_t            [table_count]     row tables: where rows start, in words from the start of the arena
//   bytes               [weight_bytes]    what the blocks hold, unpacked; a multiple of four bytes
//
// A *row* is a plane of 32-bit words in the arena: height lines of width words, from one line to the next pitch words. A word
// holds one pixel: of one float32 channel, of two 16-bit channels or of four 8-bit channels. Every operator finds the rows that
// it reads and writes in its tables, so whatever only moves channels is a different table.
//
// What depends on the network or on the machine's caches is in the plan; what depends on the instruction set level or on the
// number of threads is the engine's.
#ifndef SHUFFLENET_PLAN_H
#define SHUFFLENET_PLAN_H

#include <stdint.h>

enum { PLAN_MAGIC = 0x4c504e53, PLAN_VERSION = 12 };

// Rows start on a multiple of ROW_ALIGNMENT words, but for the planes of PLAN_INPUT. A step may overwrite the ROW_TAIL words
// behind a row that it writes with zeros: the rest of a vector of ROW_ALIGNMENT words.
enum { ROW_ALIGNMENT = 16, ROW_TAIL = ROW_ALIGNMENT - 1 };

#define PLAN_NO_TABLE UINT32_MAX

struct plan_header {
    uint32_t magic;
    uint32_t version;
    uint32_t block_count;
    uint32_t step_count;
    uint32_t table_count;
    uint32_t weight_bytes;
    uint32_t arena_words;
    uint32_t in_channels;
    uint32_t height;
    uint32_t width;
    uint32_t classes;
};

// Operators take float32, and PLAN_FULLY_CONNECTED also float16 weights. Those of quantized networks take int8 weights, an int32
// bias and float32 factors, a block each.
enum plan_dtype {
    PLAN_FLOAT32 = 1,
    PLAN_FLOAT16 = 2,
    PLAN_INT8 = 3,
    PLAN_INT32 = 4,
};

// count values of a dtype, offset bytes behind the start of all weights, a multiple of four. Steps name blocks by number.
struct plan_weights {
    uint32_t dtype;
    uint32_t count;
    uint32_t offset;
};

// What is applied to a sum, element by element. The zeros between the lines of a plane stay zeros. PLAN_SCALE, which does not
// know where they are, takes linear and ReLU.
enum plan_activation {
    PLAN_LINEAR = 0,
    PLAN_RELU = 1,
    PLAN_SIGMOID = 2,
    PLAN_HARD_SIGMOID = 3, // min(max(x + 3, 0), 6) / 6
    PLAN_HARD_SWISH = 4,   // x times that
    PLAN_RELU6 = 5,        // min(max(x, 0), 6)
    PLAN_SILU = 6,         // x times its sigmoid
    PLAN_GELU = 7,         // x times the normal distribution's share below it: (1 + erf(x / sqrt(2))) / 2
};
enum { PLAN_ACTIVATIONS = 1 + PLAN_GELU };            // their number
enum { PLAN_INT8_ACTIVATIONS = 1 + PLAN_HARD_SWISH }; // the first ones, that steps of quantized networks take

enum plan_kind {
    PLAN_INPUT = 1,
    PLAN_ZERO = 2,
    PLAN_CONVOLUTION = 3,
    PLAN_DEPTHWISE = 4,
    PLAN_MAX_POOL = 5,
    PLAN_AVERAGE_POOL = 6,
    PLAN_ADAPTIVE_AVERAGE_POOL = 7,
    PLAN_FULLY_CONNECTED = 8,
    PLAN_SCALE = 9,
    PLAN_STRIPS = 10,
    // Of quantized networks: see int8_steps.h.
    PLAN_INT8_INPUT = 11,
    PLAN_INT8_CONVOLUTION = 12,
    PLAN_INT8_DEPTHWISE = 13,
    PLAN_INT8_MAX_POOL = 14,
    PLAN_INT8_AVERAGE_POOL = 15,
    PLAN_INT8_ADAPTIVE_AVERAGE_POOL = 16,
    PLAN_INT8_FULLY_CONNECTED = 17,
    PLAN_INT8_SCALE = 18,
    PLAN_INT8_BYTES_OF_QUADS = 19,
    PLAN_WINDOW_POOL = 20,
};

// What PLAN_WINDOW_POOL makes of a window: the average is of the pixels inside, or of padding too.
enum plan_pooling {
    PLAN_MAXIMUM = 0,
    PLAN_AVERAGE = 1,
    PLAN_AVERAGE_WITH_PADDING = 2,
};

// The fields of each kind of step mean what those of the struct of the same name in kernels.h do. input, output, residual
// and factors say where in the row tables theirs begin; weights and bias are the numbers of blocks.

struct plan_input {
    uint32_t stride, phases, padding, out_height, out_pitch;
    uint32_t channels, height, width, in_pitch; // of the picture if input is PLAN_NO_TABLE
    uint32_t stem;                              // 1: read by none but a convolution with stem
    uint32_t around;                            // of quad rows: int32 [channels]; or PLAN_NO_TABLE
    uint32_t input, output;
};

struct plan_zero {
    uint32_t count, length, word;
    uint32_t output;
};

struct plan_convolution {
    uint32_t groups, k, m, pixels, width, pitch, in_pitch;
    uint32_t activation;
    uint32_t halo; // in strips: how many lines it reads below the one that it writes
    // 1: 3x3 with stride 2 and padding 1 on the picture, which a level with a stem kernel reads instead of input.
    uint32_t stem;
    uint32_t cold; // 1: its rows are more than a second-level cache holds, and are to be fetched ahead
    uint32_t input, output, residual;
    uint32_t weights, bias;
};

struct plan_depthwise {
    uint32_t kernel_size, channels, height, width, stride, in_pitch, out_pitch;
    uint32_t activation;
    uint32_t input, output;
    uint32_t weights, bias;
};

struct plan_pool { // maximum and average
    uint32_t channels, height, width, in_pitch, out_pitch, padding, out_height, out_width;
    uint32_t input, output;
};

struct plan_window_pool { // windows of any size
    uint32_t pooling;     // enum plan_pooling
    uint32_t kernel_size, stride, channels, height, width, in_pitch, out_pitch, padding, out_height, out_width;
    uint32_t input, output;
};

struct plan_adaptive_average_pool {
    uint32_t channels, height, width, in_pitch, out_height, out_width;
    uint32_t input, output;
};

struct plan_fully_connected {
    uint32_t k, m;
    uint32_t activation;
    uint32_t input, output;
    uint32_t weights, bias;
};

struct plan_scale {
    uint32_t channels, pixels;
    uint32_t activation;
    uint32_t input, factors, output, residual;
};

// The next count steps are run in strips: so many of the height lines that their last ones write at a time. Their sliding
// buffers share sliding_words words of the arena from sliding_begin on.
struct plan_strips {
    uint32_t count, height, lines;
    uint32_t sliding_begin, sliding_words;
};

struct plan_int8_input { // of the picture
    uint32_t padding, out_height, out_pitch;
    uint32_t output;
    uint32_t factors, offsets, around; // float32, float32 and int32 [in_channels]
};

// outputs: float32 [channels][5], struct int8_output of int8_steps.h.

struct plan_int8_convolution {
    uint32_t groups, k, m, pixels, width, pitch, in_pitch;
    uint32_t reads, writes; // enum int8_reads and int8_writes
    uint32_t activation;
    uint32_t around; // the byte behind byte rows
    uint32_t input, output, residual;
    uint32_t weights, bias, outputs; // int8 [groups * m][k][4], int32 [groups * m]
};

struct plan_int8_depthwise {
    uint32_t kernel_size, quads, height, width, stride, in_pitch, out_pitch;
    uint32_t activation;
    uint32_t around; // the byte beyond the edges
    uint32_t input, output;
    uint32_t weights, bias, outputs; // int8 [quads][4][kernel_size][kernel_size], int32 [quads][4]
};

struct plan_int8_pool { // maximum and average
    uint32_t quads, height, width, in_pitch, out_pitch, padding, out_height, out_width;
    uint32_t input, output;
    uint32_t factors, offsets; // float32 [quads][4], of the average alone
};

struct plan_int8_adaptive_average_pool {
    uint32_t quads, height, width, in_pitch, out_height, out_width;
    uint32_t input, output;
    uint32_t factors, offsets; // float32 [quads][out_height * out_width][4]
};

struct plan_int8_fully_connected {
    uint32_t k, m;
    uint32_t activation;
    uint32_t writes_bytes; // 1, or 0: float32
    uint32_t input, output;
    uint32_t weights, bias, outputs; // int8 [m][k][4], int32 [m]
};

struct plan_int8_scale {
    uint32_t quads, pixels, width, pitch;
    uint32_t activation;
    uint32_t input, factors, output, residual;
    uint32_t zeros, outputs; // float32 [quads][4]
};

struct plan_int8_bytes_of_quads {
    uint32_t quads, height, width, in_pitch;
    uint32_t input, output;
};

struct plan_step {
    uint32_t kind;
    // In strips: the step whose output it reads, counted from their first, or PLAN_WHOLE; and how many lines its own output's
    // sliding buffer holds, or 0 if the whole plane is in the arena.
    uint32_t source, sliding_lines;
    union {
        struct plan_input input;
        struct plan_zero zero;
        struct plan_convolution convolution;
        struct plan_depthwise depthwise;
        struct plan_pool pool;
        struct plan_window_pool window_pool;
        struct plan_adaptive_average_pool adaptive_average_pool;
        struct plan_fully_connected fully_connected;
        struct plan_scale scale;
        struct plan_strips strips;
        struct plan_int8_input int8_input;
        struct plan_int8_convolution int8_convolution;
        struct plan_int8_depthwise int8_depthwise;
        struct plan_int8_pool int8_pool;
        struct plan_int8_adaptive_average_pool int8_adaptive_average_pool;
        struct plan_int8_fully_connected int8_fully_connected;
        struct plan_int8_scale int8_scale;
        struct plan_int8_bytes_of_quads int8_bytes_of_quads;
    } as;
};

#define PLAN_WHOLE UINT32_MAX

#endif
