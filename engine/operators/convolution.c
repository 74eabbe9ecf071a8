#include "kind.h"

#include "../tiles.h"

#include <string.h>

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

static struct plane convolution_writes(const struct step *step)
{
    const struct convolution *s = &step->as.convolution;
    return (struct plane){(s->pixels + s->pitch - 1) / s->pitch, s->pitch, s->groups * s->m, s->out};
}

// Checks what the stem kernel assumes.
static void check_stem(struct builder *b, const struct plan_convolution *p, const struct step *step)
{
    const uint32_t height = (b->plan.height - 1) / 2 + 1, width = (b->plan.width - 1) / 2 + 1;
    require(b, p->stem == 1 && b->strips && b->plan.in_channels <= MAX_STEM_CHANNELS);
    require(b, p->groups == 1 && p->k == 9 * b->plan.in_channels && p->m % 4 == 0 && p->residual == PLAN_NO_TABLE);
    require(b, convolution_writes(step).height <= height && p->pitch >= width);
}

static void build_convolution(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_convolution *p = &plan->as.convolution;
    struct convolution *s = &step->as.convolution;
    *s = (struct convolution){
        .groups = p->groups,
        .k = p->k,
        .m = p->m,
        .pixels = p->pixels,
        .width = p->width,
        .pitch = p->pitch,
        .in_pitch = p->in_pitch,
        .halo = p->halo,
        .activation = p->activation,
        .lower_bound = lower_bound_of(p->activation),
        .cold = p->cold != 0,
        .picture_height = b->plan.height,
        .picture_width = b->plan.width,
        .zero_row = b->zero_row,
    };
    const uint64_t outputs = (uint64_t)s->groups * s->m;
    require(b, is_size(s->groups) && is_size(s->k) && is_size(s->m) && is_size(s->pixels));
    require(b, is_size(s->width) && is_size(s->pitch) && s->width <= s->pitch && is_size(s->in_pitch));
    require(b, s->in_pitch == s->pitch || (s->in_pitch > s->pitch && s->pitch % ROW_ALIGNMENT == 0));
    require(b, outputs < LIMIT && outputs * s->k < LIMIT);
    require(b, p->activation < PLAN_ACTIVATIONS && p->cold <= 1);
    // In strips the kernel would write behind the lines that are a thread's, and find no line of what is added.
    require(b, b->strips ? step->sliding_lines && p->residual == PLAN_NO_TABLE && s->halo < LIMIT : s->halo == 0);
    if (b->failed)
        return;
    if (p->stem)
        check_stem(b, p, step);
    const uint64_t in_words = s->pixels + (uint64_t)((s->pixels - 1) / s->pitch) * (s->in_pitch - s->pitch);
    s->in = read_table(b, step, p->input, (uint64_t)s->groups * s->k, in_words, s->in_pitch, 0, s->halo);
    s->out = written_table(b, step, p->output, outputs, s->pixels, s->pitch, ROW_TAIL);
    s->residual = optional_table(b, p->residual, outputs, (uint64_t)s->pixels + ROW_TAIL);
    const float *w = floats(b, p->weights, outputs * s->k), *bias = floats(b, p->bias, outputs);
    struct tile_run *tiles = take(b, sizeof *tiles * (MAX_TILE_ROWS + 1));
    float *packed = take(b, sizeof(float) * (outputs * (1 + s->k) + ROW_ALIGNMENT)); // whole vectors may be read
    s->tiles = tiles;
    s->packed = packed;
    s->stem = step->reads_picture = p->stem && b->kernels->stem;
    if (is_building(b)) {
        s->tile_count = choose_tiles(b->kernels, s, tiles);
        pack_convolution(s, w, bias, packed);
    }
}

static void run_convolution(const struct kernels *kernels, const struct step *step, const float *x, float *y,
                            struct lines lines, struct share share)
{
    if (step->as.convolution.stem)
        kernels->stem(&step->as.convolution, x, y, lines);
    else
        kernels->convolution(&step->as.convolution, x, y, lines, share);
}

static struct plane convolution_reads(const struct step *step)
{
    const struct convolution *s = &step->as.convolution;
    return (struct plane){convolution_writes(step).height + s->halo, s->in_pitch, s->groups * s->k, s->in};
}

static struct lines lines_read_by_convolution(const struct step *step, struct lines written)
{
    return (struct lines){written.begin, written.end + step->as.convolution.halo};
}

SHUFFLENET_LOCAL const struct kind *convolution_kind(void)
{
    static const struct kind convolution = {
        .build = build_convolution,
        .run = run_all_lines,
        .run_lines = run_convolution,
        .writes = convolution_writes,
        .reads = convolution_reads,
        .lines_read = lines_read_by_convolution,
    };
    return &convolution;
}
