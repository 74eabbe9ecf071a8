// From a plan to a network: every number is checked, weights are packed for the level's tiles.
//
// One walk over the plan serves both calls: without memory it measures, with memory it builds. After the checks here
// no kernel checks anything.
#include "half.h"
#include "network.h"
#include "shufflenet.h"
#include "strips.h"
#include "tiles.h"

#include <math.h>
#include <string.h>

// Kernels load whole vectors: this many floats behind the arena may be read (never written, never used).
enum { SLACK = 64 };

// A convolution's rows of more floats than this, 2 MB, are fetched ahead.
enum { FAR_FLOATS = 1 << 19 };

// Numbers below this can be multiplied in pairs without overflow, with room for sums.
enum { LIMIT = 1 << 28 };

struct builder {
    const struct kernels *kernels;
    struct plan_header plan;
    const uint32_t *tables; // in the plan
    const float *weights;
    uint32_t *tables_copy; // in the network
    float *zero_row;
    char *memory; // NULL: measure only
    uint64_t used;
    int failed;
    const struct step *group;    // of kind PLAN_STRIPS, whose steps are being built, or NULL
    struct window window;        // of the step that is being built
    const struct input *picture; // if that is a convolution for the stem kernel
    uint64_t windows_floats;     // of the group with the largest windows
};

static void require(struct builder *b, int condition)
{
    b->failed |= !condition;
}

static struct range windows_of(const struct step *group)
{
    const size_t begin = group->as.strips.windows_begin;
    return (struct range){begin, begin + group->as.strips.windows_floats};
}

static void *take(struct builder *b, uint64_t bytes)
{
    void *memory = b->memory ? b->memory + b->used : NULL;
    b->used += (bytes + SHUFFLENET_ALIGNMENT - 1) / SHUFFLENET_ALIGNMENT * SHUFFLENET_ALIGNMENT;
    return memory;
}

// A row table of count rows, each of which takes up after floats from its first on, in these of the arena's floats.
static const uint32_t *table_within(struct builder *b, struct range floats, uint32_t first, uint64_t count,
                                    uint64_t after)
{
    require(b, first <= b->plan.table_count && count <= b->plan.table_count - first);
    for (uint64_t i = 0; !b->failed && i < count; i++) {
        const uint32_t offset = b->tables[first + i];
        require(b, offset >= floats.begin && offset + after <= floats.end);
    }
    return (b->tables_copy ? b->tables_copy : b->tables) + first;
}

// The same for rows anywhere in the arena, which take up before floats before their first as well.
static const uint32_t *table(struct builder *b, uint32_t first, uint64_t count, uint64_t before, uint64_t after)
{
    return table_within(b, (struct range){before, b->plan.arena_floats}, first, count, after);
}

// The rows that a step writes: in strips those with a window lie where all windows do.
static const uint32_t *written_table(struct builder *b, uint32_t first, uint64_t count, uint64_t after)
{
    if (!b->group || !b->window.lines)
        return table(b, first, count, 0, after);
    return table_within(b, windows_of(b->group), first, count, after);
}

