// Threads that wait for the next run: awake for a moment, since pictures often follow one another, then asleep.
#include "pool.h"

#include <pthread.h>
#include <stdlib.h>

enum { SPINS_BEFORE_SLEEP = 100000 }; // some tenths of a millisecond

struct shufflenet_pool {
    pthread_mutex_t one_run;   // held by the caller whose run it is
    pthread_mutex_t new_run;   // guards the waiting for a change of run
    pthread_cond_t run_changed;
    atomic_uint run;           // counts them
    shufflenet_team team;
    uint32_t threads, started;
    // Of this run, written before it is counted:
    const shufflenet_network *network;
    void *arena;
    size_t arena_bytes;
    const float *input;
    size_t batch;
    float *output;
    int stop;
    struct worker {
        shufflenet_pool *pool;
        uint32_t number;
        pthread_t thread;
    } workers[];
};

static unsigned next_run(shufflenet_pool *pool, unsigned last)
{
    for (uint32_t spins = 0; spins < SPINS_BEFORE_SLEEP; spins++) {
        const unsigned run = atomic_load_explicit(&pool->run, memory_order_acquire);
        if (run != last)
            return run;
    }
    pthread_mutex_lock(&pool->new_run);
    while (atomic_load(&pool->run) == last)
        pthread_cond_wait(&pool->run_changed, &pool->new_run);
    pthread_mutex_unlock(&pool->new_run);
    return atomic_load(&pool->run);
}

static shufflenet_status run_part(shufflenet_pool *pool, uint32_t number)
{
    return shufflenet_run_shared(pool->network, pool->arena, pool->arena_bytes, pool->input, pool->batch, pool->output,
                                 &pool->team, number, pool->threads);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (unsigned run = 0;;) {
        run = next_run(worker->pool, run);
        if (worker->pool->stop)
            return NULL;
        run_part(worker->pool, worker->number); // its status is the caller's too
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

shufflenet_status shufflenet_pool_run(shufflenet_pool *pool, const shufflenet_network *network, void *arena,
                                      size_t arena_bytes, const float *input, size_t batch, float *output)
{
    // Refused here or by nobody: the threads would return without having met. Likewise with no picture.
    const shufflenet_status check = shufflenet_run(network, arena, arena_bytes, input, 0, output);
    if (check || batch == 0)
        return check;
    pthread_mutex_lock(&pool->one_run);
    pool->network = network;
    pool->arena = arena;
    pool->arena_bytes = arena_bytes;
    pool->input = input;
    pool->batch = batch;
    pool->output = output;
    begin_run(pool);
    const shufflenet_status status = run_part(pool, 0);
    pthread_mutex_unlock(&pool->one_run);
    return status;
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
