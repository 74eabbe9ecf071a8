// The most multiply-adds that the core can do: no memory, and enough independent sums that their latency never shows.

enum { PEAK_STEPS = 8 }; // of each sum in a round, so that counting rounds costs nothing
#if VECTOR_FLOATS == 16 || defined(__aarch64__)
enum { PEAK_SUMS = 24 }; // of 32 registers
#else
enum { PEAK_SUMS = 12 }; // of 16 registers
#endif

// sums is only written, so that nothing is optimised away; factor and term come from outside for the same reason.
size_t PEAK_OF(LEVEL)(size_t rounds, float factor, float term, float *sums)
{
    const vector factors = broadcast(factor), terms = broadcast(term);
    vector sum[PEAK_SUMS];
#pragma GCC unroll 24
    for (size_t i = 0; i < PEAK_SUMS; i++)
        sum[i] = broadcast((float)i);
    for (size_t round = 0; round < rounds; round++)
#pragma GCC unroll 8
        for (size_t step = 0; step < PEAK_STEPS; step++)
#pragma GCC unroll 24
            for (size_t i = 0; i < PEAK_SUMS; i++)
                sum[i] = sum[i] * factors + terms;
    *sums = 0;
#pragma GCC unroll 24
    for (size_t i = 0; i < PEAK_SUMS; i++)
        *sums += sum_of_lanes(sum[i]);
    return rounds * PEAK_STEPS * PEAK_SUMS * VECTOR_FLOATS;
}
