"""What a run shows: a bar on a terminal, lines elsewhere, and the curves."""

from __future__ import annotations

import io
import sys

import pytest
from PIL import Image

from shufflenet.training import curves
from shufflenet.training.progress import Progress, duration

ROW = {
    "epoch": 3,
    "loss": 1.25,
    "top1_error": 50.0,
    "top5_error": 10.0,
    "input_size": 64,
    "images_per_s": 300.4,
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(shown=True)
    progress.begin(10, 4)
    progress.step(1, 2, 1.5, 0.05, 321.0)
    text = terminal.getvalue()
    assert "epoch 1/2  loss 1.500  lr 0.05  321 images/s" in text
    assert text.startswith("\r[")
    assert "\n" not in text
    progress.epoch(ROW, classes=6)
    assert terminal.getvalue().endswith("size 64  300 images/s\n")


def test_lines_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(shown=True)
    progress.begin(10, 0)
    progress.step(1, 2, 1.5, 0.05, 321.0)
    progress.count("decoding", 5, 10)
    assert capsys.readouterr() == ("", "")
    progress.epoch(ROW, classes=6)
    progress.epoch(ROW, classes=5)
    line = "epoch   3  loss 1.2500  top-1 error 50.00 %  top-5 10.00 %  size 64  300 images/s\n"
    assert capsys.readouterr() == ("", line + line.replace("  top-5 10.00 %", ""))
    Progress(shown=False).epoch(ROW, classes=6)
    assert capsys.readouterr() == ("", "")


def test_durations() -> None:
    assert [duration(s) for s in (45, 720, 12_000)] == ["45 s", "12 min", "3 h 20 min"]


def test_curves() -> None:
    pytest.importorskip("matplotlib")
    data = curves.draw([ROW, {**ROW, "epoch": 4, "top1_error": 40.0}])
    assert data is not None
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert picture.width > 600
