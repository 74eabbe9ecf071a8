// The words of AVX-512, with VNNI or without.
#ifdef __AVX512VNNI__
#define dot(sum, a, w) ((words)_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(w)))
#else
#define dot(sum, a, w)                                                                                                 \
    ((words)_mm512_add_epi32(                                                                                          \
        (__m512i)(sum), _mm512_madd_epi16(_mm512_maddubs_epi16((__m512i)(a), (__m512i)(w)), _mm512_set1_epi16(1))))
#endif
#define limited(v, most) _mm512_min_ps(_mm512_max_ps(v, _mm512_setzero_ps()), _mm512_set1_ps(most))
#define store_pixels(p, v) _mm_storeu_si128((void *)(p), _mm512_cvtepi32_epi8((__m512i)(v)))
#define rounded(v) ((words)_mm512_cvtps_epi32(v))
#define sum_of_words(v) _mm512_reduce_add_epi32((__m512i)(v))
#define larger_bytes(a, b) ((words)_mm512_max_epu8((__m512i)(a), (__m512i)(b)))
// Each 16 bytes: four bytes of each.
#define packed_bytes(a, b, c, d)                                                                                       \
    _mm512_max_epi8(_mm512_packs_epi16(_mm512_packs_epi32((__m512i)(a), (__m512i)(b)),                                 \
                                       _mm512_packs_epi32((__m512i)(c), (__m512i)(d))),                                \
                    _mm512_setzero_si512())
#define quads_of(a, b, c, d)                                                                                           \
    ((words)_mm512_shuffle_epi8(packed_bytes(a, b, c, d),                                                              \
                                _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400)))
#define store_bytes(p, v)                                                                                              \
    _mm_storeu_si128((void *)(p), _mm512_cvtsepi32_epi8(_mm512_max_epi32((__m512i)(v), _mm512_setzero_si512())))
#define store_four_bytes(p, v)                                                                                         \
    _mm512_storeu_si512(                                                                                               \
        p, _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),           \
                                    packed_bytes((v)[0], (v)[1], (v)[2], (v)[3])))
#define byte_of(v, i)                                                                                                  \
    ((i) == 0   ? (v) & 255                                                                                            \
     : (i) == 3 ? (v) >> 24                                                                                            \
                : (words)_mm512_maskz_shuffle_epi8(0x1111111111111111, (__m512i)(v),                                   \
                                                   _mm512_set4_epi32(12 + (i), 8 + (i), 4 + (i), i)))
// Each 16 bytes get the eight that their windows see, in two words or in two times two; then each word its four.
#define SEEN_BY_FOUR(p)                                                                                                \
    _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 0, 0, 1, 2, 0, 0, 2, 3, 0, 0, 3, 4, 0, 0),                        \
                             _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(p))))
#define SEEN_BY_FOUR_OF_STRIDE_2(p)                                                                                    \
    _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 1, 2, 2, 3, 3, 4), _mm512_loadu_si512((const void *)(p)))
#define WINDOWS_OF_FOUR _mm512_set4_epi32(0x06050403, 0x05040302, 0x04030201, 0x03020100)
#define WINDOWS_OF_FOUR_OF_STRIDE_2 _mm512_set4_epi32(0x09080706, 0x07060504, 0x05040302, 0x03020100)
#define windows(p) ((words)_mm512_shuffle_epi8(SEEN_BY_FOUR(p), WINDOWS_OF_FOUR))
#define windows_of_stride_2(p) ((words)_mm512_shuffle_epi8(SEEN_BY_FOUR_OF_STRIDE_2(p), WINDOWS_OF_FOUR_OF_STRIDE_2))
#define masked_windows(p, mask)                                                                                        \
    ((words)_mm512_maskz_shuffle_epi8(_mm512_movepi8_mask((__m512i)(mask)), SEEN_BY_FOUR(p), WINDOWS_OF_FOUR))
#define masked_windows_of_stride_2(p, mask)                                                                            \
    ((words)_mm512_maskz_shuffle_epi8(_mm512_movepi8_mask((__m512i)(mask)), SEEN_BY_FOUR_OF_STRIDE_2(p),               \
                                      WINDOWS_OF_FOUR_OF_STRIDE_2))
