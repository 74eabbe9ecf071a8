"""The known public networks as a table: what can be imported, what can't, and why."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from shufflenet.importers import SOURCES
from shufflenet.importers.convention import Convention
from shufflenet.labels import numbered_labels
from shufflenet.networks.model import Model


def rows() -> list[dict[str, Any]]:
    """One row per network: name, architecture, published errors in %, address, hash, and why it is refused."""
    return [
        {
            "name": f"{source.name}:{name}",
            "architecture": network.arch,
            "top1_error": network.top1_error,
            "top5_error": network.top5_error,
            "address": network.address,
            "page": source.page,
            "hash": network.hash,
            "refused": source.refusal,
        }
        for source in SOURCES.values()
        for name, network in source.networks.items()
    ]


def table() -> str:
    """`rows` for people; below it, once each, the sources that give no network and why."""
    lines = [f"{'name':34} {'architecture':20} {'top-1 %':>7} {'top-5 %':>7}  how"]
    for row in rows():
        top5 = "" if row["top5_error"] is None else f"{row['top5_error']:.2f}"
        how = "refused" if row["refused"] else "download" if row["address"] else "--file"
        lines.append(f"{row['name']:34} {row['architecture']:20} {row['top1_error']:7.2f} {top5:>7}  {how}")
    lines += ["", "Errors are those that the authors publish, on ImageNet's validation pictures. Refused:"]
    lines += [f"  {source.name}: {source.refusal}" for source in SOURCES.values() if source.refusal]
    return "\n".join(lines)


def described(model: Model) -> dict[str, Any]:
    """What `import_model` made, for JSON."""
    return {"architecture": model.graph.name, "classes": model.graph.classes, "training": model.training}


def sentence(model: Model) -> str:
    """What `import_model` made, in one line."""
    named = "" if model.labels != numbered_labels(model.graph.classes) else " without names (--labels gives them)"
    text = f"{model.graph.name}, {model.graph.classes} classes{named}"
    if compared := model.training.get("compared"):
        text += (
            f", logits within {compared['difference']:.1e} of the largest beside {compared['with']} on "
            f"{compared['inputs']} inputs"
        )
        return text
    if published := model.training.get("published"):
        text += f", published top-1 error {published['top1_error']:.2f} %"
    if proof := model.training.get("proved_by"):
        papers = Convention().network()
        built = ", ".join(text for key, text in proof["built"].items() if text != papers.get(key)) or "as in the paper"
        text += f", proved by {proof['file']} to {proof['difference']:.1e} of the largest logit ({built})"
    if not model.training["hash"]:
        text += f", no hash to check it by is known (SHA-256 {model.training['sha256']})"
    elif len(model.training["hash"].partition(":")[2]) < 40:
        text += f", of its hash only the beginning is known ({model.training['hash']})"
    return text


def file_name(name: str, file: Path | None) -> str:
    """The default name of the model file: the network's, else the checkpoint's."""
    stem = name.partition(":")[2] or re.sub(
        r"(\.(pth|pt|tar|zip|onnx|pt2))+$", "", file.name if file is not None else name
    )
    return f"{stem}.safetensors"
