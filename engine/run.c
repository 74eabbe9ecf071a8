// Walks the network's steps, picture by picture.
#include "network.h"
#include "operators/kind.h"

static const struct share alone = {.part = 0, .parts = 1};

SHUFFLENET_LOCAL uint32_t steps_within(const struct step *step)
{
#ifdef SHUFFLENET_WITHOUT_FLOAT32
    (void)step;
    return 0;
#else
    return step->kind == strips_kind() ? step->as.strips.count : 0;
#endif
}

SHUFFLENET_LOCAL void run_all_lines(const struct run *run, const struct step *step)
{
    const float *x = step->reads_picture ? run->picture : run->arena;
    step->kind->run_lines(run->kernels, step, x, run->arena, all_lines, run->share);
}

SHUFFLENET_LOCAL struct lines lines_of_windows(struct lines written, uint32_t stride, uint32_t padding, uint32_t height)
{
    const uint32_t begin = stride * written.begin, end = stride * (written.end - 1) + 3 - padding;
    return (struct lines){begin < padding ? 0 : begin - padding, end < height ? end : height};
}

static const struct step *next_step(const struct step *step)
{
    return step + 1 + steps_within(step);
}

static shufflenet_status check_arena(size_t needed, const void *arena, size_t arena_bytes)
{
    if (arena_bytes < needed)
        return SHUFFLENET_SMALL_MEMORY;
    if ((uintptr_t)arena % SHUFFLENET_ALIGNMENT)
        return SHUFFLENET_BAD_ALIGNMENT;
    return SHUFFLENET_OK;
}

shufflenet_status shufflenet_run(const shufflenet_network *network, void *arena, size_t arena_bytes, const float *input,
                                 size_t batch, float *output)
{
    const shufflenet_status status = check_arena(network->sizes.arena_bytes, arena, arena_bytes);
    if (status)
        return status;
    const struct step *end = network->steps + network->step_count;
    struct run run = {network->kernels, input, arena, arena, output, alone};
    for (size_t i = 0; i < batch; i++) {
        for (const struct step *step = network->steps; step < end; step = next_step(step))
            step->kind->run(&run, step);
        run.picture += network->sizes.input_floats;
        run.logits += network->sizes.output_floats;
    }
    return SHUFFLENET_OK;
}

shufflenet_status shufflenet_run_shared(const shufflenet_network *network, void *arena, size_t arena_bytes,
                                        const float *input, size_t batch, float *output, shufflenet_barrier *barrier,
                                        void *team, uint32_t thread, uint32_t threads)
{
    const shufflenet_sizes *sizes = &network->sizes;
    const shufflenet_status status = check_arena(sizes->arena_bytes, arena, arena_bytes);
    if (status)
        return status;
    if ((arena_bytes - sizes->arena_bytes) / threads < sizes->thread_bytes)
        return SHUFFLENET_SMALL_MEMORY;
    float *own = (float *)((char *)arena + sizes->arena_bytes + thread * sizes->thread_bytes);
    const struct step *end = network->steps + network->step_count;
    struct run run = {network->kernels, input, arena, NULL, output, {thread, threads}};
    for (size_t i = 0; i < batch; i++) {
        for (const struct step *step = network->steps; step < end; step = next_step(step)) {
            if (steps_within(step))
                run.sliding = own - step->as.strips.sliding_begin;
            step->kind->run(&run, step);
            barrier(team);
        }
        run.picture += sizes->input_floats;
        run.logits += sizes->output_floats;
    }
    return SHUFFLENET_OK;
}

shufflenet_status shufflenet_run_steps(const shufflenet_network *network, void *arena, size_t arena_bytes,
                                       const float *input, float *output, size_t first, size_t count)
{
    const shufflenet_status status = check_arena(network->sizes.arena_bytes, arena, arena_bytes);
    if (status)
        return status;
    const struct step *end = network->steps + network->step_count;
    const struct run run = {network->kernels, input, arena, arena, output, alone};
    size_t number = 0;
    for (const struct step *step = network->steps; step < end && number < first + count;
         step = next_step(step), number++)
        if (number >= first)
            step->kind->run(&run, step);
    return SHUFFLENET_OK;
}

const char *shufflenet_message(shufflenet_status status)
{
    switch (status) {
    case SHUFFLENET_OK:
        return "no error";
    case SHUFFLENET_BAD_PLAN:
        return "the plan is damaged or of another version";
    case SHUFFLENET_UNKNOWN_ISA:
        return "no kernels for this instruction set, or this processor can't run them";
    case SHUFFLENET_SMALL_MEMORY:
        return "less memory given than the plan needs";
    case SHUFFLENET_BAD_ALIGNMENT:
        return "memory given that does not start on a multiple of 64 bytes";
    }
    return "unknown status";
}
