// Threads wait for the next run and, in a team, for one another: awake for a moment, since most waits are short, then asleep, so
// that a thread that has lost its processor to another program gets that of a waiting one.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE // sched_getcpu
#endif
#include "pool.h"

#include "backoff.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SPINS_BETWEEN_LOOKS_AT_THE_CLOCK = 1024,
    // Nanoseconds from here on. Another thread of the pool may have been woken on this processor, and needs it.
    BEFORE_YIELD = 10000,
    // Between runs: more than Python takes from one call to the next, less than another program would notice.
    AWAKE_BETWEEN_RUNS = 200000,
    // Within a run: a sleeping processor can take half a millisecond to wake up, and then the others would sleep as well.
    AWAKE_IN_A_RUN = 1000000,
};

struct shufflenet_pool {
    pthread_mutex_t one_run;       // held by the caller whose run it is
    atomic_uint run;               // the number of the latest run
    atomic_uint working;           // workers that have not finished this run
    atomic_uint arrived, barriers; // how many threads wait at the barrier, and how many barriers all have passed
    atomic_uint asleep;            // threads that wait for a change of one of these numbers
    pthread_mutex_t falling_asleep;
    pthread_cond_t changed;
    struct backoff backoff;
    uint32_t threads, started;
    // The latest run, written before its number:
    shufflenet_pool_work *work;
    void *argument;
    int caller; // the processor that it began on
    int stop;
    struct worker {
        shufflenet_pool *pool;
        uint32_t number;
        pthread_t thread;
        int64_t work; // nanoseconds of processor time in the last run by the team, without waiting
    } workers[];      // by their numbers; 0 is the caller's
};

