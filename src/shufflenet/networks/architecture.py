"""What all families of networks share: a member is a few numbers, and its graph is built from them.

A family is a frozen dataclass in a file of its own. Its fields are what a model file stores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Integral
from typing import Any, ClassVar, Self

from shufflenet.networks.graph import Graph


@dataclass(frozen=True)
class Architecture(ABC):
    """One network of a family. Subclasses add their own fields: whole numbers, numbers and truth values.

    Args:
        classes: outputs of the classifier, 1 to 1,000,000.
        in_channels: channels of a picture, 1 to 1,000,000.
        stem_stride: stride of the first convolution; 1 for small pictures.

    Raises:
        ValueError: a field is of another type or out of range; the message names it.
    """

    family: ClassVar[str]
    # The fields of each member that has a name of its own; the fields above have their defaults.
    variants: ClassVar[Mapping[str, Mapping[str, Any]]]
    stem_strides: ClassVar[tuple[int, ...]] = (1, 2)

    classes: int = field(default=1000, kw_only=True)
    in_channels: int = field(default=3, kw_only=True)
    stem_stride: int = field(default=2, kw_only=True)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type == "int":
                if isinstance(value, bool) or not isinstance(value, Integral):  # a bool is an int to Python, not here
                    raise ValueError(f"{each.name} must be a whole number, not {value!r}")
                object.__setattr__(self, each.name, int(value))  # it may be one of NumPy's
            if each.type == "bool" and type(value) is not bool:
                raise ValueError(f"{each.name} must be true or false, not {value!r}")
            if each.type == "float" and type(value) is not float:
                if type(value) is not int or abs(value) > 1_000_000:
                    raise ValueError(f"{each.name} must be a number, not {value!r}")
                object.__setattr__(self, each.name, float(value))
        for name in ("classes", "in_channels"):
            if not 1 <= getattr(self, name) <= 1_000_000:
                raise ValueError(f"{name} must be from 1 to 1,000,000, not {getattr(self, name)}")
        self.check_choice("stem_stride", self.stem_strides)

    def check_choice(self, name: str, choices: tuple[int, ...] | tuple[float, ...]) -> None:
        """Raises ValueError if the field ``name`` has none of these values."""
        if getattr(self, name) not in choices:
            *most, last = map(str, choices)
            known = f"{', '.join(most)} or {last}" if most else last
            raise ValueError(f"{name} must be {known}, not {getattr(self, name)!r}")

    @classmethod
    def fields_of(cls, name: str) -> Mapping[str, Any] | None:
        """What ``name`` says of a member's fields; None: no member has this name."""
        return cls.variants.get(name)

    @property
    @abstractmethod
    def name(self) -> str:
        """The member's name, such as ``mobilenet_v1_x0_5``. It leaves the fields out that all families share."""

    @abstractmethod
    def add_operators(self, graph: Graph) -> None:
        """Adds the network to ``graph``, which has its input alone."""

    def graph(self) -> Graph:
        """The network, operator by operator."""
        graph = Graph(self.name, self.in_channels, self)
        self.add_operators(graph)
        return graph

    def with_classes(self, classes: int) -> Self:
        return replace(self, classes=classes)


def scale_name(scale: float) -> str:
    """A scale as names have it: 0.5 -> "x0_5"."""
    whole, _, fraction = f"{scale:f}".rstrip("0").partition(".")
    return f"x{whole}_{fraction or '0'}"
