// Prints what is on a picture: @NAME@ picture.ppm. An example of how to use @NAME@.h.
#include "@NAME@.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

// A number of a PPM's head, behind white space and comments; -1: there is none, or it is too large.
static int read_number(FILE *file)
{
    int c = getc(file);
    while (isspace(c) || c == '#') {
        if (c == '#')
            while (c != '\n' && c != EOF)
                c = getc(file);
        c = getc(file);
    }
    int number = -1;
    for (; isdigit(c); c = getc(file)) {
        if (number > 1000000)
            return -1;
        number = (number < 0 ? 0 : number) * 10 + (c - '0');
    }
    return isspace(c) ? number : -1; // the one white space behind a number belongs to it
}

// The pixels of an 8-bit binary PPM, to be freed; NULL: it isn't one, or is cut short.
static uint8_t *read_ppm(FILE *file, int *width, int *height)
{
    if (getc(file) != 'P' || getc(file) != '6')
        return NULL;
    *width = read_number(file);
    *height = read_number(file);
    if (read_number(file) != 255 || *width < 1 || *height < 1 || (size_t)*width > SIZE_MAX / 3 / (size_t)*height)
        return NULL;
    const size_t bytes = (size_t)*width * (size_t)*height * 3;
    uint8_t *rgb = malloc(bytes);
    if (rgb && fread(rgb, 1, bytes, file) == bytes)
        return rgb;
    free(rgb);
    return NULL;
}

static void print_best(const float *probabilities, int count)
{
    static unsigned char printed[@GUARD@_CLASSES];
    for (int rank = 0; rank < count && rank < @GUARD@_CLASSES; rank++) {
        int best = -1;
        for (int c = 0; c < @GUARD@_CLASSES; c++)
            if (!printed[c] && (best < 0 || probabilities[c] > probabilities[best]))
                best = c;
        printed[best] = 1;
        printf("%5.1f %%  %s\n", 100 * (double)probabilities[best], @NAME@_labels[best]);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s picture.ppm\n", argv[0]);
        return 2;
    }
    FILE *file = fopen(argv[1], "rb");
    if (!file) {
        perror(argv[1]);
        return 1;
    }
    int width, height;
    uint8_t *rgb = read_ppm(file, &width, &height);
    fclose(file);
    if (!rgb) {
        fprintf(stderr, "%s: not an 8-bit binary PPM, or cut short\n", argv[1]);
        return 1;
    }
    static float probabilities[@GUARD@_CLASSES];
    const int status = @NAME@_classify(rgb, width, height, probabilities);
    free(rgb);
    if (status) {
        fprintf(stderr, "%s: %s\n", argv[1], @NAME@_message(status));
        return 1;
    }
    if (@NAME@_known() < @GUARD@_UNKNOWN)
        printf("%5.1f %%  none of these\n", 100 * (1 - (double)@NAME@_known()));
    print_best(probabilities, 5);
    return 0;
}
