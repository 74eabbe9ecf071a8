// Linked in place of cpu.c and the levels: the sixteen-lane level compiled without AVX-512, so that the compiler splits its
// vectors and they are tested on every processor.
#define SHUFFLENET_LOWERED
#include "levels/avx512.c"
#include "shufflenet.h"

#include <string.h>

SHUFFLENET_LOCAL const struct kernels *find_kernels(const char *isa)
{
    return strcmp(isa, "reference") ? &shufflenet_kernels_avx512 : &shufflenet_kernels_reference;
}

const char *shufflenet_isa(size_t number)
{
    return number == 0 ? "avx512" : number == 1 ? "reference" : NULL;
}
