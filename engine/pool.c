// Threads that wait for the next run: awake for a moment, since pictures often follow one another, then asleep.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE // sched_getcpu
#endif
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// A fifth of a millisecond: more than Python takes from one call to the next, less than another program would notice.
enum { AWAKE_NANOSECONDS = 200000, SPINS_BETWEEN_LOOKS_AT_THE_CLOCK = 1024, SPINS_BEFORE_YIELD = 100000 };

struct shufflenet_pool {
    pthread_mutex_t one_run;   // held by the caller whose run it is
    pthread_mutex_t new_run;   // guards the waiting for a change of run
    pthread_cond_t run_changed;
    atomic_uint run;           // counts them
    atomic_uint working;       // workers that have not ended this run
    uint32_t threads, started;
    // Of this run, written before it is counted:
    shufflenet_pool_work *work;
    void *argument;
    int caller; // the processor that it began on
    int stop;
    struct worker {
        shufflenet_pool *pool;
        uint32_t number;
        pthread_t thread;
    } workers[];
};

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static unsigned next_run(shufflenet_pool *pool, unsigned last)
{
    const int64_t asleep_from = nanoseconds() + AWAKE_NANOSECONDS;
    do {
        for (uint32_t spins = 0; spins < SPINS_BETWEEN_LOOKS_AT_THE_CLOCK; spins++) {
            const unsigned run = atomic_load_explicit(&pool->run, memory_order_acquire);
            if (run != last)
                return run;
        }
    } while (nanoseconds() < asleep_from);
    pthread_mutex_lock(&pool->new_run);
    while (atomic_load(&pool->run) == last)
        pthread_cond_wait(&pool->run_changed, &pool->new_run);
    pthread_mutex_unlock(&pool->new_run);
    return atomic_load(&pool->run);
}

#ifdef __linux__
static int this_processor(void)
{
    return sched_getcpu();
}

// A thread may wake up on the processor where the caller is waiting for it. Until the system moved one of them they would
// take turns, for up to ten milliseconds. What the thread is allowed stays the same: a mask of all processors follows the
// system's limits if they change later, the user's own does not.
static void leave_processor(int processor, uint32_t threads)
{
    cpu_set_t allowed;
    if (processor < 0 || processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    if (!CPU_ISSET(processor, &allowed) || (uint32_t)CPU_COUNT(&allowed) < threads)
        return;
    cpu_set_t others = allowed;
    CPU_CLR(processor, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others))
        return;
    memset(&others, 0xff, sizeof others);
    const int all = sched_setaffinity(0, sizeof others, &others) == 0 && sched_getaffinity(0, sizeof others, &others) == 0;
    if (!all || !CPU_EQUAL(&others, &allowed))
        sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
static int this_processor(void)
{
    return -1;
}

static void leave_processor(int processor, uint32_t threads)
{
    (void)processor;
    (void)threads;
}
#endif

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (unsigned run = 0;;) {
        run = next_run(worker->pool, run);
        if (worker->pool->stop)
            return NULL;
        if (worker->pool->caller == this_processor())
            leave_processor(worker->pool->caller, worker->pool->threads);
        worker->pool->work(worker->pool->argument, worker->number, worker->pool->threads);
        atomic_fetch_sub_explicit(&worker->pool->working, 1, memory_order_release);
    }
}

static void begin_run(shufflenet_pool *pool)
{
    pthread_mutex_lock(&pool->new_run);
    atomic_fetch_add(&pool->run, 1);
    pthread_cond_broadcast(&pool->run_changed);
    pthread_mutex_unlock(&pool->new_run);
}

shufflenet_pool *shufflenet_pool_create(uint32_t threads)
{
    if (threads < 1 || threads > 1024)
        return NULL;
    shufflenet_pool *pool = calloc(1, sizeof *pool + threads * sizeof(struct worker));
    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->one_run, NULL);
    pthread_mutex_init(&pool->new_run, NULL);
    pthread_cond_init(&pool->run_changed, NULL);
    pool->threads = threads;
    for (uint32_t number = 1; number < threads; number++) {
        struct worker *worker = &pool->workers[pool->started];
        *worker = (struct worker){.pool = pool, .number = number};
        if (pthread_create(&worker->thread, NULL, work, worker)) {
            shufflenet_pool_destroy(pool);
            return NULL;
        }
        pool->started++;
    }
    return pool;
}

uint32_t shufflenet_pool_threads(const shufflenet_pool *pool)
{
    return pool->threads;
}

void shufflenet_pool_call(shufflenet_pool *pool, shufflenet_pool_work *work, void *argument)
{
    pthread_mutex_lock(&pool->one_run);
    pool->work = work;
    pool->argument = argument;
    pool->caller = this_processor();
    atomic_store(&pool->working, pool->threads - 1);
    begin_run(pool);
    work(argument, 0, pool->threads);
    for (uint32_t spins = 0; atomic_load_explicit(&pool->working, memory_order_acquire); spins++)
        if (spins > SPINS_BEFORE_YIELD)
            sched_yield();
    pthread_mutex_unlock(&pool->one_run);
}

struct run {
    const shufflenet_network *network;
    void *arena;
    size_t arena_bytes;
    const float *input;
    size_t batch;
    float *output;
    shufflenet_team team;
    shufflenet_status status;
};

static void run_part(void *argument, uint32_t part, uint32_t parts)
{
    struct run *run = argument;
    const shufflenet_status status = shufflenet_run_shared(run->network, run->arena, run->arena_bytes, run->input,
                                                           run->batch, run->output, &run->team, part, parts);
    if (part == 0)
        run->status = status; // every part's
}

shufflenet_status shufflenet_pool_run(shufflenet_pool *pool, const shufflenet_network *network, void *arena,
                                      size_t arena_bytes, const float *input, size_t batch, float *output)
{
    // Refused here or by nobody: the threads would return without having met. Likewise with no picture.
    struct run run = {network, arena, arena_bytes, input, batch, output, {0}, SHUFFLENET_OK};
    const shufflenet_status check =
        shufflenet_run_shared(network, arena, arena_bytes, input, 0, output, &run.team, 0, pool->threads);
    if (check || batch == 0)
        return check;
    shufflenet_pool_call(pool, run_part, &run);
    return run.status;
}

void shufflenet_pool_destroy(shufflenet_pool *pool)
{
    pool->stop = 1;
    begin_run(pool);
    for (uint32_t i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->run_changed);
    pthread_mutex_destroy(&pool->new_run);
    pthread_mutex_destroy(&pool->one_run);
    free(pool);
}
