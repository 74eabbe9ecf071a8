// Sizes of pictures and inputs for preprocessing: they are refused, or every level writes the input that the reference writes,
// bit for bit, from lines in memory of exactly their size. A file is a struct of numbers and then pixels, which are repeated.
#include "preprocess/preprocess.h"
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 18, MOST_LEVELS = 8 };

static size_t level_count;
static const shufflenet_kernels *levels[MOST_LEVELS]; // of this processor, best first; the last is the reference

struct request {
    int32_t size, resize, height, width; // of shufflenet_preprocessing
    int32_t picture_width, picture_height;
    uint8_t has_fourth_byte, gap, lines, level; // gap: bytes between lines; lines: how many are given at a time
};

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "FAILED: %s\n", what);
        abort();
    }
}

// Returns the input; NULL: the request was refused, or takes more memory than a fuzzer needs.
static float *preprocessed(const struct request *request, const shufflenet_kernels *kernels, const uint8_t *pixels,
                           size_t count)
{
    const shufflenet_preprocessing preprocessing = {
        request->size, request->resize, request->height, request->width, {.017f, .018f, 1}, {-2.1f, -2, 3e38f},
    };
    const int is_large = request->height > 512 || request->width > 512 || request->height < 1 || request->width < 1;
    const size_t bytes = is_large ? 0 : shufflenet_preprocess_bytes(request->height, request->width);
    const size_t input_bytes = is_large ? 0 : sizeof(float) * 3 * (size_t)request->height * (size_t)request->width;
    if (is_large && request->height > 0 && request->width > 0 && request->height <= SHUFFLENET_LARGEST_INPUT &&
        request->width <= SHUFFLENET_LARGEST_INPUT)
        return NULL;
    void *memory = malloc(bytes);
    float *input = malloc(input_bytes);
    shufflenet_part part;
    if (!shufflenet_preprocess_begin(kernels, &preprocessing, request->picture_width, request->picture_height, memory,
                                     input, &part)) {
        free(memory);
        free(input);
        return NULL;
    }
    require(!is_large, "an input of an impossible size was begun");
    require(part.left >= 0 && part.top >= 0 && part.width >= 1 && part.height >= 1 &&
                part.width <= request->picture_width - part.left && part.height <= request->picture_height - part.top,
            "the part is not within the picture");
    const int32_t pixel_bytes = request->has_fourth_byte % 2 ? 4 : 3, at_once = 1 + request->lines;
    const size_t line = (size_t)part.width * (size_t)pixel_bytes, line_bytes = line + request->gap;
    if (line_bytes * (size_t)part.height > MOST_BYTES) {
        free(memory);
        free(input);
        return NULL;
    }
    for (int32_t done = 0; done < part.height; done += at_once) {
        const int32_t lines = at_once < part.height - done ? at_once : part.height - done;
        const size_t lines_bytes = (size_t)(lines - 1) * line_bytes + line;
        uint8_t *given = malloc(lines_bytes);
        for (size_t i = 0; i < lines_bytes; i++)
            given[i] = count ? pixels[((size_t)done * 7 + i) % count] : 200;
        shufflenet_preprocess_lines(memory, given, pixel_bytes, line_bytes, lines);
        free(given);
    }
    free(memory);
    return input;
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    for (const char *name; level_count < MOST_LEVELS && (name = shufflenet_isa(level_count)); level_count++)
        levels[level_count] = shufflenet_find_kernels(name);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request request;
    if (size < sizeof request)
        return 0;
    memcpy(&request, data, sizeof request);
    const uint8_t *pixels = data + sizeof request;
    const size_t count = size - sizeof request;
    float *expected = preprocessed(&request, levels[level_count - 1], pixels, count);
    float *input = preprocessed(&request, levels[request.level % level_count], pixels, count);
    require(!expected == !input, "a level refuses what another takes");
    if (input)
        require(!memcmp(input, expected, sizeof(float) * 3 * (size_t)request.height * (size_t)request.width),
                "a level's input is not the reference's");
    free(expected);
    free(input);
    return 0;
}

// Changes one number to a bound or a small one, or leaves all to the fuzzer.
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    enum { NUMBERS = 6 };
    const int32_t bounds[] = {0, 1, 2, 3, 16384, 16385, 65535, 65536, 65537, INT32_MAX - 1, INT32_MAX, INT32_MIN, -1};
    uint64_t random = seed;
    if (size < sizeof(struct request) || random_below(&random, 3) == 0)
        return LLVMFuzzerMutate(data, size, most);
    int32_t number;
    uint8_t *place = data + sizeof number * random_below(&random, NUMBERS);
    memcpy(&number, place, sizeof number);
    switch (random_below(&random, 4)) {
    case 0:
        number = bounds[random_below(&random, sizeof bounds / sizeof *bounds)];
        break;
    case 1:
        number = (int32_t)random_below(&random, 700);
        break;
    case 2:
        number = (int32_t)((uint32_t)number + random_below(&random, 3) - 1);
        break;
    default:
        number = (int32_t)((uint32_t)number * (1 + random_below(&random, 8)));
    }
    memcpy(place, &number, sizeof number);
    return size;
}
