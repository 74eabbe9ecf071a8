// PPM files for a folder of `shufflenet export --to c`, as its example reads them: each is refused, or has an input whose values
// are in preprocessing's range, and every hundredth has probabilities that add up to 1.
#define main example_main
#include "main.c" // of the folder
#undef main

#include "fuzz.h"
#include "net_parts.h"

#include <math.h>
#include <string.h>

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "FAILED: %s\n", what);
        abort();
    }
}

// More memory than there is, which a head may ask for, is no error: AddressSanitizer asks this function.
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=1024";
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float input[INPUT_FLOATS], probabilities[NET_CLASSES];
    static unsigned calls;
    FILE *file = size ? fmemopen((void *)(uintptr_t)data, size, "rb") : NULL;
    if (!file)
        return 0;
    int width = 0, height = 0;
    uint8_t *rgb = read_ppm(file, &width, &height);
    fclose(file);
    if (!rgb)
        return 0;
    require((size_t)width * (size_t)height * 3 < size, "more pixels than the file has");
    if (net_preprocess(rgb, width, height, input))
        for (size_t i = 0; i < INPUT_FLOATS; i++)
            require(input[i] > -10 && input[i] < 10, "an input beyond what pixels can be");
    if (calls++ % 100 == 0 && !net_classify(rgb, width, height, probabilities)) {
        float sum = 0;
        for (int c = 0; c < NET_CLASSES; c++)
            sum += probabilities[c];
        require(fabsf(sum - 1) < 1e-3f, "probabilities don't add up to 1");
    }
    free(rgb);
    return 0;
}

// Writes a head of other sizes before the same pixels, or leaves all to the fuzzer.
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    static const char *const formats[] = {"P6\n%u %u\n255\n", "P6 # %u\n%u 255 ", "P6\t%u\n%u\n# a\n255 ",
                                          "P5\n%u %u\n255\n", "P6\n%u%u\n255\n",  "P6\n%u %u\n65535\n"};
    uint64_t random = seed;
    if (random_below(&random, 2))
        return LLVMFuzzerMutate(data, size, most);
    const uint32_t pixels = (uint32_t)size / 3, width = 1 + random_below(&random, pixels + 2);
    const uint32_t height = random_below(&random, 8) ? pixels / width : random_below(&random, 1u << 31);
    char head[64];
    const uint32_t usual = random_below(&random, 4) ? 0 : random_below(&random, sizeof formats / sizeof *formats);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    const size_t length = (size_t)snprintf(head, sizeof head, formats[usual], width, height);
#pragma GCC diagnostic pop
    if (length > most)
        return LLVMFuzzerMutate(data, size, most);
    memcpy(data, head, length);
    const size_t grown = length + random_below(&random, 64);
    if (grown <= size)
        return size;
    const size_t end = grown < most ? grown : most;
    memset(data + size, 99, end > size ? end - size : 0);
    return end > size ? end : size;
}