static int64_t nanoseconds(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

// Waits until the number is no longer what it was, the first awake nanoseconds without sleeping. Returns the processor time that
// took, in nanoseconds, or 0 if it was short.
static int64_t wait_for_change(shufflenet_pool *pool, atomic_uint *number, unsigned was, int64_t awake)
{
    int64_t began = 0, now = 0, waited = 0,
            yielding_from = 0; // the last by the thread's own clock, which is slow to read
    while (now <= began + awake) {
        for (uint32_t spins = 0; spins < SPINS_BETWEEN_LOOKS_AT_THE_CLOCK; spins++)
            if (atomic_load_explicit(number, memory_order_acquire) != was)
                return yielding_from ? waited + nanoseconds(CLOCK_THREAD_CPUTIME_ID) - yielding_from : now - began;
        now = nanoseconds(CLOCK_MONOTONIC);
        began = began ? began : now;
        if (now - began <= BEFORE_YIELD)
            continue;
        if (!yielding_from) {
            waited = now - began;
            yielding_from = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
        }
        sched_yield();
    }
    waited += nanoseconds(CLOCK_THREAD_CPUTIME_ID) - yielding_from;
    pthread_mutex_lock(&pool->falling_asleep);
    atomic_fetch_add(&pool->asleep, 1);
    while (atomic_load(number) == was)
        pthread_cond_wait(&pool->changed, &pool->falling_asleep);
    atomic_fetch_sub(&pool->asleep, 1);
    pthread_mutex_unlock(&pool->falling_asleep);
    return waited;
}

// Called after each change of a number. A thread that counts itself asleep after this look sees the change before it sleeps.
static void wake_all(shufflenet_pool *pool)
{
    if (!atomic_load(&pool->asleep))
        return;
    pthread_mutex_lock(&pool->falling_asleep); // until those that count themselves sleep
    pthread_mutex_unlock(&pool->falling_asleep);
    pthread_cond_broadcast(&pool->changed);
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
    const int all =
        sched_setaffinity(0, sizeof others, &others) == 0 && sched_getaffinity(0, sizeof others, &others) == 0;
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
    shufflenet_pool *pool = worker->pool;
    for (unsigned run = 0;;) {
        wait_for_change(pool, &pool->run, run, AWAKE_BETWEEN_RUNS);
        run = atomic_load(&pool->run);
        if (pool->stop)
            return NULL;
        if (pool->caller == this_processor())
            leave_processor(pool->caller, pool->threads);
        pool->work(pool->argument, worker->number, pool->threads);
        if (atomic_fetch_sub(&pool->working, 1) == 1)
            wake_all(pool);
    }
}

static void begin_run(shufflenet_pool *pool)
{
    atomic_fetch_add(&pool->run, 1);
    wake_all(pool);
}

shufflenet_pool *shufflenet_pool_create(uint32_t threads)
{
    if (threads < 1 || threads > 1024)
        return NULL;
    shufflenet_pool *pool = calloc(1, sizeof *pool + threads * sizeof(struct worker));
    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->one_run, NULL);
    pthread_mutex_init(&pool->falling_asleep, NULL);
    pthread_cond_init(&pool->changed, NULL);
    pool->threads = threads;
    for (uint32_t number = 1; number < threads; number++) {
        struct worker *worker = &pool->workers[number];
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

// Runs work in all threads; the caller holds one_run.
static void call(shufflenet_pool *pool, shufflenet_pool_work *work, void *argument)
{
    pool->work = work;
    pool->argument = argument;
    pool->caller = this_processor();
    atomic_store(&pool->working, pool->threads - 1);
    begin_run(pool);
    work(argument, 0, pool->threads);
    for (unsigned working; (working = atomic_load_explicit(&pool->working, memory_order_acquire));)
        wait_for_change(pool, &pool->working, working, AWAKE_IN_A_RUN);
}

void shufflenet_pool_call(shufflenet_pool *pool, shufflenet_pool_work *work, void *argument)
{
    pthread_mutex_lock(&pool->one_run);
    call(pool, work, argument);
    pthread_mutex_unlock(&pool->one_run);
}

struct run {
    shufflenet_pool *pool;
    const shufflenet_network *network;
    void *arena;
    size_t arena_bytes;
    const float *input;
    size_t batch;
    float *output;
    shufflenet_status status;
};

// What a thread of the team tells the barrier.
struct part {
    shufflenet_pool *pool;
    int64_t waited; // nanoseconds of its processor
};

// The last thread to arrive lets the others go.
static void barrier(void *team)
{
    struct part *part = team;
    shufflenet_pool *pool = part->pool;
    const unsigned passed = atomic_load_explicit(&pool->barriers, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 == pool->threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        atomic_store(&pool->barriers, passed + 1);
        wake_all(pool);
        return;
    }
    part->waited += wait_for_change(pool, &pool->barriers, passed, AWAKE_IN_A_RUN);
}

static void run_part(void *argument, uint32_t number, uint32_t parts)
{
    struct run *run = argument;
    struct part part = {run->pool, 0};
    const int64_t began = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    const shufflenet_status status = shufflenet_run_shared(run->network, run->arena, run->arena_bytes, run->input,
                                                           run->batch, run->output, barrier, &part, number, parts);
    run->pool->workers[number].work = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - began - part.waited;
    if (number == 0)
        run->status = status; // the same for all
}

static void run_by_team(struct run *run, int64_t now)
{
    shufflenet_pool *pool = run->pool;
    call(pool, run_part, run);
    int64_t work = 0;
    for (uint32_t number = 0; number < pool->threads; number++)
        work += pool->workers[number].work;
    judge_run(&pool->backoff, now, nanoseconds(CLOCK_MONOTONIC), work);
}

shufflenet_status shufflenet_pool_run(shufflenet_pool *pool, const shufflenet_network *network, void *arena,
                                      size_t arena_bytes, const float *input, size_t batch, float *output)
{
    // An error is found here, before the threads start: one that returned would leave the others at a barrier.
    const shufflenet_status check =
        shufflenet_run_shared(network, arena, arena_bytes, input, 0, output, barrier, NULL, 0, pool->threads);
    if (check || batch == 0)
        return check;
    struct run run = {pool, network, arena, arena_bytes, input, batch, output, SHUFFLENET_OK};
    pthread_mutex_lock(&pool->one_run);
    const int64_t now = nanoseconds(CLOCK_MONOTONIC);
    if (pool->threads == 1 || works_alone(&pool->backoff, now))
        run.status = shufflenet_run(network, arena, arena_bytes, input, batch, output);
    else
        run_by_team(&run, now);
    pthread_mutex_unlock(&pool->one_run);
    return run.status;
}

void shufflenet_pool_destroy(shufflenet_pool *pool)
{
    pool->stop = 1;
    begin_run(pool);
    for (uint32_t number = 1; number <= pool->started; number++)
        pthread_join(pool->workers[number].thread, NULL);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->falling_asleep);
    pthread_mutex_destroy(&pool->one_run);
    free(pool);
}