// The rows that a step reads of its source.
static const uint32_t *read_table(struct builder *b, uint32_t first, uint64_t count, uint64_t before, uint64_t after)
{
    if (!b->group || b->window.source == WHOLE)
        return table(b, first, count, before, after);
    return table_within(b, windows_of(b->group), first, count, after);
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

// A row table that may be missing: then what is read or written is the caller's.
static const uint32_t *optional_table(struct builder *b, uint32_t first, uint64_t count, uint64_t before,
                                      uint64_t after)
{
    return first == PLAN_NO_TABLE ? NULL : table(b, first, count, before, after);
}

static float least(uint32_t relu)
{
    return relu ? 0 : -INFINITY;
}

static int is_size(uint32_t value)
{
    return value >= 1 && value < LIMIT;
}

// Floats of a plane without what lies behind its last line.
static uint64_t plane(uint32_t height, uint32_t width, uint32_t pitch)
{
    return (uint64_t)(height - 1) * pitch + width;
}

// Floats from a row's start on that are written: the whole plane, or a window.
static uint64_t written_floats(const struct builder *b, uint64_t whole, uint64_t pitch)
{
    if (!b->group || !b->window.lines)
        return whole;
    return b->window.lines * pitch;
}

// And that are read, of the step's source.
static uint64_t read_floats(struct builder *b, uint64_t whole, uint64_t pitch)
{
    if (!b->group || b->window.source == WHOLE)
        return whole;
    const uint32_t lines = b->group[1 + b->window.source].window.lines;
    require(b, lines > b->window.reach);
    return (uint64_t)(lines - b->window.reach) * pitch;
}

static void build_input(struct builder *b, const uint32_t *field, struct input *s)
{
    *s = (struct input){
        .stride = field[0], .phases = field[1], .padding = field[2], .rows = field[3], .pitch = field[4]};
    const int picture = field[9] == PLAN_NO_TABLE;
    s->channels = picture ? b->plan.in_channels : field[5];
    s->height = picture ? b->plan.height : field[6];
    s->width = s->in_pitch = picture ? b->plan.width : field[7];
    if (!picture)
        s->in_pitch = field[8];
    require(b, is_size(s->stride) && is_size(s->phases) && s->phases <= s->stride && s->stride <= MAX_STRIDE);
    require(b, s->padding < LIMIT && is_size(s->rows) && is_size(s->pitch));
    require(b, is_size(s->channels) && is_size(s->height) && is_size(s->width));
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch));
    if (b->failed)
        return;
    s->in = optional_table(b, field[9], s->channels, 0, plane(s->height, s->width, s->in_pitch));
    s->out = written_table(b, field[10], (uint64_t)s->channels * s->phases * s->phases,
                           written_floats(b, (uint64_t)s->rows * s->pitch, s->pitch));
}

static void build_zero(struct builder *b, const uint32_t *field, struct zero *s)
{
    *s = (struct zero){.count = field[0], .length = field[1]};
    s->out = table(b, field[2], s->count, 0, s->length);
}

static void pack_convolution(const struct convolution *s, const float *w, const float *bias, float *packed)
{
    memset(packed + (size_t)s->groups * s->m * (1 + s->k), 0, sizeof(float) * ROW_ALIGNMENT);
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
    *s = (struct convolution){.groups = field[0], .k = field[1], .m = field[2], .pixels = field[3]};
    s->width = field[4];
    s->pitch = field[5];
    s->in_pitch = field[6];
    s->least = least(field[7]);
    const uint64_t outputs = (uint64_t)s->groups * s->m;
    require(b, is_size(s->groups) && is_size(s->k) && is_size(s->m) && is_size(s->pixels));
    require(b, is_size(s->width) && is_size(s->pitch) && s->width <= s->pitch && is_size(s->in_pitch));
    require(b, s->in_pitch == s->pitch || (s->in_pitch > s->pitch && s->pitch % ROW_ALIGNMENT == 0));
    require(b, outputs < LIMIT && outputs * s->k < LIMIT);
    if (b->failed)
        return;
    const uint64_t in_floats = s->pixels + (uint64_t)((s->pixels - 1) / s->pitch) * (s->in_pitch - s->pitch);
    s->in = read_table(b, field[8], (uint64_t)s->groups * s->k, 0, read_floats(b, in_floats, s->in_pitch));
    s->out = written_table(b, field[9], outputs, written_floats(b, s->pixels, s->pitch) + ROW_TAIL);
    s->residual = optional_table(b, field[10], outputs, 0, (uint64_t)s->pixels + ROW_TAIL);
    const float *w = weights(b, field[11], outputs * s->k);
    const float *bias = weights(b, field[12], outputs);
    struct tile_run *tiles = take(b, sizeof *tiles * (MAX_TILE_ROWS + 1));
    float *packed = take(b, sizeof(float) * (outputs * (1 + s->k) + ROW_ALIGNMENT)); // whole vectors may be read
    s->tiles = tiles;
    s->far = !b->group && (outputs + (uint64_t)s->groups * s->k) * s->pixels > FAR_FLOATS;
    s->packed = packed;
    s->picture = b->picture;
    s->zero_row = b->zero_row;
    if (b->memory && !b->failed) {
        s->tile_count = choose_tiles(b->kernels, s, s->in_pitch == s->pitch ? s->pixels : s->pitch, tiles);
        pack_convolution(s, w, bias, packed);
    }
}

