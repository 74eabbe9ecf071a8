"""The JavaScript of an exported web folder, in a browser: the same answers as in Python."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from exported_site import MODEL, site
from shufflenet import Classifier
from web_browser import browser, server

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["site"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(site: Path) -> Iterator[Chrome]:
    """A page of one's own beside the exported files."""
    with browser() as chrome, server(site) as address:
        chrome.get(address + "README.md")
        yield chrome


_BEGIN = """
    const done = arguments[arguments.length - 1];
    const file = (text) => new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
    import("./classifier.js").then(async ({ Classifier }) => {
"""
_END = "}).then(done, (error) => done(`${error}`));"


def run(page: Chrome, script: str, *arguments: Any) -> Any:
    """What an async function of this body returns, which has Classifier and `file`, from base64 to a Blob."""
    return page.execute_async_script(_BEGIN + script + _END, *arguments)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def test_same_probabilities_as_python(page: Chrome, photos: Path) -> None:
    """To 1e-5 from PNG files, whose pixels are the same for everyone; from JPEG files the label."""
    classifier = Classifier(MODEL)
    sources: list[bytes] = []
    for photo in sorted(photos.glob("*.jpg")):
        picture = Image.open(photo).convert("RGB")
        sources += [photo.read_bytes(), encoded(picture, "PNG")]
    sources.append(encoded(Image.open(photos / "cat.jpg").convert("L"), "PNG"))
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        sources.append(encoded(Image.open(photos / "rocket.jpg").resize((96, 64)), "PNG", exif=exif))
    answers = run(
        page,
        """
        const classifier = await Classifier.load(undefined, { workers: 2 });
        const answers = await Promise.all(arguments[0].map((text) => classifier.classify(file(text), { topK: 200 })));
        classifier.close();
        return answers;
        """,
        [base64.b64encode(source).decode() for source in sources],
    )
    assert isinstance(answers, list), answers
    for source, answer in zip(sources, answers, strict=True):
        expected = classifier.predict(source, top_k=200)
        assert answer[0]["label"] == expected.labels[0]
        if source.startswith(b"\x89PNG"):
            ours = {row["index"]: row["probability"] for row in answer}
            theirs = dict(zip(expected.class_indices, expected.probabilities, strict=True))
            assert max(abs(ours[index] - theirs[index]) for index in theirs) < 1e-5
        assert [row["probability"] for row in answer] == sorted((row["probability"] for row in answer), reverse=True)


def test_is_a_package(site: Path) -> None:
    package = json.loads((site / "package.json").read_text(encoding="utf-8"))
    assert (package["name"], package["main"]) == (MODEL, "./classifier.js")
    assert all((site / name).is_file() for name in (package["main"], package["types"]))
