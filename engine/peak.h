// What levels/level.h makes of kernels/peak.h for each level, and peak.c chooses from.
#ifndef SHUFFLENET_PEAK_H
#define SHUFFLENET_PEAK_H

#include <stddef.h>

size_t peak_generic(size_t rounds, float factor, float term, float *sums);
size_t peak_avx2(size_t rounds, float factor, float term, float *sums);
size_t peak_avx512(size_t rounds, float factor, float term, float *sums);

#endif
