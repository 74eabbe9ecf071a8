import numpy as np
from numpy.typing import NDArray

def run(
    pool: int | None,
    network: int,
    arena: int,
    arena_bytes: int,
    x: NDArray[np.float32],
    logits: NDArray[np.float32],
    /,
) -> None:
    """shufflenet_run, or shufflenet_pool_run if there is a ``pool``, without the GIL; the integers are addresses.

    Args:
        x: [N, C, H, W], as the network's plan says, without gaps.
        logits: [N, classes], without gaps, to be written.

    Raises:
        ValueError: ``x`` and ``logits`` differ in N.
        RuntimeError: the arena is too small, or misaligned.
    """
