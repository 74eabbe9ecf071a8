"""The exported web page in a browser, as its users see it: pictures come in by every way, what goes wrong is said."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from exported_site import MODEL, model_bin, shifted, site
from shufflenet import Classifier, model_file
from shufflenet.exporters import export
from web_browser import browser, server, tasks

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["site"]

pytestmark = pytest.mark.slow

CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


@pytest.fixture(scope="module")
def film(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the camera sees: a photo, again and again."""
    film = tmp_path_factory.mktemp("film") / "film.mjpeg"
    with film.open("wb") as file:
        for _ in range(4):
            Image.open(photos / "coffee.jpg").resize((640, 480)).save(file, "JPEG", quality=95)
    return film


@pytest.fixture(scope="module")
def chrome(film: Path) -> Iterator[Chrome]:
    with browser(*CAMERA, f"--use-file-for-fake-video-capture={film}") as chrome:
        yield chrome


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with server(site) as address:
        yield address


@pytest.fixture
def page(chrome: Chrome, address: str) -> Iterator[Chrome]:
    """The page, ready; at the end the browser must have had nothing to say."""
    console(chrome)
    chrome.get(address)
    ready(chrome)
    yield chrome
    assert console(chrome) == []


def console(page: Chrome) -> list[Any]:
    """What the browser's console says that was not asked for before."""
    return list(page.get_log("browser"))  # type: ignore[no-untyped-call]


def wait(page: Chrome, condition: str, *arguments: Any) -> Any:
    """What the script returns as soon as it is true."""
    from selenium.common import TimeoutException
    from selenium.webdriver.support.wait import WebDriverWait

    try:
        return WebDriverWait(page, 30, 0.05).until(lambda page: page.execute_script(condition, *arguments))
    except TimeoutException:
        pytest.fail(f"{condition}: {page.execute_script('return document.body.innerText')}")


def ready(page: Chrome) -> None:
    wait(page, "return document.getElementById('status').textContent === 'Ready.'")


def label(page: Chrome) -> str:
    """The best class on the page, once there is one."""
    return str(wait(page, "return document.querySelector('#classes:not([hidden]) .label')?.textContent"))


def text(page: Chrome, name: str) -> str:
    return str(page.execute_script("return document.getElementById(arguments[0]).innerText", name))


def choose(page: Chrome, *files: Path) -> None:
    page.find_element("id", "files").send_keys("\n".join(map(str, files)))


def drop(page: Chrome, *paths: Path) -> None:
    """Files or folders from the system, let go over the page."""
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def best(photo: Path) -> str:
    return Classifier(MODEL).predict(photo).labels[0]


def test_dropped_and_pasted(page: Chrome, photos: Path) -> None:
    drop(page, photos / "cat.jpg")
    assert label(page) == best(photos / "cat.jpg")
    assert "network" in text(page, "times")
    page.execute_async_script(
        """
        const done = arguments[0], canvas = new OffscreenCanvas(300, 200), context = canvas.getContext("2d");
        const picture = document.getElementById("picture");
        picture.decode().then(async () => {
            context.drawImage(picture, 0, 0, 300, 200);
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([await canvas.convertToBlob()], "image.png", { type: "image/png" }));
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
            done();
        });
        """
    )
    wait(page, "return document.getElementById('source').textContent === 'image.png'")
    assert label(page) == best(photos / "cat.jpg")
    assert page.execute_script("return document.querySelectorAll('#pictures li').length") == 2


