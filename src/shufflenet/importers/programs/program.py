"""A network as another program writes it: operators by ONNX's names on named values, and the numbers that they read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from shufflenet.files import printable

Array: TypeAlias = NDArray[Any]
# The program's own values of these names for an input float32 [1, C, H, W].
Run: TypeAlias = Callable[[NDArray[np.float32], Sequence[str]], list[NDArray[np.float32]]]

_Operator = TypeVar("_Operator")

MOST_OPERATIONS = 20_000
MOST_AXES = 16  # of a value, or of what an operator is told for each
_MOST_LETTERS = 100  # of a name in a message
_LONGEST_MESSAGE = 1000


class ProgramError(ValueError):
    """A program can't be read, or holds what can't be expressed. The message says what and where, and is never long."""

    def __init__(self, message: str) -> None:
        super().__init__(message[:_LONGEST_MESSAGE])


@dataclass(frozen=True)
class Operation:
    """One operator: ``name`` is its place in the program. An input that is left out is ""."""

    operator: str
    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def refused(self, reason: str = "") -> ProgramError:
        """The error that this operator can't be expressed; ``reason`` names the attribute, if it isn't the operator."""
        place = printable(self.name or "".join(self.outputs[:1]))[:_MOST_LETTERS]
        operator = printable(self.operator)[:_MOST_LETTERS]
        return ProgramError(f"{operator} at {place}: {reason or 'the engine has no such operator'}")


@dataclass(frozen=True)
class Program:
    """A program of one picture: ``input`` is float32 [1, C, H, W], ``output`` [1, classes]."""

    input: str
    shape: tuple[int, int, int, int]
    output: str
    operations: Sequence[Operation]
    constants: Mapping[str, Array]
    run: Run

    def with_operations(self, operations: Sequence[Operation], constants: Mapping[str, Array] | None = None) -> Program:
        return replace(self, operations=operations, constants=self.constants if constants is None else constants)

    def readers(self) -> dict[str, list[Operation]]:
        """For every value the operators that read it, in order; one that reads it twice is there twice."""
        readers: dict[str, list[Operation]] = {}
        for operation in self.operations:
            for name in operation.inputs:
                readers.setdefault(name, []).append(operation)
        return readers

    def makers(self) -> dict[str, Operation]:
        """For every value the operator that makes it."""
        return {name: operation for operation in self.operations for name in operation.outputs}


def without_transposed_input(program: Program) -> Program:
    """A program of [1, H, W, C] whose first operator makes [1, C, H, W] of it, as one of that."""
    _, height, width, channels = program.shape
    readers = program.readers().get(program.input, [])
    if channels != 3 or not readers:
        return program
    if any(each.operator != "Transpose" or list(each.attributes.get("perm", ())) != [0, 3, 1, 2] for each in readers):
        return program

    def run(x: NDArray[np.float32], names: Sequence[str]) -> list[NDArray[np.float32]]:
        return program.run(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), names)

    operations = [
        replace(each, operator="Identity", attributes={}) if each in readers else each for each in program.operations
    ]
    return replace(program, shape=(1, channels, height, width), operations=operations, run=run)


def without_softmax(program: Program) -> Program:
    """A program that ends with a softmax as one of what that reads: a model holds logits, not probabilities."""
    last = program.makers().get(program.output)
    if last is None or last.operator not in ("Softmax", "LogSoftmax"):
        return program
    return replace(program, output=last.inputs[0])


def needed(program: Program) -> Program:
    """The program without the operators on which its output doesn't depend."""
    kept, read = leading_to([program.output], program.operations, lambda each: each.outputs, lambda each: each.inputs)
    constants = {name: values for name, values in program.constants.items() if name in read}
    return program.with_operations(kept, constants)


def leading_to(
    names: Iterable[str],
    operators: Sequence[_Operator],
    written_by: Callable[[_Operator], Iterable[str]],
    read_by: Callable[[_Operator], Iterable[str]],
) -> tuple[list[_Operator], set[str]]:
    """The operators on which the values of these names depend, in order, and the names of all values on the way."""
    wanted, kept = set(names), []
    for operator in reversed(operators):
        if not wanted.isdisjoint(written_by(operator)):
            kept.append(operator)
            wanted.update(filter(None, read_by(operator)))  # what is left out has an empty name
    return kept[::-1], wanted
