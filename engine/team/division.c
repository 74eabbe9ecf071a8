#include "division.h"

#include "../planes.h"

// Of a part, at least; and of a line. With less, the rest of a vector could be more than the next thread's lines. Measured on
// two cores: parts of 7 lines of 14 pixels are worth it.
enum { LEAST_LINES = 7, LEAST_PITCH = 8 };

_Static_assert(MAX_LANES <= 8, "step->exchanges has a bit for each number of threads");

static int divides(struct plane plane, uint32_t threads)
{
    return threads > 1 && threads <= MAX_LANES && plane.pitch >= LEAST_PITCH && plane.height / threads >= LEAST_LINES;
}

SHUFFLENET_LOCAL int divides_input(const struct step *step, uint32_t threads)
{
    return (step->divided & PLAN_DIVIDED_IN) && divides(read_by(step), threads);
}

SHUFFLENET_LOCAL int divides_output(const struct step *step, uint32_t threads)
{
    return (step->divided & PLAN_DIVIDED_OUT) && divides(written_by(step), threads);
}

// Of a part's planes: less than ROW_ALIGNMENT floats.
static size_t shift_of_part(const struct division *division, struct share share)
{
    if (share.parts > MAX_LANES)
        return 0;
    const uint32_t height = division->aligned[share.parts].height, pitch = division->aligned[share.parts].pitch;
    const size_t begin = (size_t)part_of(share, height).begin * pitch;
    return (ROW_ALIGNMENT - begin % ROW_ALIGNMENT) % ROW_ALIGNMENT;
}

SHUFFLENET_LOCAL float *windows_of(struct member member)
{
    if (member.share.parts == 1)
        return member.shared;
    return member.shared + (1 + member.share.part) * (member.arena_floats + BOXES * member.box_floats);
}

SHUFFLENET_LOCAL float *arena_of(struct member member)
{
    return windows_of(member) + shift_of_part(member.division, member.share);
}

SHUFFLENET_LOCAL struct lines lines_of(struct member member, const struct step *step)
{
    return part_of(member.share, written_by(step).height);
}

SHUFFLENET_LOCAL int has_exchange(const struct step *step, enum exchange when, uint32_t threads)
{
    return threads <= MAX_LANES && step->exchanges[when] >> (threads - 1) & 1;
}

static struct range pixels_of_lines(struct plane plane, struct lines lines)
{
    return pixels_in_lines(lines, plane.pitch, (size_t)plane.height * plane.pitch);
}

static struct range convolved(struct plane plane, struct lines lines, size_t shift)
{
    return convolved_in_lines(lines, plane.pitch, (size_t)plane.height * plane.pitch, shift);
}

// Of a plane that the step reads or writes: what a part has, and what it needs.
struct want {
    struct range there, needed;
};

static struct want want_before(const struct step *step, struct share share, size_t shift)
{
    const struct plane plane = read_by(step);
    const struct lines own = part_of(share, plane.height);
    const struct range there = convolved(plane, own, shift);
    if (writes_lines(step)) {
        const struct lines lines = part_of(share, written_by(step).height);
        if (lines.begin == lines.end)
            return (struct want){there, there};
        return (struct want){there, pixels_of_lines(plane, read_for(step, lines))};
    }
    const size_t around = (plane.pitch + 1 + ROW_TAIL) / ROW_ALIGNMENT * ROW_ALIGNMENT; // vectors are copied fast
    return (struct want){there, {there.begin < around ? 0 : there.begin - around, there.end + around}};
}

static struct want want_after(const struct step *step, struct share share, size_t shift)
{
    const struct plane plane = written_by(step);
    const struct lines lines = part_of(share, plane.height);
    return (struct want){pixels_of_lines(plane, lines), convolved(plane, lines, shift)};
}

// What a part needs of the one before it, or of the one behind it.
static struct range needed_of(struct want want, int before)
{
    const struct range above = {want.needed.begin, want.there.begin}, below = {want.there.end, want.needed.end};
    const struct range range = before ? above : below;
    return range.begin < range.end ? range : (struct range){0, 0};
}

static struct range pixels_for(const struct division *division, const struct step *step, enum exchange when,
                               struct share to, int from_before)
{
    const size_t shift = shift_of_part(division, to);
    return needed_of(when == BEFORE ? want_before(step, to, shift) : want_after(step, to, shift), from_before);
}

