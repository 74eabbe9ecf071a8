#include "kind.h"

static void build_pool(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_pool *p = &plan->as.pool;
    struct pool *s = &step->as.pool;
    *s = (struct pool){
        .channels = p->channels,
        .height = p->height,
        .width = p->width,
        .in_pitch = p->in_pitch,
        .out_pitch = p->out_pitch,
        .padding = p->padding,
        .out_height = p->out_height,
        .out_width = p->out_width,
        .zero_row = b->zero_row,
    };
    require(b, is_size(s->channels) && is_size(s->height) && is_size(s->width) && s->padding <= 1);
    require(b, s->width <= b->plan.width); // as long as zero_row
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch));
    require(b, windows_fit(s->out_height, s->height, s->padding) && windows_fit(s->out_width, s->width, s->padding));
    require(b, is_size(s->out_pitch) && s->out_pitch >= s->out_width);
    if (b->failed)
        return;
    const uint64_t in_words = plane_words(s->height, s->width, s->in_pitch);
    s->in = read_table(b, step, p->input, s->channels, in_words, s->in_pitch, 0, 0);
    s->out =
        written_table(b, step, p->output, s->channels, (uint64_t)s->out_height * s->out_pitch, s->out_pitch, ROW_TAIL);
}

static void run_max_pool(const struct kernels *kernels, const struct step *step, const float *x, float *y,
                         struct lines lines, struct share share)
{
    kernels->max_pool(&step->as.pool, x, y, lines, share);
}

static void run_average_pool(const struct kernels *kernels, const struct step *step, const float *x, float *y,
                             struct lines lines, struct share share)
{
    kernels->average_pool(&step->as.pool, x, y, lines, share);
}

static struct plane pool_writes(const struct step *step)
{
    const struct pool *s = &step->as.pool;
    return (struct plane){s->out_height, s->out_pitch, s->channels, s->out};
}

static struct plane pool_reads(const struct step *step)
{
    const struct pool *s = &step->as.pool;
    return (struct plane){s->height, s->in_pitch, s->channels, s->in};
}

static struct lines lines_read_by_pool(const struct step *step, struct lines written)
{
    const struct pool *s = &step->as.pool;
    return lines_of_windows(written, 2, s->padding, s->height);
}

SHUFFLENET_LOCAL const struct kind *max_pool_kind(void)
{
    static const struct kind max_pool = {
        .build = build_pool,
        .run = run_all_lines,
        .run_lines = run_max_pool,
        .writes = pool_writes,
        .reads = pool_reads,
        .lines_read = lines_read_by_pool,
    };
    return &max_pool;
}

SHUFFLENET_LOCAL const struct kind *average_pool_kind(void)
{
    static const struct kind average_pool = {
        .build = build_pool,
        .run = run_all_lines,
        .run_lines = run_average_pool,
        .writes = pool_writes,
        .reads = pool_reads,
        .lines_read = lines_read_by_pool,
    };
    return &average_pool;
}
