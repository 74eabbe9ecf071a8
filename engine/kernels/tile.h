// The microkernel: a tile of mr outputs by nv vectors of pixels in registers, which walks the k input rows: each step loads
// nv vectors, broadcasts mr weights and does mr * nv multiply-adds. All tiles of a group follow one another on the same
// pixels, which stay in the first-level cache, while their weights pass by.

typedef void tile_function(const struct convolution *s, size_t tiles, const float *packed, const uint32_t *in,
                           const uint32_t *out, const uint32_t *residual, const float *x, float *y, size_t pixels);

// Stores one pixel of mr outputs, at most VECTOR_FLOATS, at y + out[m]: output m is lane m of sum.
ALWAYS_INLINE void store_column(const size_t mr, float lower_bound, vector sum, const uint32_t *out,
                                const uint32_t *residual, float *y)
{
    float value[VECTOR_FLOATS];
    store(value, sum);
#pragma GCC unroll 8
    for (size_t m = 0; m < mr; m++) {
        if (residual)
            value[m] += y[residual[m]];
        y[out[m]] = lower_bound > value[m] ? lower_bound : value[m];
    }
}

// Prefetches the pixels that the next tile on the same row reads.
ALWAYS_INLINE void prefetch_next(const float *pixels, size_t nv)
{
#pragma GCC unroll 8
    for (size_t p = 0; p < nv * VECTOR_FLOATS; p += LINE_FLOATS)
        __builtin_prefetch(pixels + nv * VECTOR_FLOATS + p);
}

// Adds the products of one input row to sum[m][v], for outputs first to end.
ALWAYS_INLINE void add_products(size_t first, size_t end, size_t nv, const float *row, const float *packed,
                                vector (*sum)[MAX_TILE_VECTORS])
{
    vector pixels[MAX_TILE_VECTORS];
#pragma GCC unroll 8
    for (size_t v = 0; v < nv; v++)
        pixels[v] = load(row + v * VECTOR_FLOATS);
#pragma GCC unroll 8
    for (size_t m = first; m < end; m++) {
        const vector weight = broadcast(packed[m]);
#pragma GCC unroll 8
        for (size_t v = 0; v < nv; v++)
            sum[m][v] += weight * pixels[v];
    }
}

// Adds the products of each pixel behind a row's nv vectors to sum[c].
ALWAYS_INLINE void add_columns(size_t columns, size_t nv, const float *row, const float *packed, vector *sum)
{
#pragma GCC unroll 2
    for (size_t c = 0; c < columns; c++)
        sum[c] += load(packed) * broadcast(row[nv * VECTOR_FLOATS + c]);
}

// y[v] = max(lower_bound, sum[v] + residual[v]), stored vector by vector; in the last one lanes that are not inside become 0.
ALWAYS_INLINE void write_output(size_t nv, float *y, const float *residual, const vector *sum, vector lower_bound,
                                vector_mask inside)
{
#pragma GCC unroll 8
    for (size_t v = 0; v < nv; v++) {
        const vector value = residual ? sum[v] + load(residual + v * VECTOR_FLOATS) : sum[v];
        if (v + 1 < nv)
            store(y + v * VECTOR_FLOATS, vector_max(lower_bound, value));
        else
            store(y + v * VECTOR_FLOATS, kept_max(lower_bound, value, inside));
    }
}

// A tile of more vectors than MOST_STORES_AT_ONCE adds its last inputs for a few outputs at a time, and stores those.
enum { OUTPUTS_AT_ONCE = 2, LAST_INPUTS = 2 };
#ifndef MOST_STORES_AT_ONCE
#define MOST_STORES_AT_ONCE (MAX_TILE_ROWS * MAX_TILE_VECTORS)
#endif

// How many inputs a round of the loop over them takes.
#ifndef INPUTS_UNROLLED
#define INPUTS_UNROLLED 4
#endif
enum { UNROLLED = INPUTS_UNROLLED }; // a pragma takes no macro

// How far ahead weights are prefetched: with few pixels each is used a few times only, and comes from the third-level cache.
enum { WEIGHTS_AHEAD = 1024 }; // floats

