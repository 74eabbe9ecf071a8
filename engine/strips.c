#include "strips.h"

#include <string.h>

SHUFFLENET_LOCAL struct lane begin_lane(const struct step *group, struct share share)
{
    const struct strips *s = &group->as.strips;
    const struct step *steps = group + 1;
    const struct range mine = range_of(share, s->height);
    struct lane lane = {.next = (uint32_t)mine.begin, .end = (uint32_t)mine.end};
    for (uint32_t i = s->count; i-- > 0;) {
        uint32_t first = steps[i].window.lines ? UINT32_MAX : lane.next;
        for (uint32_t reader = i + 1; reader < s->count; reader++)
            if (steps[reader].window.source == i && steps[i].window.lines) {
                const struct lines lines = {lane.first[reader], lane.first[reader] + 1};
                const uint32_t begin = read_for(&steps[reader], lines).begin;
                first = begin < first ? begin : first;
            }
        lane.first[i] = lane.last_first[i] = first;
        lane.lines[i] = (struct lines){first, first};
    }
    return lane;
}

SHUFFLENET_LOCAL int next_strip(const struct step *group, struct lane *lane)
{
    const struct strips *s = &group->as.strips;
    const struct step *steps = group + 1;
    if (lane->next >= lane->end)
        return 0;
    lane->next = lane->end - lane->next < s->lines ? lane->end : lane->next + s->lines;
    for (uint32_t i = s->count; i-- > 0;) {
        struct lines *lines = &lane->lines[i];
        lines->begin = lines->end; // of the strip before
        if (!steps[i].window.lines)
            lines->end = lane->next;
        lane->last_first[i] = lane->first[i];
        lane->first[i] = lines->begin;
        for (uint32_t reader = i + 1; reader < s->count; reader++)
            if (steps[reader].window.source == i) {
                const struct lines read = read_for(&steps[reader], lane->lines[reader]);
                lane->first[i] = read.begin < lane->first[i] ? read.begin : lane->first[i];
                if (lane->lines[reader].begin < lane->lines[reader].end && read.end > lines->end)
                    lines->end = read.end;
            }
    }
    return 1;
}

static int reads_what_is_there(const struct step *steps, uint32_t i)
{
    const uint32_t source = steps[i].window.source;
    if (steps[i].kind == PLAN_INPUT)
        return source == WHOLE && !steps[i].as.input.in;
    if (steps[i].kind == PLAN_CONVOLUTION && (!steps[i].window.lines || steps[i].as.convolution.residual))
        return 0;
    if (source >= i) // WHOLE too
        return 0;
    const struct plane there = written_by(&steps[source]), expected = read_by(&steps[i]);
    return steps[source].window.lines && there.height == expected.height && there.pitch == expected.pitch;
}

static int lane_fits(const struct step *group, struct share share)
{
    const struct step *steps = group + 1;
    struct lane lane = begin_lane(group, share);
    while (next_strip(group, &lane))
        for (uint32_t i = 0; i < group->as.strips.count; i++) {
            const struct lines lines = lane.lines[i];
            const uint32_t first = lane.first[i];
            if (lines.end > written_by(&steps[i]).height || first < lane.last_first[i])
                return 0;
            if (steps[i].window.lines && lines.end - first > steps[i].window.lines)
                return 0;
        }
    return 1;
}

SHUFFLENET_LOCAL int strips_fit(const struct step *group)
{
    const struct strips *s = &group->as.strips;
    const struct step *steps = group + 1;
    for (uint32_t i = 0; i < s->count; i++) {
        int readers = 0;
        for (uint32_t reader = i + 1; reader < s->count; reader++)
            readers += steps[reader].window.source == i;
        if (!reads_what_is_there(steps, i) || (steps[i].window.lines ? !readers : readers))
            return 0;
        if (!steps[i].window.lines && written_by(&steps[i]).height != s->height)
            return 0;
    }
    for (uint32_t lanes = 1; lanes <= MAX_LANES; lanes++)
        for (uint32_t part = 0; part < lanes; part++)
            if (!lane_fits(group, (struct share){part, lanes}))
                return 0;
    return 1;
}

SHUFFLENET_LOCAL void run_lines(const struct kernels *kernels, const struct step *step, const float *x, float *y,
                                struct lines lines, struct share share)
{
    switch (step->kind) {
    case PLAN_INPUT:
        kernels->input(&step->as.input, x, y, lines, share);
        break;
    case PLAN_CONVOLUTION:
        if (step->as.convolution.picture)
            kernels->stem(&step->as.convolution, x, y, lines);
        else
            kernels->convolution(&step->as.convolution, x, y, lines, share);
        break;
    case PLAN_DEPTHWISE:
        kernels->depthwise(&step->as.depthwise, x, y, lines, share);
        break;
    case PLAN_MAX_POOL:
        kernels->max_pool(&step->as.pool, x, y, lines, share);
        break;
    case PLAN_AVERAGE_POOL:
        kernels->average_pool(&step->as.pool, x, y, lines, share);
        break;
    default: // of the others no part is asked for
        break;
    }
}

// Moves the lines from first to before end, which begin at the window's line first - last_first, to its start.
static void slide(const struct plane *plane, float *windows, uint32_t last_first, uint32_t first, uint32_t end)
{
    if (first == last_first || first == end)
        return;
    const size_t from = (size_t)(first - last_first) * plane->pitch, floats = (size_t)(end - first) * plane->pitch;
    for (uint32_t i = 0; i < plane->rows; i++)
        memmove(windows + plane->offsets[i], windows + plane->offsets[i] + from, sizeof(float) * floats);
}

static int reads_picture(const struct step *step)
{
    return step->kind == PLAN_INPUT || (step->kind == PLAN_CONVOLUTION && step->as.convolution.picture);
}

SHUFFLENET_LOCAL void run_strips(const struct kernels *kernels, const struct step *group, const float *picture,
                                 float *windows, float *arena, struct share share)
{
    const struct strips *s = &group->as.strips;
    const struct step *steps = group + 1;
    const struct share lanes = {share.part, share.parts < MAX_LANES ? share.parts : MAX_LANES};
    if (lanes.part >= lanes.parts)
        return;
    float *outputs[MAX_GROUP_STEPS]; // where line 0 of each would be
    struct lane lane = begin_lane(group, lanes);
    while (next_strip(group, &lane))
        for (uint32_t i = 0; i < s->count; i++) {
            const struct step *step = &steps[i];
            if (step->kind == PLAN_INPUT && step->as.input.unread)
                continue;
            outputs[i] = arena;
            if (step->window.lines) {
                const struct plane plane = written_by(step);
                slide(&plane, windows, lane.last_first[i], lane.first[i], lane.lines[i].begin);
                outputs[i] = windows - (size_t)lane.first[i] * plane.pitch;
            }
            if (lane.lines[i].begin < lane.lines[i].end)
                run_lines(kernels, step, reads_picture(step) ? picture : outputs[step->window.source], outputs[i],
                          lane.lines[i], (struct share){0, 1});
        }
}
