// How sums become real numbers and bytes, as struct int8_output has it. Every operation is rounded by itself, so that all levels
// give the same bits: an addition may stand behind a product only where that comes from product_of.

// From -most to most.
ALWAYS_INLINE vector within(vector v, float most)
{
    return limited(v, most) - limited(-v, most);
}

// e^x for x from -30 to 30: 2^n times a polynomial of the rest, which is at most ln(2) / 2.
ALWAYS_INLINE vector exponential_of(vector x)
{
    const vector shifted = product_of(x, broadcast(1.44269504f)) + 12582912.0f; // 1.5 * 2^23, whose last bit is 1
    const words n = (words)shifted - 0x4b400000;
    const vector whole = shifted - 12582912.0f;
    // ln(2) in two parts
    const vector rest = x - product_of(whole, broadcast(0.693359375f)) + product_of(whole, broadcast(2.12194440e-4f));
    vector sum = broadcast(1.0f / 720);
    sum = product_of(sum, rest) + 1.0f / 120;
    sum = product_of(sum, rest) + 1.0f / 24;
    sum = product_of(sum, rest) + 1.0f / 6;
    sum = product_of(sum, rest) + 1.0f / 2;
    sum = product_of(sum, rest) + 1.0f;
    sum = product_of(sum, rest) + 1.0f;
    return product_of(sum, (vector)((n + 127) << 23));
}

ALWAYS_INLINE vector hard_sigmoid_of(vector v)
{
    return product_of(limited(v + 3.0f, 6), broadcast(1.0f / 6));
}

ALWAYS_INLINE vector activation_of(vector v, const enum plan_activation activation)
{
    switch (activation) {
    case PLAN_LINEAR:
    case PLAN_RELU6: // not in 8 bits: PLAN_INT8_ACTIVATIONS
    case PLAN_SILU:
    case PLAN_GELU:
        break;
    case PLAN_RELU:
        return keep(v, v > 0);
    case PLAN_SIGMOID:
        return 1.0f / (1.0f + exponential_of(within(-v, 30)));
    case PLAN_HARD_SIGMOID:
        return hard_sigmoid_of(v);
    case PLAN_HARD_SWISH:
        return product_of(v, hard_sigmoid_of(v));
    }
    return v;
}

// From what precedes the activation to what is rounded: bytes cut off what a ReLU does.
ALWAYS_INLINE vector finished(vector t, vector gain, vector zero, const enum plan_activation activation)
{
    if (activation == PLAN_LINEAR || activation == PLAN_RELU)
        return t;
    return product_of(activation_of(t, activation), gain) + zero;
}

// With a residual, of bytes. It is added to a whole number, so that a runtime that adds bytes has the same result, unless a function
// follows that takes real values.
ALWAYS_INLINE vector with_residual(vector t, words residual, vector factor, const enum plan_activation activation)
{
    const int real = activation != PLAN_LINEAR && activation != PLAN_RELU;
    return (real ? t : whole(t)) + product_of(float_of(residual), factor);
}

// A vector of pixels of one channel; added: bytes of another row, or NULL.
ALWAYS_INLINE words byte_of_sum(words sum, const struct int8_output *output, const words *added,
                                const enum plan_activation activation)
{
    vector t = product_of(float_of(sum), broadcast(output->factor));
    if (added)
        t = with_residual(t, *added, broadcast(output->residual_factor), activation);
    t += broadcast(output->offset);
    return rounded(finished(t, broadcast(output->gain), broadcast(output->zero), activation));
}

// Calls function(..., activation) with an activation that the compiler knows; one of a ReLU is as none.
#define WITH_ACTIVATION(activation, function, ...)                                                                     \
    switch ((enum plan_activation)(activation)) {                                                                      \
    case PLAN_RELU6:                                                                                                   \
    case PLAN_SILU:                                                                                                    \
    case PLAN_GELU:                                                                                                    \
        break;                                                                                                         \
    case PLAN_LINEAR:                                                                                                  \
    case PLAN_RELU:                                                                                                    \
        function(__VA_ARGS__, PLAN_LINEAR);                                                                            \
        break;                                                                                                         \
    case PLAN_SIGMOID:                                                                                                 \
        function(__VA_ARGS__, PLAN_SIGMOID);                                                                           \
        break;                                                                                                         \
    case PLAN_HARD_SIGMOID:                                                                                            \
        function(__VA_ARGS__, PLAN_HARD_SIGMOID);                                                                      \
        break;                                                                                                         \
    case PLAN_HARD_SWISH:                                                                                              \
        function(__VA_ARGS__, PLAN_HARD_SWISH);                                                                        \
        break;                                                                                                         \
    }
