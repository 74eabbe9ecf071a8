// Depthwise convolutions of both kernel sizes.

static void depthwise(const struct depthwise *s, const float *x, float *y, struct lines lines, struct share share)
{
    if (s->kernel_size == 5)
        depthwise_5x5(s, x, y, share);
    else
        depthwise_3x3(s, x, y, lines, share);
}
