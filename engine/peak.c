// Multiply-adds without anything else, for measuring what a core can do at most.
#include "int8.h"
#include "shufflenet.h"

size_t shufflenet_peak(const char *isa, size_t rounds)
{
    const struct kernels *kernels = find_kernels(isa);
    float sum;
    return kernels && kernels->peak ? kernels->peak(rounds, -2, &sum) : 0;
}

size_t shufflenet_int8_peak(const char *isa, size_t rounds)
{
    const struct kernels *kernels = find_kernels(isa);
    int32_t sum;
    return kernels && kernels->int8 && kernels->int8->peak ? kernels->int8->peak(rounds, 0x01020304, &sum) : 0;
}
