"""How well a model tells pictures of its classes from pictures of other things."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from shufflenet.atomic_file import atomic_file

_SIDE, _MARGIN = 420, 60  # pixels of the drawn curve
_PAPER, _INK, _FAINT, _LINE = "#ffffff", "#22262b", "#b9bdc2", "#2a6f97"
_SHOWN = (0.99, 0.95, 0.9, 0.8)  # shares of known pictures in the printed table


@dataclass(frozen=True)
class Unknown:
    """How sure the model is, 0 to 1, that pictures are of its classes; see `known.confidence`."""

    known: NDArray[np.float64]  # of pictures of its classes
    unknown: NDArray[np.float64]  # of pictures of other things

    @property
    def auroc(self) -> float:
        """The chance that the model is surer of a picture of its classes than of one of other things, 0 to 1."""
        below = np.searchsorted(np.sort(self.unknown), self.known, "left")
        upto = np.searchsorted(np.sort(self.unknown), self.known, "right")
        return float((below + upto).mean() / 2 / len(self.unknown))

    def at(self, threshold: float) -> tuple[float, float]:
        """The shares, 0 to 1, of known pictures that are kept, and of unknown ones that are let through."""
        return float(np.mean(self.known >= threshold)), float(np.mean(self.unknown >= threshold))

    def keeping(self, share: float) -> float:
        """The highest threshold that keeps at least this share of the known pictures."""
        drop = min(int(len(self.known) * (1 - share) + 1e-9), len(self.known) - 1)
        return float(np.sort(self.known)[drop])

    @property
    def threshold(self) -> float:
        """The proposed one: that with the largest share of known pictures kept, less the unknown ones let through."""
        candidates = np.unique(self.known)
        kept = 1 - np.searchsorted(np.sort(self.known), candidates, "left") / len(self.known)
        passed = 1 - np.searchsorted(np.sort(self.unknown), candidates, "left") / len(self.unknown)
        return float(candidates[(kept - passed).argmax()])

    def curve(self) -> list[tuple[float, float, float]]:
        """Threshold, share of known pictures kept and of unknown ones let through: from where all is kept to none."""
        thresholds = np.unique(np.concatenate([[0.0], self.known, self.unknown]))
        return [(float(threshold), *self.at(float(threshold))) for threshold in thresholds]

    def summary(self) -> dict[str, Any]:
        """The figures for JSON, shares in percent."""
        kept, passed = self.at(self.threshold)
        return {
            "pictures": len(self.unknown),
            "auroc": self.auroc,
            "threshold": self.threshold,
            "known_kept": 100 * kept,
            "unknown_let_through": 100 * passed,
        }

    def table(self) -> str:
        """The figures as text."""
        lines = [f"{len(self.unknown):,} pictures of other things: AUROC {self.auroc:.3f}"]
        lines.append(f"{'--unknown':>10} {'known kept %':>13} {'unknown let through %':>22}")
        for threshold in [self.threshold, *map(self.keeping, _SHOWN)]:
            kept, passed = self.at(threshold)
            proposed = "  proposed" if threshold == self.threshold else ""
            lines.append(f"{threshold:10.4f} {100 * kept:13.1f} {100 * passed:22.1f}{proposed}")
        return "\n".join(lines)

    def csv(self) -> str:
        """`curve` as comma-separated values, shares in percent."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["threshold", "known_kept", "unknown_let_through"])
        writer.writerows([f"{t:.6f}", f"{100 * k:.2f}", f"{100 * u:.2f}"] for t, k, u in self.curve())
        return text.getvalue()

    def draw(self, out: str | os.PathLike[str]) -> None:
        """Draws `curve` to a PNG file: known kept, upwards, against unknown let through; raises OSError."""
        whole = _SIDE + 2 * _MARGIN
        picture = Image.new("RGB", (whole, whole), _PAPER)
        draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
        for tick in range(0, 101, 20):
            at = _SIDE * tick // 100
            draw.line([(_MARGIN + at, _MARGIN), (_MARGIN + at, _MARGIN + _SIDE)], _FAINT)
            draw.line([(_MARGIN, _MARGIN + at), (_MARGIN + _SIDE, _MARGIN + at)], _FAINT)
            draw.text((_MARGIN + at, _MARGIN + _SIDE + 12), str(tick), _INK, font, anchor="mm")
            draw.text((_MARGIN - 8, _MARGIN + _SIDE - at), str(tick), _INK, font, anchor="rm")

        def place(kept: float, passed: float) -> tuple[float, float]:
            return _MARGIN + _SIDE * passed, _MARGIN + _SIDE * (1 - kept)

        draw.line([*(place(kept, passed) for _, kept, passed in self.curve()), place(0, 0)], _LINE, 3)
        x, y = place(*self.at(self.threshold))
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), outline=_INK, width=2)
        draw.text((x + 10, y + 10), f"--unknown {self.threshold:.3f}", _INK, font, anchor="lm")
        draw.text((_MARGIN, _MARGIN / 2), f"known kept, %; AUROC {self.auroc:.3f}", _INK, font, anchor="lm")
        draw.text((whole - _MARGIN, whole - 18), "unknown let through, %", _INK, font, anchor="rm")
        with atomic_file(out) as file:
            picture.save(file, format="PNG")
