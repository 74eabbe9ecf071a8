// How a level's tables of tiles are spelled out. Such a table gives the widest tile for each number of outputs; the narrower ones
// serve the ends of lines.
enum { MAX_TILE_VECTORS = 8 };
#define UP_TO_1(T, mr) T(mr, 1)
#define UP_TO_2(T, mr) UP_TO_1(T, mr) T(mr, 2)
#define UP_TO_3(T, mr) UP_TO_2(T, mr) T(mr, 3)
#define UP_TO_4(T, mr) UP_TO_3(T, mr) T(mr, 4)
#define UP_TO_5(T, mr) UP_TO_4(T, mr) T(mr, 5)
#define UP_TO_6(T, mr) UP_TO_5(T, mr) T(mr, 6)
#define UP_TO_7(T, mr) UP_TO_6(T, mr) T(mr, 7)
#define UP_TO_8(T, mr) UP_TO_7(T, mr) T(mr, 8)
