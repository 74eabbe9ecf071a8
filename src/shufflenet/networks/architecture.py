"""What all families of networks share: a member is a few numbers, and its graph is built from them.

A family is a frozen dataclass with one file. Its fields are what a model file stores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Self

from shufflenet.networks.graph import Graph


@dataclass(frozen=True)
class Architecture(ABC):
    """One network of a family. Subclasses add their fields: whole numbers, numbers or truth values.

    Args:
        classes: outputs of the classifier, 1 to 1,000,000.

    Raises:
        ValueError: a field is of another type or out of range; the message names it.
    """

    family: ClassVar[str]

    classes: int = field(default=1000, kw_only=True)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type == "int" and type(value) is not int:  # a bool is an int to Python, not here
                raise ValueError(f"{each.name} must be a whole number, not {value!r}")
            if each.type == "bool" and type(value) is not bool:
                raise ValueError(f"{each.name} must be true or false, not {value!r}")
            if each.type == "float" and type(value) is not float:
                if type(value) is not int or abs(value) > 1_000_000:
                    raise ValueError(f"{each.name} must be a number, not {value!r}")
                object.__setattr__(self, each.name, float(value))
        if not 1 <= self.classes <= 1_000_000:
            raise ValueError(f"classes must be from 1 to 1,000,000, not {self.classes}")

    @property
    @abstractmethod
    def name(self) -> str:
        """The network's name, without the number of classes."""

    @abstractmethod
    def graph(self) -> Graph:
        """The network, operator by operator; its ``architecture`` is this one."""

    def with_classes(self, classes: int) -> Self:
        return replace(self, classes=classes)
