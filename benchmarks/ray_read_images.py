"""Labels a folder of pictures as Ray Data's guide to image classification does, and prints pictures/s.

    python benchmarks/ray_read_images.py FOLDER MODEL.onnx

Pictures are read by `read_images`, transformed by torchvision row by row, and classified in batches by ONNX Runtime on
the file that `shufflenet export MODEL --to onnx` writes. The clock runs from the first batch of labels to the last:
starting Ray and its actors doesn't count.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import onnxruntime
import ray
from torchvision import transforms

from shufflenet.models import load_model
from shufflenet.pictures.preprocessing import Preprocessing

_BATCH = 32


class _Network:
    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        logits = self._session.run(None, {self._input: batch["x"]})[0]
        return {"path": batch["path"], "label": logits.argmax(axis=1)}


def main(folder: str, path: str, preprocessing: Preprocessing) -> None:
    transform = transforms.Compose(
        [
            transforms.ToTensor(),
            transforms.Resize(preprocessing.resize, antialias=True),
            transforms.CenterCrop(preprocessing.size),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )

    def row(row: dict[str, Any]) -> dict[str, Any]:
        return {"path": row["path"], "x": np.asarray(transform(row["image"]))}

    ray.init(log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    actors = max(1, int(ray.cluster_resources()["CPU"]) // 2)  # the other cores read and transform
    labels = (
        ray.data.read_images(folder, mode="RGB", include_paths=True)
        .map(row)
        .map_batches(
            _Network,
            fn_constructor_args=(path,),
            batch_size=_BATCH,
            compute=ray.data.ActorPoolStrategy(size=actors),
        )
    )
    times, counts = [], []
    for batch in labels.iter_batches(batch_size=None, prefetch_batches=0):
        times.append(time.perf_counter())
        counts.append(len(batch["label"]))
    print(json.dumps({"pictures": sum(counts), "pictures_per_s": sum(counts[1:]) / (times[-1] - times[0])}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], load_model("shufflenet_g3_x0_5").preprocessing)
