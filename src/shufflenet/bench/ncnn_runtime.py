"""ncnn, with the files of `shufflenet export --to ncnn`. Its quantizer is a program that its Python package lacks."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from shufflenet.bench.case import Case
from shufflenet.bench.runtime import Reduced, Run, UnavailableError
from shufflenet.exporters import ncnn


def prepare(case: Case) -> list[Run]:
    """See `runtime.Runtime`."""
    param, weights = ncnn.make(case.model)
    with TemporaryDirectory() as folder:
        files = Path(folder) / "network.param", Path(folder) / "network.bin"
        files[0].write_text(param, encoding="ascii")
        files[1].write_bytes(weights)
        net = ncnn.load(*files, case.threads)
    pictures = [ncnn.mat(picture) for picture in case.x]

    def run() -> NDArray[np.float32]:
        return np.stack([ncnn.forward(net, picture) for picture in pictures])  # ncnn runs one picture at a time

    return [run]


def prepare_int8(case: Case) -> list[Reduced]:
    """Always raises UnavailableError."""
    raise UnavailableError("no int8 by its Python package")
