// Pointwise group convolutions, and dense ones through shifted rows: nearly all of a network's multiply-adds.
// The microkernel is in tile.h.

// Writes zeros between the lines, where the tiles have just written, among pixels begin to end.
static void zero_gaps(const struct convolution *s, const uint32_t *out, size_t count, size_t begin, size_t end,
                      float *y)
{
    for (size_t i = 0; i < count; i++)
        for (size_t line = begin / s->pitch * s->pitch; line < end; line += s->pitch)
            for (size_t p = line + s->width; p < line + s->pitch; p++)
                if (begin <= p && p < end)
                    y[out[i] + p] = 0;
}

static void activate_outputs(const struct convolution *s, const uint32_t *out, size_t count, size_t begin, size_t end,
                             float *y)
{
    for (size_t i = 0; i < count; i++)
        activate_pixels(s->activation, y + out[i], begin, end, s->width, s->pitch);
}

enum { PASS_FLOATS = 2 << 10 };

// Computes count tiles of one group, which are those of run from number first on, on the given pixels.
static void convolve(const struct convolution *s, size_t group, const struct tile_run *run, size_t first, size_t count,
                     struct range pixels, const float *x, float *y)
{
    const size_t row = group * s->m + run->row + first * run->mr;
    const float *packed = s->packed + row * (1 + s->k);
    const uint32_t *residual = s->residual ? s->residual + row : NULL;
    const size_t all = pixels.end - pixels.begin, vectors = vectors_in_tiles(run->mr, all, VECTOR_FLOATS);
    const int passes = needs_pass(s->activation);
    size_t few = all > vectors * VECTOR_FLOATS ? all - vectors * VECTOR_FLOATS : 0;
    const struct parts parts = split(vectors, widest_tile[run->mr]);
    size_t p = pixels.begin;
    for (size_t i = 0; i < parts.count; i++) {
        const size_t nv = parts.width + (i < parts.wider), floats = nv * VECTOR_FLOATS, left = pixels.end - p;
        tile_function *function = tile_functions[run->mr][nv];
        size_t end = left < floats ? pixels.end : p + floats;
        if (few && left == floats + few && column_tile_functions[few - 1][run->mr][nv]) {
            function = column_tile_functions[few - 1][run->mr][nv];
            end += few;
            few = 0;
        }
        // What an activation has a pass of its own over is to be in the first-level cache.
        const size_t some = passes ? PASS_FLOATS / (run->mr * floats) + 1 : count;
        for (size_t tile = 0; tile < count; tile += some) {
            const size_t tiles = count - tile < some ? count - tile : some, m = tile * run->mr;
            function(s, tiles, packed + m * (1 + s->k), s->in + group * s->k, s->out + row + m,
                     residual ? residual + m : NULL, x + p, y + p, left < floats ? left : floats);
            if (passes)
                activate_outputs(s, s->out + row + m, tiles * run->mr, p, end, y);
        }
        p += floats;
    }
    const size_t first_of_few = p;
    for (size_t i = 0; i < few; i++, p++)
        columns(s, count, run->mr, packed, s->in + group * s->k, s->out + row, residual, x + p, y + p);
    if (passes && few)
        activate_outputs(s, s->out + row, count * run->mr, first_of_few, pixels.end, y);
    if (s->width < s->pitch)
        zero_gaps(s, s->out + row, count * run->mr, pixels.begin, pixels.end, y);
}

// Does what convolve does; if there are more weights than pixels, a few tiles at a time, so that every pass over the pixels
// finds their weights in a cache.
static void convolve_in_blocks(const struct convolution *s, size_t group, const struct tile_run *run, size_t first,
                               size_t count, struct range pixels, const float *x, float *y)
{
    const size_t floats = (size_t)run->mr * (1 + s->k), most = (BLOCK_FLOATS + floats - 1) / floats;
    const size_t block = s->k * (pixels.end - pixels.begin) < count * floats ? most : count;
    for (const size_t end = first + count; first < end; first += block)
        convolve(s, group, run, first, end - first < block ? end - first : block, pixels, x, y);
}

// Computes the tiles in a range over the tiles of all groups. Groups that are all in it come first: rows of another one may
// still be in the cache of the thread that has the rest of it.
static void convolve_groups(const struct convolution *s, struct range tiles, struct range pixels, const float *x,
                            float *y)
{
    const size_t first = tiles.begin / s->tile_count, last = (tiles.end + s->tile_count - 1) / s->tile_count;
    for (int whole = 1; whole >= 0; whole--)
        for (size_t group = first; group < last; group++) {
            size_t tile = group * s->tile_count; // the first of the run, counted over all groups
            if ((tiles.begin <= tile && tile + s->tile_count <= tiles.end) != whole)
                continue;
            for (const struct tile_run *run = s->tiles; run->mr; tile += run->count, run++) {
                const size_t begin = tiles.begin > tile ? tiles.begin - tile : 0;
                const size_t end =
                    tiles.end < tile + run->count ? (tiles.end > tile ? tiles.end - tile : 0) : run->count;
                if (begin < end)
                    convolve_in_blocks(s, group, run, begin, end - begin, pixels, x, y);
            }
        }
}

static void convolve_pixels(const struct convolution *s, const float *x, float *y, struct range pixels)
{
    convolve_groups(s, (struct range){0, s->groups * s->tile_count}, pixels, x, y);
}

// A thread has whole groups, and a part of the pixels of one or two more. It finds them in its own cache if the convolution
// before was partitioned alike; with tiles instead of pixels it would have to fetch half of the rows of a group.
static void convolve_shared_groups(const struct convolution *s, struct range all, size_t vectors, struct share share,
                                   const float *x, float *y)
{
    const struct range mine = range_of(share, s->groups * vectors);
    for (size_t group = mine.begin / vectors; group * vectors < mine.end; group++) {
        const size_t first = group * vectors;
        const struct range part = {mine.begin > first ? mine.begin - first : 0,
                                   mine.end - first < vectors ? mine.end - first : vectors};
        const struct range tiles = {group * s->tile_count, (group + 1) * s->tile_count};
        convolve_groups(s, tiles, pixels_in(all, part), x, y);
    }
}

// Threads partition the pixels where there are many, groups and pixels on smaller planes, tiles on the smallest, and lines if
// each is convolved by itself.
static void convolution(const struct convolution *s, const float *x, float *y, struct lines lines, struct share share)
{
    if (s->in_pitch != s->pitch) {
        const struct range mine = shared_lines(share, lines, (s->pixels - 1) / s->pitch + 1);
        for (size_t i = mine.begin; i < mine.end; i++) {
            const size_t left = s->pixels - i * s->pitch;
            const struct range pixels = {0, left < s->pitch ? left : s->pitch};
            convolve_pixels(s, x + i * s->in_pitch, y + i * s->pitch, pixels);
        }
        return;
    }
    const struct range pixels = pixels_in_lines(lines, s->pitch, s->pixels);
    const size_t vectors = (pixels.end - pixels.begin + VECTOR_FLOATS - 1) / VECTOR_FLOATS;
    if (vectors >= (size_t)SHARED_VECTORS * share.parts) {
        convolve_pixels(s, x, y, pixels_in(pixels, range_of(share, vectors)));
    } else if (s->groups > 1 && vectors >= FEW_VECTORS) {
        convolve_shared_groups(s, pixels, vectors, share, x, y);
    } else {
        convolve_groups(s, range_of(share, s->groups * s->tile_count), pixels, x, y);
    }
}