// See struct depthwise. The pattern of left and right edges in the vectors repeats after period of them.
static uint32_t mask_period(uint32_t pitch, uint32_t vector_floats)
{
    uint32_t common = vector_floats;
    while (pitch % common)
        common /= 2;
    return pitch / common;
}

static void fill_masks(const struct depthwise *s, uint32_t vector_floats, int32_t *masks)
{
    const uint32_t count = s->period * vector_floats;
    for (uint32_t p = 0; p < count; p++) {
        const uint32_t column = p % s->in_pitch;
        masks[p] = column != 0 && column < s->width ? -1 : 0;
        masks[count + p] = column + 1 < s->width ? -1 : 0;
        masks[2 * count + p] = column < s->width ? -1 : 0;
    }
}

static void build_depthwise(struct builder *b, const uint32_t *field, struct depthwise *s)
{
    *s = (struct depthwise){.channels = field[0], .height = field[1], .width = field[2], .stride = field[3]};
    s->in_pitch = field[4];
    s->out_pitch = field[5];
    s->least = least(field[6]);
    require(b, s->stride == 1 || s->stride == 2);
    require(b, is_size(s->channels) && is_size(s->height) && is_size(s->width));
    require(b, s->width <= b->plan.width); // as long as zero_row
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch) && is_size(s->out_pitch));
    if (b->failed)
        return;
    require(b, s->out_pitch >= (s->width - 1) / s->stride + 1 && (s->stride == 2 || s->in_pitch == s->out_pitch));
    require(b, !b->group || s->stride == 2 || s->in_pitch == round_up(s->width, ROW_ALIGNMENT));
    const uint64_t around = s->stride == 1 && !b->group ? s->in_pitch + 1 : 0;
    const uint64_t out_floats = (uint64_t)((s->height - 1) / s->stride + 1) * s->out_pitch;
    const uint64_t in_floats = plane(s->height, s->width, s->in_pitch) + around;
    s->in = read_table(b, field[7], s->channels, around, read_floats(b, in_floats, s->in_pitch));
    s->out = written_table(b, field[8], s->channels, written_floats(b, out_floats, s->out_pitch) + ROW_TAIL);
    const float *w = weights(b, field[9], (uint64_t)9 * s->channels);
    const float *bias = weights(b, field[10], s->channels);
    float *w_copy = take(b, sizeof(float) * 9 * s->channels);
    float *bias_copy = take(b, sizeof(float) * s->channels);
    int32_t *masks = NULL;
    if (s->stride == 1) {
        s->period = mask_period(s->in_pitch, b->kernels->vector_floats);
        masks = take(b, (uint64_t)sizeof(int32_t) * 3 * s->period * b->kernels->vector_floats);
    }
    s->weights = w_copy;
    s->bias = bias_copy;
    s->masks = masks;
    s->zero_row = b->zero_row;
    s->in_strips = b->group != NULL;
    if (b->memory && !b->failed) {
        memcpy(w_copy, w, sizeof(float) * 9 * s->channels);
        memcpy(bias_copy, bias, sizeof(float) * s->channels);
        if (masks)
            fill_masks(s, b->kernels->vector_floats, masks);
    }
}

// Windows of 3 at stride 2, of which the last may reach over the edge by one.
static int fits(uint32_t windows, uint32_t size, uint32_t padding)
{
    return is_size(windows) && (uint64_t)2 * windows <= (uint64_t)size + padding;
}

