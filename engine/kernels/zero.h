// Zeros around planes, which the windows of a depthwise convolution of stride 1 see there.

static void zero(const struct zero *s, float *arena, struct share share)
{
    const struct range rows = range_of(share, s->count);
    for (size_t i = rows.begin; i < rows.end; i++)
        memset(arena + s->out[i], 0, sizeof(float) * s->length);
}
