"""Activations that a program writes as several operators: sigmoid linear units, hard-swish and the like.

A product is taken apart into its factors, so that ``x * relu6(x + 3) / 6`` is found in any order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from shufflenet.importers.programs.program import Array, Operation, Program, needed

_CLOSE = 1e-4  # constants may be rounded, to half precision too
_MOST_PRODUCTS = 8  # one within the other, that are taken apart


def with_activations(program: Program) -> Program:
    """The program with one operator in the place of each such product, and without what is then not needed."""
    return needed(program.with_operations(_Finder(program).found()))


@dataclass
class _Finder:
    program: Program
    makers: dict[str, Operation] = field(init=False)
    constants: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        self.makers = self.program.makers()
        self.constants = dict(self.program.constants)
        for operation in self.program.operations:
            if operation.operator == "Constant" and isinstance(operation.attributes.get("value"), np.ndarray):
                self.constants[operation.outputs[0]] = operation.attributes["value"]
        self.readers = {name: len(readers) for name, readers in self.program.readers().items()}

    def found(self) -> list[Operation]:
        result = []
        for operation in self.program.operations:
            if operation.operator in ("Mul", "Div"):
                operation = self._activation(operation) or operation
                self.makers[operation.outputs[0]] = operation
            result.append(operation)
        return result

    def _activation(self, operation: Operation) -> Operation | None:
        factor, names = self._factors(operation.outputs[0])
        match names:
            case [only]:
                x, operator = self._hard_sigmoid_of(only, factor), "HardSigmoid"
            case [left, right]:
                x, operator = self._two(left, right, factor)
                if x is None:
                    x, operator = self._two(right, left, factor)
            case _:
                return None
        if x is None:
            return None
        attributes: Mapping[str, float] = {"alpha": 1 / 6, "beta": 0.5} if operator == "HardSigmoid" else {}
        return Operation(operator, operation.name, [x], operation.outputs, attributes)

    def _two(self, x: str, gate: str, factor: float) -> tuple[str | None, str]:
        """What ``factor * x * gate`` is, if ``gate`` depends on x alone in one of the ways known here."""
        maker = self.makers.get(gate)
        if maker is None:
            return None, ""
        if _near(factor, 1) and maker.operator in ("Sigmoid", "HardSigmoid") and maker.inputs[0] == x:
            usual = maker.operator == "Sigmoid" or _near(maker.attributes.get("alpha", 0.2), 1 / 6)
            return (x, "Silu" if maker.operator == "Sigmoid" else "HardSwish") if usual else (None, "")
        if self._hard_sigmoid_of(gate, factor) == x:
            return x, "HardSwish"
        if _near(factor, 0.5) and self._error_function_of(gate) == x:
            return x, "Gelu"
        return None, ""

    def _hard_sigmoid_of(self, name: str, factor: float) -> str | None:
        """The x of ``name`` = min(max(x + 3, 0), 6), if ``factor`` is a sixth."""
        clip = self.makers.get(name)
        if clip is None or clip.operator != "Clip" or not _near(factor, 1 / 6):
            return None
        bounds = [self._number(each) for each in clip.inputs[1:]]
        bounds = bounds or [clip.attributes.get("min"), clip.attributes.get("max")]
        return self._less(clip.inputs[0], 3) if bounds == [0, 6] else None

    def _error_function_of(self, name: str) -> str | None:
        """The x of ``name`` = 1 + erf(x / sqrt(2))."""
        error = self.makers.get(self._less(name, 1) or "")
        if error is None or error.operator != "Erf":
            return None
        factor, names = self._factors(error.inputs[0])
        return names[0] if len(names) == 1 and _near(factor, math.sqrt(0.5)) else None

    def _less(self, name: str, offset: float) -> str | None:
        """The x of ``name`` = x + ``offset``."""
        add = self.makers.get(name)
        if add is None or add.operator != "Add":
            return None
        for x, constant in (add.inputs, add.inputs[::-1]):
            number = self._number(constant)
            if number is not None and _near(number, offset):
                return x
        return None

    def _factors(self, name: str, within: int = 0) -> tuple[float, list[str]]:
        """The number and the values whose product a value is; a value that others read too is not taken apart.

        ``within`` so many products already.
        """
        maker = self.makers.get(name)
        if maker is None or maker.operator not in ("Mul", "Div") or within == _MOST_PRODUCTS:
            return 1.0, [name]
        if within and self.readers.get(name, 0) != 1:
            return 1.0, [name]
        product = 1.0
        names: list[str] = []
        for place, part in enumerate(maker.inputs):
            number = self._number(part)
            if maker.operator == "Div" and place == 1:
                if not number:
                    return 1.0, [name]
                product /= number
            elif number is not None:
                product *= number
            else:
                factor, more = self._factors(part, within + 1)
                product, names = product * factor, names + more
        return product, names

    def _number(self, name: str) -> float | None:
        values = self.constants.get(name)
        return (
            float(values.ravel()[0]) if values is not None and values.size == 1 and values.dtype.kind in "fi" else None
        )


def _near(value: float, expected: float) -> bool:
    return abs(value - expected) <= _CLOSE * abs(expected)
