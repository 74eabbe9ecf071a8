// Plans for the engine: each is refused, or runs on this processor's levels, alone and by a team, in memory of exactly the sizes
// that the engine asks for, so that a sanitizer sees a stray access. What lies behind the plan's arena may be read, but is never
// written. A file is a plan as the planner wrote it, whose logits depend on no word that the arena held before; or a damaged
// one, which may read such words, and a byte behind it that chooses one level, and whether a team runs it.
#include "plan.h"
#include "fuzz.h"
#include "shufflenet.h"
#include "team/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Arenas and networks of so many bytes and as many times the plan's are run: larger ones take more time than they show.
enum { MOST_BYTES = 1 << 17, MOST_TIMES = 4, MOST_CHANGES = 3, MOST_THREADS = 4, MOST_LEVELS = 8 };

// What each byte of the arena's words is before a run: then floats are 0, large, or not numbers, of which a ReLU may make 0.
enum { FILLS = 3 };
static const int fills[FILLS] = {0, 0x5a, 0xff};

static size_t runs, level_count;
static const char
    *levels[MOST_LEVELS]; // of this processor, best first; asking it takes longer than running a small plan

static void report(void)
{
    printf("%zu plans were run\n", runs);
}

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "FAILED: %s\n", what);
        abort();
    }
}

static void *filled(size_t bytes, int fill)
{
    const size_t rounded = (bytes + SHUFFLENET_ALIGNMENT - 1) / SHUFFLENET_ALIGNMENT * SHUFFLENET_ALIGNMENT;
    return memset(aligned_alloc(SHUFFLENET_ALIGNMENT, rounded), fill, rounded);
}

static void run_alone(const shufflenet_network *network, const shufflenet_sizes *sizes, size_t arena_words, int fill,
                      const float *input, float *output)
{
    unsigned char *arena = filled(sizes->arena_bytes, 0xff);
    memset(arena, fill, sizeof(float) * arena_words);
    require(!shufflenet_run(network, arena, sizes->arena_bytes, input, 1, output), "run");
    for (size_t i = sizeof(float) * arena_words; i < sizes->arena_bytes; i++)
        require(arena[i] == 0xff, "a byte behind the arena was written");
    free(arena);
}

static void run_by_team(const shufflenet_network *network, const shufflenet_sizes *sizes, uint32_t threads, int fill,
                        const float *input, float *output)
{
    static shufflenet_pool *pools[1 + MOST_THREADS];
    if (!pools[threads])
        pools[threads] = shufflenet_pool_create(threads);
    const size_t bytes = sizes->arena_bytes + threads * sizes->thread_bytes;
    void *arena = filled(bytes, fill);
    require(!shufflenet_pool_run(pools[threads], network, arena, bytes, input, 1, output), "run by a team");
    free(arena);
}

