// The engine's interface for JavaScript: one network, one picture at a time, in memory that grows with what they need.
//
// A model comes as src/shufflenet/exporters/web_model.py packs it: struct packed_model, then the plan but for its weights,
// then for each of its blocks of weights a number of scales, as uint32_t. 0: the block as it is in the plan. Otherwise its
// float32 values are [scales][count / scales], and come as double scale [scales] and half-precision value [count]: each of
// the block's is value * scale, rounded once.
//
// The network lies behind the program's own data, what a picture needs behind the network, and there, while it is loaded, the model.
#include "../half.h"
#include "../plan.h"
#include "../preprocess/preprocess.h"
#include "../shufflenet.h"

#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

enum { PAGE_BYTES = 1 << 16, PIXEL_BYTES = 4 };

struct packed_model {
    uint32_t network_bytes; // at least what the network needs
    uint32_t plan_bytes;
    uint32_t plan_without_weights_bytes;
    shufflenet_preprocessing preprocessing;
};

extern unsigned char __heap_base; // the linker's: where the program's own data end

static struct packed_model model;
static const shufflenet_network *network;
static shufflenet_sizes sizes;
static unsigned char *packed, *behind_network;
static size_t packed_bytes;

// The parts of what a picture needs, one behind the other.
static unsigned char *arena, *preprocess_memory, *pixels;
static float *input, *logits;
static shufflenet_part part;

static unsigned char *aligned(unsigned char *p)
{
    return p + (-(uintptr_t)p & (SHUFFLENET_ALIGNMENT - 1));
}

// Whether there is memory up to end, or the browser gives it.
static int grow(const unsigned char *begin, uint64_t bytes)
{
    const uint64_t end = (uintptr_t)begin + bytes, pages = (end + PAGE_BYTES - 1) / PAGE_BYTES;
    const size_t present = __builtin_wasm_memory_size(0);
    return pages <= present ||
           (pages <= 1 << 16 && __builtin_wasm_memory_grow(0, (size_t)(pages - present)) != SIZE_MAX);
}

// Room for a packed model; NULL: not enough memory.
unsigned char *EXPORT(place_model)(size_t network_bytes, size_t bytes)
{
    unsigned char *memory = aligned(&__heap_base);
    if (!grow(memory, (uint64_t)network_bytes + bytes + 2 * SHUFFLENET_ALIGNMENT))
        return NULL;
    behind_network = aligned(memory + network_bytes);
    packed = behind_network;
    packed_bytes = bytes;
    return packed;
}

// Takes the next bytes of the packed model; 0: there are fewer.
static int take_packed(size_t *taken, void *to, size_t bytes)
{
    if (bytes > packed_bytes - *taken)
        return 0;
    memcpy(to, packed + *taken, bytes);
    *taken += bytes;
    return 1;
}

// Writes a block of weights, whose values are halves times the scale of their row; 0: the packed model has not so many bytes.
static int unpack_scaled(size_t *taken, uint32_t rows, uint32_t count, float *to)
{
    const uint32_t columns = count / rows;
    const unsigned char *scales = packed + *taken;
    if (count % rows || rows > (packed_bytes - *taken) / sizeof(double))
        return 0;
    *taken += rows * sizeof(double);
    for (uint32_t row = 0; row < rows; row++) {
        double scale;
        memcpy(&scale, scales + row * sizeof scale, sizeof scale);
        for (uint32_t i = 0; i < columns; i++) {
            uint16_t half;
            if (!take_packed(taken, &half, sizeof half))
                return 0;
            *to++ = (float)(float_of_half(half) * scale);
        }
    }
    return 1;
}

static size_t bytes_of_block(const struct plan_weights *block)
{
    const size_t value = block->dtype == PLAN_INT8 ? 1 : block->dtype == PLAN_FLOAT16 ? 2 : 4;
    return (value * block->count + 3) & ~(size_t)3;
}

