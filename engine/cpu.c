// Which levels this processor can run.
#include "kernels.h"
#include "shufflenet.h"

#include <string.h>
#ifdef SHUFFLENET_X86
#include <cpuid.h>
#endif

// Best first.
static const struct kernels *const all_kernels[] = {
#ifdef SHUFFLENET_X86
    &shufflenet_kernels_avx512,
    &shufflenet_kernels_avx2,
#elif defined(__aarch64__)
    &shufflenet_kernels_neon,
#elif defined(__wasm_simd128__)
    &shufflenet_kernels_simd128,
#endif
    &shufflenet_kernels_generic,
    &shufflenet_kernels_reference,
};

enum { LEVELS = sizeof all_kernels / sizeof *all_kernels };

#ifdef SHUFFLENET_X86
static int has_f16c(void) // Clang 14's __builtin_cpu_supports doesn't know it
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
#endif

static int can_run(const struct kernels *kernels)
{
#ifdef SHUFFLENET_X86
    __builtin_cpu_init();
    if (kernels == &shufflenet_kernels_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (kernels == &shufflenet_kernels_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
#endif
    (void)kernels;
    return 1;
}

const char *shufflenet_isa(size_t number)
{
    for (size_t i = 0; i < LEVELS; i++)
        if (can_run(all_kernels[i]) && !number--)
            return all_kernels[i]->name;
    return NULL;
}

SHUFFLENET_LOCAL const struct kernels *find_kernels(const char *isa)
{
    for (size_t i = 0; i < LEVELS; i++)
        if (can_run(all_kernels[i]) && (!isa || !strcmp(isa, all_kernels[i]->name)))
            return all_kernels[i];
    return NULL;
}
