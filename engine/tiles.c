#include "tiles.h"

#include <math.h>

// The tiles that a kernel has, and what decides between them.
struct choice {
    const uint8_t *widest; // by outputs, 0 if there is none; every number of outputs is a sum of some of them
    uint32_t vector_words;
    float start_and_end; // half cycles of a tile, and of each of its vectors of outputs
    float output;
};

// The half cycles that a tile of mr outputs and nv vectors takes for an input row: its multiply-adds or its loads, whatever is
// more at two a cycle, its start and end, and if the pixels of all k rows don't fit the first-level cache, waiting for those
// that all tiles read again from the second.
static float cost_of_tile(const struct choice *choice, uint32_t mr, uint32_t nv, uint32_t k)
{
    enum { FIRST_LEVEL_LINES = 480 }; // of 512 or 768: weights and outputs need room as well
    const float loads = (float)(mr + nv), multiply_adds = (float)(mr * nv);
    const uint32_t words = nv * choice->vector_words;
    const float lines = (float)words / LINE_FLOATS + (words % LINE_FLOATS ? 0.5f : 0);
    const float wait = (float)k * lines > FIRST_LEVEL_LINES ? lines : 0;
    const float start_and_end = choice->start_and_end + choice->output * multiply_adds;
    return (loads > multiply_adds ? loads : multiply_adds) + start_and_end / (float)k + wait;
}

static float cost_of_pixels(const struct choice *choice, uint32_t mr, uint32_t pixels, uint32_t k)
{
    const struct parts parts = split(vectors_in_tiles(mr, pixels, choice->vector_words), choice->widest[mr]);
    float cost = (float)(parts.count - parts.wider) * cost_of_tile(choice, mr, (uint32_t)parts.width, k);
    if (parts.wider)
        cost += (float)parts.wider * cost_of_tile(choice, mr, (uint32_t)parts.width + 1, k);
    return cost;
}

// The cost for one thread. The cost for two, which have half of the pixels each, decides between tiles that are about as good.
static float cost_of(const struct choice *choice, uint32_t mr, uint32_t pixels, uint32_t k)
{
    const float halves = 2 * cost_of_pixels(choice, mr, (pixels + 1) / 2, k);
    return cost_of_pixels(choice, mr, pixels, k) + halves / 8;
}

// Fills in the tiles of the lowest cost; returns how many there are.
static uint32_t choose(const struct choice *choice, uint32_t m, uint32_t pixels, uint32_t k, struct tile_run *runs)
{
    enum { SMALL = 64 }; // a larger m only repeats the cheapest tile
    float cost[SMALL + 1] = {0}, best_rate = INFINITY;
    uint32_t last[SMALL + 1] = {0}, best_mr = 1, counts[MAX_TILE_ROWS + 1] = {0};
    for (uint32_t mr = 1; mr <= MAX_TILE_ROWS; mr++) {
        if (!choice->widest[mr])
            continue;
        const float tile = cost_of(choice, mr, pixels, k);
        if (tile / (float)mr < best_rate) {
            best_rate = tile / (float)mr;
            best_mr = mr;
        }
        for (uint32_t rows = mr; rows <= SMALL; rows++)
            if (!last[rows] || cost[rows - mr] + tile < cost[rows]) {
                cost[rows] = cost[rows - mr] + tile;
                last[rows] = mr;
            }
    }
    for (; m > SMALL; m -= best_mr)
        counts[best_mr]++;
    for (; m; m -= last[m])
        counts[last[m]]++;
    uint32_t row = 0, tiles = 0;
    for (uint32_t mr = MAX_TILE_ROWS; mr; mr--)
        if (counts[mr]) {
            *runs++ = (struct tile_run){.mr = mr, .count = counts[mr], .row = row};
            row += mr * counts[mr];
            tiles += counts[mr];
        }
    *runs = (struct tile_run){0};
    return tiles;
}

// The stem kernel has one height, and takes what is left as one tile.
static uint32_t stem_tiles(const struct kernels *kernels, uint32_t m, struct tile_run *runs)
{
    const uint32_t whole = m / kernels->stem_rows, rest = m % kernels->stem_rows;
    if (whole)
        *runs++ = (struct tile_run){.mr = kernels->stem_rows, .count = whole};
    if (rest)
        *runs++ = (struct tile_run){.mr = rest, .count = 1, .row = m - rest};
    *runs = (struct tile_run){0};
    return whole + (rest > 0);
}

SHUFFLENET_LOCAL uint32_t choose_tiles(const struct kernels *kernels, const struct convolution *s,
                                       struct tile_run *runs)
{
    if (s->stem)
        return stem_tiles(kernels, s->m, runs);
    const uint32_t pixels_at_a_time = s->in_pitch == s->pitch ? s->pixels : s->pitch;
    // Start and end are measured: 40 to 100 choose alike.
    const struct choice choice = {kernels->vectors, kernels->vector_floats, 60, 0};
    return choose(&choice, s->m, pixels_at_a_time, s->k, runs);
}

#ifndef SHUFFLENET_WITHOUT_INT8
SHUFFLENET_LOCAL uint32_t choose_int8_tiles(const struct int8_kernels *kernels, const struct int8_convolution *s,
                                            struct tile_run *runs)
{
    const uint32_t pixels_at_a_time = s->reads == QUADS_READ && s->in_pitch == s->pitch ? s->pixels : s->pitch;
    const struct choice choice = {kernels->widest[s->reads != QUADS_READ][s->writes], kernels->vector_words, 20, 4};
    return choose(&choice, s->m, pixels_at_a_time, s->k, runs);
}
#endif