static void build_pool(struct builder *b, const uint32_t *field, struct pool *s)
{
    *s = (struct pool){.channels = field[0], .height = field[1], .width = field[2], .in_pitch = field[3]};
    s->out_pitch = field[4];
    s->padding = field[5];
    s->out_height = field[6];
    s->out_width = field[7];
    require(b, is_size(s->channels) && is_size(s->height) && is_size(s->width) && s->padding <= 1);
    require(b, s->width <= b->plan.width); // as long as zero_row
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch));
    require(b, fits(s->out_height, s->height, s->padding) && fits(s->out_width, s->width, s->padding));
    require(b, is_size(s->out_pitch) && s->out_pitch >= s->out_width);
    if (b->failed)
        return;
    const uint64_t out_floats = (uint64_t)s->out_height * s->out_pitch;
    const uint64_t in_floats = read_floats(b, plane(s->height, s->width, s->in_pitch), s->in_pitch);
    s->in = read_table(b, field[8], s->channels, 0, in_floats);
    s->out = written_table(b, field[9], s->channels, written_floats(b, out_floats, s->out_pitch) + ROW_TAIL);
    s->zero_row = b->zero_row;
}

static void build_means(struct builder *b, const uint32_t *field, struct means *s)
{
    *s = (struct means){.channels = field[0], .height = field[1], .width = field[2], .in_pitch = field[3]};
    s->out_height = field[4];
    s->out_width = field[5];
    require(b, is_size(s->channels) && is_size(s->height) && is_size(s->width) && is_size(s->in_pitch));
    require(b, s->in_pitch >= s->width && s->out_height >= 1 && s->out_height < 64 && s->out_width >= 1 &&
                   s->out_width < 64);
    const uint64_t count = (uint64_t)s->channels * s->out_height * s->out_width;
    require(b, field[7] != PLAN_NO_TABLE || count == b->plan.classes);
    if (b->failed)
        return;
    s->in = table(b, field[6], s->channels, 0, plane(s->height, s->width, s->in_pitch));
    s->out = optional_table(b, field[7], 1, 0, count);
}

static int are_halves(const float *w, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (exact_half(w[i]) < 0)
            return 0;
    return 1;
}

static void pack_fully_connected(const struct fully_connected *s, size_t block, const float *w, void *packed)
{
    for (size_t first = 0, i = 0; first < s->m; first += block)
        for (size_t k = 0; k < s->k; k++)
            for (size_t m = first; m < first + block; m++, i++) {
                const float weight = m < s->m ? w[m * s->k + k] : 0;
                if (s->halves)
                    ((uint16_t *)packed)[i] = (uint16_t)exact_half(weight);
                else
                    ((float *)packed)[i] = weight;
            }
}

static void build_fully_connected(struct builder *b, const uint32_t *field, struct fully_connected *s)
{
    *s = (struct fully_connected){.k = field[0], .m = field[1], .activation = field[2]};
    const size_t block = b->kernels->fully_connected_block;
    require(b, is_size(s->k) && is_size(s->m) && (uint64_t)s->k * s->m < LIMIT && s->activation <= SIGMOID);
    require(b, field[4] != PLAN_NO_TABLE || s->m == b->plan.classes);
    if (b->failed)
        return;
    const uint64_t count = (uint64_t)s->k * s->m, outputs = round_up(s->m, block);
    s->in = table(b, field[3], 1, 0, s->k);
    s->out = optional_table(b, field[4], 1, 0, s->m);
    const float *w = weights(b, field[5], count);
    const float *bias = weights(b, field[6], s->m);
    s->halves = !b->failed && b->kernels->takes_halves && are_halves(w, count);
    float *bias_copy = take(b, sizeof(float) * outputs);
    void *packed = take(b, (s->halves ? sizeof(uint16_t) : sizeof(float)) * outputs * s->k);
    s->bias = bias_copy;
    s->weights = packed;
    if (b->memory && !b->failed) {
        memset(bias_copy, 0, sizeof(float) * outputs);
        memcpy(bias_copy, bias, sizeof(float) * s->m);
        pack_fully_connected(s, block, w, packed);
    }
}

