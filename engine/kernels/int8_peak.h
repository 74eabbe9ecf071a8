// The most int8 multiply-adds that the core can do: no memory, and enough independent sums that their latency hardly shows.

enum { INT8_PEAK_STEPS = 8 }; // of each sum in a round, so that counting rounds costs nothing
#if VECTOR_FLOATS == 16 || defined(__aarch64__)
enum { INT8_PEAK_SUMS = 24 }; // of 32 registers
#else
enum { INT8_PEAK_SUMS = 12 }; // of 16 registers
#endif

// weights come from outside so that nothing is optimised away. Each sum is its own input too: products of inputs that stay the
// same could be computed once.
static size_t int8_peak(size_t rounds, int32_t weights, int32_t *sum)
{
    const words factors = broadcast_word(weights);
    words sums[INT8_PEAK_SUMS];
#pragma GCC unroll 24
    for (size_t i = 0; i < INT8_PEAK_SUMS; i++)
        sums[i] = broadcast_word((int32_t)i);
    for (size_t round = 0; round < rounds; round++)
#pragma GCC unroll 8
        for (size_t step = 0; step < INT8_PEAK_STEPS; step++)
#pragma GCC unroll 24
            for (size_t i = 0; i < INT8_PEAK_SUMS; i++)
                sums[i] = dot(sums[i], sums[i], factors);
    words all = {0};
#pragma GCC unroll 24
    for (size_t i = 0; i < INT8_PEAK_SUMS; i++)
        all ^= sums[i];
    *sum = sum_of_words(all);
    return rounds * INT8_PEAK_STEPS * INT8_PEAK_SUMS * VECTOR_BYTES;
}
