// The words of NEON, with dot products or without.
#ifdef __ARM_FEATURE_DOTPROD
#define dot(sum, a, w) ((words)vdotq_s32((int32x4_t)(sum), (int8x16_t)(a), (int8x16_t)(w)))
#define HAS_DOT_OF_LANE
static inline __attribute__((always_inline)) int32x4_t dot_by_lane(int32x4_t sum, int8x16_t a, int8x16_t w, int lane)
{
    switch (lane) {
    case 0:
        return vdotq_laneq_s32(sum, a, w, 0);
    case 1:
        return vdotq_laneq_s32(sum, a, w, 1);
    case 2:
        return vdotq_laneq_s32(sum, a, w, 2);
    default:
        return vdotq_laneq_s32(sum, a, w, 3);
    }
}
#define dot_of_lane(sum, a, w, lane) ((words)dot_by_lane((int32x4_t)(sum), (int8x16_t)(a), (int8x16_t)(w), lane))
#else
static inline __attribute__((always_inline)) int32x4_t dot_by_multiplies(int32x4_t sum, int8x16_t a, int8x16_t w)
{
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(w)), high = vmull_high_s8(a, w);
    return vpadalq_s16(sum, vpaddq_s16(low, high)); // pairs fit 16 bits
}
#define dot(sum, a, w) ((words)dot_by_multiplies((int32x4_t)(sum), (int8x16_t)(a), (int8x16_t)(w)))
#endif
#define PIXELS_SUBTRACTED 128
#define pixels_of(windows) ((windows) ^ (int32_t)0x80808080)
#define rounded(v) ((words)vcvtnq_s32_f32((float32x4_t)(v)))
#define sum_of_words(v) vaddvq_s32((int32x4_t)(v))
#define larger_bytes(a, b) ((words)vmaxq_u8((uint8x16_t)(a), (uint8x16_t)(b)))
// Four bytes of each.
static inline __attribute__((always_inline)) uint8x16_t packed_bytes(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d)
{
    const int16x8_t ab = vqmovn_high_s32(vqmovn_s32(a), b), cd = vqmovn_high_s32(vqmovn_s32(c), d);
    const int8x16_t bytes = vqmovn_high_s16(vqmovn_s16(ab), cd);
    return vreinterpretq_u8_s8(vmaxq_s8(bytes, vdupq_n_s8(0)));
}
static inline __attribute__((always_inline)) int32x4_t quads_of_four(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d)
{
    static const uint8_t transposed[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    return vreinterpretq_s32_u8(vqtbl1q_u8(packed_bytes(a, b, c, d), vld1q_u8(transposed)));
}
#define quads_of(a, b, c, d) ((words)quads_of_four((int32x4_t)(a), (int32x4_t)(b), (int32x4_t)(c), (int32x4_t)(d)))
#define store_four_bytes(p, v)                                                                                         \
    vst1q_u8(p, packed_bytes((int32x4_t)(v)[0], (int32x4_t)(v)[1], (int32x4_t)(v)[2], (int32x4_t)(v)[3]))
static inline __attribute__((always_inline)) int32x4_t windows_by(const uint8_t *p, const uint8_t *which)
{
    return vreinterpretq_s32_u8(vqtbl1q_u8(vld1q_u8(p), vld1q_u8(which)));
}
static const uint8_t windows_bytes[16] = {0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6};
static const uint8_t windows_of_stride_2_bytes[16] = {0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7, 8, 9};
#define windows(p) ((words)windows_by(p, windows_bytes))
#define windows_of_stride_2(p) ((words)windows_by(p, windows_of_stride_2_bytes))
