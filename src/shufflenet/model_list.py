"""The models that there are: those of the package, and public ones, with what they cost and how good they are."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

from shufflenet.importers import SOURCES, catalogue
from shufflenet.importers.download import cache_folder
from shufflenet.models import embedded_models, load_model
from shufflenet.networks import complexity, families

_PUBLIC_SIZE = 224  # pixels
_OURS = "Apache-2.0"  # the licence of the package and of its weights


def rows() -> list[dict[str, Any]]:
    """One row per model: name, where it is, classes, input, errors in %, multiply-adds, bytes, hash and licence."""
    return [*map(_embedded, embedded_models()), *_public()]


def table(found: list[dict[str, Any]]) -> str:
    """`rows` for people."""
    lines = [
        f"{'name':30} {'where':10} {'classes':>7} {'input':>5} {'million MACs':>12} {'top-1 error %':>13}  licence"
    ]
    for row in found:
        error = "-" if row["top1_error"] is None else f"{row['top1_error']:.2f}"
        lines.append(
            f"{row['name']:30} {row['where']:10} {row['classes']:7,} {row['input']:5} {row['macs'] / 1e6:12.1f} "
            f"{error:>13}  {row['licence']}"
        )
    lines += [
        "",
        "Those of 200 classes know Tiny ImageNet's, those of 1,000 ImageNet's; errors on its validation pictures.",
        f"download: when it is first used, to {cache_folder()}; cache: it is there already.",
    ]
    return "\n".join(lines)


def _embedded(name: str) -> dict[str, Any]:
    model = load_model(name)
    size = model.preprocessing.size
    file = resources.files("shufflenet") / "weights" / f"{name}.safetensors"
    data = file.read_bytes()
    return {
        "name": name,
        "where": "package",
        "architecture": model.graph.name,
        "classes": model.graph.classes,
        "input": size,
        "macs": complexity.summary(model.graph, size, size).macs,
        "top1_error": model.accuracy.get("top1_error"),
        "top5_error": model.accuracy.get("top5_error"),
        "bytes": len(data),
        "hash": f"sha256:{hashlib.sha256(data).hexdigest()}",
        "licence": _OURS,
        "page": "",
    }


def _public() -> list[dict[str, Any]]:
    found = []
    for row in catalogue.rows():
        if row["refused"] or not row["address"]:
            continue
        source, _, network = row["name"].partition(":")
        graph = families.architecture(row["architecture"], classes=SOURCES[source].networks[network].classes).graph()
        kept = cache_folder() / source / row["address"].rpartition("/")[2]
        found.append(
            {
                "name": row["name"],
                "where": "cache" if kept.exists() else "download",
                "architecture": row["architecture"],
                "classes": graph.classes,
                "input": _PUBLIC_SIZE,
                "macs": complexity.summary(graph, _PUBLIC_SIZE, _PUBLIC_SIZE).macs,
                "top1_error": row["top1_error"],
                "top5_error": row["top5_error"],
                "bytes": kept.stat().st_size if kept.exists() else None,
                "hash": row["hash"],
                "licence": SOURCES[source].licence,
                "page": row["page"],
            }
        )
    return found
