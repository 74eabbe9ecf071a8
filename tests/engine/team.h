// A team of threads whose results the kernels' tests compare with one thread's.
#ifndef SHUFFLENET_TEST_TEAM_H
#define SHUFFLENET_TEST_TEAM_H

#include "shufflenet.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef __wasm__ // without threads
enum { TEAM = 1 };
#else
#include "team/pool.h"
enum { TEAM = 3 };
#endif

// Threads wait long for one another where processors are busy, so a team has one run in five, of every level.
static int is_teams_turn(void)
{
    static uint32_t runs;
    return TEAM > 1 && ++runs % 5 == 0;
}

static void check(shufflenet_status status, const char *what)
{
    if (status != SHUFFLENET_OK) {
        fprintf(stderr, "%s: %s\n", what, shufflenet_message(status));
        exit(1);
    }
}

static void run_team(const shufflenet_network *network, void *arena, size_t arena_bytes, const float *picture,
                     float *logits)
{
#ifdef __wasm__
    (void)network, (void)arena, (void)arena_bytes, (void)picture, (void)logits;
#else
    shufflenet_pool *pool = shufflenet_pool_create(TEAM);
    if (!pool) {
        fprintf(stderr, "no threads\n");
        exit(1);
    }
    check(shufflenet_pool_run(pool, network, arena, arena_bytes, picture, 1, logits), "team");
    shufflenet_pool_destroy(pool);
#endif
}

#endif
