"""The models that there are: those of the package, and public ones, with what they cost and how good they are."""

from __future__ import annotations

import hashlib
from importlib import resources
from time import perf_counter
from typing import Any

import numpy as np

from shufflenet.engine.engine import Engine
from shufflenet.importers import SOURCES, catalogue
from shufflenet.importers.download import cache_folder
from shufflenet.models import embedded_models, load_model
from shufflenet.networks import complexity, families
from shufflenet.networks.model import Model
from shufflenet.networks.random_model import random_model

_PUBLIC_SIZE = 224  # pixels
_RUNS = 15  # of each network that is timed
_OURS = "Apache-2.0"  # the licence of the package and of its weights


def rows(timed: bool = False) -> list[dict[str, Any]]:
    """One row per model: name, where it is, classes, input, errors in %, multiply-adds, bytes, hash and licence.

    Args:
        timed: each network is also run on the engine, on one thread, for a key ``ms``: some seconds in all.
            Public ones have random weights there, so that none are downloaded for this.
    """
    return [*(_embedded(name, timed) for name in embedded_models()), *_public(timed)]


def table(found: list[dict[str, Any]]) -> str:
    """`rows` for people."""
    lines = [
        f"{'name':30} {'where':10} {'classes':>7} {'input':>5} {'million MACs':>12} {'top-1 error %':>13}  licence"
    ]
    if found and "ms" in found[0]:
        lines[0] = lines[0].replace("  licence", f" {'ms':>7}  licence")
    for row in found:
        ms = f" {row['ms']:7.2f}" if "ms" in row else ""
        error = "-" if row["top1_error"] is None else f"{row['top1_error']:.2f}"
        lines.append(
            f"{row['name']:30} {row['where']:10} {row['classes']:7,} {row['input']:5} {row['macs'] / 1e6:12.1f} "
            f"{error:>13}{ms}  {row['licence']}"
        )
    lines += [
        "",
        "Those of 200 classes know Tiny ImageNet's, those of 1,000 ImageNet's; errors on its validation pictures.",
        *(["ms: the least of some runs on the engine, on one thread of this machine."] if "ms" in lines[0] else []),
        f"download: when it is first used, to {cache_folder()}; cache: it is there already.",
    ]
    return "\n".join(lines)


def _ms(model: Model, size: int) -> float:
    """The least milliseconds that one picture took on one thread."""
    engine = Engine(model)
    x = np.random.default_rng(0).standard_normal((1, model.graph.in_channels, size, size), dtype=np.float32)
    engine.run(x)
    took = []
    for _ in range(_RUNS):
        began = perf_counter()
        engine.run(x)
        took.append(1000 * (perf_counter() - began))
    return min(took)


def _embedded(name: str, timed: bool) -> dict[str, Any]:
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
        **({"ms": _ms(model, size)} if timed else {}),
    }


def _public(timed: bool) -> list[dict[str, Any]]:
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
                **({"ms": _ms(random_model(graph), _PUBLIC_SIZE)} if timed else {}),
            }
        )
    return found
