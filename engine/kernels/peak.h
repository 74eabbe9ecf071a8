// The most multiply-adds that the core can do: no memory, and enough independent sums that their latency never shows.

enum { PEAK_STEPS = 8 }; // of each sum in a round, so that counting rounds costs nothing
#if VECTOR_FLOATS == 16 || defined(__aarch64__)
enum { PEAK_SUMS = 24 }; // of 32 registers
#else
enum { PEAK_SUMS = 12 }; // of 16 registers
#endif

// factor comes from outside so that nothing is optimised away. Each sum is its own addend too: where a multiply-add can only
// add to the register that it writes (NEON), another addend would have to be copied there.
static size_t peak(size_t rounds, float factor, float *sum)
{
    const vector factors = broadcast(factor);
    vector sums[PEAK_SUMS];
#pragma GCC unroll 24
    for (size_t i = 0; i < PEAK_SUMS; i++)
        sums[i] = broadcast((float)i);
    for (size_t round = 0; round < rounds; round++)
#pragma GCC unroll 8
        for (size_t step = 0; step < PEAK_STEPS; step++)
#pragma GCC unroll 24
            for (size_t i = 0; i < PEAK_SUMS; i++)
                sums[i] += sums[i] * factors;
    *sum = 0;
#pragma GCC unroll 24
    for (size_t i = 0; i < PEAK_SUMS; i++)
        *sum += sum_of_lanes(sums[i]);
    return rounds * PEAK_STEPS * PEAK_SUMS * VECTOR_FLOATS;
}
