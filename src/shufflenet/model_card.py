"""A model card as the Hugging Face Hub reads it: README.md with a YAML head, and pictures of mistakes."""

from __future__ import annotations

import json
from collections.abc import Sized
from pathlib import Path
from typing import Any, Protocol

from shufflenet import model_info
from shufflenet.atomic_file import atomic_file

_MOST_LABELS = 50


class Measured(Protocol):
    """What a model was measured on, and how often it was wrong there, in percent."""

    @property
    def targets(self) -> Sized: ...
    @property
    def top1_error(self) -> float: ...
    @property
    def top5_error(self) -> float: ...
    def per_class(self) -> list[dict[str, Any]]: ...


def write(card: Path, about: dict[str, Any], measured: Measured | None = None, mistakes: bool = False) -> None:
    """Writes what `text` says into the file ``card``; raises OSError if that can't be."""
    with atomic_file(card) as file:
        file.write(text(about, measured, mistakes).encode("utf-8", "backslashreplace"))


def text(about: dict[str, Any], measured: Measured | None = None, mistakes: bool = False) -> str:
    """The card's Markdown."""
    title = about["name"] or about["architecture"]
    labels = about["labels"]
    accuracy = about["accuracy"]
    if measured is not None:
        accuracy = {"data": f"{len(measured.targets)} pictures", "top1_error": measured.top1_error}
        accuracy["top5_error"] = measured.top5_error
    how, training = about["preprocessing"], about["training"]
    lines = [_head(about, title, accuracy), f"# {title}", ""]
    lines.append(
        f"{_one_line(about['architecture'])} for {len(labels)} classes, {about['macs'] / 1e6:.1f} million "
        f"multiply-adds, {about['parameters']:,} parameters. "
        "Made with shufflenet, whose engine runs it on a CPU without PyTorch."
    )
    lines += ["", "```", "shufflenet predict photo.jpg --model model.safetensors", "```", "", "## Labels", ""]
    lines.append("; ".join(map(_one_line, labels[:_MOST_LABELS])) + ("; ..." if len(labels) > _MOST_LABELS else ""))
    lines += ["", "## Errors", ""]
    lines.append(f"{_one_line(model_info.errors(accuracy, len(labels)))}." if accuracy else "Not measured.")
    if measured is not None:
        lines += ["", "| class | pictures | recall % | precision % |", "|---|---:|---:|---:|"]
        for row in measured.per_class():
            shown = ["-" if row[key] is None else f"{row[key]:.1f}" for key in ("recall", "precision")]
            lines.append(f"| {_one_line(row['label'])} | {row['pictures']} | {shown[0]} | {shown[1]} |")
    if mistakes:
        lines += ["", "The wrong answers that it was most sure of:", "", "![mistakes](mistakes.png)"]
    lines += ["", "## Training", ""]
    recipe = training.get("recipe")
    facts = {
        "data": training.get("data"),
        "from": training.get("from") or training.get("imported"),
        "recipe": recipe.get("name") if isinstance(recipe, dict) else None,
        "command": training.get("command"),
        "versions": ", ".join(f"{key} {value}" for key, value in (training.get("versions") or {}).items()),
    }
    lines += [f"- {key}: {_one_line(str(value))}" for key, value in facts.items() if value] or ["Not recorded."]
    lines += ["", "## Input", ""]
    lines.append(
        f"RGB, shorter side resized to {how['resize']} pixels, the central {how['size']} x {how['size']}; mean "
        f"{list(how['mean'])}, standard deviation {list(how['std'])} of values from 0 to 1."
    )
    lines += ["", "## Limits", "", "It has a label for every picture, also for one that shows none of its classes."]
    if about["unknown"]:
        lines[-1] += " It shows none of them where log(sum(exp(logits))) is below 0 (`--unknown 0.5`)."
    lines += [f"\nCaution: {_one_line(each)}." for each in about["cautions"]]
    return "\n".join(lines) + "\n"


def _head(about: dict[str, Any], title: str, accuracy: dict[str, Any]) -> str:
    """The YAML between two lines of hyphens; JSON's strings are YAML's."""
    lines = ["---", "library_name: shufflenet", "pipeline_tag: image-classification"]
    lines += [
        "tags:",
        "- image-classification",
        "- shufflenet",
        f"- {json.dumps(about['architecture'], allow_nan=False)}",
    ]
    if accuracy:
        lines += [
            "model-index:",
            f"- name: {json.dumps(title, allow_nan=False)}",
            "  results:",
            "  - task:",
            "      type: image-classification",
            "    dataset:",
            f"      name: {json.dumps(str(accuracy['data']), allow_nan=False)}",
            "      type: imagefolder",
            "    metrics:",
            "    - type: accuracy",
            f"      value: {(100 - accuracy['top1_error']) / 100:.4f}",
        ]
    return "\n".join([*lines, "---", ""])


def _one_line(text: str) -> str:
    """The text without what Markdown tables and lines would break at."""
    return " ".join(text.split()).replace("|", "\\|")