static void build_scale(struct builder *b, const uint32_t *field, struct scale *s)
{
    *s = (struct scale){.channels = field[0], .pixels = field[1], .least = least(field[2])};
    require(b, is_size(s->channels) && is_size(s->pixels));
    if (b->failed)
        return;
    s->in = table(b, field[3], s->channels, 0, s->pixels);
    s->factors = table(b, field[4], 1, 0, s->channels);
    s->residual = optional_table(b, field[5], s->channels, 0, s->pixels);
    s->out = table(b, field[6], s->channels, 0, (uint64_t)s->pixels + ROW_TAIL);
}

static void build_step(struct builder *b, const struct plan_step *plan, struct step *step)
{
    step->kind = (enum plan_kind)plan->kind;
    step->window = b->window;
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
    case PLAN_MEANS:
        build_means(b, plan->field, &step->as.means);
        break;
    case PLAN_FULLY_CONNECTED:
        build_fully_connected(b, plan->field, &step->as.fully_connected);
        break;
    case PLAN_SCALE:
        build_scale(b, plan->field, &step->as.scale);
        break;
    default:
        b->failed = 1;
    }
}

// The input step that a convolution in strips reads, if the stem kernel can read the picture in its place.
static const struct input *stem_input(struct builder *b, const struct plan_step *plan, const struct step *group,
                                      uint32_t i)
{
    const uint32_t *field = plan[1 + i].field, source = b->window.source;
    if (!b->kernels->stem || plan[1 + i].kind != PLAN_CONVOLUTION || source >= i || plan[1 + source].kind != PLAN_INPUT)
        return NULL;
    const struct input *in = &group[1 + source].as.input;
    const uint32_t k = 9 * in->channels, taps = field[8], planes = plan[1 + source].field[10];
    const int fits = in->stride == 2 && in->phases == 2 && in->padding == 1 && in->channels <= MAX_STEM_CHANNELS &&
                     field[0] == 1 && field[1] == k && field[2] % 4 == 0 && b->window.reach == 1 &&
                     in->rows - 1 <= (in->height - 1) / 2 + 1 && field[5] >= (in->width - 1) / 2 + 1 &&
                     field[6] == in->pitch && field[10] == PLAN_NO_TABLE;
    if (!fits || taps > b->plan.table_count || k > b->plan.table_count - taps)
        return NULL;
    for (uint32_t tap = 0; tap < k; tap++) {
        const uint32_t y = tap % 9 / 3, x = tap % 3, plane = tap / 9 * 4 + y % 2 * 2 + x % 2;
        if (b->tables[taps + tap] != b->tables[planes + plane] + y / 2 * in->pitch + x / 2)
            return NULL;
    }
    return in;
}

static int is_unread(const struct step *group, uint32_t input)
{
    for (uint32_t i = 0; i < group->as.strips.count; i++) {
        const struct step *step = &group[1 + i];
        if (step->window.source == input && !(step->kind == PLAN_CONVOLUTION && step->as.convolution.picture))
            return 0;
    }
    return 1;
}

