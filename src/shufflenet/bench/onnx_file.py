"""A PyTorch network as an ONNX file, for the runtimes that read ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from shufflenet.bench.case import Case
from shufflenet.bench.graph import example

INPUT, OUTPUT = "x", "logits"


def write(network: nn.Module, case: Case, path: Path) -> Path:
    """Writes ``network``, traced on the case's input, to ``path``, and returns ``path``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # dynamo=False: the tracing exporter needs no package besides onnx, and keeps pooling a pooling layer.
        torch.onnx.export(
            network, (example(case),), path, dynamo=False, input_names=[INPUT], output_names=[OUTPUT], opset_version=17
        )
    return path
