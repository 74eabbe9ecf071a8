// The table of int8 kernels that every instruction set level fills.
#ifndef SHUFFLENET_INT8_H
#define SHUFFLENET_INT8_H

#include "kernels.h"

struct int8_kernels {
    uint32_t vector_words;
    uint32_t fully_connected_block; // outputs, at most FULLY_CONNECTED_VECTORS vectors
    // widest[reads > 0][writes][mr]: vectors of the widest tile of mr outputs, 0 if there is none. Quads are written in tiles of
    // whole quads, at least in those of one.
    uint8_t widest[2][3][MAX_TILE_ROWS + 1];
    // What the kernel subtracts from the pixels of windows, since its dot product takes signed bytes; biases make up for it.
    uint32_t subtracted;
    void (*input)(const struct int8_input *, const float *x, uint8_t *y, struct lines, struct share);
    void (*convolution)(const struct int8_convolution *, const uint8_t *x, uint8_t *y, struct lines, struct share);
    void (*depthwise)(const struct int8_depthwise *, const uint8_t *x, uint8_t *y, struct lines, struct share);
    void (*max_pool)(const struct int8_pool *, const uint8_t *x, uint8_t *y, struct lines, struct share);
    void (*average_pool)(const struct int8_pool *, const uint8_t *x, uint8_t *y, struct lines, struct share);
    void (*adaptive_average_pool)(const struct int8_adaptive_average_pool *, uint8_t *arena, float *logits,
                                  struct share);
    void (*fully_connected)(const struct int8_fully_connected *, uint8_t *arena, float *logits, struct share);
    void (*scale)(const struct int8_scale *, uint8_t *arena, struct share);
    void (*bytes_of_quads)(const struct int8_bytes_of_quads *, uint8_t *arena, struct share);
    // See shufflenet_int8_peak. weights and sum keep it from being optimised away. The plain reference has none.
    size_t (*peak)(size_t rounds, int32_t weights, int32_t *sum);
};

extern const struct int8_kernels shufflenet_int8_reference;
extern const struct int8_kernels shufflenet_int8_generic;
extern const struct int8_kernels shufflenet_int8_avx2;
extern const struct int8_kernels shufflenet_int8_avx_vnni;
extern const struct int8_kernels shufflenet_int8_avx512;
extern const struct int8_kernels shufflenet_int8_avx512_vnni;
extern const struct int8_kernels shufflenet_int8_neon;
extern const struct int8_kernels shufflenet_int8_neon_dot;
extern const struct int8_kernels shufflenet_int8_simd128_pairs;
extern const struct int8_kernels shufflenet_int8_simd128;

#endif
