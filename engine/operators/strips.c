// Steps that are run in strips: which lines each of them writes for a strip of what the last ones write.
//
// A step's output either is whole in the arena, or slides through a buffer of a few lines: each strip begins with moving
// the lines that are still needed to the buffer's start. A thread has sliding buffers of its own and a part of the last steps'
// lines, so threads need not wait for one another; lines that two of them need are computed by both.
#include "kind.h"

#include <string.h>

// How far a thread has come.
struct progress {
    uint32_t next, end;                   // the lines of the last steps that are still to do
    struct lines lines[MAX_GROUP_STEPS];  // that each step writes in this strip
    uint32_t first[MAX_GROUP_STEPS];      // the line at the start of each sliding buffer
    uint32_t last_first[MAX_GROUP_STEPS]; // and where that was in the strip before
};

// strips: the step of that kind, with those that it names behind it.
static struct progress begin_strips(const struct step *strips, struct share share)
{
    const struct strips *s = &strips->as.strips;
    const struct step *steps = strips + 1;
    const struct range mine = range_of(share, s->height);
    struct progress progress = {.next = (uint32_t)mine.begin, .end = (uint32_t)mine.end};
    for (uint32_t i = s->count; i-- > 0;) {
        uint32_t first = steps[i].sliding_lines ? UINT32_MAX : progress.next;
        for (uint32_t reader = i + 1; reader < s->count; reader++)
            if (steps[reader].source == i && steps[i].sliding_lines) {
                const struct lines lines = {progress.first[reader], progress.first[reader] + 1};
                const uint32_t begin = steps[reader].kind->lines_read(&steps[reader], lines).begin;
                first = begin < first ? begin : first;
            }
        progress.first[i] = progress.last_first[i] = first;
        progress.lines[i] = (struct lines){first, first};
    }
    return progress;
}

// Returns 0 if there is nothing left to do.
static int next_strip(const struct step *strips, struct progress *progress)
{
    const struct strips *s = &strips->as.strips;
    const struct step *steps = strips + 1;
    if (progress->next >= progress->end)
        return 0;
    progress->next = progress->end - progress->next < s->lines ? progress->end : progress->next + s->lines;
    for (uint32_t i = s->count; i-- > 0;) {
        struct lines *lines = &progress->lines[i];
        lines->begin = lines->end; // of the strip before
        if (!steps[i].sliding_lines)
            lines->end = progress->next;
        progress->last_first[i] = progress->first[i];
        progress->first[i] = lines->begin;
        for (uint32_t reader = i + 1; reader < s->count; reader++)
            if (steps[reader].source == i) {
                const struct lines read = steps[reader].kind->lines_read(&steps[reader], progress->lines[reader]);
                progress->first[i] = read.begin < progress->first[i] ? read.begin : progress->first[i];
                if (progress->lines[reader].begin < progress->lines[reader].end && read.end > lines->end)
                    lines->end = read.end;
            }
    }
    return 1;
}

// Whether a step finds its source's lines where it looks for them, in a sliding buffer.
static int reads_what_is_there(const struct step *steps, uint32_t i)
{
    const struct step *step = &steps[i];
    if (!step->kind->reads)
        return 1;
    if (step->source >= i) // PLAN_WHOLE too
        return 0;
    const struct step *source = &steps[step->source];
    const struct plane there = source->kind->writes(source), expected = step->kind->reads(step);
    if (source->left_out && !step->reads_picture)
        return 0;
    return source->sliding_lines && there.height == expected.height && there.pitch == expected.pitch;
}

static int sliding_buffers_fit(const struct step *strips, struct share share)
{
    const struct step *steps = strips + 1;
    struct progress progress = begin_strips(strips, share);
    while (next_strip(strips, &progress))
        for (uint32_t i = 0; i < strips->as.strips.count; i++) {
            const struct lines lines = progress.lines[i];
            const uint32_t first = progress.first[i];
            if (lines.end > steps[i].kind->writes(&steps[i]).height || first < progress.last_first[i])
                return 0;
            if (steps[i].sliding_lines && lines.end - first > steps[i].sliding_lines)
                return 0;
        }
    return 1;
}