// The planes of which the step exchanges pixels: one; of strips as many as their last steps write.
static uint32_t planes_of(const struct step *step, enum exchange when, struct plane *planes)
{
    if (step->kind != PLAN_STRIPS) {
        planes[0] = when == BEFORE ? read_by(step) : written_by(step);
        return 1;
    }
    uint32_t count = 0;
    for (uint32_t i = 1; i <= step->as.strips.count; i++)
        if (!step[i].window.lines)
            planes[count++] = written_by(&step[i]);
    return count;
}

// Copies pixels between the rows of a thread's own arena and a box.
static void copy(struct member member, const struct step *step, enum exchange when, struct range pixels, float *box,
                 int fill)
{
    struct plane planes[MAX_GROUP_STEPS];
    const uint32_t count = planes_of(step, when, planes);
    const size_t floats = pixels.end - pixels.begin;
    float *own = arena_of(member) + pixels.begin;
    for (uint32_t i = 0; floats && i < count; i++) {
        if (fill)
            member.kernels->fill_box(planes[i].offsets, planes[i].rows, own, floats, box);
        else
            member.kernels->empty_box(planes[i].offsets, planes[i].rows, own, floats, box);
        box += planes[i].rows * floats;
    }
}

// A member's box for the part behind its own, or the one before.
static float *box_of(struct member member, unsigned turn, int behind)
{
    return windows_of(member) + member.arena_floats + (2 * (turn % 2) + (behind != 0)) * member.box_floats;
}

SHUFFLENET_LOCAL void give_to_neighbours(struct member member, const struct step *step, enum exchange when,
                                         unsigned turn)
{
    const struct share share = member.share, before = {share.part - 1, share.parts},
                       behind = {share.part + 1, share.parts};
    if (share.part > 0)
        copy(member, step, when, pixels_for(member.division, step, when, before, 0), box_of(member, turn, 0), 1);
    if (behind.part < share.parts)
        copy(member, step, when, pixels_for(member.division, step, when, behind, 1), box_of(member, turn, 1), 1);
}

SHUFFLENET_LOCAL void take_from_neighbours(struct member member, const struct step *step, enum exchange when,
                                           unsigned turn)
{
    struct member before = member, behind = member;
    before.share.part--;
    behind.share.part++;
    if (member.share.part > 0)
        copy(member, step, when, pixels_for(member.division, step, when, member.share, 1), box_of(before, turn, 1), 0);
    if (behind.share.part < member.share.parts)
        copy(member, step, when, pixels_for(member.division, step, when, member.share, 0), box_of(behind, turn, 0), 0);
}

// Room for the largest of what members of the team hand to one another.
static uint64_t room_for(const struct division *division, const struct step *step, enum exchange when, uint32_t threads,
                         int *fit)
{
    if (when == BEFORE ? !has_windows(step) || !divides_input(step, threads)
                       : !writes_lines(step) || !divides_output(step, threads))
        return 0;
    struct plane planes[MAX_GROUP_STEPS];
    const uint32_t count = planes_of(step, when, planes);
    uint64_t rows = 0, floats = 0;
    for (uint32_t i = 0; i < count; i++)
        rows += planes[i].rows;
    for (uint32_t part = 0; part < threads; part++)
        for (int before = 0; before <= 1; before++) {
            const uint32_t from = before ? part - 1 : part + 1;
            if (from >= threads)
                continue;
            const struct range range = pixels_for(division, step, when, (struct share){part, threads}, before);
            const struct range own =
                pixels_of_lines(planes[0], part_of((struct share){from, threads}, planes[0].height));
            *fit &= range.begin == range.end || (own.begin <= range.begin && range.end <= own.end);
            floats = range.end - range.begin > floats ? range.end - range.begin : floats;
        }
    return rows * floats;
}

SHUFFLENET_LOCAL void align_parts(struct division *division, uint32_t height, uint32_t pitch)
{
    for (uint32_t threads = 2; threads <= MAX_LANES; threads++)
        if (divides((struct plane){.height = height, .pitch = pitch}, threads)) {
            division->aligned[threads].height = height;
            division->aligned[threads].pitch = pitch;
        }
}

SHUFFLENET_LOCAL uint64_t plan_exchanges(struct division *division, struct step *step, int *fit)
{
    uint64_t floats = 0;
    step->exchanges[BEFORE] = step->exchanges[AFTER] = 0;
    for (uint32_t threads = 2; threads <= MAX_LANES; threads++) {
        for (int when = BEFORE; when <= AFTER; when++) {
            const uint64_t needed = room_for(division, step, (enum exchange)when, threads, fit);
            step->exchanges[when] |= (uint8_t)((needed > 0) << (threads - 1));
            floats = needed > floats ? needed : floats;
        }
    }
    return floats;
}
