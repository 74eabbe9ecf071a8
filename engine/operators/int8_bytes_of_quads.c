#include "kind.h"

#include "../int8.h"

static void build_int8_bytes_of_quads(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_int8_bytes_of_quads *p = &plan->as.int8_bytes_of_quads;
    struct int8_bytes_of_quads *s = &step->as.int8_bytes_of_quads;
    *s = (struct int8_bytes_of_quads){
        .quads = p->quads, .height = p->height, .width = p->width, .in_pitch = p->in_pitch};
    require(b, !b->strips && is_size(s->quads) && is_size(s->height) && is_size(s->width));
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch));
    if (b->failed)
        return;
    s->in = table(b, p->input, s->quads, plane_words(s->height, s->width, s->in_pitch));
    s->out = table(b, p->output, 4 * (uint64_t)s->quads, round_up((uint64_t)s->height * s->width, 4) / 4);
}

static void run_int8_bytes_of_quads(const struct run *run, const struct step *step)
{
    run->kernels->int8->bytes_of_quads(&step->as.int8_bytes_of_quads, (uint8_t *)run->arena, run->share);
}

SHUFFLENET_LOCAL const struct kind *int8_bytes_of_quads_kind(void)
{
    static const struct kind int8_bytes_of_quads = {.build = build_int8_bytes_of_quads, .run = run_int8_bytes_of_quads};
    return &int8_bytes_of_quads;
}
