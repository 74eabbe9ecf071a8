"""The contact sheet, by its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFont

from shufflenet import sheet
from shufflenet.classifier import Prediction
from shufflenet.sheet import contact_sheet


def _prediction(
    source: str = "cat.jpg", labels: tuple[str, ...] = ("cat", "dog"), probabilities: tuple[float, ...] = (0.5, 0.25)
) -> Prediction:
    return Prediction(source, tuple(range(len(labels))), labels, probabilities, 1.0, 1.0, 1.0)


def _draw(out: Path, pictures: list[tuple[Image.Image, Prediction]]) -> NDArray[np.uint8]:
    contact_sheet(pictures, out)
    with Image.open(out) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def _where(pixels: NDArray[np.uint8], colour: str) -> NDArray[np.bool_]:
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.asarray((pixels == rgb).all(axis=-1))


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 31, 125, 300])
def test_every_picture_is_there(tmp_path: Path, count: int) -> None:
    red = Image.new("RGB", (40, 30), "#ff0000")
    pixels = _draw(tmp_path / "sheet.png", [(red, _prediction())] * count)
    tile = sheet._Tile(count, labels=2)
    assert _where(pixels, "#ff0000").sum() == count * tile.width * tile.picture_height
    height, width, _ = pixels.shape
    if count > 3:
        assert 0.6 < width / height < 2.5
    assert (width - tile.gap) // (tile.width + tile.gap) * ((height - tile.gap) // (tile.height + tile.gap)) >= count


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (30, 40), (400, 300)])
def test_pictures_keep_their_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = _draw(tmp_path / "sheet.png", [(Image.new("RGB", size, "#ff0000"), _prediction())])
    rows, columns = np.nonzero(_where(pixels, "#ff0000"))
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    scale = min(560 / size[0], 420 / size[1])
    assert width == max(1, round(size[0] * scale))
    assert height == max(1, round(size[1] * scale))


def test_bars_are_as_long_as_the_probabilities(tmp_path: Path) -> None:
    labels, blank = ("", "", ""), Image.new("RGB", (4, 3))
    pixels = _draw(tmp_path / "a.png", [(blank, _prediction(labels=labels, probabilities=(0.5, 0.25, 0.0)))])
    room = 560 - 2 * sheet._Tile(1, 3).gap
    assert _where(pixels, sheet._BEST_BAR).any(axis=0).sum() == pytest.approx(room * 0.5, abs=1)
    assert _where(pixels, sheet._BAR).any(axis=0).sum() == pytest.approx(room * 0.25, abs=1)


def test_long_and_odd_names_stay_in_their_card(tmp_path: Path) -> None:
    blank = Image.new("RGB", (4, 3))
    names = ["x" * 5000 + ".jpg", "a\nb\tc\x1b.jpg", "odd\udcff.jpg", "", "日本.jpg"]
    for name in names:
        shown = (
            blank,
            _prediction(name, labels=("W" * 3000, "cougar, puma, catamount, mountain lion, painter, panther")),
        )
        pixels = _draw(tmp_path / "sheet.png", [shown])
        gap = sheet._Tile(1, 2).gap
        margins = np.concatenate([pixels[:, -gap:].reshape(-1, 3), pixels[-gap:].reshape(-1, 3)])
        assert (margins == margins[0]).all()


def test_shorten() -> None:
    font = ImageFont.load_default(size=14)
    assert sheet._shorten("espresso", 500, font) == "espresso"
    short = sheet._shorten("cougar, puma, catamount", font.getlength("cougar, puma…"), font)
    assert short == "cougar, puma…"
    assert sheet._shorten("espresso", 0, font) == "…"


def test_a_picture_that_went_away(tmp_path: Path) -> None:
    contact_sheet([(str(tmp_path / "gone.jpg"), _prediction())], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").exists()


def test_predictions_alone_draw_their_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "#ff0000").save(tmp_path / "red.png")
    prediction = _prediction(str(tmp_path / "red.png"))
    contact_sheet([prediction], tmp_path / "alone.png")
    contact_sheet([(str(tmp_path / "red.png"), prediction)], tmp_path / "pairs.png")
    assert (tmp_path / "alone.png").read_bytes() == (tmp_path / "pairs.png").read_bytes()


@pytest.mark.parametrize("count", [0, sheet.MAX_PICTURES + 1])
def test_count_is_limited(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        contact_sheet([("a.jpg", _prediction())] * count, tmp_path / "sheet.png")


def test_a_failed_write_keeps_the_old_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "sheet.png"
    out.write_bytes(b"old")

    def fail(self: Image.Image, file: BinaryIO, format: str) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        contact_sheet([(Image.new("RGB", (4, 3)), _prediction())], out)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]
