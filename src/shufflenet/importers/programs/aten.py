"""PyTorch's operators (ATen) in the terms of a program, that is of ONNX."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shufflenet.importers.programs.program import Array, Operation, ProgramError

_TARGET = re.compile(r"torch\.ops\.aten\.([A-Za-z0-9_]+)\.([A-Za-z0-9_]+)")  # a function and its overload


@dataclass(frozen=True)
class Tensor:
    """A value of the program, as an argument."""

    name: str


@dataclass(frozen=True, eq=False)
class AtenOperator:
    """One call: ``target`` such as ``torch.ops.aten.conv2d.default``, arguments by name; ``place`` is its module."""

    target: str
    place: str
    arguments: Mapping[str, Any]
    outputs: Sequence[str]

    @property
    def function(self) -> tuple[str, str]:
        """The function of ATen and its overload; of anything else, empty ones."""
        found = _TARGET.fullmatch(self.target)
        return (found[1], found[2]) if found else ("", "")

    @property
    def name(self) -> str:
        """Without overload, and without the mark that it writes in place: ``relu``, not ``relu_.default``."""
        return self.function[0].removesuffix("_")

    @property
    def in_place(self) -> bool:
        return self.function[0].endswith("_")

    @property
    def written(self) -> str | None:
        """The value that it writes in place."""
        given = self.arguments.get("self", self.arguments.get("input"))
        return given.name if self.in_place and isinstance(given, Tensor) else None

    @property
    def made(self) -> list[str]:
        """The values that it makes anew or writes in place."""
        return [*self.outputs, *([] if self.written is None else [self.written])]

    @property
    def read(self) -> list[str]:
        """The values among its arguments, also in lists."""
        given = [each for value in self.arguments.values() for each in (value if isinstance(value, list) else [value])]
        return [each.name for each in given if isinstance(each, Tensor)]


@dataclass
class Call:
    """An operator while it is translated: its arguments, and what becomes of it."""

    operator: AtenOperator
    shapes: Mapping[str, tuple[int, ...]]
    current: Mapping[str, str]
    operations: list[Operation] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        value = self.operator.arguments.get(key)
        return default if value is None else value

    def name(self, key: str = "self") -> str:
        """The value that the argument ``key`` is: a tensor's, or a number's as a constant."""
        given = self.get(key)
        if given is None:
            return ""
        if isinstance(given, Tensor):
            return self.current.get(given.name, given.name)
        return self.constant(key, np.asarray(given, np.float32))

    def constant(self, key: str, values: Any) -> str:
        name = f"{self.output}.{key}"
        self.constants[name] = np.asarray(values)
        return name

    def pair(self, key: str, default: int) -> list[int]:
        given = self.get(key)
        values = [default] if given in (None, []) else [given] if isinstance(given, int) else list(given)
        return values * 2 if len(values) == 1 else values

    @property
    def output(self) -> str:
        return self.operator.outputs[0]

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self.shapes:
            raise self.refused("its size depends on the picture's; export it for one size")
        return self.shapes[name]

    def add(self, operator: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> None:
        made = outputs or self.operator.outputs
        self.operations.append(Operation(operator, self.operator.place, list(inputs), list(made), attributes))

    def refused(self, reason: str = "") -> ProgramError:
        target = self.operator.target.removeprefix("torch.ops.")
        return Operation(target, self.operator.place, [], self.operator.outputs).refused(reason)


def translated(
    operators: Sequence[AtenOperator], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[list[Operation], dict[str, Array]]:
    """The operators as a program's, and the constants that they read besides its weights.

    Args:
        shapes: of values, where they are known.

    Raises:
        ProgramError: one has no equal; the message says which and where.
    """
    operations: list[Operation] = []
    constants: dict[str, Array] = {}
    current: dict[str, str] = {}  # what a value has become by operators that write in place
    for operator in operators:
        call = Call(operator, shapes, dict(current))
        if operator.name not in _OPERATORS:
            raise call.refused()
        _OPERATORS[operator.name](call)
        if operator.written is not None:
            current[operator.written] = call.output
        operations += call.operations
        constants |= call.constants
    return operations, constants


def _unary(operator: str) -> Callable[[Call], None]:
    return lambda call: call.add(operator, call.name("self"))


def _identity(call: Call) -> None:
    call.add("Identity", call.name("self" if "self" in call.operator.arguments else "input"))


def _convolution(call: Call) -> None:
    if call.get("transposed", False):
        raise call.refused("transposed")
    if isinstance(call.get("padding"), str):
        pads: dict[str, Any] = {"auto_pad": "SAME_UPPER" if call.get("padding") == "same" else "VALID"}
    else:
        pads = {"pads": call.pair("padding", 0) * 2}
    inputs = [call.name("input"), call.name("weight"), *([call.name("bias")] if call.get("bias") else [])]
    call.add(
        "Conv", *inputs, strides=call.pair("stride", 1), dilations=call.pair("dilation", 1),
        group=call.get("groups", 1), **pads,
    )  # fmt: skip


def _batch_norm(call: Call) -> None:
    if call.get("training", False):
        raise call.refused("training: it is of a network that trains; export it after .eval()")
    tensors = [call.name(key) for key in ("input", "weight", "bias", "running_mean", "running_var")]
    if "" in tensors:
        raise call.refused("without weights or statistics of its own")
    call.add("BatchNormalization", *tensors, outputs=call.operator.outputs[:1], epsilon=call.get("eps", 1e-5))


def _hardtanh(call: Call) -> None:
    _clip(call, call.get("min_val", -1.0), call.get("max_val", 1.0))


def _clip(call: Call, low: float | None, high: float | None) -> None:
    bounds: dict[str, Any] = {key: value for key, value in (("min", low), ("max", high)) if value is not None}
    call.add("Clip", call.name("self"), **bounds)


def _gelu(call: Call) -> None:
    if call.get("approximate", "none") != "none":
        raise call.refused("approximate: the engine has the exact function")
    call.add("Gelu", call.name("self"))


def _hard_sigmoid(call: Call) -> None:
    call.add("HardSigmoid", call.name("self"), alpha=1 / 6, beta=0.5)


def _pool(operator: str) -> Callable[[Call], None]:
    def pool(call: Call) -> None:
        kernel = call.pair("kernel_size", 1)
        stride = call.pair("stride", 0)
        if call.get("divisor_override"):
            raise call.refused("divisor_override")
        counts: dict[str, Any] = (
            {} if operator == "MaxPool" else {"count_include_pad": int(call.get("count_include_pad", True))}
        )
        call.add(
            operator, call.name("self"), outputs=call.operator.outputs[:1], kernel_shape=kernel,
            strides=stride if any(stride) else kernel, pads=call.pair("padding", 0) * 2,
            dilations=call.pair("dilation", 1), ceil_mode=int(call.get("ceil_mode", False)), **counts,
        )  # fmt: skip

    return pool


def _adaptive_pool(call: Call) -> None:
    wanted = call.pair("output_size", 1)
    if wanted == [1, 1]:
        call.add("GlobalAveragePool", call.name("self"))
        return
    there = call.shape(call.operator.arguments["self"].name)[2:]
    if any(length % size for length, size in zip(there, wanted, strict=True)):
        raise call.refused(f"output_size {wanted} of {list(there)}: its windows differ in size")
    kernel = [length // size for length, size in zip(there, wanted, strict=True)]
    call.add("AveragePool", call.name("self"), kernel_shape=kernel, strides=kernel)


def _mean(call: Call) -> None:
    axes = call.constant("axes", np.array(call.get("dim"), np.int64))
    call.add("ReduceMean", call.name("self"), axes, keepdims=int(call.get("keepdim", False)))


def _linear(call: Call) -> None:
    call.add(
        "Gemm", call.name("input"), call.name("weight"), *([call.name("bias")] if call.get("bias") else []), transB=1
    )


def _addmm(call: Call) -> None:
    if call.get("alpha", 1) != 1 or call.get("beta", 1) != 1:
        raise call.refused("alpha or beta")
    call.add("Gemm", call.name("mat1"), call.name("mat2"), call.name("self"))


def _matmul(call: Call) -> None:
    call.add("MatMul", call.name("self"), call.name("mat2" if call.get("mat2") else "other"))


def _arithmetic(operator: str) -> Callable[[Call], None]:
    def arithmetic(call: Call) -> None:
        if call.get("alpha", 1) != 1 or call.get("rounding_mode"):
            raise call.refused("alpha or rounding_mode")
        call.add(operator, call.name("self"), call.name("other"))

    return arithmetic


def _shaped(call: Call) -> None:
    shape = call.constant("shape", np.array(call.shape(call.output), np.int64))
    call.add("Reshape", call.name("self"), shape)


def _permute(call: Call) -> None:
    call.add("Transpose", call.name("self"), perm=list(call.get("dims")))


def _transpose(call: Call) -> None:
    axes = list(range(len(call.shape(call.operator.arguments["self"].name))))
    first, second = (0, 1) if call.operator.name == "t" else (call.get("dim0"), call.get("dim1"))
    axes[first], axes[second] = axes[second], axes[first]
    call.add("Transpose", call.name("self"), perm=axes)


def _cat(call: Call) -> None:
    names = [call.current.get(each.name, each.name) for each in call.get("tensors")]
    call.add("Concat", *names, axis=call.get("dim", 0))


def _split(call: Call) -> None:
    axis = call.get("dim", 0)
    sizes = [call.shape(output)[axis] for output in call.operator.outputs]
    call.add("Split", call.name("self"), call.constant("sizes", np.array(sizes, np.int64)), axis=axis)


def _slice(call: Call) -> None:
    most = np.iinfo(np.int64).max
    limits = (call.get("start", 0), call.get("end", most), call.get("dim", 0), call.get("step", 1))
    names = [
        call.constant(key, np.array([value], np.int64))
        for key, value in zip(("starts", "ends", "axes", "steps"), limits, strict=True)
    ]
    call.add("Slice", call.name("self"), *names)


def _select(call: Call) -> None:
    call.add("Gather", call.name("self"), call.constant("index", np.array(call.get("index"))), axis=call.get("dim"))


def _index_select(call: Call) -> None:
    call.add("Gather", call.name("self"), call.name("index"), axis=call.get("dim"))


def _index(call: Call) -> None:
    given = [(axis, each) for axis, each in enumerate(call.get("indices")) if each is not None]
    if len(given) != 1:
        raise call.refused("indices of several axes")
    ((axis, index),) = given
    call.add("Gather", call.name("self"), call.current.get(index.name, index.name), axis=axis)


def _pad(call: Call) -> None:
    if call.get("mode", "constant") != "constant":
        raise call.refused(f"mode {call.get('mode')}")
    widths, axes = list(call.get("pad")), len(call.shape(call.operator.arguments["self"].name))
    before, after = ([0] * axes for _ in range(2))
    for place in range(len(widths) // 2):
        before[axes - 1 - place], after[axes - 1 - place] = widths[2 * place : 2 * place + 2]
    value = call.constant("value", np.float32(call.get("value", 0.0)))
    call.add("Pad", call.name("self"), call.constant("pads", np.array(before + after, np.int64)), value)


def _dropout(call: Call) -> None:
    if call.get("train", False):
        raise call.refused("train: it is of a network that trains; export it after .eval()")
    call.add("Identity", call.name("input"))


def _channel_shuffle(call: Call) -> None:
    batch, channels, height, width = call.shape(call.operator.arguments["self"].name)
    groups = call.get("groups")
    apart, swapped = f"{call.output}.apart", f"{call.output}.swapped"
    shapes = {
        "shape": (batch, groups, channels // groups, height, width),
        "shape_again": (batch, channels, height, width),
    }
    names = [call.constant(key, np.array(shape, np.int64)) for key, shape in shapes.items()]
    call.add("Reshape", call.name("self"), names[0], outputs=[apart])
    call.add("Transpose", apart, outputs=[swapped], perm=[0, 2, 1, 3, 4])
    call.add("Reshape", swapped, names[1])


_OPERATORS: Mapping[str, Callable[[Call], None]] = {
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_unsafe_view": _shaped,
    "adaptive_avg_pool2d": _adaptive_pool,
    "add": _arithmetic("Add"),
    "addmm": _addmm,
    "alias": _identity,
    "avg_pool2d": _pool("AveragePool"),
    "batch_norm": _batch_norm,
    "cat": _cat,
    "channel_shuffle": _channel_shuffle,
    "chunk": _split,
    "clamp": lambda call: _clip(call, call.get("min"), call.get("max")),
    "clamp_min": lambda call: _clip(call, call.get("min"), None),
    "clone": _identity,
    "constant_pad_nd": _pad,
    "contiguous": _identity,
    "conv2d": _convolution,
    "convolution": _convolution,
    "detach": _identity,
    "div": _arithmetic("Div"),
    "dropout": _dropout,
    "feature_dropout": _dropout,
    "flatten": _shaped,
    "gelu": _gelu,
    "hardsigmoid": _hard_sigmoid,
    "hardswish": _unary("HardSwish"),
    "hardtanh": _hardtanh,
    "index": _index,
    "index_select": _index_select,
    "lift_fresh_copy": _identity,
    "leaky_relu": lambda call: call.add("LeakyRelu", call.name(), alpha=call.get("negative_slope", 0.01)),
    "linear": _linear,
    "matmul": _matmul,
    "max_pool2d": _pool("MaxPool"),
    "mean": _mean,
    "mm": _matmul,
    "mul": _arithmetic("Mul"),
    "native_channel_shuffle": _channel_shuffle,
    "pad": _pad,
    "permute": _permute,
    "prelu": lambda call: call.add("PRelu", call.name(), call.name("weight")),
    "relu": _unary("Relu"),
    "relu6": lambda call: _clip(call, 0.0, 6.0),
    "reshape": _shaped,
    "select": _select,
    "sigmoid": _unary("Sigmoid"),
    "silu": _unary("Silu"),
    "slice": _slice,
    "softmax": _unary("Softmax"),
    "split": _split,
    "split_with_sizes": _split,
    "squeeze": _shaped,
    "sub": _arithmetic("Sub"),
    "t": _transpose,
    "transpose": _transpose,
    "unflatten": _shaped,
    "unsqueeze": _shaped,
    "view": _shaped,
}
