// From 8-bit RGB of any size to the network's input, by the same code as in the Python package, so the same to the bit.
#include "@NAME@_parts.h"

#include "engine/preprocess/preprocess.h"

static const shufflenet_preprocessing preprocessing = {
    .size = @SIZE@,
    .resize = @RESIZE@,
    .height = @GUARD@_HEIGHT,
    .width = @GUARD@_WIDTH,
    .scale = {@SCALE@},
    .shift = {@SHIFT@},
};

int @NAME@_preprocess(const uint8_t *rgb, int width, int height, float *input)
{
    static _Alignas(SHUFFLENET_ALIGNMENT) unsigned char memory[@PREPROCESS_BYTES@];
    static const shufflenet_kernels *kernels; // NULL until the first call
    shufflenet_part part;
    if (!kernels)
        kernels = shufflenet_find_kernels(NULL);
    if (!shufflenet_preprocess_begin(kernels, &preprocessing, width, height, memory, input, &part))
        return 0;
    const size_t line_bytes = 3 * (size_t)width;
    const uint8_t *first = rgb + (size_t)part.top * line_bytes + 3 * (size_t)part.left;
    shufflenet_preprocess_lines(memory, first, 3, line_bytes, part.height);
    return 1;
}
