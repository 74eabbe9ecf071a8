// The sixteen-lane int8 level without AVX-512: see avx512_lowered.c.
#define SHUFFLENET_LOWERED
#include "levels/int8_avx512.c"
