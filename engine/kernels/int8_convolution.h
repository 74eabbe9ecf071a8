// Convolutions of 8-bit values: what convolution.h is for float32.

enum { INT8_COLUMN_TILES = 4 }; // at once: they share each pixel, and hide the latency of one another's dot products

// Writes one pixel of mr outputs, at most VECTOR_FLOATS, from the products of their sums, which are the lanes. factors: of what
// is added.
ALWAYS_INLINE void write_column(const struct int8_convolution *s, size_t mr, vector product, const int32_t *factors,
                                const uint32_t *out, const uint32_t *residual, uint8_t *y)
{
    uint8_t bytes[VECTOR_FLOATS] = {0};
    if (s->writes == QUADS_ADDED) {
        for (size_t m = 0; m < VECTOR_FLOATS && m < mr; m += 4)
            memcpy(bytes + m, y + (size_t)4 * residual[m / 4], 4);
        const words added = __builtin_convertvector(*(const byte_per_lane *)bytes, words);
        product = with_residual(product, added, load((const float *)factors), PLAN_LINEAR);
    }
    store_bytes(bytes, rounded(product));
    if (s->writes == BYTES_WRITTEN) {
        for (size_t m = 0; m < VECTOR_FLOATS && m < mr; m++)
            y[(size_t)4 * out[m]] = bytes[m];
        return;
    }
    for (size_t m = 0; m < VECTOR_FLOATS && m < mr; m += 4)
        memcpy(y + (size_t)4 * out[m / 4], bytes + m, 4);
}

// A pixel behind whole vectors by itself, of tiles tiles: their outputs are the lanes, of which those from mr on are of no use.
ALWAYS_INLINE void int8_column(const size_t tiles, const struct int8_convolution *s, size_t mr, const int32_t *packed,
                               const uint32_t *in, const uint32_t *out, const uint32_t *residual, const uint8_t *x,
                               uint8_t *y)
{
    const size_t added = s->writes == QUADS_ADDED, tile_words = mr * (2 + s->k + added);
    words sum[INT8_COLUMN_TILES];
#pragma GCC unroll 4
    for (size_t t = 0; t < tiles; t++)
        sum[t] = load_words(packed + t * tile_words);
    packed += mr;
    for (size_t k = 0; k < s->k; k++, packed += mr) {
        const words input = broadcast_word(load_word(x + (size_t)4 * in[k]));
#pragma GCC unroll 4
        for (size_t t = 0; t < tiles; t++)
            sum[t] = dot(sum[t], input, load_words(packed + t * tile_words));
    }
#pragma GCC unroll 4
    for (size_t t = 0; t < tiles; t++) {
        const vector product = product_of(float_of(sum[t]), load((const float *)(packed + t * tile_words)));
        write_column(s, mr, product, packed + t * tile_words + mr, out, residual, y);
        out += s->writes == BYTES_WRITTEN ? mr : mr / 4;
        if (added) // else there is none
            residual += mr / 4;
    }
}

static void int8_columns(const struct int8_convolution *s, size_t tiles, size_t mr, const int32_t *packed,
                         const uint32_t *in, const uint32_t *out, const uint32_t *residual, const uint8_t *x,
                         uint8_t *y)
{
    const size_t added = s->writes == QUADS_ADDED, rows = s->writes == BYTES_WRITTEN ? mr : mr / 4;
    while (tiles > 0) {
        const size_t count = tiles < INT8_COLUMN_TILES ? 1 : INT8_COLUMN_TILES;
        if (count == 1)
            int8_column(1, s, mr, packed, in, out, residual, x, y);
        else
            int8_column(INT8_COLUMN_TILES, s, mr, packed, in, out, residual, x, y);
        tiles -= count;
        packed += count * mr * (2 + s->k + added);
        out += count * rows;
        if (added)
            residual += count * rows;
    }
}

// What the tiles have just written between the lines, of pixels begin to end.
static void int8_zero_gaps(const struct int8_convolution *s, const uint32_t *out, size_t count, size_t begin,
                           size_t end, uint8_t *y)
{
    const size_t size = s->writes == BYTES_WRITTEN ? 1 : 4;
    for (size_t i = 0; i < count; i++)
        for (size_t line = begin / s->pitch * s->pitch; line < end; line += s->pitch)
            for (size_t p = line + s->width; p < line + s->pitch; p++)
                if (begin <= p && p < end)
                    memset(y + (size_t)4 * out[i] + p * size, 0, size);
}

