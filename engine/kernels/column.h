// A pixel left over behind whole vectors, the 49th of a 7x7 plane, where the level has no tile that takes it along. Here
// the lanes are a tile's outputs, whose weights lie side by side, so one multiply-add serves mr of them.

enum { COLUMN_TILES = 4 }; // at once: they share each pixel

// Computes one pixel for tiles tiles of mr outputs, at most VECTOR_FLOATS; packed, out and residual as in tile().
ALWAYS_INLINE void column(const size_t tiles, const struct convolution *s, size_t mr, const float *packed,
                          const uint32_t *in, const uint32_t *out, const uint32_t *residual, const float *x, float *y)
{
    const size_t tile_floats = mr * (1 + s->k);
    vector sum[COLUMN_TILES];
#pragma GCC unroll 4
    for (size_t t = 0; t < tiles; t++)
        sum[t] = load(packed + t * tile_floats);
    for (size_t k = 0; k < s->k; k++) {
        packed += mr;
        const vector value = broadcast(x[in[k]]);
#pragma GCC unroll 4
        for (size_t t = 0; t < tiles; t++)
            sum[t] += load(packed + t * tile_floats) * value; // lanes from mr on are not used
    }
#pragma GCC unroll 4
    for (size_t t = 0; t < tiles; t++, out += mr) {
        store_column(mr, s->lower_bound, sum[t], out, residual, y);
        residual = residual ? residual + mr : NULL;
    }
}

static void columns(const struct convolution *s, size_t tiles, size_t mr, const float *packed, const uint32_t *in,
                    const uint32_t *out, const uint32_t *residual, const float *x, float *y)
{
    while (tiles > 0) {
        const size_t count = tiles < COLUMN_TILES ? 1 : COLUMN_TILES;
        if (count == 1)
            column(1, s, mr, packed, in, out, residual, x, y);
        else
            column(COLUMN_TILES, s, mr, packed, in, out, residual, x, y);
        tiles -= count;
        packed += count * mr * (1 + s->k);
        out += count * mr;
        residual = residual ? residual + count * mr : NULL;
    }
}