// Computes tiles tiles of mr outputs each, on nv vectors of which pixels pixels lie inside the line: the last vector's others are
// written as zeros. columns: single pixels behind the vectors, which use the weights while these are in registers.
ALWAYS_INLINE void tile(const size_t mr, const size_t nv, const size_t columns, const struct convolution *s,
                        size_t tiles, const float *packed, const uint32_t *in, const uint32_t *out,
                        const uint32_t *residual, const float *x, float *y, size_t pixels)
{
    const vector_mask inside = first_lanes(pixels - (nv - 1) * VECTOR_FLOATS);
    const vector lower_bound = broadcast(s->lower_bound);
    const size_t count = s->k, prefetched_by_each = s->cold ? (count + tiles - 1) / tiles : 0;
    size_t prefetched = 0;
    do {
        vector sum[MAX_TILE_ROWS][MAX_TILE_VECTORS];
#pragma GCC unroll 8
        for (size_t m = 0; m < mr; m++)
#pragma GCC unroll 8
            for (size_t v = 0; v < nv; v++)
                sum[m][v] = broadcast(packed[m]);
        vector sum_of_column[MOST_COLUMNS]; // lanes from mr on are not used
#pragma GCC unroll 2
        for (size_t c = 0; c < columns; c++)
            sum_of_column[c] = load(packed);
        packed += mr;
        // Rows are too many and too far apart for hardware prefetchers.
        if (prefetched_by_each) {
            const size_t end = prefetched + prefetched_by_each < count ? prefetched + prefetched_by_each : count;
            for (; prefetched < end; prefetched++)
                prefetch_next(x + in[prefetched], nv);
            const uint32_t *written = residual ? residual : out;
#pragma GCC unroll 8
            for (size_t m = 0; m < mr; m++)
                prefetch_next(y + written[m], nv);
        }

        const size_t most = mr * nv > MOST_STORES_AT_ONCE ? OUTPUTS_AT_ONCE : mr;
        const size_t last = most == mr ? count : count < LAST_INPUTS ? 0 : count - LAST_INPUTS;
#pragma GCC unroll UNROLLED
        for (size_t k = 0; k < last; k++) {
            add_products(0, mr, nv, x + in[k], packed, sum);
            add_columns(columns, nv, x + in[k], packed, sum_of_column);
            __builtin_prefetch(packed + WEIGHTS_AHEAD);
            packed = moved_to(packed + mr);
        }
#pragma GCC unroll 8
        for (size_t first = 0; first < mr; first += most) {
            const size_t end = first + most < mr ? first + most : mr;
            const float *weights = packed;
#pragma GCC unroll 1
            for (size_t k = last; k < count; k++, weights += mr) {
                add_products(first, end, nv, x + in[k], weights, sum);
                if (first == 0)
                    add_columns(columns, nv, x + in[k], weights, sum_of_column);
            }
            if (first == 0)
#pragma GCC unroll 2
                for (size_t c = 0; c < columns; c++)
                    store_column(mr, s->lower_bound, sum_of_column[c], out, residual, y + nv * VECTOR_FLOATS + c);
#pragma GCC unroll 8
            for (size_t m = first; m < end; m++)
                write_output(nv, y + out[m], residual ? y + residual[m] : NULL, sum[m], lower_bound, inside);
        }
        packed += (count - last) * mr;
        residual = residual ? residual + mr : NULL;
        out += mr;
    } while (--tiles);
}

#define DEFINE_TILE_(name, mr, nv, columns)                                                                            \
    static void name##_##mr##x##nv(const struct convolution *s, size_t tiles, const float *packed, const uint32_t *in, \
                                   const uint32_t *out, const uint32_t *residual, const float *x, float *y,            \
                                   size_t pixels)                                                                      \
    {                                                                                                                  \
        tile(mr, nv, columns, s, tiles, packed, in, out, residual, x, y, pixels);                                      \
    }
#define DEFINE_TILE(mr, nv) DEFINE_TILE_(tile, mr, nv, 0)
#define DEFINE_TILES(mr, nv) UP_TO_##nv(DEFINE_TILE, mr)
TILE_TABLE(DEFINE_TILES)

#define TILE_ENTRY(mr, nv) [mr][nv] = tile_##mr##x##nv,
#define TILE_ENTRIES(mr, nv) UP_TO_##nv(TILE_ENTRY, mr)
static tile_function *const tile_functions[MAX_TILE_ROWS + 1][MAX_TILE_VECTORS + 1] = {TILE_TABLE(TILE_ENTRIES)};

#ifdef COLUMN_TILE_TABLE
#define DEFINE_COLUMN_TILE(mr, nv) DEFINE_TILE_(one_column_tile, mr, nv, 1) DEFINE_TILE_(two_column_tile, mr, nv, 2)
#define DEFINE_COLUMN_TILES(mr, nv) UP_TO_##nv(DEFINE_COLUMN_TILE, mr)
COLUMN_TILE_TABLE(DEFINE_COLUMN_TILES)

#define ONE_COLUMN_TILE(mr, nv) [mr][nv] = one_column_tile_##mr##x##nv,
#define ONE_COLUMN_TILES(mr, nv) UP_TO_##nv(ONE_COLUMN_TILE, mr)
#define TWO_COLUMN_TILE(mr, nv) [mr][nv] = two_column_tile_##mr##x##nv,
#define TWO_COLUMN_TILES(mr, nv) UP_TO_##nv(TWO_COLUMN_TILE, mr)
static tile_function *const column_tile_functions[MOST_COLUMNS][MAX_TILE_ROWS + 1][MAX_TILE_VECTORS + 1] = {
    {COLUMN_TILE_TABLE(ONE_COLUMN_TILES)}, {COLUMN_TILE_TABLE(TWO_COLUMN_TILES)}};
#else
static tile_function *const column_tile_functions[MOST_COLUMNS][MAX_TILE_ROWS + 1][MAX_TILE_VECTORS + 1] = {{{0}}};
#endif
