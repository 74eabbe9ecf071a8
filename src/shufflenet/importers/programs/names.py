"""Names of layers, from those of a program's weights and operators."""

from __future__ import annotations

import re

_WEIGHT = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)\.(?:weight|gamma|kernel)")


def name_of_weight(name: str) -> str:
    """The layer's whose weight is called ``name``, as PyTorch's state dict has them; "": it tells none."""
    found = _WEIGHT.fullmatch(name)
    return found[1] if found else ""


def name_of_module(place: str) -> str:
    """The module's in which PyTorch's exporter places an operator: ``/blocks/blocks.0/conv/Conv`` is ``blocks.0.conv``.

    Any other place stays what it is; the operator's own name stands at the end where the module has several.
    """
    if not place.startswith("/"):
        return place.replace("/", ".").strip(".")
    *modules, last = place.strip("/").split("/")
    name = ""
    for module in modules:
        name = module if module.startswith(f"{name}.") or not name else f"{name}.{module}"
    return f"{name}.{last}".strip(".")
