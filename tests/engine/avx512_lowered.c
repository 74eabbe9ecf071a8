// Linked in place of cpu.c and the levels: the sixteen-lane level compiled without AVX-512, so that the compiler splits its
// vectors and they are tested on every processor.
#define SHUFFLENET_LOWERED
#include "levels/avx512.c"
#include "shufflenet.h"

#include <string.h>

const struct kernels *find_kernels(const char *isa)
{
    return strcmp(isa, "reference") ? &kernels_avx512 : &kernels_reference;
}

const char *const *shufflenet_isas(void)
{
    static const char *const names[] = {"avx512", "reference", NULL};
    return names;
}
