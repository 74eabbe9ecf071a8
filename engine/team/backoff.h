// Decides when a team of threads is worth it. If other programs want the processors, threads lose them by turns, and the rest of
// the team waits. After a run that took longer than one thread would have, one thread works alone for some time, which doubles
// with each such run, since each attempt costs time as well. Two busy programs beside a team of two on two processors: 4.2 ms a
// picture, and 82 without this.
#ifndef SHUFFLENET_BACKOFF_H
#define SHUFFLENET_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t alone_until; // a time of the clock in nanoseconds
    int64_t factor;      // how many times as long as the last attempt one thread works alone
};

enum { MOST_BACKOFF = 32 };

static inline int works_alone(const struct backoff *backoff, int64_t now)
{
    return now < backoff->alone_until;
}

// Called after a run by the team. work: the processor time of all its threads in nanoseconds, 0 if the system can't tell.
static inline void judge_run(struct backoff *backoff, int64_t began, int64_t now, int64_t work)
{
    const int64_t time = now - began, more = 2 * backoff->factor + 1;
    if (work > 0 && time > work)
        backoff->factor = more < MOST_BACKOFF ? more : MOST_BACKOFF;
    else
        backoff->factor -= (backoff->factor + 3) / 4;
    backoff->alone_until = now + backoff->factor * time;
}

#endif
