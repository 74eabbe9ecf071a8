"""The tuned network as an ONNX file, for the runtimes that read one."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from shufflenet.bench.case import Case
from shufflenet.bench.graph import example

INPUT, OUTPUT = "x", "logits"


def write(network: nn.Module, case: Case, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The exporter by tracing: it needs no other package than onnx, and pooling stays a pooling layer.
        torch.onnx.export(
            network, (example(case),), path, dynamo=False, input_names=[INPUT], output_names=[OUTPUT], opset_version=17
        )
    return path