// Writes the plan; 0: the packed model is damaged.
static int unpack(unsigned char *plan)
{
    const uint32_t without_weights = model.plan_without_weights_bytes;
    size_t taken = sizeof model;
    struct plan_header header;
    if (without_weights < sizeof header || without_weights > model.plan_bytes ||
        !take_packed(&taken, plan, without_weights))
        return 0;
    memcpy(&header, plan, sizeof header);
    const struct plan_weights *blocks = (const struct plan_weights *)(plan + sizeof header);
    if (header.weight_bytes != model.plan_bytes - without_weights ||
        header.block_count > (without_weights - sizeof header) / sizeof *blocks)
        return 0;
    for (uint32_t i = 0; i < header.block_count; i++) {
        uint32_t rows;
        const size_t bytes = bytes_of_block(blocks + i);
        if (blocks[i].offset % sizeof rows || blocks[i].count > header.weight_bytes ||
            (uint64_t)blocks[i].offset + bytes > header.weight_bytes || !take_packed(&taken, &rows, sizeof rows))
            return 0;
        unsigned char *to = plan + without_weights + blocks[i].offset;
        if (!rows ? !take_packed(&taken, to, bytes)
                  : blocks[i].dtype != PLAN_FLOAT32 || !unpack_scaled(&taken, rows, blocks[i].count, (float *)to))
            return 0;
    }
    return taken == packed_bytes;
}

// Finds the places of what a picture needs, up to its pixels.
static int place_picture(void)
{
    const shufflenet_preprocessing *p = &model.preprocessing;
    const size_t preprocess_bytes = shufflenet_preprocess_bytes(p->height, p->width);
    arena = behind_network;
    input = (float *)aligned(arena + sizes.arena_bytes);
    logits = (float *)aligned((unsigned char *)(input + sizes.input_floats));
    preprocess_memory = aligned((unsigned char *)(logits + sizes.output_floats));
    pixels = aligned(preprocess_memory + preprocess_bytes);
    return grow(arena, (uint64_t)(pixels - arena));
}

// Builds the network from the model that lies in its place; returns a shufflenet_status.
int EXPORT(create)(void)
{
    size_t taken = 0;
    if (!take_packed(&taken, &model, sizeof model))
        return SHUFFLENET_BAD_PLAN;
    const shufflenet_preprocessing *p = &model.preprocessing;
    unsigned char *plan = aligned(packed + packed_bytes), *memory = aligned(&__heap_base);
    if (p->height < 1 || p->height > SHUFFLENET_LARGEST_INPUT || p->width < 1 || p->width > SHUFFLENET_LARGEST_INPUT)
        return SHUFFLENET_BAD_PLAN;
    if (!grow(plan, model.plan_bytes))
        return SHUFFLENET_SMALL_MEMORY;
    if (!unpack(plan))
        return SHUFFLENET_BAD_PLAN;
    shufflenet_status status = shufflenet_measure(plan, model.plan_bytes, NULL, &sizes);
    if (status == SHUFFLENET_OK)
        status = shufflenet_create(plan, model.plan_bytes, NULL, memory, (size_t)(behind_network - memory), &network);
    if (status != SHUFFLENET_OK)
        return (int)status;
    if (sizes.input_floats != 3 * (size_t)p->height * (size_t)p->width)
        return SHUFFLENET_BAD_PLAN;
    return place_picture() ? SHUFFLENET_OK : SHUFFLENET_SMALL_MEMORY;
}

// Begins with a picture of width x height pixels; returns the part of it that is to be given, or NULL: it has no pixels, or
// more than 3,000 a side for one of the input's.
const shufflenet_part *EXPORT(begin_picture)(int32_t width, int32_t height)
{
    const shufflenet_kernels *kernels = shufflenet_find_kernels(NULL);
    return shufflenet_preprocess_begin(kernels, &model.preprocessing, width, height, preprocess_memory, input, &part)
               ? &part
               : NULL;
}

// Room for the next lines of the part; NULL: not enough memory.
unsigned char *EXPORT(place_lines)(int32_t lines)
{
    return grow(pixels, (uint64_t)lines * (uint64_t)part.width * PIXEL_BYTES) ? pixels : NULL;
}

// Takes these lines, red, green, blue and a fourth byte for each pixel, from there. After the part's last one the input is complete.
void EXPORT(take_lines)(int32_t lines)
{
    shufflenet_preprocess_lines(preprocess_memory, pixels, PIXEL_BYTES, (size_t)part.width * PIXEL_BYTES, lines);
}

// The network's input, [3][height][width]: what a picture became, or to write another one there.
float *EXPORT(network_input)(void)
{
    return input;
}

// Runs the network on its input; returns logits [classes].
const float *EXPORT(run)(void)
{
    shufflenet_run(network, arena, sizes.arena_bytes, input, 1, logits);
    return logits;
}

const char *EXPORT(message)(int status)
{
    return shufflenet_message((shufflenet_status)status);
}
