"""A PyTorch network as an ONNX file, for the runtimes that read ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from shufflenet.bench.case import Case
from shufflenet.bench.graph import example
from shufflenet.exporters import onnx

INPUT, OUTPUT = "x", "logits"


def original(case: Case) -> Path | None:
    """The ONNX file that the case's model comes from, if it takes the case's input."""
    if case.file is None:
        return None
    from onnx import load

    network = load(case.file, load_external_data=False)
    shape = network.graph.input[0].type.tensor_type.shape.dim
    fits = all(dim.dim_param or dim.dim_value == pixels for dim, pixels in zip(shape, case.x.shape, strict=True))
    return case.file if fits else None


def exported_int8(case: Case, path: Path, adds_bytes: bool = True) -> Path:
    """Writes the case's model in 8 bits to ``path`` as `shufflenet export` does, and returns ``path``."""
    proto = onnx.make(case.quantized, case.name, (case.height, case.width), adds_bytes=adds_bytes)
    path.write_bytes(proto.SerializeToString())
    return path


def write(network: nn.Module, case: Case, path: Path) -> Path:
    """Writes ``network``, traced on the case's input, to ``path``, and returns ``path``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # dynamo=False: the tracing exporter needs no package besides onnx, and keeps pooling a pooling layer.
        torch.onnx.export(
            network, (example(case),), path, dynamo=False, input_names=[INPUT], output_names=[OUTPUT], opset_version=17
        )
    return path
