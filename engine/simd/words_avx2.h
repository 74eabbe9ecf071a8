// The words of AVX2.
#ifdef __AVXVNNI__
#define dot(sum, a, w) ((words)_mm256_dpbusd_avx_epi32((__m256i)(sum), (__m256i)(a), (__m256i)(w)))
#else
#define dot(sum, a, w)                                                                                                 \
    ((words)_mm256_add_epi32(                                                                                          \
        (__m256i)(sum), _mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)(a), (__m256i)(w)), _mm256_set1_epi16(1))))
#endif
#define limited(v, most) _mm256_min_ps(_mm256_max_ps(v, _mm256_setzero_ps()), _mm256_set1_ps(most))
#define rounded(v) ((words)_mm256_cvtps_epi32(v))
#define larger_bytes(a, b) ((words)_mm256_max_epu8((__m256i)(a), (__m256i)(b)))
#define packed_bytes(a, b, c, d)                                                                                       \
    _mm256_max_epi8(_mm256_packs_epi16(_mm256_packs_epi32((__m256i)(a), (__m256i)(b)),                                 \
                                       _mm256_packs_epi32((__m256i)(c), (__m256i)(d))),                                \
                    _mm256_setzero_si256())
#define quads_of(a, b, c, d)                                                                                           \
    ((words)_mm256_shuffle_epi8(packed_bytes(a, b, c, d), _mm256_broadcastsi128_si256(_mm_setr_epi32(                  \
                                                              0x0c080400, 0x0d090501, 0x0e0a0602, 0x0f0b0703))))
static inline __attribute__((always_inline)) void store_eight_bytes(void *p, __m256i v)
{
    const __m256i packed = packed_bytes(v, v, v, v);
    _mm_storel_epi64(p, _mm_unpacklo_epi32(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1)));
}
#define store_bytes(p, v) store_eight_bytes(p, (__m256i)(v))
static inline __attribute__((always_inline)) void store_eight_pixels(void *p, __m256i v)
{
    const __m256i halves = _mm256_packus_epi32(v, v), packed = _mm256_packus_epi16(halves, halves);
    _mm_storel_epi64(p, _mm_unpacklo_epi32(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1)));
}
#define store_pixels(p, v) store_eight_pixels(p, (__m256i)(v))
#define store_four_bytes(p, v)                                                                                         \
    _mm256_storeu_si256((void *)(p), _mm256_permutevar8x32_epi32(packed_bytes((v)[0], (v)[1], (v)[2], (v)[3]),         \
                                                                 _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)))
#define windows(p)                                                                                                     \
    ((words)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)(p))),                       \
                                _mm256_setr_epi32(0x03020100, 0x04030201, 0x05040302, 0x06050403, 0x07060504,          \
                                                  0x08070605, 0x09080706, 0x0a090807)))
#define windows_of_stride_2(p)                                                                                         \
    ((words)_mm256_shuffle_epi8(                                                                                       \
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)(p))),                            \
                                _mm_loadu_si128((const void *)((p) + 8)), 1),                                          \
        _mm256_broadcastsi128_si256(_mm_setr_epi32(0x03020100, 0x05040302, 0x07060504, 0x09080706))))
