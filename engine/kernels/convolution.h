// Pointwise group convolutions, and dense ones through shifted rows: nearly all of a network's multiply-adds.
//
// The microkernel holds a tile of mr outputs by nv vectors of pixels in registers and walks the k input rows: each step
// loads nv vectors, broadcasts mr weights and does mr * nv multiply-adds.

enum { STRIP_BYTES = 16 * 1024 }; // of input that all tiles of a group read again: half of a small first-level cache

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
#pragma GCC unroll 1
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
#pragma GCC unroll 8
    for (size_t m = 0; m < mr; m++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < nv; v++) {
            vector value = sum[m][v];
            if (residual)
                value += load(y + residual[m] + v * VECTOR_FLOATS);
            if (s->relu)
                value = vector_max((vector){0}, value);
            store(y + out[m] + v * VECTOR_FLOATS, v + 1 < nv ? value : keep(value, inside));
        }
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

// The widest of the equal parts that count vectors fall into when none may be wider than most: a narrow last tile would
// leave the multiply-add units waiting.
ALWAYS_INLINE size_t even_part(size_t count, size_t most)
{
    const size_t parts = (count + most - 1) / most;
    return (count + parts - 1) / parts;
}

static void convolution(const struct convolution *s, float *arena)
{
    const size_t vectors = (s->pixels + VECTOR_FLOATS - 1) / VECTOR_FLOATS;
    const size_t most = STRIP_BYTES / (sizeof(vector) * s->k) / 12 * 12;
    const size_t strip = even_part(vectors, most < 12 ? 12 : most);

    for (size_t line = 0; line < s->lines; line++) {
        const float *packed = s->packed;
        for (size_t group = 0; group < s->groups; group++) {
            const float *packed_group = packed;
            for (size_t first = 0; first < vectors; first += strip) {
                const size_t end = first + strip < vectors ? first + strip : vectors;
                const size_t row = group * s->m;
                const uint32_t *out = s->out + row, *residual = s->residual ? s->residual + row : NULL;
                packed = packed_group;
                for (const uint8_t *mr = s->tiles; *mr; mr++) {
                    size_t nv;
                    for (size_t v = first; v < end; v += nv) {
                        nv = even_part(end - v, widest_tile[*mr]);
                        const size_t p = v * VECTOR_FLOATS;
                        const size_t left = s->pixels - p;
                        tile_functions[*mr][nv](s, packed, s->in + group * s->k, out, residual,
                                                arena + line * s->in_pitch + p, arena + line * s->out_pitch + p,
                                                left < nv * VECTOR_FLOATS ? left : nv * VECTOR_FLOATS);
                    }
                    packed += *mr * (size_t)(1 + s->k);
                    out += *mr;
                    residual = residual ? residual + *mr : NULL;
                }
            }
        }
    }
}
