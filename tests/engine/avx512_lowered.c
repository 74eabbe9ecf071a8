// The sixteen-lane level for any processor: the compiler splits its vectors.
#include "levels/avx512.c"
