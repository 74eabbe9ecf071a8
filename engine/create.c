// From a plan to a network: every number is checked, weights are packed for the level's tiles.
//
// One walk over the plan serves both calls: without memory it measures, with memory it builds. After the checks here
// no kernel checks anything.
#include "network.h"
#include "shufflenet.h"

#include <math.h>
#include <string.h>

// Kernels load whole vectors: this many floats around the arena may be read (never written, never used).
enum { SLACK = 64 };

// Numbers below this can be multiplied in pairs without overflow, with room for sums.
enum { LIMIT = 1 << 28 };

struct builder {
    const struct kernels *kernels;
    struct plan_header plan;
    const uint32_t *tables; // in the plan
    const float *weights;
    uint32_t *tables_copy; // in the network
    float *zero_row;
    size_t zero_row_floats;
    char *memory; // NULL: measure only
    size_t used;
    int failed;
};

static void require(struct builder *b, int condition)
{
    b->failed |= !condition;
}

static void *take(struct builder *b, size_t bytes)
{
    void *memory = b->memory ? b->memory + b->used : NULL;
    b->used += (bytes + SHUFFLENET_ALIGNMENT - 1) / SHUFFLENET_ALIGNMENT * SHUFFLENET_ALIGNMENT;
    return memory;
}

// A row table of count rows, each of which takes up before floats before its first and after from it on.
static const uint32_t *table(struct builder *b, uint32_t first, uint64_t count, uint64_t before, uint64_t after)
{
    require(b, first <= b->plan.table_count && count <= b->plan.table_count - first);
    for (uint64_t i = 0; !b->failed && i < count; i++) {
        const uint32_t offset = b->tables[first + i];
        require(b, offset >= before && offset + after <= b->plan.arena_floats);
    }
    return b->tables_copy ? b->tables_copy + first : NULL;
}

static const float *weights(struct builder *b, uint32_t first, uint64_t count)
{
    require(b, first <= b->plan.weight_count && count <= b->plan.weight_count - first);
    return b->weights + first;
}

