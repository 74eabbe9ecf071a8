// The words of WebAssembly's simd128, with relaxed SIMD or without. RELAXED_PAIRS: for processors that multiply_pairs of cpu.c
// knows, where a relaxed dot product of four is made of those of pairs, which take bytes up to 255.
#include <wasm_simd128.h>
// A constant in a register: V8 builds one that it knows anew at each use, by up to four instructions, and so a shuffle's order.
static inline __attribute__((always_inline)) v128_t kept(v128_t constant)
{
    __asm__("" : "+r"(constant));
    return constant;
}
#ifdef __wasm_relaxed_simd__
#define reordered(v, ...) wasm_i8x16_relaxed_swizzle(v, kept(wasm_u8x16_const(__VA_ARGS__)))
#else
#define reordered(v, ...) wasm_i8x16_shuffle(v, v, __VA_ARGS__)
#endif
static inline __attribute__((always_inline)) v128_t dot_by_halves(v128_t sum, v128_t a, v128_t w)
{
    const v128_t even =
        wasm_i32x4_dot_i16x8(wasm_v128_and(a, wasm_i32x4_splat(0x00ff00ff)), wasm_i16x8_shr(wasm_i16x8_shl(w, 8), 8));
    const v128_t odd = wasm_i32x4_dot_i16x8(wasm_u16x8_shr(a, 8), wasm_i16x8_shr(w, 8));
    return wasm_i32x4_add(sum, wasm_i32x4_add(even, odd));
}
#ifdef RELAXED_PAIRS
static inline __attribute__((always_inline)) v128_t dot_by_pairs(v128_t sum, v128_t a, v128_t w)
{
    const v128_t pairs = wasm_i16x8_relaxed_dot_i8x16_i7x16(w, a);
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(pairs, kept(wasm_i16x8_splat(1))));
}
#define dot(sum, a, w) ((words)dot_by_pairs((v128_t)(sum), (v128_t)(a), (v128_t)(w)))
#define dot_of_pixels(sum, a, w) dot(sum, a, w)
#else
#define dot_of_pixels(sum, a, w) ((words)dot_by_halves((v128_t)(sum), (v128_t)(a), (v128_t)(w)))
#ifdef __wasm_relaxed_simd__ // of bytes from 0 to 127
#define dot(sum, a, w) ((words)wasm_i32x4_relaxed_dot_i8x16_i7x16_add((v128_t)(w), (v128_t)(a), (v128_t)(sum)))
#else
#define dot(sum, a, w) dot_of_pixels(sum, a, w)
#endif
#endif
#ifdef __wasm_relaxed_simd__
#define rounded(v) ((words)wasm_i32x4_relaxed_trunc_f32x4(wasm_f32x4_nearest((v128_t)(v))))
#endif
#define limited(v, most)                                                                                               \
    ((vector)wasm_f32x4_pmin(wasm_f32x4_pmax(wasm_f32x4_splat(0), (v128_t)(v)), wasm_f32x4_splat(most)))
#define larger_bytes(a, b) ((words)wasm_u8x16_max((v128_t)(a), (v128_t)(b)))
// Four bytes of each.
static inline __attribute__((always_inline)) v128_t packed_bytes(v128_t a, v128_t b, v128_t c, v128_t d)
{
    const v128_t bytes = wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(a, b), wasm_i16x8_narrow_i32x4(c, d));
    return wasm_i8x16_max(bytes, wasm_i32x4_splat(0));
}
static inline __attribute__((always_inline)) v128_t quads_of_four(v128_t a, v128_t b, v128_t c, v128_t d)
{
    const v128_t bytes = packed_bytes(a, b, c, d);
    return reordered(bytes, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}
#define quads_of(a, b, c, d) ((words)quads_of_four((v128_t)(a), (v128_t)(b), (v128_t)(c), (v128_t)(d)))
#define store_four_bytes(p, v)                                                                                         \
    wasm_v128_store(p, packed_bytes((v128_t)(v)[0], (v128_t)(v)[1], (v128_t)(v)[2], (v128_t)(v)[3]))
static inline __attribute__((always_inline)) void store_bytes_of_pixels(void *p, v128_t v) // up to 255
{
    wasm_v128_store32_lane(p, wasm_u8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(v, v), v), 0);
}
#define store_pixels(p, v) store_bytes_of_pixels(p, (v128_t)(v))
static inline __attribute__((always_inline)) v128_t windows_from(const uint8_t *p)
{
    const v128_t bytes = wasm_v128_load(p);
    return reordered(bytes, 0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6);
}
static inline __attribute__((always_inline)) v128_t windows_of_stride_2_from(const uint8_t *p)
{
    const v128_t bytes = wasm_v128_load(p);
    return reordered(bytes, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7, 8, 9);
}
#define windows(p) ((words)windows_from(p))
#define windows_of_stride_2(p) ((words)windows_of_stride_2_from(p))
