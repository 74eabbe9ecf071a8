"""An interpreter of .mlpackage files in PyTorch, for systems without Core ML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shufflenet.exporters.shuffles import Floats


class CoreMLFile:
    """The classifier in a package that takes an RGB picture.

    Raises:
        ValueError: the package holds something else, or an operator that is not in `_OPERATORS`.
    """

    def __init__(self, package: Path) -> None:
        import coremltools
        from coremltools.converters.mil.frontend.milproto.load import load

        spec = coremltools.models.MLModel(str(package), skip_model_load=True).get_spec()
        kinds = [value.type.WhichOneof("Type") for value in (*spec.description.input, *spec.description.output)]
        if kinds != ["imageType", "stringType", "dictionaryType"]:
            raise ValueError(f"its inputs and outputs are {', '.join(kinds)}")
        image = spec.description.input[0].type.imageType
        if image.colorSpace != image.RGB:
            raise ValueError("its pictures are not RGB")
        self.input: str = spec.description.input[0].name
        weights = package / "Data" / "com.apple.CoreML" / "weights"
        program = load(spec, specification_version=spec.specificationVersion, file_weights_dir=str(weights))
        self.operators = [op for op in program.functions["main"].operations if op.op_type != "const"]
        unknown = {op.op_type for op in self.operators} - {*_OPERATORS, "classify"}
        if unknown:
            raise ValueError(f"unknown operators {', '.join(sorted(unknown))}")
        if [op.op_type for op in self.operators[-2:]] != ["softmax", "classify"]:
            raise ValueError("it does not end in a softmax and a class")
        self.labels: list[str] = [str(label) for label in self.operators[-1].classes.val]

    def logits(self, pixels: Floats) -> Floats:
        """The input of the softmax: ``pixels`` float32 [3, H, W] from 0 to 255 -> [classes]."""
        import torch

        values: dict[str, Any] = {self.input: torch.from_numpy(np.ascontiguousarray(pixels[None]))}

        def argument(source: Any) -> Any:
            if isinstance(source, list | tuple):
                return [argument(part) for part in source]
            return values[source.name] if source.name in values else _constant(source.val)

        with torch.inference_mode():
            for op in self.operators[:-2]:
                given = {name: argument(source) for name, source in op.inputs.items()}
                values[op.outputs[0].name] = _OPERATORS[op.op_type](given)
        logits: Floats = values[self.operators[-2].x.name][0].numpy()
        return logits


def _constant(value: Any) -> Any:
    """A constant argument: weights as a tensor, other values as Python numbers and lists."""
    import torch

    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        return torch.from_numpy(value.copy())
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _conv(given: Mapping[str, Any]) -> Any:
    from torch.nn import functional

    strides, dilations, groups = given["strides"], given["dilations"], given["groups"]
    return functional.conv2d(_padded(given), given["weight"], given["bias"], strides, 0, dilations, groups)


def _max_pool(given: Mapping[str, Any]) -> Any:
    from torch.nn import functional

    return functional.max_pool2d(_padded(given, float("-inf")), given["kernel_sizes"], given["strides"])


def _avg_pool(given: Mapping[str, Any]) -> Any:
    from torch.nn import functional

    if given["exclude_padding_from_average"] and any(given["pad"]):
        raise ValueError("an average without its padding")
    return functional.avg_pool2d(_padded(given), given["kernel_sizes"], given["strides"])


def _padded(given: Mapping[str, Any], value: float = 0.0) -> Any:
    from torch.nn import functional

    if given["pad_type"] not in ("valid", "custom") or given.get("ceil_mode"):
        raise ValueError(f"padding {given['pad_type']}")
    top, bottom, left, right = given["pad"] if given["pad_type"] == "custom" else [0] * 4
    return functional.pad(given["x"], (left, right, top, bottom), value=value)


def _concat(given: Mapping[str, Any]) -> Any:
    import torch

    if given["interleave"]:
        raise ValueError("interleaved")
    return torch.cat(given["values"], dim=given["axis"])


_OPERATORS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "add": lambda given: given["x"] + given["y"],
    "avg_pool": _avg_pool,
    "concat": _concat,
    "conv": _conv,
    "linear": lambda given: given["x"] @ given["weight"].T + given["bias"],
    "max_pool": _max_pool,
    "mul": lambda given: given["x"] * given["y"],
    "reduce_mean": lambda given: given["x"].mean(dim=given["axes"], keepdim=given["keep_dims"]),
    "relu": lambda given: given["x"].relu(),
    "reshape": lambda given: given["x"].reshape(given["shape"]),
    "softmax": lambda given: given["x"].softmax(dim=given["axis"]),
    "transpose": lambda given: given["x"].permute(given["perm"]),
}
