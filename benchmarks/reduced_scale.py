"""Shows what decoding JPEGs at a reduced scale does to a model's labels: the evidence for `images.DRAFT_GAP`.

    python benchmarks/reduced_scale.py MODEL DATA [SIDE]

DATA is a folder as for `shufflenet evaluate`; only its JPEGs count. With SIDE each picture is first enlarged to that
many pixels (its shorter side) and saved as JPEG. The network runs at its own input size and at smaller ones. A line for
each gap (shorter side after decoding / side that it is resized to): how many labels change, and the errors with the
picture decoded in full and at the reduced scale; last, what saving the picture again as JPEG does to the same labels.
"""

from __future__ import annotations

import io
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from shufflenet.classifier import load_model
from shufflenet.engine.engine import Engine
from shufflenet.pictures import dataset, images
from shufflenet.pictures.preprocessing import Preprocessing, preprocess
from shufflenet.threads import map_in_order

_SCALES = (2, 4, 8)
_QUALITY = 92

# What was done to the picture; whether that changed its label; whether the label is wrong before, and after it.
Outcome = tuple[str, bool, bool, bool]


def main(model_name: str, root: Path, side: int | None) -> None:
    model = load_model(model_name)
    engine, split = Engine(model), dataset.open_split(root, model.classes)
    sizes = sorted({model.preprocessing.size, *range(32, model.preprocessing.size, 8)})

    def label(picture: Image.Image, preprocessing: Preprocessing) -> int:
        return int(engine.run(preprocess(picture, preprocessing)[None])[0].argmax())

    def outcomes(place: int) -> list[Outcome]:
        source, truth = split.pictures[place].source(), int(split.targets[place])
        file = _saved(_enlarged(images.decode(source), side)) if side else _bytes(source)
        return list(_compare(file, truth)) if file.startswith(b"\xff\xd8") else []

    def _compare(file: bytes, truth: int) -> Iterator[Outcome]:
        full = images.decode(file)
        variants = {f"1/{scale}": picture for scale in _SCALES if (picture := _reduced(file, scale)).size != full.size}
        for size in sizes:
            preprocessing = replace(
                model.preprocessing,
                size=size,
                resize=round(size * model.preprocessing.resize / model.preprocessing.size),
            )
            gaps = {name: min(picture.size) / preprocessing.resize for name, picture in variants.items()}
            used = {name for name, gap in gaps.items() if gap >= 1}
            if not used:
                continue
            expected = label(full, preprocessing)
            again = label(images.decode(_saved(full)), preprocessing)
            yield "saved again", again != expected, expected != truth, again != truth
            for name in used:
                found = label(variants[name], preprocessing)
                yield f"gap {int(gaps[name])}", found != expected, expected != truth, found != truth

    rows: dict[str, list[tuple[bool, bool, bool]]] = defaultdict(list)
    for found in map_in_order(outcomes, range(len(split))):
        for case, *flags in found:
            rows[case].append((flags[0], flags[1], flags[2]))
    print(f"{'':12} {'pictures':>9} {'labels changed':>15} {'error in full %':>16} {'then %':>7}")
    for case in sorted(rows):
        changed, in_full, then = (np.mean(column) * 100 for column in zip(*rows[case], strict=True))
        count = len(rows[case])
        print(f"{case:12} {count:9,} {changed * count / 100:6.0f} {changed:6.2f} % {in_full:16.2f} {then:7.2f}")


def _bytes(source: str | bytes) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _enlarged(picture: Image.Image, side: int) -> Image.Image:
    scale = side / min(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BICUBIC)


def _saved(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _reduced(file: bytes, scale: int) -> Image.Image:
    """Decodes ``file`` at 1/``scale`` of its size, as `images.decode` does where the picture is large enough."""
    with Image.open(io.BytesIO(file)) as image:
        image.draft(image.mode, (image.width // scale, image.height // scale))
        return ImageOps.exif_transpose(image).convert("RGB")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else None)
