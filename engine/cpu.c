// Which levels this processor can run.
#include "kernels.h"
#include "shufflenet.h"

#include <string.h>
#ifdef SHUFFLENET_X86
#include <cpuid.h>
#endif

// The levels, best first.
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
// The bits in XCR0 of the registers that the system saves for AVX and for AVX-512.
enum { AVX_STATE = 0x06, AVX512_STATE = 0xe6 };

// Asks the processor itself: a compiler's __builtin_cpu_supports needs a runtime library that not every compiler has.
static int has(unsigned state, unsigned leaf1_ecx, unsigned leaf7_ebx)
{
    unsigned eax, ebx, ecx, edx;
    const unsigned needed = leaf1_ecx | bit_OSXSAVE;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & needed) != needed)
        return 0;
    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    if ((eax & state) != state)
        return 0;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & leaf7_ebx) == leaf7_ebx;
}
#endif

static int can_run(const struct kernels *kernels)
{
#ifdef SHUFFLENET_X86
    if (kernels == &shufflenet_kernels_avx512)
        return has(AVX512_STATE, 0, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL);
    if (kernels == &shufflenet_kernels_avx2)
        return has(AVX_STATE, bit_FMA | bit_F16C, bit_AVX2);
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