// The group's step, and those that it names behind it.
static void build_strips(struct builder *b, const struct plan_step *plan, uint32_t plan_steps, struct step *group)
{
    enum { MOST_STRIPS = 1 << 12 };
    const uint32_t *field = plan->field;
    struct strips *s = &group->as.strips;
    group->kind = PLAN_STRIPS;
    *s = (struct strips){field[0], field[1], field[2], field[3], field[4]};
    require(b, s->count >= 1 && s->count <= MAX_GROUP_STEPS && s->count < plan_steps);
    require(b, is_size(s->height) && is_size(s->lines) && s->height / MOST_STRIPS < s->lines);
    require(b, s->windows_begin % ROW_ALIGNMENT == 0 && s->windows_begin <= b->plan.arena_floats);
    require(b, s->windows_floats <= b->plan.arena_floats - s->windows_begin);
    b->windows_floats = s->windows_floats > b->windows_floats ? s->windows_floats : b->windows_floats;
    for (uint32_t i = 0; i < s->count && !b->failed; i++) {
        const uint32_t *window = plan[1 + i].field + PLAN_WINDOW_FIELD;
        b->group = group;
        b->window = (struct window){.reach = window[0], .source = window[1], .lines = window[2]};
        require(b, b->window.reach < LIMIT && b->window.lines < LIMIT);
        require(b, b->window.reach == 0 || plan[1 + i].kind == PLAN_CONVOLUTION);
        require(b, b->window.source == WHOLE || b->window.source < i);
        if (!b->failed) {
            b->picture = stem_input(b, plan, group, i);
            build_step(b, &plan[1 + i], &group[1 + i]);
        }
    }
    b->picture = NULL;
    for (uint32_t i = 0; i < s->count && !b->failed; i++)
        if (group[1 + i].kind == PLAN_INPUT)
            group[1 + i].as.input.unread = is_unread(group, i);
    b->group = NULL;
    b->window = (struct window){.source = WHOLE};
    require(b, !b->failed && strips_fit(group));
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
        require(b, plan_bytes == sizeof *header + (uint64_t)header->step_count * sizeof(struct plan_step) +
                                     sizeof(uint32_t) * ((uint64_t)header->table_count + header->weight_count));
}

static shufflenet_status walk(const void *plan, size_t plan_bytes, const char *isa, char *memory,
                              shufflenet_sizes *sizes)
{
    struct builder b = {.kernels = find_kernels(isa), .memory = memory, .window = {.source = WHOLE}};
    if (!b.kernels)
        return SHUFFLENET_UNKNOWN_ISA;
    check_header(&b, plan, plan_bytes);
    if (b.failed)
        return SHUFFLENET_BAD_PLAN;
    const struct plan_step *steps = (const struct plan_step *)((const char *)plan + sizeof b.plan);
    b.tables = (const uint32_t *)(steps + b.plan.step_count);
    b.weights = (const float *)(b.tables + b.plan.table_count);

    shufflenet_network *network = take(&b, sizeof *network + (uint64_t)b.plan.step_count * sizeof(struct step));
    b.tables_copy = take(&b, (uint64_t)sizeof(uint32_t) * b.plan.table_count);
    const size_t zero_row_floats = (size_t)b.plan.width + SLACK;
    b.zero_row = take(&b, sizeof(float) * zero_row_floats);
    sizes->arena_bytes = sizeof(float) * (size_t)round_up(b.plan.arena_floats + SLACK, ROW_ALIGNMENT);
    sizes->input_floats = (size_t)b.plan.in_channels * b.plan.height * b.plan.width;
    sizes->output_floats = b.plan.classes;
    if (memory) {
        memcpy(b.tables_copy, b.tables, sizeof(uint32_t) * b.plan.table_count);
        memset(b.zero_row, 0, sizeof(float) * zero_row_floats);
        *network = (shufflenet_network){.kernels = b.kernels, .step_count = b.plan.step_count};
        network->arena_bytes = sizes->arena_bytes;
        network->input_floats = sizes->input_floats;
        network->output_floats = sizes->output_floats;
    }
    for (uint32_t i = 0; i < b.plan.step_count && !b.failed; i++) {
        struct step scratch[1 + MAX_GROUP_STEPS], *step = memory ? &network->steps[i] : scratch;
        if (steps[i].kind == PLAN_STRIPS) {
            build_strips(&b, &steps[i], b.plan.step_count - i, step);
            i += step->as.strips.count;
        } else {
            build_step(&b, &steps[i], step);
        }
    }
    require(&b, b.used <= SIZE_MAX);
    sizes->thread_bytes =
        b.windows_floats ? sizeof(float) * (size_t)round_up(b.windows_floats + SLACK, ROW_ALIGNMENT) : 0;
    if (memory)
        network->thread_bytes = sizes->thread_bytes;
    sizes->network_bytes = (size_t)b.used;
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
    const shufflenet_status built = walk(plan, plan_bytes, isa, memory, &sizes);
    *network = built == SHUFFLENET_OK ? memory : NULL;
    return built;
}
