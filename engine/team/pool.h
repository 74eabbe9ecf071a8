// A pool of threads for shufflenet_run_shared, for systems with POSIX threads. The engine does without it.
#ifndef SHUFFLENET_POOL_H
#define SHUFFLENET_POOL_H

#include "../shufflenet.h"

typedef struct shufflenet_pool shufflenet_pool;

// Starts threads - 1 threads; the caller of shufflenet_pool_run is one more. NULL: the system has no memory or threads.
SHUFFLENET_API shufflenet_pool *shufflenet_pool_create(uint32_t threads);

// Runs shufflenet_run_shared in all threads of the pool, with as much memory as that takes; while other programs keep the
// processors busy, shufflenet_run in the caller alone (backoff.h). Calls from several threads wait for one another.
SHUFFLENET_API shufflenet_status shufflenet_pool_run(shufflenet_pool *pool, const shufflenet_network *network,
                                                     void *arena, size_t arena_bytes, const float *input, size_t batch,
                                                     float *output);

// Calls work(argument, part, parts) in all threads of the pool, each with its part, numbered from 0. Calls wait as above.
typedef void shufflenet_pool_work(void *argument, uint32_t part, uint32_t parts);
SHUFFLENET_API void shufflenet_pool_call(shufflenet_pool *pool, shufflenet_pool_work *work, void *argument);
SHUFFLENET_API uint32_t shufflenet_pool_threads(const shufflenet_pool *pool);

// Ends the threads. No call may be under way.
SHUFFLENET_API void shufflenet_pool_destroy(shufflenet_pool *pool);

#endif
