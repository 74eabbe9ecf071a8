// Multiply-adds without anything else, for measuring what a core can do at most.
#include "peak.h"

#include "kernels.h"
#include "shufflenet.h"

size_t shufflenet_peak(const char *isa, size_t rounds)
{
    const struct kernels *kernels = find_kernels(isa);
    float sums;
    if (!kernels)
        return 0;
#ifdef SHUFFLENET_X86
    if (kernels == &kernels_avx512)
        return peak_avx512(rounds, 0.5f, 1.0f, &sums);
    if (kernels == &kernels_avx2)
        return peak_avx2(rounds, 0.5f, 1.0f, &sums);
#endif
    return peak_generic(rounds, 0.5f, 1.0f, &sums);
}
