// A thread of the pool leaves the processor of the caller, where the system may have woken it: there they would take turns,
// for up to ten milliseconds. Linux only; needs two processors.
#define _GNU_SOURCE
#include "pool.h"

#include <sched.h>
#include <stdio.h>

struct processors {
    cpu_set_t allowed;
    int caller, worker;
};

static void come_to_caller(void *argument, uint32_t part, uint32_t parts)
{
    (void)parts;
    const struct processors *processors = argument;
    cpu_set_t caller;
    CPU_ZERO(&caller);
    CPU_SET(processors->caller, &caller);
    if (part == 1) {
        sched_setaffinity(0, sizeof caller, &caller);
        sched_setaffinity(0, sizeof processors->allowed, &processors->allowed);
    }
}

static void say_where(void *argument, uint32_t part, uint32_t parts)
{
    (void)parts;
    struct processors *processors = argument;
    if (part == 1)
        processors->worker = sched_getcpu();
}

int main(void)
{
    enum { RUNS = 40 };
    struct processors processors;
    sched_getaffinity(0, sizeof processors.allowed, &processors.allowed);
    shufflenet_pool *pool = shufflenet_pool_create(2);
    int together = 0, runs = 0;
    for (int number = 0; runs < RUNS; number = (number + 1) % CPU_SETSIZE) {
        if (!CPU_ISSET(number, &processors.allowed))
            continue;
        cpu_set_t caller;
        CPU_ZERO(&caller);
        CPU_SET(number, &caller);
        sched_setaffinity(0, sizeof caller, &caller);
        processors.caller = number;
        shufflenet_pool_call(pool, come_to_caller, &processors);
        shufflenet_pool_call(pool, say_where, &processors);
        together += processors.worker == number;
        runs++;
    }
    shufflenet_pool_destroy(pool);
    printf("%d of %d runs on one processor\n", together, runs);
    return 0;
}
