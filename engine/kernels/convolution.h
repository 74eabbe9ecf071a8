// Pointwise group convolutions, and dense ones through shifted rows: nearly all of a network's multiply-adds.
//
// The microkernel holds a tile of mr outputs by nv vectors of pixels in registers and walks the k input rows: each step
// loads nv vectors, broadcasts mr weights and does mr * nv multiply-adds.

// Input that all tiles of a group read again: it stays in the first-level cache.
enum { STRIP_BYTES = 16 * 1024, LEAST_STRIP = 6 };

typedef void tile_function(const struct convolution *s, const float *packed, const uint32_t *in, const uint32_t *out,
                           const uint32_t *residual, const float *x, float *y, size_t pixels);

// pixels: of the tile that lie inside the line; the last vector's others are written as zeros.
ALWAYS_INLINE void tile(const size_t mr, const size_t nv, const struct convolution *s, const float *packed,
                        const uint32_t *in, const uint32_t *out, const uint32_t *residual, const float *x, float *y,
                        size_t pixels)
{
    vector sum[MAX_TILE_ROWS][MAX_TILE_VECTORS];
#pragma GCC unroll 8
    for (size_t m = 0; m < mr; m++)
#pragma GCC unroll 8
        for (size_t v = 0; v < nv; v++)
            sum[m][v] = broadcast(packed[m]);

    const size_t count = s->k;
#pragma GCC unroll 4
    for (size_t k = 0; k < count; k++) {
        packed += mr;
        const float *row = x + in[k];
        vector pixel[MAX_TILE_VECTORS];
#pragma GCC unroll 8
        for (size_t v = 0; v < nv; v++)
            pixel[v] = load(row + v * VECTOR_FLOATS);
#pragma GCC unroll 8
        for (size_t m = 0; m < mr; m++) {
            const vector weight = broadcast(packed[m]);
#pragma GCC unroll 8
            for (size_t v = 0; v < nv; v++)
                sum[m][v] += weight * pixel[v];
        }
    }

    const vector_mask inside = first_lanes(pixels - (nv - 1) * VECTOR_FLOATS);
    const vector least = broadcast(s->least);
    if (residual) {
#pragma GCC unroll 8
        for (size_t m = 0; m < mr; m++)
#pragma GCC unroll 8
            for (size_t v = 0; v < nv; v++)
                sum[m][v] += load(y + residual[m] + v * VECTOR_FLOATS);
    }
#pragma GCC unroll 8
    for (size_t m = 0; m < mr; m++) {
        float *row = y + out[m];
#pragma GCC unroll 8
        for (size_t v = 0; v + 1 < nv; v++)
            store(row + v * VECTOR_FLOATS, vector_max(least, sum[m][v]));
        store(row + (nv - 1) * VECTOR_FLOATS, keep(vector_max(least, sum[m][nv - 1]), inside));
    }
}

#define DEFINE_TILE(mr, nv)                                                                                            \
    static void tile_##mr##x##nv(const struct convolution *s, const float *packed, const uint32_t *in,                 \
                                 const uint32_t *out, const uint32_t *residual, const float *x, float *y,              \
                                 size_t pixels)                                                                        \
    {                                                                                                                  \
        tile(mr, nv, s, packed, in, out, residual, x, y, pixels);                                                      \
    }
#define DEFINE_TILES(mr, nv) UP_TO_##nv(DEFINE_TILE, mr)
TILE_TABLE(DEFINE_TILES)

#define TILE_ENTRY(mr, nv) [mr][nv] = tile_##mr##x##nv,
#define TILE_ENTRIES(mr, nv) UP_TO_##nv(TILE_ENTRY, mr)
static tile_function *const tile_functions[MAX_TILE_ROWS + 1][MAX_TILE_VECTORS + 1] = {TILE_TABLE(TILE_ENTRIES)};

// count vectors in parts of nearly the same width, none wider than most: a narrow last tile would leave the multiply-add
// units waiting. The first `wider` parts have one vector more than the others.
struct parts {
    size_t count, width, wider;
};

ALWAYS_INLINE struct parts split(size_t count, size_t most)
{
    const size_t parts = (count + most - 1) / most;
    const struct parts result = {.count = parts, .width = count / parts, .wider = count % parts};
    return result;
}

// All tiles of one group over some vectors of a line.
static void strip(const struct convolution *s, const float *packed, size_t group, size_t vectors, const float *x,
                  float *y, size_t pixels)
{
    const uint32_t *in = s->in + group * s->k, *out = s->out + group * s->m;
    const uint32_t *residual = s->residual ? s->residual + group * s->m : NULL;
    for (const uint8_t *mr = s->tiles; *mr; mr++) {
        const struct parts parts = split(vectors, widest_tile[*mr]);
        size_t p = 0;
        for (size_t part = 0; part < parts.count; part++) {
            const size_t nv = parts.width + (part < parts.wider);
            const size_t left = pixels - p, all = nv * VECTOR_FLOATS;
            tile_functions[*mr][nv](s, packed, in, out, residual, x + p, y + p, left < all ? left : all);
            p += all;
        }
        packed += *mr * (size_t)(1 + s->k);
        out += *mr;
        residual = residual ? residual + *mr : NULL;
    }
}

static void convolution(const struct convolution *s, float *arena)
{
    const size_t fit = STRIP_BYTES / (sizeof(vector) * s->k);
    const struct parts strips =
        split((s->pixels + VECTOR_FLOATS - 1) / VECTOR_FLOATS, fit < LEAST_STRIP ? LEAST_STRIP : fit);
    for (size_t line = 0; line < s->lines; line++) {
        const float *packed = s->packed;
        for (size_t group = 0; group < s->groups; group++) {
            size_t p = 0;
            for (size_t i = 0; i < strips.count; i++) {
                const size_t vectors = strips.width + (i < strips.wider), all = vectors * VECTOR_FLOATS;
                const size_t left = s->pixels - p;
                strip(s, packed, group, vectors, arena + line * s->in_pitch + p, arena + line * s->out_pitch + p,
                      left < all ? left : all);
                p += all;
            }
            packed += (size_t)s->m * (1 + s->k);
        }
    }
}