def test_folder(page: Chrome, photos: Path, tmp_path: Path) -> None:
    """50 pictures, one of them broken, and a file that is none."""
    folder = tmp_path / "holiday"
    (folder / "more").mkdir(parents=True)
    expected = {}
    for i in range(49):
        photo = sorted(photos.glob("*.jpg"))[i % 6]
        file = folder / "more" / f"{i:02}.png" if i % 2 else folder / f"{i:02}.png"
        Image.open(photo).resize((120 + i, 90)).save(file)
        expected[f"holiday/{file.relative_to(folder).as_posix()}"] = file
    (folder / "broken.jpg").write_bytes((photos / "cat.jpg").read_bytes()[:100])
    (folder / "notes.txt").write_text("not a picture")
    drop(page, folder)
    wait(page, "return document.getElementById('status').textContent.startsWith('50 of 50 pictures')")
    assert text(page, "status").endswith("1 can't be read.")
    rows = downloads(page)
    assert {row["source"] for row in rows[1]} == {*expected, "holiday/broken.jpg"}
    answers = Classifier(MODEL).predict(list(expected.values()))
    predictions = [answer.unless_unknown(0.5) for answer in answers]
    for path, prediction in zip(expected, predictions, strict=True):
        (csv_row,) = (row for row in rows[0] if row["source"] == path and row["rank"] == "1")
        (json_row,) = (row for row in rows[1] if row["source"] == path)
        assert csv_row["label"] == json_row["predictions"][0]["label"] == prediction.labels[0]
        assert json_row["predictions"][0]["probability"] == pytest.approx(prediction.probabilities[0], abs=1e-5)
    (error,) = (row["error"] for row in rows[1] if "error" in row)
    assert error == "damaged picture, or of a kind that this browser can't read"
    broken = "return [...document.querySelectorAll('#pictures .broken')].map((tile) => tile.textContent)"
    assert page.execute_script(broken) == [f"{error}holiday/broken.jpg"]


def test_none_of_these(chrome: Chrome, site: Path, photos: Path, tmp_path: Path) -> None:
    """The same model with lower logits is sure of one photo and not of the other: what `predict --unknown 0.5` says."""
    known = {name: Classifier(MODEL).predict(photos / f"{name}.jpg") for name in ("cat", "coffee")}
    scores = {name: np.log(each.known / (1 - each.known)) for name, each in known.items()}
    model = shifted(-sum(scores.values()) / 2)
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site" / "model.bin").write_bytes(model_bin(model))
    for name in known:
        Image.open(photos / f"{name}.jpg").save(tmp_path / f"{name}.png")
    with server(tmp_path / "site") as address:
        chrome.get(address)
        ready(chrome)
        choose(chrome, *(tmp_path / f"{name}.png" for name in known))
        wait(chrome, "return document.getElementById('status').textContent.startsWith('2 of 2 pictures')")
        assert label(chrome) == "none of these"
        csv_rows, json_rows = downloads(chrome)
    model_file.save(replace(model, self_test=[]), tmp_path / "model.safetensors")
    classifier = Classifier(tmp_path / "model.safetensors")
    for row, name in zip(json_rows, known, strict=True):
        expected = classifier.predict(tmp_path / f"{name}.png").unless_unknown(0.5)
        assert (expected.labels[0] == "none of these") == (name == "cat")
        assert row["known"] == pytest.approx(expected.known, abs=1e-5)
        assert [each["label"] for each in row["predictions"]] == list(expected.labels)
        assert [each["class_index"] for each in row["predictions"]] == list(expected.class_indices)
        shares = [each["probability"] for each in row["predictions"]]
        assert shares == pytest.approx(expected.probabilities, abs=1e-5)
    assert next(row["class_index"] for row in csv_rows if row["rank"] == "1") == "-1"


def downloads(page: Chrome) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """What the buttons for CSV and JSON save."""
    texts = page.execute_async_script(
        """
        const done = arguments[0], texts = [], create = URL.createObjectURL;
        HTMLAnchorElement.prototype.click = () => {};
        URL.createObjectURL = (blob) => (texts.push(blob.text()), create(blob));
        document.getElementById("csv").click();
        document.getElementById("json").click();
        URL.createObjectURL = create;
        Promise.all(texts).then(done);
        """
    )
    return list(csv.DictReader(StringIO(texts[0]))), json.loads(texts[1])


