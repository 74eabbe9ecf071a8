// The way into the arena: the caller's picture into padded planes, and zeros where a convolution looks over an edge.

static void input(const struct input *s, const float *picture, float *arena)
{
    const size_t stride = s->stride, width = s->width;
    for (size_t plane = 0; plane < s->channels * stride * stride; plane++) {
        const float *channel = picture + plane / (stride * stride) * s->height * width;
        const size_t row_phase = plane / stride % stride, column_phase = plane % stride;
        float *y = arena + s->out[plane];
        for (size_t i = 0; i < s->rows; i++, y += s->pitch) {
            // One more than the place in the picture, which padding would make -1.
            const size_t row = i * stride + row_phase;
            if (row < 1 || row > s->height) {
                memset(y, 0, sizeof(float) * s->pitch);
                continue;
            }
            const float *x = channel + (row - 1) * width;
            // The columns j with 1 <= j * stride + column_phase <= width are inside the picture.
            const size_t begin = column_phase == 0;
            const size_t end = (width - column_phase) / stride + 1;
            y[0] = 0;
            x += begin * stride + column_phase - 1;
            if (stride == 1)
                memcpy(y + begin, x, sizeof(float) * (end - begin));
            else
                for (size_t j = 0; j < end - begin; j++)
                    y[begin + j] = x[2 * j];
            memset(y + end, 0, sizeof(float) * (s->pitch - end));
        }
    }
}

static void zero(const struct zero *s, float *arena)
{
    for (size_t i = 0; i < s->count; i++)
        memset(arena + s->out[i], 0, sizeof(float) * s->length);
}
