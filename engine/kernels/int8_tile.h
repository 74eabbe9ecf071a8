// The int8 microkernel: a tile of mr outputs by nv vectors of pixels in registers, which walks the k input rows. A row's word
// holds four inputs of a pixel, so each step loads nv vectors, broadcasts mr words of four weights, and does mr * nv dot
// products. Sums are exact; they become bytes again as int8_steps.h says.

typedef void int8_tile_function(const struct int8_convolution *s, size_t tiles, const int32_t *packed,
                                const uint32_t *in, const uint32_t *out, const uint32_t *residual, const uint8_t *x,
                                uint8_t *y, size_t pixels);

// The words of VECTOR_FLOATS pixels: of quad rows, or windows of byte rows.
ALWAYS_INLINE words load_inputs(const uint8_t *row, const enum int8_reads reads)
{
    if (reads == QUADS_READ)
        return load_words(row);
    if (reads == WINDOWS_OF_STRIDE_4_READ)
        return pixels_of(load_words(row));
    return pixels_of(reads == WINDOWS_READ ? windows(row) : windows_of_stride_2(row));
}

// sum[m][v] += of one input row.
ALWAYS_INLINE void add_dots(size_t mr, size_t nv, const uint8_t *row, const enum int8_reads reads,
                            const int32_t *packed, words (*sum)[MAX_TILE_VECTORS])
{
    words inputs[MAX_TILE_VECTORS];
#pragma GCC unroll 8
    for (size_t v = 0; v < nv; v++)
        inputs[v] = load_inputs(row + v * VECTOR_FLOATS * bytes_of_step(reads), reads);
#ifdef HAS_DOT_OF_LANE // the instruction takes the four weights from any lane
#pragma GCC unroll 2
    for (size_t first = 0; first < mr; first += VECTOR_FLOATS) {
        const words weights = load_words(packed + first);
#pragma GCC unroll 4
        for (size_t lane = 0; lane < VECTOR_FLOATS; lane++)
            if (first + lane < mr)
#pragma GCC unroll 8
                for (size_t v = 0; v < nv; v++)
                    sum[first + lane][v] = dot_of_lane(sum[first + lane][v], inputs[v], weights, (int)lane);
    }
#else
#pragma GCC unroll 8
    for (size_t m = 0; m < mr; m++) {
        const words weights = broadcast_word(packed[m]);
#pragma GCC unroll 8
        for (size_t v = 0; v < nv; v++)
            sum[m][v] =
                reads == QUADS_READ ? dot(sum[m][v], inputs[v], weights) : dot_of_pixels(sum[m][v], inputs[v], weights);
    }
#endif
}

// Four outputs' sums of vector v become quads; added: what residual rows hold there.
ALWAYS_INLINE words requantized_quads(words (*sum)[MAX_TILE_VECTORS], size_t v, const float *factor, const int adds,
                                      words added, const float *added_factor)
{
    words value[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        vector real = product_of(float_of(sum[i][v]), broadcast(factor[i]));
        if (adds)
            real = with_residual(real, byte_of(added, i), broadcast(added_factor[i]), PLAN_LINEAR);
        value[i] = rounded(real);
    }
    return quads_of(value[0], value[1], value[2], value[3]);
}

ALWAYS_INLINE void write_quads(size_t nv, words (*sum)[MAX_TILE_VECTORS], const float *factor, const int adds,
                               const float *added_factor, uint8_t *y, const uint8_t *residual, words inside)
{
#pragma GCC unroll 8
    for (size_t v = 0; v < nv; v++) {
        const words added = adds ? load_words(residual + v * VECTOR_BYTES) : (words){0};
        words quads = requantized_quads(sum, v, factor, adds, added, added_factor);
        if (v + 1 == nv)
            quads &= inside;
        store_words(y + v * VECTOR_BYTES, quads);
    }
}

ALWAYS_INLINE void write_bytes(size_t nv, const words *sum, float factor, uint8_t *y, words inside)
{
    words value[MAX_TILE_VECTORS];
#pragma GCC unroll 8
    for (size_t v = 0; v < nv; v++)
        value[v] = rounded(product_of(float_of(sum[v]), broadcast(factor)));
    value[nv - 1] &= inside;
    if (nv >= 4)
        store_four_bytes(y, value);
#pragma GCC unroll 8
    for (size_t v = nv >= 4 ? 4 : 0; v < nv; v++)
        store_bytes(y + v * VECTOR_FLOATS, value[v]);
}

