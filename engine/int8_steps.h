// One struct for each kind of int8 step.
//
// A value is a byte from 0 to 127. A *quad row* is a plane of words, each of which holds four channels of one pixel, the first in
// the lowest byte; a *byte row* is a plane of bytes, one channel. Rows start at words; pitches count words, those of byte rows
// bytes. Sums are exact in 32 bits, and become bytes again by
//   requantized(sum) = clamp(round(float(sum) * f), 0, 127)
// with one float32 multiplication, rounded to the nearest integer, to the even one of two. So all levels give the same bits.
#ifndef SHUFFLENET_INT8_STEPS_H
#define SHUFFLENET_INT8_STEPS_H

#include <stdint.h>

struct tile_run;

// The caller's picture as byte rows of pixels from 0 to 255:
//   y[c][i * out_pitch + j] = clamp(round(x[c][i - padding][j - padding] * f[c] + h[c]), 0, 255), around[c] outside
// for 0 <= i < out_height, 0 <= j < out_pitch. The product and the sum are rounded to float32, each by itself.
struct int8_input {
    uint32_t channels, height, width, padding, out_height, out_pitch;
    const uint32_t *out; // [channels]
    const float *factors, *offsets;
    const uint8_t *around;
};

// What becomes of a sum s, with the constants of its channel: its own f, h of a byte r that is added, o, g and z.
//   t = float(s) * f + o, or with a byte round(float(s) * f) + float(r) * h + o, not rounded before another activation than a ReLU
//   y = clamp(round(t), 0, 127)                          behind no activation, or a ReLU
//   y = clamp(round(activation(t) * g + z), 0, 127)      behind another one
// Each operation is rounded to float32 by itself. Where floats are written, y is t or activation(t).
struct int8_output {
    float factor, residual_factor, offset, gain, zero;
};

// What a convolution reads: quad rows, or byte rows of pixels from 0 to 255, of which pixel p of a line sees the four bytes from
// number p, 2 * p or 4 * p of the line on.
enum int8_reads { QUADS_READ, WINDOWS_READ, WINDOWS_OF_STRIDE_2_READ, WINDOWS_OF_STRIDE_4_READ };
enum { INT8_READS = 4 };
enum int8_writes { QUADS_WRITTEN, QUADS_ADDED, BYTES_WRITTEN };

// Bytes from one pixel's word to the next pixel's.
static inline uint32_t bytes_of_step(enum int8_reads reads)
{
    return reads == WINDOWS_READ ? 1 : reads == WINDOWS_OF_STRIDE_2_READ ? 2 : 4;
}

// For each group g, output m and pixel p:
//   sum = b[g, m] + sum over k of dot(w[g, m, k], x[g, k][p])     four products each
//   y[g, m][p] = its byte, as struct int8_output has it
// y: quad rows, to which quad rows may be added, or byte rows. 0 where p % pitch >= width. Windows are read line by line, from
// one to the next in_pitch words. Behind the last byte of byte rows may be written: around.
// Packed: for each group, for each of its tiles of mr outputs, b [mr], w [k][mr], f [mr], and h [mr] if there is r.
struct int8_convolution {
    uint32_t groups, k, m, pixels, width, pitch, in_pitch;
    enum int8_reads reads;
    enum int8_writes writes;
    uint32_t activation, around;
    const uint32_t *in;       // [groups][k]
    const uint32_t *out;      // [groups][m / 4], or of byte rows [groups][m]
    const uint32_t *residual; // [groups][m / 4], or NULL
    const int32_t *packed;
    const struct int8_output *outputs; // [groups][m]; NULL: factors are all of it
    const struct tile_run *tiles;      // of a group, closed by one with mr 0
    uint32_t tile_count;               // of a group
};

enum { MAX_INT8_KERNEL_SIZE = 5 }; // of depthwise convolutions

// Depthwise with kernels of 3 or 5, padded by half of that, from byte rows to quad rows of four channels each:
//   sum = b[c] + sum over taps of w[c][tap] * x[c][...], around beyond the edges
//   y[c] = its byte, as struct int8_output has it
// With stride 1 both pitches are the same, and around fills padding * (in_pitch + 1) bytes before and after each row of x.
struct int8_depthwise {
    uint32_t kernel_size, quads, height, width, stride, in_pitch, out_pitch; // in_pitch: bytes
    uint32_t activation, around;
    const uint32_t *in;  // [quads][4]
    const uint32_t *out; // [quads]
    const int32_t *taps; // [quads][4][kernel_size][words_of_line]: words of four weights of a line, 0 behind the last
    const int32_t *bias; // [quads][4]
    const struct int8_output *outputs; // [quads][4]
    // [period][words_of_line][vector_floats]: ones in the bytes of a window that lie in its line.
    const int32_t *masks;
    uint32_t period;            // in vectors
    const uint8_t *around_line; // what stands above the first and below the last line
};

// The words that hold a line of a depthwise convolution's weights.
static inline uint32_t words_of_line(uint32_t kernel_size)
{
    return (kernel_size + 3) / 4;
}

// 3x3 with stride 2, of quad rows: the largest value, or clamp(round(float(sum) * f + h), 0, 127). Padding as struct pool has it.
struct int8_pool {
    uint32_t quads, height, width, in_pitch, out_pitch, padding, out_height, out_width;
    const uint32_t *in, *out;       // [quads]
    const float *factors, *offsets; // [quads][4], of the average
    const float *zero_row;
};

// y[c, i, j] = clamp(round(float(sum of x[c] over window i, j) * f + h), 0, 127), windows as struct adaptive_average_pool has them,
// quads of one channel's windows one after the other. Logits, which are of one window and begin with the first quad's, are
// float(sum) * f + h.
struct int8_adaptive_average_pool {
    uint32_t quads, height, width, in_pitch, out_height, out_width;
    uint32_t logits;                // how many there are if out is NULL
    const uint32_t *in;             // [quads]
    const uint32_t *out;            // [1], or NULL: the logits
    const float *factors, *offsets; // [quads][windows][4]
};

// sum = b[m] + sum over k of dot(w[m][k], x[k]), from k quads one after the other. y: bytes or floats as struct int8_output has
// them, one after the other; whole quads of bytes.
struct int8_fully_connected {
    uint32_t k, m, activation, writes_bytes;
    const uint32_t *in;     // [1]
    const uint32_t *out;    // [1], or NULL: the logits
    const int32_t *weights; // for each block of outputs w [k][block], zero behind the last
    const int32_t *bias;
    const float *constants; // for each block factors, offsets, gains and zeros [block]
};

// t = (float(x[c][p]) - a[c]) * (v[c] * f) + float(r[c][p]) * h + o, and bytes of it as struct int8_output has them, for floats v
// and zero points a. 0 where p % pitch >= width.
struct int8_scale {
    uint32_t quads, pixels, width, pitch, activation;
    const uint32_t *in;                // [quads]
    const uint32_t *factors;           // [1]: where v [quads][4] starts
    const uint32_t *residual;          // [quads], or NULL
    const uint32_t *out;               // [quads]
    const float *zeros;                // [quads][4]
    const struct int8_output *outputs; // [quads][4]
};

// y[q][c] = x[q]: the four channels of quad rows as byte rows without gaps between lines.
struct int8_bytes_of_quads {
    uint32_t quads, height, width, in_pitch;
    const uint32_t *in;  // [quads]
    const uint32_t *out; // [quads][4]
};

#endif
