// Pointwise group convolutions, and dense ones through shifted rows: nearly all of a network's multiply-adds.
// The microkernel is in tile.h.

// Planes of fewer vectors a thread are shared by channels or tiles.
enum { SHARED_VECTORS = 9 };

// What the tiles have just written between the lines, of pixels begin to end.
static void zero_gaps(const struct convolution *s, const uint32_t *out, size_t count, size_t begin, size_t end, float *arena)
{
    for (size_t i = 0; i < count; i++)
        for (size_t line = begin / s->pitch * s->pitch; line < end; line += s->pitch)
            for (size_t p = line + s->width; p < line + s->pitch; p++)
                if (begin <= p && p < end)
                    arena[out[i] + p] = 0;
}

// Of one group: count tiles, which are those of run from number first on, on the given vectors of pixels.
static void convolve(const struct convolution *s, size_t group, const struct tile_run *run, size_t first, size_t count,
                     struct range vectors, float *arena)
{
    const size_t row = group * s->m + run->row + first * run->mr;
    const float *packed = s->packed + row * (1 + s->k);
    const uint32_t *residual = s->residual ? s->residual + row : NULL;
    const struct parts parts = split(vectors.end - vectors.begin, widest_tile[run->mr]);
    size_t p = vectors.begin * VECTOR_FLOATS;
    for (size_t i = 0; i < parts.count; i++) {
        const size_t nv = parts.width + (i < parts.wider), all = nv * VECTOR_FLOATS, left = s->pixels - p;
        tile_functions[run->mr][nv](s, count, packed, s->in + group * s->k, s->out + row, residual, arena + p, arena + p,
                                    left < all ? left : all);
        p += all;
    }
    if (s->width < s->pitch)
        zero_gaps(s, s->out + row, count * run->mr, vectors.begin * VECTOR_FLOATS, p < s->pixels ? p : s->pixels, arena);
}

// Shared by pixels where there are many, on small planes by tiles.
static void convolution(const struct convolution *s, float *arena, struct share share)
{
    struct range vectors = {0, (s->pixels + VECTOR_FLOATS - 1) / VECTOR_FLOATS};
    struct range tiles = {0, s->groups * s->tile_count};
    if (vectors.end >= (size_t)SHARED_VECTORS * share.parts)
        vectors = range_of(share, vectors.end);
    else
        tiles = range_of(share, tiles.end);
    size_t tile = 0; // the first of the run, counted over all groups
    for (size_t group = 0; group < s->groups; group++)
        for (const struct tile_run *run = s->tiles; run->mr; tile += run->count, run++) {
            const size_t begin = tiles.begin > tile ? tiles.begin - tile : 0;
            const size_t end = tiles.end < tile + run->count ? (tiles.end > tile ? tiles.end - tile : 0) : run->count;
            if (begin < end)
                convolve(s, group, run, begin, end - begin, vectors, arena);
        }
}