// Where outputs have more than a factor, their sums come here from the registers: the tile's, of outputs from number first on.
ALWAYS_INLINE void finish_outputs(const struct int8_convolution *s, size_t first, size_t mr, size_t nv,
                                  const words (*sum)[MAX_TILE_VECTORS], const uint32_t *out, const uint32_t *residual,
                                  uint8_t *y, words inside, const enum plan_activation activation)
{
    const struct int8_output *output = s->outputs + first;
    const words around = broadcast_word((int32_t)s->around);
    for (size_t v = 0; v < nv; v++) {
        const words kept = v + 1 == nv ? inside : (words){0} == 0;
        if (s->writes == BYTES_WRITTEN) {
            for (size_t m = 0; m < mr; m++) {
                const words value = clamped(byte_of_sum(sum[m][v], output + m, NULL, activation));
                store_bytes(y + (size_t)4 * out[m] + v * VECTOR_FLOATS, (value & kept) | (around & ~kept));
            }
            continue;
        }
        for (size_t m = 0; m < mr; m += 4) {
            words quads = {0}, value[4];
            if (residual)
                quads = load_words(y + (size_t)4 * residual[m / 4] + v * VECTOR_BYTES);
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; i++) {
                const words added = byte_of(quads, i);
                value[i] = byte_of_sum(sum[m + i][v], output + m + i, residual ? &added : NULL, activation);
            }
            store_words(y + (size_t)4 * out[m / 4] + v * VECTOR_BYTES,
                        quads_of(value[0], value[1], value[2], value[3]) & kept);
        }
    }
}

static __attribute__((noinline)) void finish_tile(const struct int8_convolution *s, size_t mr, size_t nv,
                                                  const words (*sum)[MAX_TILE_VECTORS], const uint32_t *out,
                                                  const uint32_t *residual, uint8_t *y, words inside)
{
    const size_t first = (size_t)(out - s->out) * (s->writes == BYTES_WRITTEN ? 1 : 4);
    WITH_ACTIVATION(s->activation, finish_outputs, s, first, mr, nv, sum, out, residual, y, inside)
}

// tiles of mr outputs each. pixels: of nv vectors those that are there; the others are written as zeros.
ALWAYS_INLINE void int8_tile(const size_t mr, const size_t nv, const enum int8_reads reads,
                             const enum int8_writes writes, const struct int8_convolution *s, size_t tiles,
                             const int32_t *packed, const uint32_t *in, const uint32_t *out, const uint32_t *residual,
                             const uint8_t *x, uint8_t *y, size_t pixels)
{
    const words inside = first_lanes(pixels - (nv - 1) * VECTOR_FLOATS);
    const size_t count = s->k;
    do {
        words sum[MAX_TILE_ROWS][MAX_TILE_VECTORS];
#pragma GCC unroll 8
        for (size_t m = 0; m < mr; m++)
#pragma GCC unroll 8
            for (size_t v = 0; v < nv; v++)
                sum[m][v] = broadcast_word(packed[m]);
        packed += mr;
#pragma GCC unroll 2
        for (size_t k = 0; k < count; k++, packed = moved_to(packed + mr))
            add_dots(mr, nv, x + (size_t)4 * in[k], reads, packed, sum);
        const float *factor = (const float *)packed, *added_factor = factor + mr;
        packed += writes == QUADS_ADDED ? 2 * mr : mr;
        if (s->outputs) {
            words stored[MAX_TILE_ROWS][MAX_TILE_VECTORS];
#pragma GCC unroll 8
            for (size_t m = 0; m < mr; m++)
#pragma GCC unroll 8
                for (size_t v = 0; v < nv; v++)
                    stored[m][v] = sum[m][v];
            finish_tile(s, mr, nv, (const words(*)[MAX_TILE_VECTORS])stored, out,
                        writes == QUADS_ADDED ? residual : NULL, y, inside);
        } else if (writes == BYTES_WRITTEN) {
#pragma GCC unroll 8
            for (size_t m = 0; m < mr; m++)
                write_bytes(nv, sum[m], factor[m], y + (size_t)4 * out[m], inside);
        } else {
#pragma GCC unroll 2
            for (size_t m = 0; m < mr; m += 4)
                write_quads(nv, sum + m, factor + m, writes == QUADS_ADDED, added_factor + m,
                            y + (size_t)4 * out[m / 4], writes == QUADS_ADDED ? y + (size_t)4 * residual[m / 4] : y,
                            inside);
        }
        out += writes == BYTES_WRITTEN ? mr : mr / 4;
        if (writes == QUADS_ADDED) // else there is none
            residual += mr / 4;
    } while (--tiles);
}

