"""ncnn, converted from a TorchScript trace by pnnx, which finds the channel shuffle in its three steps."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import ncnn
import numpy as np
import pnnx
from numpy.typing import NDArray

from shufflenet.bench.graph import example, tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.bench.work import Work


def prepare(work: Work) -> list[Run]:
    (network,) = tuned_networks(work, ["transpose"])
    net = ncnn.Net()
    net.opt.num_threads = work.threads
    net.opt.openmp_blocktime = 0  # its threads must not spin when it is done: the next runtime needs the cores
    # Storage and arithmetic in 16 bits is another precision.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    with TemporaryDirectory() as folder:
        _convert(network, work, Path(folder))
        net.load_param(f"{folder}/network.ncnn.param")
        net.load_model(f"{folder}/network.ncnn.bin")
    pictures = [ncnn.Mat(picture) for picture in work.x]

    def run_one(picture: ncnn.Mat) -> NDArray[np.float32]:
        with net.create_extractor() as extractor:
            extractor.input("in0", picture)
            _, logits = extractor.extract("out0")
            return np.array(logits)

    def run() -> NDArray[np.float32]:
        return np.stack([run_one(picture) for picture in pictures])  # it knows no batches

    return [run]


def _convert(network: object, work: Work, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The files' names follow the first; some go to the working folder unless told otherwise.
        outputs = {
            name: str(folder / f"network.{suffix}")
            for name, suffix in (
                ("pnnxparam", "pnnx.param"), ("pnnxbin", "pnnx.bin"), ("pnnxpy", "pnnx.py"), ("pnnxonnx", "pnnx.onnx"),
                ("ncnnparam", "ncnn.param"), ("ncnnbin", "ncnn.bin"), ("ncnnpy", "ncnn.py"),
            )
        }  # fmt: skip
        pnnx.export(network, str(folder / "network.pt"), (example(work)[:1],), fp16=False, **outputs)
    if not (folder / "network.ncnn.bin").exists():
        raise RuntimeError("pnnx could not convert the network")