// Runs a plan; if it is not damaged, with whatever the arena holds.
static void run(const void *plan, size_t bytes, const char *isa, uint32_t threads, int damaged)
{
    const size_t most = MOST_BYTES + MOST_TIMES * bytes;
    shufflenet_sizes sizes;
    // Of any level first: then most plans that are refused need no look at the processor.
    if (shufflenet_measure(plan, bytes, SHUFFLENET_WIDEST, &sizes) || shufflenet_measure(plan, bytes, isa, &sizes) ||
        sizes.network_bytes > most || sizes.arena_bytes > most || sizes.thread_bytes > most ||
        sizes.input_floats > most / sizeof(float))
        return;
    void *memory = filled(sizes.network_bytes, 0xcc);
    const shufflenet_network *network = NULL;
    require(!shufflenet_create(plan, bytes, isa, memory, sizes.network_bytes, &network), "create what was measured");
    const size_t output_bytes = sizeof(float) * sizes.output_floats;
    float *input = filled(sizeof(float) * sizes.input_floats, 0), *outputs[FILLS];
    const int times = damaged ? 1 : FILLS;
    for (int i = 0; i < times; i++) {
        outputs[i] = filled(output_bytes, fills[i]);
        if (threads > 1)
            run_by_team(network, &sizes, threads, fills[i], input, outputs[i]);
        else
            run_alone(network, &sizes, ((const struct plan_header *)plan)->arena_words, fills[i], input, outputs[i]);
        require(!memcmp(outputs[0], outputs[i], output_bytes), "a word was read that nobody had written");
    }
    for (int i = 0; i < times; i++)
        free(outputs[i]);
    free(input);
    free(memory);
    runs++;
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    while (level_count < MOST_LEVELS && (levels[level_count] = shufflenet_isa(level_count)))
        level_count++;
    return atexit(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t bytes = size - size % sizeof(uint32_t), chosen = size % sizeof(uint32_t) ? data[bytes] : 0;
    void *plan = malloc(bytes);
    memcpy(plan, data, bytes);
    if (size % sizeof(uint32_t)) {
        // Seldom the reference, the last level, which is slow; a team half of the time, of one or more.
        const size_t others = level_count - 1, level = chosen % 8 ? chosen % others : others, team = chosen / 8 % 8;
        run(plan, bytes, levels[level], team < MOST_THREADS ? 1 + (uint32_t)team : 1, 1);
    } else {
        for (size_t level = 0; level < level_count; level++)
            for (uint32_t threads = 1; threads < MOST_THREADS; threads += 2)
                run(plan, bytes, levels[level], threads, 0);
    }
    free(plan);
    return 0;
}

static uint32_t changed(uint64_t *random, uint32_t word)
{
    const uint32_t bounds[] = {0, 1, 2, 1u << 31, UINT32_MAX};
    const uint32_t choice = random_below(random, 10);
    if (choice < 5)
        return bounds[choice];
    return choice < 7 ? word + 1 - 2 * (choice == 6) : choice < 9 ? word ^ 1u << random_below(random, 32) : word * 2;
}

// Changes words of the header, the blocks, the steps, the tables and the weights, each as often as the others. Returns 0 if data
// doesn't look like a plan.
static int damage(uint64_t *random, uint32_t *plan, size_t words)
{
    const struct plan_header *header = (const struct plan_header *)plan;
    if (words * sizeof *plan < sizeof *header)
        return 0;
    const size_t blocks = sizeof *header / sizeof *plan;
    const size_t steps = blocks + (size_t)header->block_count * sizeof(struct plan_weights) / sizeof *plan;
    const size_t tables = steps + (size_t)header->step_count * sizeof(struct plan_step) / sizeof *plan;
    const size_t begins[] = {0, blocks, steps, tables, tables + header->table_count, words};
    for (uint32_t count = 1 + random_below(random, MOST_CHANGES); count; count--) {
        const uint32_t part = random_below(random, 5);
        if (begins[part] >= begins[part + 1] || begins[part + 1] > words)
            continue; // it has none of these, or says that it has more than there are
        const uint32_t size = (uint32_t)(begins[part + 1] - begins[part]);
        uint32_t *word = plan + begins[part] + random_below(random, size);
        // Half of the time it becomes what another word is, which is more often possible.
        *word = random_below(random, 2) ? plan[begins[part] + random_below(random, size)] : changed(random, *word);
        if (part == 0)
            break; // where the others lie is not known any more
    }
    return 1;
}

// What the fuzzer makes of a plan is damaged, which the byte behind it says.
static size_t changed_by_fuzzer(uint8_t *data, size_t size, size_t most)
{
    const size_t bytes = LLVMFuzzerMutate(data, size, most);
    if (bytes % sizeof(uint32_t) || !bytes)
        return bytes;
    if (bytes == most)
        return bytes - 1;
    data[bytes] = 0;
    return bytes + 1;
}

// Damages a plan, three times out of four so that the engine still takes it, as far as some tries find such damage; and chooses
// a level and a team. Seldom leaves all to the fuzzer.
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    enum { TRIES = 16 };
    uint64_t random = seed;
    const size_t bytes = size - size % sizeof(uint32_t);
    if (random_below(&random, 20) == 0 || bytes >= most)
        return changed_by_fuzzer(data, size, most);
    const int to_be_taken = random_below(&random, 4) != 0;
    uint32_t *plan = malloc(bytes);
    int taken = 0;
    for (int i = 0; i < TRIES && !taken; i++) {
        shufflenet_sizes sizes;
        memcpy(plan, data, bytes);
        if (!damage(&random, plan, bytes / sizeof *plan)) {
            free(plan);
            return changed_by_fuzzer(data, size, most);
        }
        taken = !to_be_taken || !shufflenet_measure(plan, bytes, SHUFFLENET_WIDEST, &sizes);
    }
    memcpy(data, plan, bytes);
    free(plan);
    data[bytes] = (uint8_t)random_below(&random, 256);
    return bytes + 1;
}
