// From 8-bit RGB to the network's input: what Pillow's bilinear resize of a rectangle gives, bit for bit, normalised.
#ifndef SHUFFLENET_RESIZE_H
#define SHUFFLENET_RESIZE_H

#include "shufflenet.h"

// A picture in rows without gaps, four bytes a pixel: red, green, blue, and one that doesn't matter.
typedef struct shufflenet_picture {
    const uint8_t *rgbx;
    int32_t width, height;
} shufflenet_picture;

// Of a picture, in pixels; within it, and not empty.
typedef struct shufflenet_rectangle {
    float left, top, right, bottom;
} shufflenet_rectangle;

// At most so many pixels of the rectangle become one.
#define SHUFFLENET_MOST_REDUCED 7

// Bytes of memory, on a multiple of 8, that a call needs for itself: for pictures of this width, and size x size pixels as the result.
SHUFFLENET_API size_t shufflenet_resize_bytes(int32_t width, int32_t size);

// input[c][i][j] = levels[c][value], where value is that of channel c at row i and column j of the rectangle resized to
// size x size pixels. Returns 1; 0: the rectangle is not within the picture, or has more than SHUFFLENET_MOST_REDUCED
// pixels for each one of the result.
SHUFFLENET_API int shufflenet_resize(const shufflenet_picture *picture, const shufflenet_rectangle *rectangle,
                                     int32_t size, const float levels[3][256], void *memory, float *input);

#endif
