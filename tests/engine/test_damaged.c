// Plans in which words were changed at random: test_damaged NAME..., each with a file NAME.plan. Each is refused, or run in
// memory of exactly the sizes that the engine asks for, so that a sanitizer sees a stray access. What lies behind the plan's
// arena may be read, but is never written.
#include "files.h"
#include "plan.h"
#include "team/pool.h"

#include <string.h>

enum { PLANS = 1000, MOST_CHANGES = 3, MOST_BYTES = 1 << 26, THREADS = 3 };

static uint64_t state = 1707;

static uint32_t random_below(uint32_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % limit;
}

static uint32_t changed(uint32_t word)
{
    const uint32_t bounds[] = {0, 1, 2, 1u << 31, UINT32_MAX};
    const uint32_t choice = random_below(10);
    if (choice < 5)
        return bounds[choice];
    return choice < 7 ? word + 1 - 2 * (choice == 6) : choice < 9 ? word ^ 1u << random_below(32) : word * 2;
}

// Changes words of the header, the blocks, the steps and the tables, each as often as the others.
static void damage(uint32_t *plan)
{
    const struct plan_header *header = (const struct plan_header *)plan;
    const size_t blocks = sizeof *header / sizeof(uint32_t);
    const size_t steps = blocks + header->block_count * sizeof(struct plan_weights) / sizeof(uint32_t);
    const size_t tables = steps + header->step_count * sizeof(struct plan_step) / sizeof(uint32_t);
    const size_t begins[] = {0, blocks, steps, tables, tables + header->table_count};
    for (uint32_t count = 1 + random_below(MOST_CHANGES); count; count--) {
        const uint32_t part = random_below(4);
        uint32_t *word = plan + begins[part] + random_below((uint32_t)(begins[part + 1] - begins[part]));
        *word = changed(*word);
        if ((const void *)word <= (const void *)(header + 1))
            return; // where the others lie is not known any more
    }
}

static void *filled(size_t bytes, int fill)
{
    return memset(aligned(bytes), fill, bytes);
}

// Alone, and by a team.
static int run(const shufflenet_network *network, const shufflenet_sizes *sizes, size_t arena_floats)
{
    float *input = filled(sizeof(float) * sizes->input_floats, 0),
          *output = filled(sizeof(float) * sizes->output_floats, 0);
    float *arena = filled(sizes->arena_bytes, 0xff);
    memset(arena, 0, sizeof(float) * arena_floats);
    int failures = shufflenet_run(network, arena, sizes->arena_bytes, input, 1, output) != SHUFFLENET_OK;
    const unsigned char *bytes = (const unsigned char *)arena;
    for (size_t i = sizeof(float) * arena_floats; i < sizes->arena_bytes; i++)
        failures |= bytes[i] != 0xff;
    free(arena);
    shufflenet_pool *pool = shufflenet_pool_create(THREADS);
    const size_t team_bytes = sizes->arena_bytes + THREADS * sizes->thread_bytes;
    arena = filled(team_bytes, 0);
    failures |= shufflenet_pool_run(pool, network, arena, team_bytes, input, 1, output) != SHUFFLENET_OK;
    free(arena);
    shufflenet_pool_destroy(pool);
    free(input);
    free(output);
    return failures;
}

int main(int count, char **names)
{
    int runs = 0, failures = 0;
    size_t levels = 0;
    while (shufflenet_isa(levels))
        levels++;
    for (int i = 1; i < count; i++) {
        size_t bytes;
        void *whole = read_file(names[i], ".plan", &bytes);
        for (int number = 0; number < PLANS; number++) {
            // Seldom the last one, which is slow.
            const size_t level = number % 50 ? random_below((uint32_t)levels - 1) : levels - 1;
            void *plan = filled(bytes, 0);
            memcpy(plan, whole, bytes);
            damage(plan);
            shufflenet_sizes sizes;
            const char *isa = shufflenet_isa(level);
            if (!shufflenet_measure(plan, bytes, isa, &sizes) && sizes.network_bytes < MOST_BYTES &&
                sizes.arena_bytes < MOST_BYTES && sizes.thread_bytes < MOST_BYTES && sizes.input_floats < MOST_BYTES) {
                void *memory = filled(sizes.network_bytes, 0xcc);
                const shufflenet_network *network = NULL;
                const size_t arena_floats = ((struct plan_header *)plan)->arena_words;
                int failed =
                    shufflenet_create(plan, bytes, isa, memory, sizes.network_bytes, &network) != SHUFFLENET_OK;
                failed = failed || run(network, &sizes, arena_floats);
                if (failed)
                    fprintf(stderr, "FAILED %s, %s: damaged plan %d\n", names[i], isa, number);
                failures += failed;
                runs++;
                free(memory);
            }
            free(plan);
        }
        free(whole);
    }
    printf("%d of %d damaged plans run, %d failures\n", runs, (count - 1) * PLANS, failures);
    return failures != 0;
}
