// When a team of threads is worth it. If other programs want the processors, threads are taken from them by turns, and the rest
// of the team waits. Where a run took longer than one thread would have, one thread works alone for some time; for longer and
// longer, since each attempt costs time as well.
#ifndef SHUFFLENET_BACKOFF_H
#define SHUFFLENET_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t alone_until; // nanoseconds, as the clock has them
    int64_t factor;      // of the last attempt's time
};

enum { MOST_BACKOFF = 32 };

static inline int works_alone(const struct backoff *backoff, int64_t now)
{
    return now < backoff->alone_until;
}

// Behind a run by the team. work: of its threads all together, 0 if the system can't tell.
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
