"""The facts about one public source of networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shufflenet.importers.checkpoint import StateDict
from shufflenet.importers.convention import Convention
from shufflenet.importers.recognised import Recognised


@dataclass(frozen=True)
class PublicNetwork:
    """One published checkpoint."""

    arch: str
    top1_error: float  # %, on ImageNet's validation pictures, as its authors say
    top5_error: float | None = None
    address: str = ""  # empty: not at an address of its own
    hash: str = ""  # "sha1:..." or "sha256:..." of the checkpoint, its first digits if no more are published
    classes: int = 1000  # ImageNet's


@dataclass(frozen=True)
class Source:
    """A place with networks that are all built in one way."""

    name: str
    page: str  # where the weights are described
    key: str  # part of the name of a tensor that only this source's networks have; empty: none is known
    networks: Mapping[str, PublicNetwork]
    convention: Convention = field(default_factory=Convention)
    licence: str = "see its page"
    refusal: str = ""  # why none of its networks can be imported
    # For networks that are no variants of the family's: what its code builds, in words, and what makes them of a state
    # dict, which raises ValueError if that is of another network.
    built: str = ""
    recognise: Callable[[StateDict], Recognised] | None = None
