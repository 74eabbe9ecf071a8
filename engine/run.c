// Walks the plan, picture by picture.
#include "network.h"
#include "shufflenet.h"

static void run_step(const struct kernels *kernels, const struct step *step, float *arena, const float *picture,
                     float *logits)
{
    switch (step->kind) {
    case PLAN_INPUT:
        kernels->input(&step->as.input, picture, arena);
        break;
    case PLAN_ZERO:
        kernels->zero(&step->as.zero, arena);
        break;
    case PLAN_CONVOLUTION:
        kernels->convolution(&step->as.convolution, arena);
        break;
    case PLAN_DEPTHWISE:
        kernels->depthwise(&step->as.depthwise, arena);
        break;
    case PLAN_MAX_POOL:
        kernels->max_pool(&step->as.pool, arena);
        break;
    case PLAN_AVERAGE_POOL:
        kernels->average_pool(&step->as.pool, arena);
        break;
    case PLAN_GLOBAL_AVERAGE:
        kernels->global_average(&step->as.global_average, arena);
        break;
    case PLAN_CLASSIFIER:
        kernels->classifier(&step->as.classifier, arena, logits);
        break;
    }
}

static shufflenet_status check_arena(const shufflenet_network *network, const void *arena, size_t arena_bytes)
{
    if (arena_bytes < network->arena_bytes)
        return SHUFFLENET_SMALL_MEMORY;
    if ((uintptr_t)arena % SHUFFLENET_ALIGNMENT)
        return SHUFFLENET_BAD_ALIGNMENT;
    return SHUFFLENET_OK;
}

shufflenet_status shufflenet_run(const shufflenet_network *network, void *arena, size_t arena_bytes,
                                 const float *input, size_t batch, float *output)
{
    const shufflenet_status status = check_arena(network, arena, arena_bytes);
    if (status)
        return status;
    for (size_t i = 0; i < batch; i++)
        for (uint32_t step = 0; step < network->step_count; step++)
            run_step(network->kernels, &network->steps[step], arena, input + i * network->input_floats,
                     output + i * network->output_floats);
    return SHUFFLENET_OK;
}

shufflenet_status shufflenet_run_steps(const shufflenet_network *network, void *arena, size_t arena_bytes,
                                       const float *input, float *output, size_t first, size_t count)
{
    const shufflenet_status status = check_arena(network, arena, arena_bytes);
    if (status)
        return status;
    for (size_t step = first; step < network->step_count && step - first < count; step++)
        run_step(network->kernels, &network->steps[step], arena, input, output);
    return SHUFFLENET_OK;
}

const char *shufflenet_isa(const shufflenet_network *network)
{
    return network->kernels->name;
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
