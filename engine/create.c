// From a plan to a network: every number is checked, weights are packed for the level's tiles.
//
// One walk over the plan serves both calls: without memory it measures, with memory it builds. After the checks here
// no kernel checks anything.
#include "int8.h"
#include "network.h"
#include "operators/kind.h"
#include "shufflenet.h"

#include <string.h>

typedef const struct kind *kind_function(void);

static kind_function *const kind_functions[] = {
    [PLAN_INPUT] = input_kind,
    [PLAN_ZERO] = zero_kind,
#ifndef SHUFFLENET_WITHOUT_FLOAT32
    [PLAN_CONVOLUTION] = convolution_kind,
    [PLAN_DEPTHWISE] = depthwise_kind,
    [PLAN_MAX_POOL] = max_pool_kind,
    [PLAN_AVERAGE_POOL] = average_pool_kind,
    [PLAN_WINDOW_POOL] = window_pool_kind,
    [PLAN_ADAPTIVE_AVERAGE_POOL] = adaptive_average_pool_kind,
    [PLAN_FULLY_CONNECTED] = fully_connected_kind,
    [PLAN_SCALE] = scale_kind,
    [PLAN_STRIPS] = strips_kind,
#endif
#ifndef SHUFFLENET_WITHOUT_INT8
    [PLAN_INT8_INPUT] = int8_input_kind,
    [PLAN_INT8_CONVOLUTION] = int8_convolution_kind,
    [PLAN_INT8_DEPTHWISE] = int8_depthwise_kind,
    [PLAN_INT8_MAX_POOL] = int8_max_pool_kind,
    [PLAN_INT8_AVERAGE_POOL] = int8_average_pool_kind,
    [PLAN_INT8_ADAPTIVE_AVERAGE_POOL] = int8_adaptive_average_pool_kind,
    [PLAN_INT8_FULLY_CONNECTED] = int8_fully_connected_kind,
    [PLAN_INT8_SCALE] = int8_scale_kind,
    [PLAN_INT8_BYTES_OF_QUADS] = int8_bytes_of_quads_kind,
#endif
};

SHUFFLENET_LOCAL const struct kind *kind_of(uint32_t kind)
{
    const size_t kinds = sizeof kind_functions / sizeof *kind_functions;
    return kind < kinds && kind_functions[kind] ? kind_functions[kind]() : NULL;
}

// A level that needs as much memory as any: masks for the widest vectors, the largest blocks of fully connected layers, and no
// weights of half precision.
#ifndef SHUFFLENET_WITHOUT_INT8
static const struct int8_kernels widest_int8 = {
    .vector_words = MAX_VECTOR_FLOATS,
    .fully_connected_block = FULLY_CONNECTED_VECTORS * MAX_VECTOR_FLOATS,
};
#endif

static const struct kernels widest = {
    .name = SHUFFLENET_WIDEST,
    .vector_floats = MAX_VECTOR_FLOATS,
    .fully_connected_block = FULLY_CONNECTED_VECTORS * MAX_VECTOR_FLOATS,
#ifndef SHUFFLENET_WITHOUT_INT8
    .int8 = &widest_int8,
#endif
};

static void check_header(struct builder *b, const void *plan, size_t plan_bytes)
{
    struct plan_header *header = &b->plan;
    if (plan_bytes < sizeof *header || (uintptr_t)plan % sizeof(uint32_t)) {
        b->failed = 1;
        return;
    }
    memcpy(header, plan, sizeof *header);
    require(b, header->magic == PLAN_MAGIC && header->version == PLAN_VERSION);
    require(b, header->block_count < LIMIT && header->step_count < LIMIT && header->table_count < LIMIT);
    require(b, header->weight_bytes % sizeof(uint32_t) == 0 && header->weight_bytes / sizeof(uint32_t) < LIMIT);
    require(b, header->arena_words < LIMIT && header->in_channels < LIMIT && header->in_channels >= 1);
    require(b, header->height >= 1 && header->height < LIMIT && header->width >= 1 && header->width < LIMIT);
    require(b, (uint64_t)header->height * header->width < LIMIT && header->classes >= 1 && header->classes < LIMIT);
    require(b, (uint64_t)header->height * header->width * header->in_channels < LIMIT);
    if (!b->failed)
        require(b, plan_bytes == sizeof *header + (uint64_t)header->block_count * sizeof(struct plan_weights) +
                                     (uint64_t)header->step_count * sizeof(struct plan_step) +
                                     (uint64_t)header->table_count * sizeof(uint32_t) + header->weight_bytes);
}

// 0 for what is no dtype.
static uint64_t bytes_of(uint32_t dtype)
{
    switch (dtype) {
    case PLAN_FLOAT32:
    case PLAN_INT32:
        return 4;
    case PLAN_FLOAT16:
        return 2;
    case PLAN_INT8:
        return 1;
    default:
        return 0;
    }
}

