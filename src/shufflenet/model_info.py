"""What a model file says about its model, checked where it can be."""

from __future__ import annotations

import os
from typing import Any

from shufflenet import __version__, known, model_file
from shufflenet.classifier import Classifier
from shufflenet.files import printable
from shufflenet.models import caution
from shufflenet.networks import complexity

_LABELS = 12  # shown as text


def info(name: str | os.PathLike[str]) -> dict[str, Any]:
    """All that is known of a model, for JSON.

    Raises:
        ModelFileError: it can't be used, or fails its self-test.
        ValueError: see `load_model`.
    """
    model = Classifier(name).model  # with its self-test passed
    size = model.preprocessing.size
    cost = complexity.summary(model.graph, size, size)
    cautions = [text for text in (caution(model.training),) if text]
    if not model.self_test:
        cautions.append("the file has no logits to compare the engine's with")
    if not model.accuracy:
        cautions.append("nothing is known of its errors")
    return {
        "model": str(name),
        "name": model.name,
        "architecture": model.graph.name,
        "bits": 32 if model.quantized is None else 8,
        "macs": cost.macs,
        "parameters": cost.parameters,
        "preprocessing": {"colour_order": "RGB", **vars(model.preprocessing)},
        "classes": model.classes,
        "labels": model.labels,
        "accuracy": model.accuracy,
        "training": model.training,
        "unknown": model.training.get("unknown") if known.is_calibrated(model.training) else None,
        "sha256": model_file.digest(model),
        "self_test": "passed" if model.self_test else "none",
        "cautions": cautions,
        "read_by": f"shufflenet {__version__}",
    }


def text(about: dict[str, Any]) -> str:
    """`info` for people, a line for each thing."""
    training, accuracy, how = about["training"], about["accuracy"], about["preprocessing"]
    labels = about["labels"]
    shown = "; ".join(labels[:_LABELS]) + (f"; and {len(labels) - _LABELS} more" if len(labels) > _LABELS else "")
    recipe = training.get("recipe")
    lines = [
        ("model", about["model"] + (f", of the run {about['name']}" if about["name"] else "")),
        ("network", f"{about['architecture']}, {about['bits']} bits: {about['macs'] / 1e6:.1f} million multiply-adds, "
         f"{about['parameters']:,} parameters"),
        ("input", f"RGB, {how['size']} x {how['size']} of pictures whose shorter side is {how['resize']} pixels"),
        ("labels", f"{len(labels)}: {shown}"),
        ("errors", errors(accuracy, len(labels))),
        ("data", training.get("data", "")),
        ("recipe", recipe.get("name", "") if isinstance(recipe, dict) else ""),
        ("from", training.get("from") or training.get("imported") or ""),
        ("command", training.get("command", "")),
        ("versions", ", ".join(f"{key} {value}" for key, value in (training.get("versions") or {}).items())),
        ("unknown", "calibrated: predict --unknown 0.5" if about["unknown"] else ""),
        ("sha256", about["sha256"]),
        ("self-test", about["self_test"]),
        *(("caution", each) for each in about["cautions"]),
    ]  # fmt: skip
    return "\n".join(f"{key:10} {printable(str(value))}" for key, value in lines if value)


def errors(accuracy: dict[str, Any], classes: int) -> str:
    """The errors in percent, and on which pictures; empty: not measured."""
    if not accuracy:
        return ""
    top5 = f", top-5 {accuracy['top5_error']:.2f} %" if classes > 5 else ""
    return f"top-1 {accuracy['top1_error']:.2f} %{top5} ({accuracy['data']})"
