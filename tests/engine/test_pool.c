// What the pool decides: where its threads run, on Linux with two processors, and when one of them works alone.
#define _GNU_SOURCE
#include "team/backoff.h"
#include "team/pool.h"

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

// A thread leaves the processor of the caller, where the system may have woken it: there they would take turns, for up to ten
// milliseconds.
static int leaves_the_caller(void)
{
    enum { RUNS = 40 };
    struct processors processors;
    sched_getaffinity(0, sizeof processors.allowed, &processors.allowed);
    shufflenet_pool *pool = shufflenet_pool_create(2);
    if (!pool) {
        fprintf(stderr, "no threads\n");
        return 0;
    }
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
    if (together > RUNS / 2) // a busy machine may move one back
        fprintf(stderr, "%d of %d runs were on one processor\n", together, RUNS);
    return together <= RUNS / 2;
}

// Runs of 10 nanoseconds that are 20 of work, and those of 100.
static int backs_off(void)
{
    struct backoff backoff = {0};
    int64_t now = 1000;
    int good = 1;
    for (int i = 0; i < 3; i++, now += 10)
        judge_run(&backoff, now, now + 10, 20);
    judge_run(&backoff, now, now + 100, 0); // the system has no clock of a thread's time
    good &= !works_alone(&backoff, now + 100);
    const int64_t factors[] = {1, 3, 7, 15, 31, MOST_BACKOFF, MOST_BACKOFF};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        judge_run(&backoff, now, now + 100, 20);
        now += 100;
        good &= works_alone(&backoff, now + 100 * factors[i] - 1) && !works_alone(&backoff, now + 100 * factors[i]);
        now += 100 * factors[i];
    }
    int team = 0, alone = 0; // until the team is back
    for (; team < 100; team++) {
        judge_run(&backoff, now, now + 10, 20);
        now += 10;
        if (!works_alone(&backoff, now))
            break;
        for (; works_alone(&backoff, now); now += 20)
            alone++;
    }
    good &= team > 1 && team < 20 && alone < 100;
    if (!good)
        fprintf(stderr, "%d runs by the team and %d alone until it is back\n", team, alone);
    return good;
}

int main(void)
{
    const int good = backs_off() & leaves_the_caller();
    printf("%s\n", good ? "good" : "FAILED");
    return !good;
}
