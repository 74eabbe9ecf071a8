// Linked in place of cpu.c and the levels: the sixteen-lane level compiled without AVX-512, so that the compiler splits its
// vectors and they are tested on every processor.
#define SHUFFLENET_LOWERED
#include "levels/avx512.c"
#include "shufflenet.h"

#include <string.h>

SHUFFLENET_LOCAL const struct kernels *find_kernels(const char *isa)
{
#ifdef SHUFFLENET_AVX_VNNI
    // Other int8 kernels, of eight lanes, beside the same float32 ones.
    static struct kernels avx_vnni;
    avx_vnni = shufflenet_kernels_avx512;
    avx_vnni.name = "avx_vnni";
    avx_vnni.int8 = &shufflenet_int8_avx_vnni;
    if (!strcmp(isa, "avx_vnni"))
        return &avx_vnni;
#endif
    return strcmp(isa, "reference") ? &shufflenet_kernels_avx512 : &shufflenet_kernels_reference;
}

const char *shufflenet_isa(size_t number)
{
    static const char *const names[] = {
        "avx512",
        "reference",
#ifdef SHUFFLENET_AVX_VNNI
        "avx_vnni",
#endif
    };
    return number < sizeof names / sizeof *names ? names[number] : NULL;
}
