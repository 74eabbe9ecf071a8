"""A model card with what a model gets wrong on pictures: README.md and mistakes.png."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from shufflenet import evaluation, model_card, sheet


def write(
    model: str | os.PathLike[str], about: dict[str, Any], folder: Path, data: str | os.PathLike[str] | None = None
) -> Path:
    """Writes README.md into ``folder``, and with ``data`` mistakes.png; returns the path of README.md.

    Args:
        about: `model_info.info` of the model.
        data: class folders that the model is measured on; default: the errors that the model file has.

    Raises:
        DataError: ``data`` can't be used.
        OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    measured = None if data is None else evaluation.evaluate(model, data)
    mistakes = [] if measured is None else list(evaluation.mistaken(measured))
    if mistakes:
        sheet.contact_sheet(mistakes, folder / "mistakes.png")
    card = folder / "README.md"
    model_card.write(card, about, measured, bool(mistakes))
    return card
