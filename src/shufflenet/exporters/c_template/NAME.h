// Says what is on a picture. Made by `shufflenet export`; README.md shows how to build and use it.
#ifndef @GUARD@_H
#define @GUARD@_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define @GUARD@_CLASSES @CLASSES@
#define @GUARD@_HEIGHT @HEIGHT@ // of the network's input, in pixels
#define @GUARD@_WIDTH @WIDTH@

// The text of each class, in UTF-8.
extern const char *const @NAME@_labels[@GUARD@_CLASSES];

// rgb: height rows of width pixels of three bytes, red, green, blue; any size from 1 x 1 up. Fills
// probabilities[@GUARD@_CLASSES]; they add up to 1.
//
// Returns 0, or a number that @NAME@_message explains. All memory is static: only one call at a time. The first call
// also builds the network, which takes some milliseconds.
int @NAME@_classify(const uint8_t *rgb, int width, int height, float *probabilities);

// How sure the network is that its last picture is of its classes at all, 0 to 1. Below @GUARD@_UNKNOWN it shows none
// of these; where that is 0, the model was not calibrated to know.
#define @GUARD@_UNKNOWN @UNKNOWN@
float @NAME@_known(void);

// The network alone, for input that is preprocessed already: [3][@GUARD@_HEIGHT][@GUARD@_WIDTH], red, green, blue,
// each (value / 255 - mean) / std -> logits[@GUARD@_CLASSES]. Returns the same. Of red, green and blue, mean is
// @MEAN@ and std @STD@.
int @NAME@_run(const float *input, float *logits);

// One line in English.
const char *@NAME@_message(int status);

#ifdef __cplusplus
}
#endif

#endif
