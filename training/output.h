// The end of a unit: batch norm, the shortcut added, ReLU.

static void train_output_forward(const void *arguments, struct workspace space, struct share share)
{
    const struct shufflenet_output_forward *s = arguments;
    (void)space;
    const struct range channels = range_of(share, s->channels);
    for (size_t c = channels.begin; c < channels.end; c++)
        unit_output(s->raw + c * s->pitch, s->shortcut ? s->shortcut + c * s->pitch : NULL, s->scale[c], s->offset[c],
                    s->pixels, s->y + c * s->pitch);
}

static void train_output_backward(const void *arguments, struct workspace space, struct share share)
{
    const struct shufflenet_output_backward *s = arguments;
    (void)space;
    const struct range channels = range_of(share, s->channels);
    const vector zero = {0};
    for (size_t c = channels.begin; c < channels.end; c++)
        for (size_t begin = 0; begin < s->pixels; begin += CHUNK) {
            const size_t pixels = s->pixels - begin < CHUNK ? s->pixels - begin : CHUNK, at = c * s->pitch + begin;
            for (size_t p = 0; p < pixels; p += VECTOR_FLOATS)
                store(s->g + at + p, keep(load(s->grad_y + at + p), load(s->y + at + p) > zero));
            if (s->raw)
                add_sums(s->g + at, s->raw + at, pixels, s->sums + 2 * c);
        }
}
