"""The JavaScript of an exported web folder, in a browser: the same answers as in Python."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from exported_site import MODEL, model_bin, shifted, site
from page_blocks import blocks
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


def test_every_kind_of_picture(page: Chrome, photos: Path) -> None:
    """The same photo as a file, pixels and elements; over white where it is transparent, as in Python."""
    picture = Image.open(photos / "coffee.jpg").convert("RGBA").resize((180, 120))
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    source = encoded(picture, "PNG")
    answers = run(
        page,
        """
        const classifier = await Classifier.load(undefined, { workers: 1 });
        const blob = file(arguments[0]), bitmap = await createImageBitmap(blob);
        const image = new Image(), canvas = document.createElement("canvas"), context = canvas.getContext("2d");
        image.src = URL.createObjectURL(blob);
        await image.decode();
        [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
        context.drawImage(bitmap, 0, 0);
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
        const answers = [];
        const frame = new VideoFrame(canvas, { timestamp: 0 });
        for (const one of [blob, new File([blob], "x.png"), bitmap, image, canvas, pixels, frame]) {
            answers.push((await classifier.classify(one))[0]);
        }
        const { thumbnail } = await classifier.classify(blob, { thumbnail: 60 });
        const small = await createImageBitmap(thumbnail);
        return [answers, [small.width, small.height]];
        """,
        base64.b64encode(source).decode(),
    )
    expected = Classifier(MODEL).predict(source)
    assert answers[1] == [60, 40]
    assert len(answers[0]) == 7
    for answer in answers[0]:
        assert answer["label"] == expected.labels[0]
        assert answer["probability"] == pytest.approx(expected.probabilities[0], abs=0.01)  # transparency is rounded


def test_logits(page: Chrome) -> None:
    answer = run(
        page,
        """
        const classifier = await Classifier.load();
        const input = new Float32Array(3 * 64 * 64).map((_, i) => Math.sin(i / 100));
        const wrong = await classifier.logits(new Float32Array(3)).catch((error) => error.message);
        return [Array.from(await classifier.logits(input)), wrong, classifier.labels.length, classifier.engine];
        """,
    )
    x = np.sin(np.arange(3 * 64 * 64) / 100).astype(np.float32).reshape(3, 64, 64)
    expected = Classifier(MODEL).logits(x)[0]
    assert np.abs(np.array(answer[0]) - expected).max() < 1e-5 * np.abs(expected).max()
    assert answer[1:] == ["the network takes 12288 numbers, [3, 64, 64], not 3", 200, "engine-relaxed.wasm"]


def test_how_sure_it_is_of_its_classes(page: Chrome, photos: Path) -> None:
    """As `Prediction.known`, also where logits are lower; without a record of training the highest probability."""
    picture = encoded(Image.open(photos / "cat.jpg"), "PNG")
    plain = shifted(-1)
    plain.training = {}
    addresses = [f"data:;base64,{base64.b64encode(model_bin(model)).decode()}" for model in (shifted(-1), plain)]
    answers = run(
        page,
        """
        const answers = [];
        for (const address of [undefined, ...arguments[1]]) {
            const classifier = await Classifier.load(address, { workers: 1 });
            const { known } = await classifier.classify(file(arguments[0]));
            answers.push([classifier.unknown, known]);
            classifier.close();
        }
        return answers;
        """,
        base64.b64encode(picture).decode(),
        addresses,
    )
    assert isinstance(answers, list), answers
    prediction = Classifier(MODEL).predict(picture)
    odds = prediction.known / (1 - prediction.known) * np.exp(-1)
    expected = [(0.5, prediction.known), (0.5, odds / (1 + odds)), (0, prediction.probabilities[0])]
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_the_script_of_the_page(site: Path, photos: Path, tmp_path: Path) -> None:
    """What docs/export-web.md has for a page of one's own, beside the exported folder, with a file that was chosen."""
    (code,) = (block.text for block in blocks("docs/export-web.md") if block.language == "js")
    (tmp_path / "shufflenet_g3_x0_5_web").symlink_to(site)
    picture = (photos / "cat.jpg").read_bytes()
    (tmp_path / "cat.jpg").write_bytes(picture)
    script = f'const file = await (await fetch("cat.jpg")).blob();\nconst said = [];\n{code}\nwindow.said = said;\n'
    (tmp_path / "mine.js").write_text(script.replace("console.log(", "said.push("), encoding="utf-8")
    (tmp_path / "mine.html").write_text('<script type="module" src="mine.js"></script>', encoding="utf-8")
    with browser() as chrome, server(tmp_path) as address:
        chrome.get(address + "mine.html")
        said = chrome.execute_async_script(
            "const look = (done) => (window.said ? done(window.said) : setTimeout(look, 20, done)); look(arguments[0]);"
        )
    expected = Classifier(MODEL).predict(picture)
    assert said[::2] == [expected.labels[0], expected.class_indices[0]]
    assert said[1] == pytest.approx(expected.probabilities[0], abs=0.02)  # the browser's own JPEG decoder


def test_errors(page: Chrome, photos: Path) -> None:
    cut = (photos / "cat.jpg").read_bytes()[:200]
    errors = run(
        page,
        """
        const classifier = await Classifier.load(undefined, { workers: 1 });
        const canvas = Object.assign(document.createElement("canvas"), { width: 0 });
        const video = document.createElement("video");
        const given = [file(arguments[0]), new Blob([]), new Blob(["text"]), canvas, video, "cat.jpg"];
        const errors = [];
        for (const one of given) {
            errors.push(await classifier.classify(one).catch((error) => [error.name, error.message]));
        }
        classifier.close();
        errors.push(await classifier.classify(given[0]).catch((error) => [error.name, error.message]));
        return errors;
        """,
        base64.b64encode(cut).decode(),
    )
    kinds, messages = zip(*errors, strict=True)
    assert kinds == ("Error", "Error", "Error", "Error", "Error", "TypeError", "Error")
    assert messages[0] == "damaged picture, or of a kind that this browser can't read"
    assert messages[1] == "empty file"
    assert messages[2].startswith("not a picture in a format that can be read")
    assert messages[3].startswith("the HTMLCanvasElement's pixels can't be read")
    assert messages[4] == "the video has no picture yet"
    assert messages[5].endswith("canvas or video element, not String")
    assert messages[6] == "the classifier was closed"


def test_is_a_package(site: Path) -> None:
    package = json.loads((site / "package.json").read_text(encoding="utf-8"))
    assert (package["name"], package["main"]) == (MODEL, "./classifier.js")
    assert all((site / name).is_file() for name in (package["main"], package["types"]))
