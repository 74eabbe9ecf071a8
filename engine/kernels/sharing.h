// How threads share a plane, and how much of the weights is used at a time.

// Vectors a thread: planes of fewer are partitioned by channels, groups or tiles, since at the border of two threads' pixels in a
// row each core prefetches what the other writes. Measured on two cores with AVX-512: 28x28 planes are faster so.
enum { SHARED_VECTORS = VECTOR_FLOATS == 16 ? 30 : 9 };

// Vectors of a plane: planes of fewer are partitioned by tiles, since half of their pixels would leave lanes unused.
enum { FEW_VECTORS = 8 };

// Weights that are read again for each part of the pixels: 64 KB of them.
enum { BLOCK_FLOATS = 16 << 10 };

// The pixels in some of a range's vectors. Threads get whole vectors, so that none writes zeros behind its last pixel where
// another writes.
ALWAYS_INLINE struct range pixels_in(struct range all, struct range vectors)
{
    const size_t end = all.begin + vectors.end * VECTOR_FLOATS;
    const struct range pixels = {all.begin + vectors.begin * VECTOR_FLOATS, end < all.end ? end : all.end};
    return pixels;
}

// What a thread computes of rows that all have the same pixels.
struct part {
    struct range rows, pixels;
};

// Some pixels of all rows, as of the convolutions around: the thread finds what it has written itself. Of small planes all
// pixels of some rows.
ALWAYS_INLINE struct part part_of_rows(size_t rows, struct range pixels, struct share share)
{
    const size_t vectors = (pixels.end - pixels.begin + VECTOR_FLOATS - 1) / VECTOR_FLOATS;
    const int by_pixels = vectors >= (size_t)SHARED_VECTORS * share.parts;
    const struct part part = {
        by_pixels ? (struct range){0, rows} : range_of(share, rows),
        by_pixels ? pixels_in(pixels, range_of(share, vectors)) : pixels,
    };
    return part;
}
