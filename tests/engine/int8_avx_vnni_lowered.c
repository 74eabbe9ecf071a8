// The int8 level of AVX-VNNI without its instructions: see avx512_lowered.c.
#define SHUFFLENET_LOWERED
#include "levels/int8_avx_vnni.c"