// Whether each step reads what is where it looks for it, and all sliding buffers are large enough, for any number of threads.
static int strips_fit(const struct step *strips)
{
    const struct strips *s = &strips->as.strips;
    const struct step *steps = strips + 1;
    for (uint32_t i = 0; i < s->count; i++) {
        int readers = 0;
        for (uint32_t reader = i + 1; reader < s->count; reader++)
            readers += steps[reader].source == i;
        if (!reads_what_is_there(steps, i) || (steps[i].sliding_lines ? !readers : readers))
            return 0;
        if (!steps[i].sliding_lines && steps[i].kind->writes(&steps[i]).height != s->height)
            return 0;
    }
    for (uint32_t threads = 1; threads <= MAX_STRIP_THREADS; threads++)
        for (uint32_t part = 0; part < threads; part++)
            if (!sliding_buffers_fit(strips, (struct share){part, threads}))
                return 0;
    return 1;
}

// The strips' step, and those that it names behind it.
static void build_strips(struct builder *b, const struct plan_step *plan, struct step *strips)
{
    enum { MOST_STRIPS = 1 << 12 };
    const struct plan_strips *p = &plan->as.strips;
    struct strips *s = &strips->as.strips;
    *s = (struct strips){p->count, p->height, p->lines, p->sliding_begin, p->sliding_words};
    require(b, !b->strips && s->count >= 1 && s->count <= MAX_GROUP_STEPS && s->count < b->strips_steps);
    require(b, is_size(s->height) && is_size(s->lines) && s->height / MOST_STRIPS < s->lines);
    require(b, s->sliding_begin % ROW_ALIGNMENT == 0 && s->sliding_begin <= b->plan.arena_words);
    require(b, s->sliding_words <= b->plan.arena_words - s->sliding_begin);
    if (b->failed)
        return;
    b->sliding_words = s->sliding_words > b->sliding_words ? s->sliding_words : b->sliding_words;
    b->strips = strips;
    for (uint32_t i = 0; i < s->count && !b->failed; i++) {
        const struct plan_step *from = &plan[1 + i];
        struct step *step = &strips[1 + i];
        *step = (struct step){kind_of(from->kind), .source = from->source, .sliding_lines = from->sliding_lines};
        require(b, step->kind && step->kind->run_lines);
        require(b, step->sliding_lines < LIMIT && (step->source == PLAN_WHOLE || step->source < i));
        if (!b->failed)
            step->kind->build(b, from, step);
    }
    b->strips = NULL;
    require(b, !b->failed && strips_fit(strips));
}

// Moves the lines from first to before end, which begin at the buffer's line first - last_first, to its start.
static void slide(const struct plane *plane, float *sliding, uint32_t last_first, uint32_t first, uint32_t end)
{
    if (first == last_first || first == end)
        return;
    const size_t from = (size_t)(first - last_first) * plane->pitch, words = (size_t)(end - first) * plane->pitch;
    for (uint32_t i = 0; i < plane->rows; i++)
        memmove(sliding + plane->offsets[i], sliding + plane->offsets[i] + from, sizeof(float) * words);
}

static void run_strips(const struct run *run, const struct step *strips)
{
    const struct strips *s = &strips->as.strips;
    const struct step *steps = strips + 1;
    const struct share share = {run->share.part,
                                run->share.parts < MAX_STRIP_THREADS ? run->share.parts : MAX_STRIP_THREADS};
    if (share.part >= share.parts)
        return;
    float *outputs[MAX_GROUP_STEPS]; // where line 0 of each would be
    struct progress progress = begin_strips(strips, share);
    while (next_strip(strips, &progress))
        for (uint32_t i = 0; i < s->count; i++) {
            const struct step *step = &steps[i];
            const struct lines lines = progress.lines[i];
            if (step->left_out)
                continue;
            outputs[i] = run->arena;
            if (step->sliding_lines) {
                const struct plane plane = step->kind->writes(step);
                slide(&plane, run->sliding, progress.last_first[i], progress.first[i], lines.begin);
                outputs[i] = run->sliding - (size_t)progress.first[i] * plane.pitch;
            }
            if (lines.begin < lines.end)
                step->kind->run_lines(run->kernels, step, step->reads_picture ? run->picture : outputs[step->source],
                                      outputs[i], lines, (struct share){0, 1});
        }
}

SHUFFLENET_LOCAL const struct kind *strips_kind(void)
{
    static const struct kind strips = {.build = build_strips, .run = run_strips};
    return &strips;
}
