"""Plans in which a word was changed at random: refused, or run without touching memory that is not the plan's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine import Pool, _Network, isas


def run_or_refuse(plan: bytes, x: NDArray[np.float32]) -> tuple[int, int]:
    """How many were run, and how many refused."""
    random = np.random.default_rng(0)
    words = np.frombuffer(plan, dtype=np.uint32)
    not_weights = len(words) - int(words[4])
    pool, ran, refused = Pool(2), 0, 0
    for number in range(2000):
        changed = words.copy()
        place = random.integers(not_weights)
        word = int(words[place])
        changed[place] = random.choice(
            [0, 1, 2, 2**31, 2**32 - 1, (word + 1) % 2**32, word ^ (1 << int(random.integers(32)))]
        )
        try:
            # The plain kernels take their time.
            network = _Network(changed.tobytes(), isas()[0] if number % 50 else "reference", x.shape[1:], threads=2)
        except RuntimeError:
            refused += 1
            continue
        if network.sizes.input_floats <= x.size:
            network.run(x, pool if number % 2 else None)
            ran += 1
    return ran, refused