@pytest.mark.timing
def test_stays_responsive(site: Path, tmp_path: Path) -> None:
    """While 200 pictures are classified no task of the page takes 50 ms, of processor time: other programs may run."""
    random = np.random.default_rng(0)
    pictures = []
    for i in range(200):
        pictures.append(tmp_path / f"{i:03}.jpg")
        Image.fromarray(random.integers(0, 255, (90, 120, 3), np.uint8)).save(pictures[-1])
    with browser(traced=True) as chrome, server(site) as address:
        chrome.get(address)
        ready(chrome)
        tasks(chrome)  # those of the start
        choose(chrome, *pictures)
        wait(chrome, "return document.getElementById('status').textContent.startsWith('200 of 200 pictures')")
        took = tasks(chrome)
    assert len(took) > 200
    assert max(took) < 50


def test_camera(page: Chrome, photos: Path) -> None:
    page.find_element("id", "camera").click()
    wait(page, "return document.getElementById('times').textContent.includes('a second')")
    assert label(page) == best(photos / "coffee.jpg")
    page.find_element("id", "camera").click()
    wait(page, "return document.getElementById('video').srcObject === null")
    assert text(page, "camera") == "Camera"


def test_not_a_picture(page: Chrome, photos: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("not a picture")
    choose(page, notes)
    problem = wait(page, "return document.getElementById('problem').textContent")
    assert problem.startswith("notes.txt: not a picture in a format that can be read (JPEG, PNG")
    choose(page, photos / "cat.jpg")
    assert label(page) == best(photos / "cat.jpg")
    assert page.execute_script("return document.getElementById('problem').hidden")


def test_offline(site: Path, photos: Path, tmp_path: Path) -> None:
    with browser() as chrome:
        with server(site) as address:
            chrome.get(address)
            ready(chrome)
            chrome.execute_async_script("navigator.serviceWorker.ready.then(arguments[0])")
            wait(chrome, "return navigator.serviceWorker.controller !== null")
        chrome.get(address)
        ready(chrome)
        choose(chrome, photos / "cat.jpg")
        assert label(chrome) == best(photos / "cat.jpg")


def test_single_file(chrome: Chrome, photos: Path, tmp_path: Path) -> None:
    """Opened from disk, with everything in itself, smaller than 1 MB as it is sent."""
    file = export(MODEL, "web", tmp_path / "page.html", single_file=True).path
    assert len(gzip.compress(file.read_bytes(), 9)) < 1 << 20
    console(chrome)
    chrome.get(file.as_uri())
    ready(chrome)
    choose(chrome, *sorted(photos.glob("*.jpg")))
    wait(chrome, "return document.getElementById('status').textContent.startsWith('6 of 6 pictures')")
    assert label(chrome) == best(photos / "astronaut.jpg")
    assert console(chrome) == []


def test_download(site: Path) -> None:
    """What comes before the model is small: page, scripts and the larger engine, as a server sends them."""
    names = {file.name for file in site.iterdir()} - {"model.bin", "engine-relaxed.wasm", "README.md", "EXPORT.json"}
    assert sum(len(gzip.compress((site / name).read_bytes(), 9)) for name in names) < 150 << 10


WITHOUT_SIMD = "WebAssembly.validate = () => false;"


def test_says_what_is_wrong(chrome: Chrome, site: Path, tmp_path: Path) -> None:
    script = chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WITHOUT_SIMD})
    with server(site) as address:
        chrome.get(address)
        assert "no WebAssembly SIMD" in wait(chrome, "return document.getElementById('problem').innerText")
    chrome.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    copy = tmp_path / "copy"
    shutil.copytree(site, copy)
    model = (copy / "model.bin").read_bytes()
    changes = {
        f"model.bin: file is cut short: 1,000 of {len(model):,} bytes": model[:1000],
        "model.bin: damaged, its checksum is wrong": model[:5000] + b"\0" + model[5001:],
        'model.bin: not a model that "shufflenet export --to web" wrote': b"<!doctype html>",
        "model.bin: can't be loaded from": None,
    }
    with server(copy) as address:
        for problem, data in changes.items():
            (copy / "model.bin").unlink(missing_ok=True)
            if data is not None:
                (copy / "model.bin").write_bytes(data)
            chrome.get(address)
            assert wait(chrome, "return document.getElementById('problem').innerText").startswith(problem)
            assert not chrome.find_element("id", "choose").is_enabled()
