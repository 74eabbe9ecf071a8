// Each channel times a factor of its own, as squeeze-and-excitation needs it, and the shortcut added.

static void scale(const struct scale *s, float *arena, struct share share)
{
    const struct range channels = range_of(share, s->channels);
    const vector lower_bound = broadcast(s->lower_bound);
    for (size_t c = channels.begin; c < channels.end; c++) {
        const float *x = arena + s->in[c], *residual = s->residual ? arena + s->residual[c] : NULL;
        float *y = arena + s->out[c];
        const vector factor = broadcast(arena[*s->factors + c]);
        for (size_t p = 0; p < s->pixels; p += VECTOR_FLOATS) {
            vector sum = factor * load(x + p);
            if (residual)
                sum += load(residual + p);
            store(y + p, keep(vector_max(lower_bound, sum), first_lanes(s->pixels - p)));
        }
    }
}