// count tiles of one group on some pixels: those of run from number first on.
static void int8_convolve(const struct int8_convolution *s, size_t group, const struct tile_run *run, size_t first,
                          size_t count, struct range pixels, const uint8_t *x, uint8_t *y)
{
    const size_t mr = run->mr, row = group * s->m + run->row + first * mr;
    const int bytes = s->writes == BYTES_WRITTEN, added = s->writes == QUADS_ADDED;
    const int32_t *packed = s->packed + row * (2 + s->k + (size_t)added);
    const uint32_t *in = s->in + group * s->k, *out = s->out + (bytes ? row : row / 4);
    const uint32_t *residual = added ? s->residual + row / 4 : NULL;
    const size_t all = pixels.end - pixels.begin, in_step = bytes_of_step(s->reads), out_step = bytes ? 1 : 4;
    const int columns = s->reads == QUADS_READ && !s->outputs; // may be convolved one by one
    const size_t vectors =
        columns ? vectors_in_tiles((uint32_t)mr, all, VECTOR_FLOATS) : (all + VECTOR_FLOATS - 1) / VECTOR_FLOATS;
    const struct parts parts = split(vectors, widest_int8_tile[s->reads != QUADS_READ][s->writes][mr]);
    size_t p = pixels.begin;
    for (size_t i = 0; i < parts.count; i++) {
        const size_t nv = parts.width + (i < parts.wider), whole = nv * VECTOR_FLOATS, left = pixels.end - p;
        int8_tiles[s->reads][s->writes][mr][nv](s, count, packed, in, out, residual, x + p * in_step, y + p * out_step,
                                                left < whole ? left : whole);
        p += whole;
    }
    for (; p < pixels.end; p++)
        int8_columns(s, count, mr, packed, in, out, residual, x + p * in_step, y + p * out_step);
    if (s->width < s->pitch)
        int8_zero_gaps(s, out, bytes ? count * mr : count * mr / 4, pixels.begin, pixels.end, y);
}

// As int8_convolve; if the weights outweigh the pixels, a few tiles at a time.
static void int8_convolve_in_blocks(const struct int8_convolution *s, size_t group, const struct tile_run *run,
                                    size_t first, size_t count, struct range pixels, const uint8_t *x, uint8_t *y)
{
    const size_t words = (size_t)run->mr * (3 + s->k), most = (BLOCK_FLOATS + words - 1) / words;
    const size_t block = s->k * (pixels.end - pixels.begin) < count * words ? most : count;
    for (const size_t end = first + count; first < end; first += block)
        int8_convolve(s, group, run, first, end - first < block ? end - first : block, pixels, x, y);
}

// All groups' tiles in a range.
static void int8_convolve_groups(const struct int8_convolution *s, struct range tiles, struct range pixels,
                                 const uint8_t *x, uint8_t *y)
{
    for (size_t group = 0; group < s->groups; group++) {
        size_t tile = group * s->tile_count; // the first of the run, counted over all groups
        for (const struct tile_run *run = s->tiles; run->mr; tile += run->count, run++) {
            const size_t begin = tiles.begin > tile ? tiles.begin - tile : 0;
            const size_t end = tiles.end < tile + run->count ? (tiles.end > tile ? tiles.end - tile : 0) : run->count;
            if (begin < end)
                int8_convolve_in_blocks(s, group, run, begin, end - begin, pixels, x, y);
        }
    }
}

// Each line by itself. Threads share the lines if all of them begin with a vector, and tiles if the zeros behind a line's last
// pixel are written where the next line begins.
static void int8_convolve_lines(const struct int8_convolution *s, const uint8_t *x, uint8_t *y, struct lines lines,
                                struct share share)
{
    const int whole = s->pitch % ROW_ALIGNMENT == 0;
    const struct range mine = shared_lines(whole ? share : (struct share){0, 1}, lines, (s->pixels - 1) / s->pitch + 1);
    const struct range all_tiles = {0, s->groups * s->tile_count};
    const struct range tiles = whole ? all_tiles : range_of(share, all_tiles.end);
    const size_t size = s->writes == BYTES_WRITTEN ? 1 : 4;
    for (size_t i = mine.begin; i < mine.end; i++) {
        const size_t left = s->pixels - i * s->pitch;
        const struct range pixels = {0, left < s->pitch ? left : s->pitch};
        int8_convolve_groups(s, tiles, pixels, x + i * s->in_pitch * 4, y + i * s->pitch * size);
    }
}

// Threads share the pixels of large planes, and tiles on small ones.
static void int8_convolution(const struct int8_convolution *s, const uint8_t *x, uint8_t *y, struct lines lines,
                             struct share share)
{
    if (s->reads != QUADS_READ || s->in_pitch != s->pitch) {
        int8_convolve_lines(s, x, y, lines, share);
        return;
    }
    const struct range pixels = pixels_in_lines(lines, s->pitch, s->pixels);
    const size_t tiles = s->groups * s->tile_count;
    const size_t vectors = (pixels.end - pixels.begin + VECTOR_FLOATS - 1) / VECTOR_FLOATS;
    if (vectors >= (size_t)SHARED_VECTORS * share.parts)
        int8_convolve_groups(s, (struct range){0, tiles}, pixels_in(pixels, range_of(share, vectors)), x, y);
    else
        int8_convolve_groups(s, range_of(share, tiles), pixels, x, y);
}
