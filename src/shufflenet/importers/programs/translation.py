"""A program's values while it becomes a graph, and what its operators read of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from shufflenet.importers.programs.constant_operators import evaluate
from shufflenet.importers.programs.draft import Layer, Value, global_average, picked
from shufflenet.importers.programs.names import name_of_module
from shufflenet.importers.programs.program import Array, Operation, Program, ProgramError
from shufflenet.networks.graph import Input

# Numbers that a program's operators may compute, with the weights that they read or that a layer needs more of. What is
# computed of constants counts by its bytes, since it stays in memory.
MOST_NUMBERS = 1 << 30

Function = Callable[["Translation", Operation], Value | list[Value]]


@dataclass
class Translation:
    """``operators``: what makes of each operator, by its name, its outputs."""

    program: Program
    operators: Mapping[str, Function]
    constants: dict[str, Array] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    readers: dict[str, int] = field(default_factory=dict)
    numbers: int = 0  # that the operators so far compute

    def run(self) -> Layer:
        """The layer that computes the logits, with all that it reads.

        Raises:
            ProgramError: an operator can't be expressed.
        """
        program = self.program
        self.constants = dict(program.constants)
        self.readers = {value: len(operations) for value, operations in program.readers().items()}
        _, channels, height, width = program.shape
        self.values[program.input] = Value.of(Layer(Input, "input", [], channels, (height, width)))
        for operation in program.operations:
            self._add(operation)
        return self._output()

    def _output(self) -> Layer:
        if self.program.output not in self.values:
            raise ProgramError("its output depends on no picture")
        value = self.values[self.program.output]
        shape = value.shape
        if len(shape) < 2 or math.prod(shape) != max(shape):
            raise ProgramError(f"its output is {list(shape)}, not one row of logits [1, classes]")
        if not value.whole:
            raise ProgramError("its output is a part of what a layer computes")
        layer = value.layer if value.layer.flat else global_average(value.layer, "logits")
        if layer.affine is not None or layer.kind is Input:
            raise ProgramError("behind its last layer there is a factor or an offset that no layer can take in")
        return layer

    def _add(self, operation: Operation) -> None:
        """Notes what the operator computes."""
        operator, inputs = operation.operator, operation.inputs
        known = [self.constants.get(name) if name else None for name in inputs]
        if operator == "Shape" and inputs[0] in self.values:
            known = [np.empty(self.values[inputs[0]].shape, np.bool_)]
        if all(values is not None or not name for values, name in zip(known, inputs, strict=True)):
            self.count(operation, sum(values.nbytes for values in known if values is not None))
            result = evaluate(operation, known)
            if result is None:
                raise operation.refused()
            self.count(operation, result.nbytes)
            self.constants[operation.outputs[0]] = result
            return
        missing = next((x for x in inputs if x and x not in self.constants and x not in self.values), None)
        if missing is not None:
            raise operation.refused(f"reads {missing!r}, which nothing before it makes")
        function = self.operators.get(operator)
        if function is None:
            raise operation.refused()
        try:
            made = function(self, operation)
        except (IndexError, KeyError, TypeError, ArithmeticError):
            raise operation.refused("an input or an attribute is missing, or of another kind") from None
        except ValueError as error:
            raise (error if isinstance(error, ProgramError) else operation.refused(str(error))) from None
        values = made if isinstance(made, list) else [made]
        for name, value in zip(operation.outputs, values, strict=False):
            self.count(operation, math.prod(value.shape))
            self.values[name] = value
            if value.whole and value.layer.affine is None and (value.is_planes or value.layer.flat):
                value.layer.made = name

    def count(self, operation: Operation, numbers: int) -> None:
        """Notes what an operator takes, before it does if that is much.

        Raises:
            ProgramError: all operators together take more than `MOST_NUMBERS`.
        """
        self.numbers += numbers
        if self.numbers > MOST_NUMBERS:
            raise operation.refused(f"the operators until here compute more than {MOST_NUMBERS:,} numbers")

    def value(self, operation: Operation, place: int = 0) -> Value:
        """What an operator reads, which is no constant; whether it alone reads the layer."""
        name = operation.inputs[place]
        if name not in self.values:
            raise operation.refused("it reads a constant in place of the picture")
        value = self.values[name]
        return replace(value, sole=value.sole and self.readers[name] == 1 and name != self.program.output)

    def constant(self, operation: Operation, place: int) -> Array | None:
        """None: it is left out."""
        if place >= len(operation.inputs) or not operation.inputs[place]:
            return None
        if operation.inputs[place] not in self.constants:
            raise operation.refused(f"its input {place + 1} is computed from the picture; it must be a constant")
        return self.constants[operation.inputs[place]]

    def weights(self, operation: Operation, place: int) -> Array:
        values = self.constant(operation, place)
        if values is None or values.dtype.kind != "f" or not values.size:
            raise operation.refused("its weights are missing, or are no floating-point numbers")
        self.count(operation, values.size)
        return values

    @staticmethod
    def planes(operation: Operation, value: Value) -> Layer:
        if not value.is_planes:
            raise operation.refused(f"it reads {list(value.shape)}, which are no planes [1, C, H, W]")
        return picked(value)

    def vector(self, operation: Operation, value: Value) -> Layer:
        """A layer [1, C] of a value with one number per channel."""
        if not value.whole:
            raise operation.refused("it reads a part of a vector, or one in another order")
        if value.layer.flat:
            return value.layer
        if value.layer.size != (1, 1):
            raise operation.refused(f"it reads {list(value.shape)}, which is no vector")
        return global_average(value.layer, f"{self.name(operation)}.vector")

    @staticmethod
    def name(operation: Operation) -> str:
        return name_of_module(operation.name) or name_of_module(operation.outputs[0])