static uint64_t round_up(uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static void build_input(struct builder *b, const uint32_t *field, struct input *s)
{
    *s = (struct input){.stride = field[0], .rows = field[1], .pitch = field[2]};
    s->channels = b->plan.in_channels;
    s->height = b->plan.height;
    s->width = b->plan.width;
    require(b, s->stride == 1 || s->stride == 2);
    require(b, s->rows < LIMIT && s->pitch < LIMIT);
    require(b, (uint64_t)s->pitch * s->stride > (uint64_t)s->width + s->stride - 1);
    if (!b->failed)
        s->out = table(b, field[3], (uint64_t)s->channels * s->stride * s->stride, 0, (uint64_t)s->rows * s->pitch);
}

static void build_zero(struct builder *b, const uint32_t *field, struct zero *s)
{
    *s = (struct zero){.count = field[0], .length = field[1]};
    s->out = table(b, field[2], s->count, 0, s->length);
}

// Splits m outputs into the tiles that take the fewest cycles: of each tile, the multiply-adds or the loads, whatever is
// more at two a cycle, and its start and end, shared by its vectors. Returns how many tiles there are.
static uint32_t choose_tiles(const struct kernels *kernels, uint32_t m, struct tile_run *runs)
{
    enum { SMALL = 64 }; // a larger m only repeats the cheapest tile
    float cost[SMALL + 1] = {0}, best_rate = 1e9f;
    uint32_t last[SMALL + 1] = {0}, best_mr = 1, counts[MAX_TILE_ROWS + 1] = {0};
    for (uint32_t mr = 1; mr <= MAX_TILE_ROWS; mr++) {
        const float nv = kernels->vectors[mr];
        if (nv == 0)
            continue;
        const float loads = (float)mr + nv, multiply_adds = (float)mr * nv;
        const float cycles = ((loads > multiply_adds ? loads : multiply_adds) + 1) / nv;
        if (cycles / (float)mr < best_rate) {
            best_rate = cycles / (float)mr;
            best_mr = mr;
        }
        for (uint32_t rows = mr; rows <= SMALL; rows++)
            if (!last[rows] || cost[rows - mr] + cycles < cost[rows]) {
                cost[rows] = cost[rows - mr] + cycles;
                last[rows] = mr;
            }
    }
    for (; m > SMALL; m -= best_mr)
        counts[best_mr]++;
    for (; m; m -= last[m])
        counts[last[m]]++;
    uint32_t row = 0, tiles = 0;
    for (uint32_t mr = MAX_TILE_ROWS; mr; mr--)
        if (counts[mr]) {
            *runs++ = (struct tile_run){.mr = mr, .count = counts[mr], .row = row};
            row += mr * counts[mr];
            tiles += counts[mr];
        }
    *runs = (struct tile_run){0};
    return tiles;
}

static void pack_convolution(const struct convolution *s, const float *w, const float *bias, float *packed)
{
    for (uint32_t g = 0; g < s->groups; g++) {
        for (const struct tile_run *run = s->tiles; run->mr; run++) {
            for (uint32_t tile = 0; tile < run->count; tile++) {
                memcpy(packed, bias, sizeof(float) * run->mr);
                packed += run->mr;
                for (uint32_t k = 0; k < s->k; k++)
                    for (uint32_t m = 0; m < run->mr; m++)
                        *packed++ = w[(size_t)m * s->k + k];
                w += (size_t)run->mr * s->k;
                bias += run->mr;
            }
        }
    }
}

static void build_convolution(struct builder *b, const uint32_t *field, struct convolution *s)
{
    *s = (struct convolution){.groups = field[0], .k = field[1], .m = field[2], .lines = field[3], .pixels = field[4]};
    s->in_pitch = field[5];
    s->out_pitch = field[6];
    s->least = field[7] ? 0 : -INFINITY;
    const uint64_t outputs = (uint64_t)s->groups * s->m;
    require(b, s->groups >= 1 && s->k >= 1 && s->m >= 1 && s->lines >= 1 && s->pixels >= 1);
    require(b, s->groups < LIMIT && s->k < LIMIT && s->m < LIMIT && s->lines < LIMIT && s->pixels < LIMIT);
    require(b, s->in_pitch < LIMIT && s->out_pitch < LIMIT && outputs < LIMIT && outputs * s->k < LIMIT);
    // The tail of one line must not reach into the next.
    require(b, s->lines == 1 || s->out_pitch >= round_up(s->pixels, ROW_ALIGNMENT));
    if (b->failed)
        return;
    const uint64_t read = (uint64_t)(s->lines - 1) * s->in_pitch + s->pixels;
    const uint64_t written = (uint64_t)(s->lines - 1) * s->out_pitch + s->pixels + ROW_TAIL;
    s->in = table(b, field[8], (uint64_t)s->groups * s->k, 0, read);
    s->out = table(b, field[9], outputs, 0, written);
    s->residual = field[10] == PLAN_NO_TABLE ? NULL : table(b, field[10], outputs, 0, written);
    const float *w = weights(b, field[11], outputs * s->k);
    const float *bias = weights(b, field[12], outputs);
    struct tile_run *tiles = take(b, sizeof *tiles * (MAX_TILE_ROWS + 1));
    float *packed = take(b, sizeof(float) * outputs * (1 + s->k));
    s->tiles = tiles;
    s->packed = packed;
    if (b->memory && !b->failed) {
        s->tile_count = choose_tiles(b->kernels, s->m, tiles);
        pack_convolution(s, w, bias, packed);
    }
}

// See struct depthwise. The pattern of left and right edges in the vectors repeats after period of them.
static uint32_t mask_period(uint32_t width, uint32_t vector_floats)
{
    uint32_t common = vector_floats;
    while (width % common)
        common /= 2;
    return width / common;
}

static void fill_masks(const struct depthwise *s, uint32_t vector_floats, int32_t *masks)
{
    const uint32_t count = s->period * vector_floats;
    for (uint32_t p = 0; p < count; p++) {
        masks[p] = p % s->width != 0 ? -1 : 0;
        masks[count + p] = p % s->width != s->width - 1 ? -1 : 0;
    }
}

static void build_depthwise(struct builder *b, const uint32_t *field, struct depthwise *s)
{
    *s = (struct depthwise){.channels = field[0], .height = field[1], .width = field[2], .stride = field[3]};
    require(b, s->stride == 1 || s->stride == 2);
    require(b, s->channels >= 1 && s->height >= 1 && s->width >= 1);
    require(b, s->channels < LIMIT && s->height < LIMIT && s->width <= b->plan.width); // as long as zero_row
    if (b->failed)
        return;
    const uint64_t pixels = (uint64_t)s->height * s->width, around = s->stride == 1 ? s->width + 1 : 1;
    const uint64_t written = (uint64_t)((s->height - 1) / s->stride + 1) * ((s->width - 1) / s->stride + 1);
    s->in = table(b, field[4], s->channels, around, pixels + around);
    s->out = table(b, field[5], s->channels, 0, written + ROW_TAIL);
    const float *w = weights(b, field[6], (uint64_t)9 * s->channels);
    const float *bias = weights(b, field[7], s->channels);
    float *w_copy = take(b, sizeof(float) * 9 * s->channels);
    float *bias_copy = take(b, sizeof(float) * s->channels);
    s->period = mask_period(s->width, b->kernels->vector_floats);
    int32_t *masks = take(b, sizeof(int32_t) * 2 * s->period * b->kernels->vector_floats);
    s->weights = w_copy;
    s->bias = bias_copy;
    s->masks = masks;
    s->zero_row = b->zero_row;
    if (b->memory && !b->failed) {
        memcpy(w_copy, w, sizeof(float) * 9 * s->channels);
        memcpy(bias_copy, bias, sizeof(float) * s->channels);
        fill_masks(s, b->kernels->vector_floats, masks);
    }
}

static void build_pool(struct builder *b, const uint32_t *field, struct pool *s)
{
    *s = (struct pool){.channels = field[0], .height = field[1], .width = field[2], .in_pitch = field[3]};
    require(b, s->channels >= 1 && s->height >= 1 && s->width >= 1);
    require(b, s->channels < LIMIT && s->height < LIMIT && s->width <= b->plan.width); // as long as zero_row
    require(b, s->in_pitch >= s->width && s->in_pitch < LIMIT);
    if (b->failed)
        return;
    const uint64_t written = (uint64_t)((s->height - 1) / 2 + 1) * ((s->width - 1) / 2 + 1);
    s->in = table(b, field[4], s->channels, 1, (uint64_t)s->height * s->in_pitch);
    s->out = table(b, field[5], s->channels, 0, written + ROW_TAIL);
    s->zero_row = b->zero_row;
}

static void build_global_average(struct builder *b, const uint32_t *field, struct global_average *s)
{
    *s = (struct global_average){.channels = field[0], .pixels = field[1]};
    require(b, s->channels >= 1 && s->pixels >= 1 && s->channels < LIMIT && s->pixels < LIMIT);
    s->in = table(b, field[2], s->channels, 0, s->pixels);
    s->out = table(b, field[3], 1, 0, s->channels);
}

static void pack_classifier(const struct classifier *s, size_t block, const float *w, const float *bias, float *packed)
{
    for (size_t first = 0; first < s->classes; first += block)
        for (size_t k = 0; k <= s->k; k++)
            for (size_t c = first; c < first + block; c++)
                *packed++ = c >= s->classes ? 0 : k == 0 ? bias[c] : w[c * s->k + k - 1];
}

static void build_classifier(struct builder *b, const uint32_t *field, struct classifier *s)
{
    *s = (struct classifier){.k = field[0], .classes = b->plan.classes};
    const size_t block = b->kernels->classifier_block;
    require(b, s->k >= 1 && s->k < LIMIT && s->classes < LIMIT && (uint64_t)s->k * s->classes < LIMIT);
    if (b->failed)
        return;
    s->in = table(b, field[1], 1, 0, s->k);
    const float *w = weights(b, field[2], (uint64_t)s->k * s->classes);
    const float *bias = weights(b, field[3], s->classes);
    float *packed = take(b, sizeof(float) * round_up(s->classes, block) * (1 + s->k));
    s->packed = packed;
    if (b->memory && !b->failed)
        pack_classifier(s, block, w, bias, packed);
}

static void build_step(struct builder *b, const struct plan_step *plan, struct step *step)
{
    step->kind = plan->kind;
    switch (plan->kind) {
    case PLAN_INPUT:
        build_input(b, plan->field, &step->as.input);
        break;
    case PLAN_ZERO:
        build_zero(b, plan->field, &step->as.zero);
        break;
    case PLAN_CONVOLUTION:
        build_convolution(b, plan->field, &step->as.convolution);
        break;
    case PLAN_DEPTHWISE:
        build_depthwise(b, plan->field, &step->as.depthwise);
        break;
    case PLAN_MAX_POOL:
    case PLAN_AVERAGE_POOL:
        build_pool(b, plan->field, &step->as.pool);
        break;
    case PLAN_GLOBAL_AVERAGE:
        build_global_average(b, plan->field, &step->as.global_average);
        break;
    case PLAN_CLASSIFIER:
        build_classifier(b, plan->field, &step->as.classifier);
        break;
    default:
        b->failed = 1;
    }
}

static void check_header(struct builder *b, const void *plan, size_t plan_bytes)
{
    struct plan_header *header = &b->plan;
    if (plan_bytes < sizeof *header || (uintptr_t)plan % sizeof(uint32_t)) {
        b->failed = 1;
        return;
    }
    memcpy(header, plan, sizeof *header);
    require(b, header->magic == PLAN_MAGIC && header->version == PLAN_VERSION);
    require(b, header->step_count < LIMIT && header->table_count < LIMIT && header->weight_count < LIMIT);
    require(b, header->arena_floats < LIMIT && header->in_channels < LIMIT && header->in_channels >= 1);
    require(b, header->height >= 1 && header->height < LIMIT && header->width >= 1 && header->width < LIMIT);
    require(b, (uint64_t)header->height * header->width < LIMIT && header->classes >= 1 && header->classes < LIMIT);
    require(b, (uint64_t)header->height * header->width * header->in_channels < LIMIT);
    if (!b->failed)
        require(b, plan_bytes == sizeof *header + header->step_count * sizeof(struct plan_step) +
                                     sizeof(uint32_t) * ((size_t)header->table_count + header->weight_count));
}

static shufflenet_status walk(const void *plan, size_t plan_bytes, const char *isa, char *memory,
                              shufflenet_sizes *sizes)
{
    struct builder b = {.kernels = find_kernels(isa), .memory = memory};
    if (!b.kernels)
        return SHUFFLENET_UNKNOWN_ISA;
    check_header(&b, plan, plan_bytes);
    if (b.failed)
        return SHUFFLENET_BAD_PLAN;
    const struct plan_step *steps = (const struct plan_step *)((const char *)plan + sizeof b.plan);
    b.tables = (const uint32_t *)(steps + b.plan.step_count);
    b.weights = (const float *)(b.tables + b.plan.table_count);

    shufflenet_network *network = take(&b, sizeof *network + b.plan.step_count * sizeof(struct step));
    b.tables_copy = take(&b, sizeof(uint32_t) * b.plan.table_count);
    b.zero_row_floats = (size_t)b.plan.width + 2 * SLACK;
    b.zero_row = take(&b, sizeof(float) * b.zero_row_floats);
    sizes->arena_bytes = sizeof(float) * ((size_t)b.plan.arena_floats + SLACK);
    sizes->input_floats = (size_t)b.plan.in_channels * b.plan.height * b.plan.width;
    sizes->output_floats = b.plan.classes;
    if (memory) {
        memcpy(b.tables_copy, b.tables, sizeof(uint32_t) * b.plan.table_count);
        memset(b.zero_row, 0, sizeof(float) * b.zero_row_floats);
        b.zero_row += SLACK;
        *network = (shufflenet_network){.kernels = b.kernels, .step_count = b.plan.step_count};
        network->arena_bytes = sizes->arena_bytes;
        network->input_floats = sizes->input_floats;
        network->output_floats = sizes->output_floats;
    }
    for (uint32_t i = 0; i < b.plan.step_count && !b.failed; i++) {
        struct step scratch;
        build_step(&b, &steps[i], memory ? &network->steps[i] : &scratch);
    }
    sizes->network_bytes = b.used;
    return b.failed ? SHUFFLENET_BAD_PLAN : SHUFFLENET_OK;
}

shufflenet_status shufflenet_measure(const void *plan, size_t plan_bytes, const char *isa, shufflenet_sizes *sizes)
{
    return walk(plan, plan_bytes, isa, NULL, sizes);
}

shufflenet_status shufflenet_create(const void *plan, size_t plan_bytes, const char *isa, void *memory,
                                    size_t memory_bytes, const shufflenet_network **network)
{
    shufflenet_sizes sizes;
    const shufflenet_status status = walk(plan, plan_bytes, isa, NULL, &sizes);
    if (status != SHUFFLENET_OK)
        return status;
    if (memory_bytes < sizes.network_bytes)
        return SHUFFLENET_SMALL_MEMORY;
    if ((uintptr_t)memory % SHUFFLENET_ALIGNMENT)
        return SHUFFLENET_BAD_ALIGNMENT;
    *network = memory;
    return walk(plan, plan_bytes, isa, memory, &sizes);
}
