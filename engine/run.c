// Walks the plan, picture by picture.
#include "network.h"
#include "shufflenet.h"
#include "strips.h"

static const struct lines all_lines = {0, UINT32_MAX};
static const struct share alone = {.part = 0, .parts = 1};

// sliding: where the offsets of sliding buffers count from, which are the thread's own.
static void run_step(const struct kernels *kernels, const struct step *step, const float *picture, float *arena,
                     float *sliding, float *logits, struct share share)
{
    switch (step->kind) {
    case PLAN_STRIPS:
        run_strips(kernels, step, picture, sliding, arena, share);
        break;
    case PLAN_INPUT:
        run_lines(kernels, step, step->as.input.in ? arena : picture, arena, all_lines, share);
        break;
    case PLAN_CONVOLUTION:
    case PLAN_DEPTHWISE:
    case PLAN_MAX_POOL:
    case PLAN_AVERAGE_POOL:
        run_lines(kernels, step, arena, arena, all_lines, share);
        break;
    case PLAN_ZERO:
        kernels->zero(&step->as.zero, arena, share);
        break;
    case PLAN_MEANS:
        kernels->means(&step->as.means, arena, logits, share);
        break;
    case PLAN_FULLY_CONNECTED:
        kernels->fully_connected(&step->as.fully_connected, arena, logits, share);
        break;
    case PLAN_SCALE:
        kernels->scale(&step->as.scale, arena, share);
        break;
    }
}

// The step behind this one and those that are run with it.
static const struct step *next_step(const struct step *step)
{
    return step + 1 + (step->kind == PLAN_STRIPS ? step->as.strips.count : 0);
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
    const shufflenet_status status = check_arena(network->arena_bytes, arena, arena_bytes);
    if (status)
        return status;
    for (size_t i = 0; i < batch; i++)
        for (const struct step *step = network->steps; step < network->steps + network->step_count;
             step = next_step(step))
            run_step(network->kernels, step, input + i * network->input_floats, arena, arena,
                     output + i * network->output_floats, alone);
    return SHUFFLENET_OK;
}

shufflenet_status shufflenet_run_shared(const shufflenet_network *network, void *arena, size_t arena_bytes,
                                        const float *input, size_t batch, float *output, shufflenet_barrier *barrier,
                                        void *team, uint32_t thread, uint32_t threads)
{
    const shufflenet_status status = check_arena(network->arena_bytes, arena, arena_bytes);
    if (status)
        return status;
    if ((arena_bytes - network->arena_bytes) / threads < network->thread_bytes)
        return SHUFFLENET_SMALL_MEMORY;
    float *own = (float *)((char *)arena + network->arena_bytes + thread * network->thread_bytes);
    for (size_t i = 0; i < batch; i++)
        for (const struct step *step = network->steps; step < network->steps + network->step_count;
             step = next_step(step)) {
            float *sliding = step->kind == PLAN_STRIPS ? own - step->as.strips.windows_begin : NULL;
            run_step(network->kernels, step, input + i * network->input_floats, arena, sliding,
                     output + i * network->output_floats, (struct share){thread, threads});
            barrier(team);
        }
    return SHUFFLENET_OK;
}

shufflenet_status shufflenet_run_steps(const shufflenet_network *network, void *arena, size_t arena_bytes,
                                       const float *input, float *output, size_t first, size_t count)
{
    const shufflenet_status status = check_arena(network->arena_bytes, arena, arena_bytes);
    if (status)
        return status;
    size_t number = 0;
    for (const struct step *step = network->steps;
         step < network->steps + network->step_count && number < first + count; step = next_step(step), number++)
        if (number >= first)
            run_step(network->kernels, step, input, arena, arena, output, alone);
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
