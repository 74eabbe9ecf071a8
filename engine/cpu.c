// Which levels this processor can run.
#include "kernels.h"
#include "shufflenet.h"

#include <string.h>
#ifdef SHUFFLENET_X86
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__wasm_relaxed_simd__)
#include <wasm_simd128.h>
#endif

#if defined SHUFFLENET_X86 && defined SHUFFLENET_AVX_VNNI && !defined SHUFFLENET_WITHOUT_INT8
#define HAS_AVX_VNNI_LEVEL
#endif

// The levels, best first. SHUFFLENET_SIMD_ALONE: without those for any processor, in a program that only runs where its vectors do.
static const struct kernels *const all_kernels[] = {
#ifdef SHUFFLENET_X86
#ifndef SHUFFLENET_WITHOUT_INT8
    &shufflenet_kernels_avx512_vnni,
#endif
    &shufflenet_kernels_avx512,
#ifdef HAS_AVX_VNNI_LEVEL
    &shufflenet_kernels_avx_vnni,
#endif
    &shufflenet_kernels_avx2,
#elif defined(__aarch64__)
#ifndef SHUFFLENET_WITHOUT_INT8
    &shufflenet_kernels_neon_dot,
#endif
    &shufflenet_kernels_neon,
#elif defined(__wasm_simd128__)
#if defined(__wasm_relaxed_simd__) && !defined(SHUFFLENET_WITHOUT_INT8)
    &shufflenet_kernels_simd128_pairs,
#endif
    &shufflenet_kernels_simd128,
#endif
#ifndef SHUFFLENET_SIMD_ALONE
    &shufflenet_kernels_generic,     &shufflenet_kernels_reference,
#endif
};

enum { LEVELS = sizeof all_kernels / sizeof *all_kernels };

#ifdef SHUFFLENET_X86
// The bits in XCR0 of the registers that the system saves for AVX and for AVX-512.
enum { AVX_STATE = 0x06, AVX512_STATE = 0xe6 };

// Asks the processor itself: a compiler's __builtin_cpu_supports needs a runtime library that not every compiler has.
static int has(unsigned state, unsigned leaf1_ecx, unsigned leaf7_ebx, unsigned leaf7_ecx)
{
    unsigned eax, ebx, ecx, edx;
    const unsigned needed = leaf1_ecx | bit_OSXSAVE;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & needed) != needed)
        return 0;
    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    if ((eax & state) != state)
        return 0;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    return (ebx & leaf7_ebx) == leaf7_ebx && (ecx & leaf7_ecx) == leaf7_ecx;
}

static int has_avx2(void)
{
    return has(AVX_STATE, bit_FMA | bit_F16C, bit_AVX2, 0);
}

#ifdef HAS_AVX_VNNI_LEVEL
static int has_avx_vnni(void)
{
    enum { AVX_VNNI = 1 << 4 }; // of leaf 7, subleaf 1
    unsigned eax, ebx, ecx, edx;
    return has_avx2() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & AVX_VNNI);
}
#endif
#endif

#if defined(__aarch64__) && !defined(SHUFFLENET_WITHOUT_INT8)
// The system knows which processors of a chip have the instruction: asking one of them may trap.
static int has_dot_product(void)
{
#ifdef __ARM_FEATURE_DOTPROD
    return 1;
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__APPLE__)
    int present = 0;
    size_t size = sizeof present;
    return !sysctlbyname("hw.optional.arm.FEAT_DotProd", &present, &size, NULL, 0) && present;
#else
    return 0;
#endif
}
#endif

#if defined(__wasm_relaxed_simd__) && !defined(SHUFFLENET_WITHOUT_INT8)
// Whether relaxed dot products of pairs take bytes up to 255, and those of four are made of them, so that their halves saturate: as
// on x86-64 before AVX-VNNI. Elsewhere one instruction does those of four.
static int multiplies_pairs(void)
{
    const v128_t most = wasm_i8x16_splat(-1), zeros = wasm_i32x4_splat(0);
    const v128_t pairs = wasm_i16x8_relaxed_dot_i8x16_i7x16(wasm_i8x16_splat(-63), most);
    const v128_t fours = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_i8x16_splat(-128), most, zeros);
    return wasm_i16x8_extract_lane(pairs, 0) == -2 * 63 * 255 && wasm_i32x4_extract_lane(fours, 0) == 2 * INT16_MIN;
}
#endif

static int can_run(const struct kernels *kernels)
{
#ifdef SHUFFLENET_X86
    enum { AVX512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL };
#ifndef SHUFFLENET_WITHOUT_INT8
    if (kernels == &shufflenet_kernels_avx512_vnni)
        return has(AVX512_STATE, 0, AVX512, bit_AVX512VNNI);
#endif
    if (kernels == &shufflenet_kernels_avx512)
        return has(AVX512_STATE, 0, AVX512, 0);
#ifdef HAS_AVX_VNNI_LEVEL
    if (kernels == &shufflenet_kernels_avx_vnni)
        return has_avx_vnni();
#endif
    if (kernels == &shufflenet_kernels_avx2)
        return has_avx2();
#elif defined(__aarch64__) && !defined(SHUFFLENET_WITHOUT_INT8)
    if (kernels == &shufflenet_kernels_neon_dot)
        return has_dot_product();
#elif defined(__wasm_relaxed_simd__) && !defined(SHUFFLENET_WITHOUT_INT8)
    if (kernels == &shufflenet_kernels_simd128_pairs)
        return multiplies_pairs();
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