#define DEFINE_INT8_TILE(mr, nv, input, output)                                                                        \
    static void int8_tile_##mr##x##nv##_##input##_##output(                                                            \
        const struct int8_convolution *s, size_t tiles, const int32_t *packed, const uint32_t *in,                     \
        const uint32_t *out, const uint32_t *residual, const uint8_t *x, uint8_t *y, size_t pixels)                    \
    {                                                                                                                  \
        int8_tile(mr, nv, input, output, s, tiles, packed, in, out, residual, x, y, pixels);                           \
    }
#define INT8_TILE_ENTRY(mr, nv, input, output) [input][output][mr][nv] = int8_tile_##mr##x##nv##_##input##_##output,

// From quad rows, and from windows.
#define QUADS_TILE(T, mr, nv) T(mr, nv, QUADS_READ, QUADS_WRITTEN) T(mr, nv, QUADS_READ, QUADS_ADDED)
#define BYTES_TILE(T, mr, nv) T(mr, nv, QUADS_READ, BYTES_WRITTEN)
#define WINDOWS_TILE(T, mr, nv)                                                                                        \
    T(mr, nv, WINDOWS_READ, QUADS_WRITTEN)                                                                             \
    T(mr, nv, WINDOWS_READ, BYTES_WRITTEN)                                                                             \
    T(mr, nv, WINDOWS_OF_STRIDE_2_READ, QUADS_WRITTEN)                                                                 \
    T(mr, nv, WINDOWS_OF_STRIDE_2_READ, BYTES_WRITTEN)                                                                 \
    T(mr, nv, WINDOWS_OF_STRIDE_4_READ, QUADS_WRITTEN)                                                                 \
    T(mr, nv, WINDOWS_OF_STRIDE_4_READ, BYTES_WRITTEN)
#define DEFINE_QUADS_TILE(mr, nv) QUADS_TILE(DEFINE_INT8_TILE, mr, nv)
#define DEFINE_BYTES_TILE(mr, nv) BYTES_TILE(DEFINE_INT8_TILE, mr, nv)
#define DEFINE_WINDOWS_TILE(mr, nv) WINDOWS_TILE(DEFINE_INT8_TILE, mr, nv)
#define DEFINE_QUADS_TILES(mr, nv) UP_TO_##nv(DEFINE_QUADS_TILE, mr)
#define DEFINE_BYTES_TILES(mr, nv) UP_TO_##nv(DEFINE_BYTES_TILE, mr)
#define DEFINE_WINDOWS_TILES(mr, nv) UP_TO_##nv(DEFINE_WINDOWS_TILE, mr)
QUADS_TILE_TABLE(DEFINE_QUADS_TILES)
BYTES_TILE_TABLE(DEFINE_BYTES_TILES)
WINDOWS_TILE_TABLE(DEFINE_WINDOWS_TILES)

#define QUADS_TILE_ENTRY(mr, nv) QUADS_TILE(INT8_TILE_ENTRY, mr, nv)
#define BYTES_TILE_ENTRY(mr, nv) BYTES_TILE(INT8_TILE_ENTRY, mr, nv)
#define WINDOWS_TILE_ENTRY(mr, nv) WINDOWS_TILE(INT8_TILE_ENTRY, mr, nv)
#define QUADS_TILE_ENTRIES(mr, nv) UP_TO_##nv(QUADS_TILE_ENTRY, mr)
#define BYTES_TILE_ENTRIES(mr, nv) UP_TO_##nv(BYTES_TILE_ENTRY, mr)
#define WINDOWS_TILE_ENTRIES(mr, nv) UP_TO_##nv(WINDOWS_TILE_ENTRY, mr)
static int8_tile_function *const int8_tiles[INT8_READS][3][MAX_TILE_ROWS + 1][MAX_TILE_VECTORS + 1] = {
    QUADS_TILE_TABLE(QUADS_TILE_ENTRIES) BYTES_TILE_TABLE(BYTES_TILE_ENTRIES) WINDOWS_TILE_TABLE(WINDOWS_TILE_ENTRIES)};

#define WIDEST_QUADS(mr, nv) [0][QUADS_WRITTEN][mr] = nv, [0][QUADS_ADDED][mr] = nv,
#define WIDEST_BYTES(mr, nv) [0][BYTES_WRITTEN][mr] = nv,
#define WIDEST_WINDOWS(mr, nv) [1][QUADS_WRITTEN][mr] = nv, [1][BYTES_WRITTEN][mr] = nv,
static const uint8_t widest_int8_tile[2][3][MAX_TILE_ROWS + 1] = {
    QUADS_TILE_TABLE(WIDEST_QUADS) BYTES_TILE_TABLE(WIDEST_BYTES) WINDOWS_TILE_TABLE(WIDEST_WINDOWS)};
