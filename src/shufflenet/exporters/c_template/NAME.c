// The network in static memory, and the way from a picture to probabilities.
#include "@NAME@_parts.h"

#include "engine/shufflenet.h"

#include <math.h>

// What the widest instruction set level needs. The engine checks that it is enough.
enum { NETWORK_BYTES = @NETWORK_BYTES@, ARENA_BYTES = @ARENA_BYTES@ };

enum { NO_PICTURE = -1, LARGE_PICTURE = -2 };

static _Alignas(SHUFFLENET_ALIGNMENT) unsigned char network_memory[NETWORK_BYTES];
static _Alignas(SHUFFLENET_ALIGNMENT) unsigned char arena[ARENA_BYTES];
static const shufflenet_network *network; // NULL until the first call

int @NAME@_run(const float *input, float *logits)
{
    if (!network) {
        const shufflenet_network *built;
        const shufflenet_status status =
            shufflenet_create(@NAME@_plan, @NAME@_plan_bytes, NULL, network_memory, sizeof network_memory, &built);
        if (status != SHUFFLENET_OK)
            return status;
        network = built;
    }
    return shufflenet_run(network, arena, sizeof arena, input, 1, logits);
}

static float known = 1;

float @NAME@_known(void)
{
    return known;
}

// Logits become probabilities; 1 / (1 + 1 / sum of exponentials) is how sure the network is of all its classes.
static void softmax(float *values)
{
    float largest = values[0];
    for (int c = 1; c < @GUARD@_CLASSES; c++)
        largest = values[c] > largest ? values[c] : largest;
    double sum = 0;
    for (int c = 0; c < @GUARD@_CLASSES; c++)
        sum += exp((double)values[c] - largest);
    for (int c = 0; c < @GUARD@_CLASSES; c++)
        values[c] = (float)(exp((double)values[c] - largest) / sum);
    known = (float)(@GUARD@_UNKNOWN > 0 ? 1 / (1 + exp(-(double)largest) / sum) : 1 / sum);
}

int @NAME@_classify(const uint8_t *rgb, int width, int height, float *probabilities)
{
    static float input[INPUT_FLOATS];
    if (!rgb || width < 1 || height < 1)
        return NO_PICTURE;
    if (!@NAME@_preprocess(rgb, width, height, input))
        return LARGE_PICTURE;
    const int status = @NAME@_run(input, probabilities);
    if (status == 0)
        softmax(probabilities);
    return status;
}

const char *@NAME@_message(int status)
{
    if (status == NO_PICTURE)
        return "a picture without pixels";
    if (status == LARGE_PICTURE)
        return "a picture of more than 3,000 pixels a side for one of the network's input";
    return shufflenet_message((shufflenet_status)status);
}
