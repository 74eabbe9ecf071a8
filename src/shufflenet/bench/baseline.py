"""The baseline for a folder of pictures: Pillow, numpy, ONNX Runtime and a pool of threads.

Run as a program it prints a label per picture; `folder` measures its peak memory beside `shufflenet predict`'s:

    python -m shufflenet.bench.baseline network.onnx labels.txt PICTURE...
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from shufflenet.threads import usable_cores

_SIZE, _RESIZE = 224, 256
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class BaselineClassifier:
    """Classifies pictures by an ONNX file, a picture per thread.

    Args:
        network: ONNX file with one input, float32 [1, 3, 224, 224].
        labels: names of the classes, in the order of the logits.
        threads: pictures that are classified at once.
    """

    def __init__(self, network: Path, labels: Sequence[str], threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = 1  # the pool's threads each run the network on a picture of their own
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._labels = labels
        self._pool = ThreadPoolExecutor(threads)

    def classify(self, paths: Sequence[str]) -> list[str]:
        """The most probable label of each picture."""
        return list(self._pool.map(self._label, paths))

    def _label(self, path: str) -> str:
        (logits,) = self._session.run(None, {self._input: _preprocess(path)})
        return self._labels[int(logits[0].argmax())]


def _preprocess(path: str) -> NDArray[np.float32]:
    """Network input [1, 3, 224, 224]: the shorter side resized to 256, the centre cropped, pixels normalised."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    scale = _RESIZE / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)
    left, top = (picture.width - _SIZE) // 2, (picture.height - _SIZE) // 2
    picture = picture.crop((left, top, left + _SIZE, top + _SIZE))
    pixels = (np.asarray(picture, dtype=np.float32) / 255 - _MEAN) / _STD
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


if __name__ == "__main__":
    network, labels, *pictures = sys.argv[1:]
    names = Path(labels).read_text(encoding="utf-8").splitlines()
    found = BaselineClassifier(Path(network), names, usable_cores()).classify(pictures)
    for picture, label in zip(pictures, found, strict=True):
        print(picture, label)
