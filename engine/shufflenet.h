// The engine's whole interface: check a plan, create a network from it, run it.
//
// A plan is one block of bytes that src/shufflenet/engine/plan.py makes from a model file for one input size; plan.h
// describes it. The engine knows no file format, allocates no memory, starts no thread and has no global state:
// the caller gives the memory for the network (weights and tables, read-only once created) and for the arena
// (activations). One network may run in several threads at once, each with an arena of its own.
#ifndef SHUFFLENET_H
#define SHUFFLENET_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && !defined(SHUFFLENET_STATIC)
#define SHUFFLENET_API __attribute__((visibility("default")))
#else
#define SHUFFLENET_API
#endif

typedef enum shufflenet_status {
    SHUFFLENET_OK = 0,
    SHUFFLENET_BAD_PLAN = 1,      // not a plan, of another version, or its numbers contradict each other
    SHUFFLENET_UNKNOWN_ISA = 2,   // no kernels of that name, or this processor can't run them
    SHUFFLENET_SMALL_MEMORY = 3,  // less memory given than shufflenet_measure said, for all threads
    SHUFFLENET_BAD_ALIGNMENT = 4, // network or arena memory not on a multiple of SHUFFLENET_ALIGNMENT
} shufflenet_status;

#define SHUFFLENET_ALIGNMENT 64

// For shufflenet_measure: as much as any level needs, whether this processor can run it or not.
#define SHUFFLENET_WIDEST "widest"

typedef struct shufflenet_network shufflenet_network;

// A barrier: returns once every thread of the team has called it; writes before it are visible after it. How the threads wait is
// the caller's concern, whose threads they are.
typedef void shufflenet_barrier(void *team);

typedef struct shufflenet_sizes {
    size_t network_bytes;
    size_t arena_bytes;   // for shufflenet_run
    size_t thread_bytes;  // for shufflenet_run_shared, for each thread besides
    size_t input_floats;  // of one picture: channels * height * width
    size_t output_floats; // of one picture: classes
} shufflenet_sizes;

// The name of an instruction set level that this processor can run: number 0 is the best, and behind the last comes NULL.
SHUFFLENET_API const char *shufflenet_isa(size_t number);

// Checks the plan and says how much memory it needs. isa: a name of shufflenet_isa, NULL for the best, or SHUFFLENET_WIDEST.
SHUFFLENET_API shufflenet_status shufflenet_measure(const void *plan, size_t plan_bytes, const char *isa,
                                                    shufflenet_sizes *sizes);

// Builds the network in memory; neither the plan nor isa are needed afterwards.
SHUFFLENET_API shufflenet_status shufflenet_create(const void *plan, size_t plan_bytes, const char *isa, void *memory,
                                                   size_t memory_bytes, const shufflenet_network **network);

// input [batch, channels, height, width] -> output [batch, classes], both aligned as floats are. The arena's contents don't
// matter before or after.
SHUFFLENET_API shufflenet_status shufflenet_run(const shufflenet_network *network, void *arena, size_t arena_bytes,
                                                const float *input, size_t batch, float *output);

// shufflenet_run by a team of one or more threads, which share the work of each step: every one of them makes this call, with its
// number from 0 to threads - 1, a team that is handed to the barrier and nothing else, and all else equal. They call it after each
// step. The arena has arena_bytes and thread_bytes for each thread. The results are the same as by one thread, bit for bit.
SHUFFLENET_API shufflenet_status shufflenet_run_shared(const shufflenet_network *network, void *arena,
                                                       size_t arena_bytes, const float *input, size_t batch,
                                                       float *output, shufflenet_barrier *barrier, void *team,
                                                       uint32_t thread, uint32_t threads);

// shufflenet_run for one picture and only count of the plan's steps from first on, so that a profiler can take their
// times. All steps have to run in turn, on one arena that nothing else writes to meanwhile; behind the last are none.
SHUFFLENET_API shufflenet_status shufflenet_run_steps(const shufflenet_network *network, void *arena,
                                                      size_t arena_bytes, const float *input, float *output,
                                                      size_t first, size_t count);

// For measuring the peak of a core: nothing but multiply-adds in registers, rounds times some hundred instructions of the
// level isa. Returns how many multiply-adds that were; 0: no such level, or the plain reference.
SHUFFLENET_API size_t shufflenet_peak(const char *isa, size_t rounds);
SHUFFLENET_API size_t shufflenet_int8_peak(const char *isa, size_t rounds); // of 8-bit integers

// One line in English.
SHUFFLENET_API const char *shufflenet_message(shufflenet_status status);

#endif
