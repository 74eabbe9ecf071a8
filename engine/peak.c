// Multiply-adds without anything else, for measuring what a core can do at most.
#include "kernels.h"
#include "shufflenet.h"

size_t shufflenet_peak(const char *isa, size_t rounds)
{
    const struct kernels *kernels = find_kernels(isa);
    float sum;
    return kernels && kernels->peak ? kernels->peak(rounds, -2, &sum) : 0;
}
