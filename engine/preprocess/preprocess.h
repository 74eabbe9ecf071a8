// Preprocessing: from a picture of 8-bit RGB to the network's input, with the pixels of Pillow's bilinear resize.
//
// The picture's shorter side is resized to `resize` pixels, the central `size` x `size` square of it is kept, and each value
// of a channel becomes value * scale + shift. A picture that is at least six times too large is first reduced by a whole
// factor, as Pillow does with reducing_gap=3.
//
// A picture is given as lines, all at once or some at a time, so that it need not be in memory as a whole. Nothing is
// allocated: the caller gives the memory, which doesn't depend on the picture's size.
#ifndef SHUFFLENET_PREPROCESS_H
#define SHUFFLENET_PREPROCESS_H

#include "../shufflenet.h"

typedef struct shufflenet_preprocessing {
    int32_t size, resize;
    int32_t height, width;    // of the input; if not size x size: the same share of the picture, in these proportions
    float scale[3], shift[3]; // of red, green and blue
} shufflenet_preprocessing;

// The pixels of a picture that its input depends on.
typedef struct shufflenet_part {
    int32_t left, top, width, height;
} shufflenet_part;

typedef struct kernels shufflenet_kernels;

// The largest height and width of an input.
#define SHUFFLENET_LARGEST_INPUT (1 << 14)

// The kernels of an instruction set level (see shufflenet_isa), NULL for the best; returns NULL if there are none.
SHUFFLENET_API const shufflenet_kernels *shufflenet_find_kernels(const char *isa);

// The bytes of memory that preprocessing to an input of this size needs.
SHUFFLENET_API size_t shufflenet_preprocess_bytes(int32_t height, int32_t width);

// Begins with a picture of width x height pixels and says which part of it is to be given. memory, aligned as pointers are,
// and input [3][height][width] are used until the part's last line is given. Returns 1; or 0: the picture has no pixels or
// more than 3,000 a side for one of the input's, or the preprocessing's numbers make no sense.
SHUFFLENET_API int shufflenet_preprocess_begin(const shufflenet_kernels *kernels,
                                               const shufflenet_preprocessing *preprocessing, int32_t width,
                                               int32_t height, void *memory, float *input, shufflenet_part *part);

// Takes the next `lines` lines of the part, line_bytes apart: red, green and blue of each pixel, and a fourth byte that is
// not looked at if pixel_bytes is 4. The input is complete after the part's last line.
SHUFFLENET_API void shufflenet_preprocess_lines(void *memory, const uint8_t *pixels, int32_t pixel_bytes,
                                                size_t line_bytes, int32_t lines);

#endif
