// Walks the plan, picture by picture.
#include "team/division.h"
#include "network.h"
#include "shufflenet.h"
#include "strips.h"

static const struct lines all_lines = {0, UINT32_MAX};
static const struct share alone = {.part = 0, .parts = 1};

// For the pixels that are convolved in these lines.
static void run_blocks(const struct kernels *kernels, const struct step *group, float *arena, struct lines lines)
{
    const struct convolution *first = &group[1].as.convolution;
    const struct blocks *s = &group->as.blocks;
    struct range all = convolved_in_lines(lines, first->pitch, first->pixels, shift_of(arena));
    while (all.begin < all.end) {
        const struct range block = {all.begin, all.end - all.begin > s->pixels ? all.begin + s->pixels : all.end};
        for (uint32_t i = 1; i <= s->count; i++)
            kernels->convolution_in_pixels(&group[i].as.convolution, arena, arena, block);
        all.begin = block.end;
    }
}

// How many steps behind this one a team of so many runs with it. Those of blocks it runs one by one if it shares an arena,
// where each of them may need what another thread has written.
static uint32_t steps_within(const struct step *step, uint32_t threads)
{
    if (step->kind == PLAN_STRIPS)
        return step->as.strips.count;
    if (step->kind == PLAN_BLOCKS && (threads == 1 || divides_output(step, threads)))
        return step->as.blocks.count;
    return 0;
}

static void run_step(struct member member, const struct step *step, const float *picture, float *logits)
{
    const struct kernels *kernels = member.kernels;
    float *shared = member.shared, *own = arena_of(member);
    const struct share share = member.share;
    const int in = divides_input(step, share.parts), out = divides_output(step, share.parts);
    switch (step->kind) {
    case PLAN_STRIPS:
        run_strips(kernels, step, picture, windows_of(member), out ? own : shared, share);
        break;
    case PLAN_BLOCKS:
        run_blocks(kernels, step, out ? own : shared, out ? lines_of(member, step) : all_lines);
        break;
    case PLAN_INPUT:
        run_lines(kernels, step, step->as.input.in ? shared : picture, shared, all_lines, share);
        break;
    case PLAN_CONVOLUTION:
    case PLAN_DEPTHWISE:
    case PLAN_MAX_POOL:
    case PLAN_AVERAGE_POOL:
        if (out)
            run_lines(kernels, step, in ? own : shared, own, lines_of(member, step), alone);
        else if (in) // each thread begins with other channels: two would write to the same cache line at once
            for (uint32_t i = 0; i < share.parts; i++)
                run_lines(kernels, step, own, shared, lines_of(member, step),
                          (struct share){(share.part + i) % share.parts, share.parts});
        else
            run_lines(kernels, step, shared, shared, all_lines, share);
        break;
    case PLAN_ZERO:
        kernels->zero(&step->as.zero, out ? own : shared, out ? alone : share);
        break;
    case PLAN_MEANS:
        kernels->means(&step->as.means, shared, logits, share);
        break;
    case PLAN_FULLY_CONNECTED:
        kernels->fully_connected(&step->as.fully_connected, shared, logits, share);
        break;
    case PLAN_SCALE:
        kernels->scale(&step->as.scale, shared, share);
        break;
    }
}

static const struct step *next_step(const struct step *step, uint32_t threads)
{
    return step + 1 + steps_within(step, threads);
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
    const struct member member = {
        .kernels = network->kernels, .shared = arena, .division = &network->division, .share = alone};
    for (size_t i = 0; i < batch; i++)
        for (const struct step *step = network->steps; step < network->steps + network->step_count;
             step = next_step(step, 1))
            run_step(member, step, input + i * network->input_floats, output + i * network->output_floats);
    return SHUFFLENET_OK;
}

// Whether no thread sees what another one writes.
static int keeps_to_own_arena(const struct step *step, uint32_t threads)
{
    switch (step->kind) {
    case PLAN_ZERO:
    case PLAN_STRIPS:
    case PLAN_BLOCKS:
        return divides_output(step, threads);
    default:
        return divides_input(step, threads) && divides_output(step, threads);
    }
}

shufflenet_status shufflenet_run_shared(const shufflenet_network *network, void *arena, size_t arena_bytes,
                                        const float *input, size_t batch, float *output, shufflenet_meet *meet,
                                        void *team, uint32_t thread, uint32_t threads)
{
    const shufflenet_status status = check_arena(network->team_bytes, arena, arena_bytes / (1 + (size_t)threads));
    if (status)
        return status;
    const struct member member = {
        network->kernels, arena, network->arena_floats, network->box_floats, &network->division, {thread, threads}};
    unsigned turn = 0;
    for (size_t i = 0; i < batch; i++) {
        for (const struct step *step = network->steps; step < network->steps + network->step_count;
             step = next_step(step, threads)) {
            if (step->kind == PLAN_BLOCKS && !steps_within(step, threads))
                continue;
            const int before = has_exchange(step, BEFORE, threads), after = has_exchange(step, AFTER, threads);
            if (before)
                give_to_neighbours(member, step, BEFORE, ++turn);
            if (before || !keeps_to_own_arena(step, threads))
                meet(team);
            if (before)
                take_from_neighbours(member, step, BEFORE, turn);
            run_step(member, step, input + i * network->input_floats, output + i * network->output_floats);
            if (after) {
                give_to_neighbours(member, step, AFTER, ++turn);
                meet(team);
                take_from_neighbours(member, step, AFTER, turn);
            }
        }
        meet(team);
    }
    return SHUFFLENET_OK;
}

shufflenet_status shufflenet_run_steps(const shufflenet_network *network, void *arena, size_t arena_bytes,
                                       const float *input, float *output, size_t first, size_t count)
{
    const shufflenet_status status = check_arena(network->arena_bytes, arena, arena_bytes);
    if (status)
        return status;
    const struct member member = {
        .kernels = network->kernels, .shared = arena, .division = &network->division, .share = alone};
    size_t number = 0;
    for (const struct step *step = network->steps;
         step < network->steps + network->step_count && number < first + count; step = next_step(step, 1), number++)
        if (number >= first)
            run_step(member, step, input, output);
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