static void check_blocks(struct builder *b)
{
    for (uint32_t i = 0; i < b->plan.block_count && !b->failed; i++) {
        const struct plan_weights *block = &b->blocks[i];
        const uint64_t end = block->offset + block->count * bytes_of(block->dtype);
        require(b, bytes_of(block->dtype) && block->offset % sizeof(uint32_t) == 0 && end <= b->plan.weight_bytes);
    }
}

// Finds the parts of the plan, and makes room for what the network has of them.
static const struct plan_step *begin(struct builder *b, const void *plan, shufflenet_network **network)
{
    b->blocks = (const struct plan_weights *)((const char *)plan + sizeof b->plan);
    const struct plan_step *steps = (const struct plan_step *)(b->blocks + b->plan.block_count);
    b->tables = (const uint32_t *)(steps + b->plan.step_count);
    b->weights = (const char *)(b->tables + b->plan.table_count);
    check_blocks(b);
    *network = take(b, sizeof **network + (uint64_t)b->plan.step_count * sizeof(struct step));
    b->tables_copy = take(b, (uint64_t)sizeof(uint32_t) * b->plan.table_count);
    const size_t zero_row_bytes = sizeof(float) * ((size_t)b->plan.width + SLACK);
    b->zero_row = take(b, zero_row_bytes);
    if (b->memory) {
        memcpy(b->tables_copy, b->tables, sizeof(uint32_t) * b->plan.table_count);
        memset(b->zero_row, 0, zero_row_bytes);
    }
    return steps;
}

static shufflenet_status walk(const void *plan, size_t plan_bytes, const struct kernels *kernels, char *memory,
                              shufflenet_sizes *sizes)
{
    struct builder b = {.kernels = kernels, .memory = memory};
    if (!kernels)
        return SHUFFLENET_UNKNOWN_ISA;
    check_header(&b, plan, plan_bytes);
    if (b.failed)
        return SHUFFLENET_BAD_PLAN;
    shufflenet_network *network;
    const struct plan_step *steps = begin(&b, plan, &network);
    for (uint32_t i = 0; i < b.plan.step_count && !b.failed; i++) {
        struct step scratch[1 + MAX_GROUP_STEPS], *step = memory ? &network->steps[i] : scratch;
        *step = (struct step){.kind = kind_of(steps[i].kind), .source = PLAN_WHOLE};
        b.strips_steps = b.plan.step_count - i;
        require(&b, step->kind != NULL);
        if (!b.failed)
            step->kind->build(&b, &steps[i], step);
        i += steps_within(step);
    }
    const uint64_t thread_words = b.sliding_words ? round_up(b.sliding_words + SLACK, ROW_ALIGNMENT) : 0;
    *sizes = (shufflenet_sizes){
        .network_bytes = (size_t)b.used,
        .arena_bytes = sizeof(float) * (size_t)round_up(b.plan.arena_words + SLACK, ROW_ALIGNMENT),
        .thread_bytes = sizeof(float) * (size_t)thread_words,
        .input_floats = (size_t)b.plan.in_channels * b.plan.height * b.plan.width,
        .output_floats = b.plan.classes,
    };
    require(&b, b.used <= SIZE_MAX);
    if (memory) {
        network->kernels = kernels;
        network->sizes = *sizes;
        network->step_count = b.plan.step_count;
    }
    return b.failed ? SHUFFLENET_BAD_PLAN : SHUFFLENET_OK;
}

shufflenet_status shufflenet_measure(const void *plan, size_t plan_bytes, const char *isa, shufflenet_sizes *sizes)
{
    const int every = isa && !strcmp(isa, SHUFFLENET_WIDEST);
    return walk(plan, plan_bytes, every ? &widest : find_kernels(isa), NULL, sizes);
}

shufflenet_status shufflenet_create(const void *plan, size_t plan_bytes, const char *isa, void *memory,
                                    size_t memory_bytes, const shufflenet_network **network)
{
    const struct kernels *kernels = find_kernels(isa);
    shufflenet_sizes sizes;
    const shufflenet_status status = walk(plan, plan_bytes, kernels, NULL, &sizes);
    if (status != SHUFFLENET_OK)
        return status;
    if (memory_bytes < sizes.network_bytes)
        return SHUFFLENET_SMALL_MEMORY;
    if ((uintptr_t)memory % SHUFFLENET_ALIGNMENT)
        return SHUFFLENET_BAD_ALIGNMENT;
    const shufflenet_status built = walk(plan, plan_bytes, kernels, memory, &sizes);
    *network = built == SHUFFLENET_OK ? memory : NULL;
    return built;
}
