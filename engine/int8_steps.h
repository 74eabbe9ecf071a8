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

// What a convolution reads: quad rows, or byte rows of pixels from 0 to 255, of which pixel p of a line sees the four bytes from
// number p, or 2 * p, of the line on.
enum int8_reads { QUADS_READ, WINDOWS_READ, WINDOWS_OF_STRIDE_2_READ };
enum int8_writes { QUADS_WRITTEN, QUADS_ADDED, BYTES_WRITTEN };

// For each group g, output m and pixel p:
//   sum = b[g, m] + sum over k of dot(w[g, m, k], x[g, k][p])     four products each
//   y[g, m][p] = clamp(round(float(sum) * f[g, m] + float(r[g, m][p]) * h[g, m]), 0, 127)
// y: quad rows, to which quad rows may be added, or byte rows. 0 where p % pitch >= width. Windows are read line by line, from
// one to the next in_pitch words.
// Packed: for each group, for each of its tiles of mr outputs, b [mr], w [k][mr], f [mr], and h [mr] if there is r.
struct int8_convolution {
    uint32_t groups, k, m, pixels, width, pitch, in_pitch;
    enum int8_reads reads;
    enum int8_writes writes;
    const uint32_t *in;       // [groups][k]
    const uint32_t *out;      // [groups][m / 4], or of byte rows [groups][m]
    const uint32_t *residual; // [groups][m / 4], or NULL
    const int32_t *packed;
    const struct tile_run *tiles; // of a group, closed by one with mr 0
    uint32_t tile_count;          // of a group
};

// A channel of a depthwise convolution: three weights and a 0 for each line of the window.
struct int8_channel {
    int32_t taps[3];
    int32_t bias;
    float factor, offset;
};

// 3x3, padding 1, from byte rows to quad rows of four channels each:
//   y[c] = clamp(round(float(b[c] + sum over taps of w[c][tap] * x[c][...]) * f[c] + h[c]), 0, 127)
// With stride 1 both pitches are the same, and there are
// in_pitch + 1 zero bytes before and after each row of x.
struct int8_depthwise {
    uint32_t quads, height, width, stride, in_pitch, out_pitch; // in_pitch: bytes
    const uint32_t *in;                                         // [quads][4]
    const uint32_t *out;                                        // [quads]
    const struct int8_channel *channels;                        // [quads][4]
    // [period][vector_floats]: ones in the bytes of a window that lie in its line; 0 where there is no output.
    const int32_t *masks;
    uint32_t period;          // in vectors
    const uint8_t *zero_line; // what stands above the first and below the last line
};

// 3x3 with stride 2, of quad rows: the largest value, or the sum requantized. Padding as struct pool has it.
struct int8_pool {
    uint32_t quads, height, width, in_pitch, out_pitch, padding, out_height, out_width;
    const uint32_t *in, *out; // [quads]
    const float *factors;     // [quads][4], of the average
    const float *zero_row;
};

// y[c] = requantized(sum of x[c]), quads one after the other.
struct int8_global_average_pool {
    uint32_t quads, height, width, in_pitch;
    const uint32_t *in;   // [quads]
    const uint32_t *out;  // [1]
    const float *factors; // [quads][4]
};

// y[m] = float(b[m] + sum over k of dot(w[m][k], x[k])) * f[m]: the logits, from k quads one after the other.
struct int8_fully_connected {
    uint32_t k, m;
    const uint32_t *in;     // [1]
    const int32_t *weights; // for each block of outputs w [k][block], zero behind the last
    const int32_t *bias;
    const float *factors;
};

#endif
