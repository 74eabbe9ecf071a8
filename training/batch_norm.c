// Batch norm's affine maps, in double: little is lost where the mean's square is taken from the mean of squares.
#include "training.h"

#include <math.h>

void shufflenet_train_batch_norm_forward(const struct shufflenet_batch_norm_forward *s)
{
    const double unbiased = s->count > 1 ? s->count / (s->count - 1) : 1; // as PyTorch keeps it
    for (uint32_t c = 0; c < s->channels; c++) {
        const uint32_t row = s->order[c];
        const double mean = s->sums[2 * row] / s->count;
        const double variance = fmax(0, s->sums[2 * row + 1] / s->count - mean * mean);
        const double inverse = 1 / sqrt(variance + s->epsilon), scale = (double)s->weight[c] * inverse;
        s->mean[row] = mean;
        s->inverse[row] = inverse;
        s->scale[row] = (float)scale;
        s->offset[row] = (float)((double)s->bias[c] - mean * scale);
        const double whole_mean = mean + (s->shift ? (double)s->shift[c] : 0);
        s->running_mean[c] += (float)(s->momentum * (whole_mean - (double)s->running_mean[c]));
        s->running_var[c] += (float)(s->momentum * (variance * unbiased - (double)s->running_var[c]));
    }
}

void shufflenet_train_batch_norm_backward(const struct shufflenet_batch_norm_backward *s)
{
    for (uint32_t c = 0; c < s->channels; c++) {
        const uint32_t row = s->order[c];
        const double total = s->sums[2 * row], mean = s->mean[row], inverse = s->inverse[row];
        const double grad_weight = inverse * (s->sums[2 * row + 1] - mean * total);
        const double scale = (double)s->weight[c] * inverse, raw_scale = -scale * inverse * grad_weight / s->count;
        s->grad_scale[row] = (float)scale;
        s->raw_scale[row] = (float)raw_scale;
        s->constant[row] = (float)(-scale * total / s->count - raw_scale * mean);
        s->grad_weight[c] = (float)grad_weight;
        s->grad_bias[c] = (float)total;
    }
}
