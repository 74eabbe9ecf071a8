"""The folder of plain C: built by its README's commands, it gives Python's labels and probabilities."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exported import QUICK
from random_network import random_input, random_network
from random_quantized import random_quantized
from shufflenet.classifier import Classifier
from shufflenet.engine.engine import Engine, isas, measure
from shufflenet.exporters import c, engine_sources, export
from shufflenet.exporters.target import describe
from shufflenet.known import energy
from shufflenet.models import embedded_models, load_model
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures import images
from shufflenet.pictures.preprocessing import Preprocessing, preprocess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(c.compiler()) is None, reason="no C compiler"),
]

WARNINGS = ("-Wall", "-Wextra", "-Werror")
MAP_NORESERVE = 0x4000


def command(*arguments: str | Path, folder: Path) -> str:
    result = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The engine of an exported folder, compiled once; it is the same in every folder."""
    folder = tmp_path_factory.mktemp("engine")
    _, model = random_network(ShuffleNetV1(1, 0.25, classes=1))
    export(model, "c", folder / "any", name="any", check=False)
    sources = sorted(folder.glob("any/engine*.c"))
    command("cc", *QUICK, *WARNINGS, "-fPIC", "-c", *sources, folder=folder)
    return sorted(folder.glob("*.o"))


@pytest.fixture(scope="module")
def int8_objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The engine of an exported folder in 8 bits."""
    folder = tmp_path_factory.mktemp("int8_engine")
    export(random_quantized(ShuffleNetV1(1, 0.25, classes=1).graph()), "c", folder / "any", name="any", check=False)
    sources = sorted(folder.glob("any/engine*.c"))
    command("cc", *QUICK, *WARNINGS, "-fPIC", "-c", *sources, folder=folder)
    return sorted(folder.glob("*.o"))


def load(model: Model, size: tuple[int, int], objects: list[Path], folder: Path) -> ctypes.CDLL:
    export(model, "c", folder / "net", name="net", size=size, check=False)
    sources = sorted(folder.glob("net/net*.c"))
    command("cc", *QUICK, *WARNINGS, "-shared", "-fPIC", *sources, *objects, "-o", "net.so", "-lm", folder=folder)
    library = ctypes.CDLL(str(folder / "net.so"))
    library.net_message.restype = ctypes.c_char_p
    return library


def pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def test_as_the_readme_says(model: Model, model_path: Path, photos: Path, tmp_path: Path) -> None:
    """The README's commands run in a fresh folder, and the program gives `predict`'s labels and probabilities."""
    export(model, "c", tmp_path / "my pets", name="cats and dogs", check=False)
    picture = images.decode(photos / "cat.jpg")
    picture.save(tmp_path / "cat.ppm")
    readme = (tmp_path / "my pets" / "README.md").read_text()
    commands = [line.strip() for line in readme.splitlines() if re.match(r"    (cc|cmake|\./|build/)", line)]
    assert [line.split()[0] for line in commands] == ["cc", "./classify", "cmake", "build/classify"]
    commands[0] += " -Wall -Wextra -Werror"
    commands[2] = commands[2].replace("-B build", "-B build -DWARNINGS_ARE_ERRORS=ON")
    expected = Classifier(model_path).predict(picture)
    outputs = [command("sh", "-c", line, folder=tmp_path) for line in commands]
    for output in (outputs[1], outputs[3]):
        lines = [line.strip().split(" %  ") for line in output.splitlines()]
        assert [label for _, label in lines] == list(expected.labels)
        assert [float(percent) for percent, _ in lines] == pytest.approx(
            [100 * probability for probability in expected.probabilities], abs=0.051
        )
    (tmp_path / "cut.ppm").write_bytes((tmp_path / "cat.ppm").read_bytes()[:1000])
    (tmp_path / "huge.ppm").write_bytes(b"P6 999999999999 1 255\n")
    for bad in ("cut.ppm", "huge.ppm", "none.ppm", "my pets/README.md"):
        result = subprocess.run([tmp_path / "classify", bad], cwd=tmp_path, capture_output=True, text=True)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith(f"{bad}: ")
    undefined = command("nm", "-u", *(tmp_path / "build").glob("*.a"), folder=tmp_path)
    assert "memcpy" in undefined  # the list does have names
    assert not {"malloc", "calloc", "realloc", "free"} & set(undefined.split())
    defined = command("nm", "-g", "--defined-only", *(tmp_path / "build").glob("*.a"), folder=tmp_path)
    names = {line.split()[2] for line in defined.splitlines() if len(line.split()) == 3}
    assert "cats_and_dogs_run" in names
    assert not {name for name in names if not name.startswith(("shufflenet_", "cats_and_dogs"))}


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        (ShuffleNetV1(3, 0.25, classes=7), (64, 64)),
        (ShuffleNetV1(8, 0.25, classes=201, stem_stride=1), (33, 47)),
        (ShuffleNetV1(1, 0.25, classes=1), (32, 96)),
        (ShuffleNetV1(2, 0.5, classes=1000, shuffle=False), (97, 33)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_networks(arch: ShuffleNetV1, size: tuple[int, int], objects: list[Path], tmp_path: Path) -> None:
    _, model = random_network(arch)
    library = load(model, size, objects, tmp_path)
    engine = Engine(model)
    values = np.empty(arch.classes, np.float32)
    for x in random_input(2, *size):
        assert library.net_run(pointer(x), pointer(values)) == 0
        expected = engine.run(x[None])[0]
        assert np.abs(values - expected).max() <= 1e-5 * np.abs(expected).max()
    pixels = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    assert library.net_classify(pointer(pixels), 80, 50, pointer(values)) == 0
    logits = engine.run(preprocess(Image.fromarray(pixels), model.preprocessing, size)[None])[0].astype(np.float64)
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert np.abs(values - expected).max() < 1e-5
    assert library.net_classify(pointer(pixels), 0, 50, pointer(values)) == -1
    assert library.net_message(-1) == b"a picture without pixels"


@pytest.mark.parametrize("size", [(64, 64), (33, 47)])
def test_networks_in_8_bits_have_the_engines_bits(
    size: tuple[int, int], int8_objects: list[Path], tmp_path: Path
) -> None:
    model = random_quantized(ShuffleNetV1(3, 0.25, classes=7).graph())
    library = load(model, size, int8_objects, tmp_path)
    engine = Engine(model)
    values = np.empty(7, np.float32)
    for x in random_input(2, *size):
        assert library.net_run(pointer(x), pointer(values)) == 0
        np.testing.assert_array_equal(values, engine.run(x[None])[0])


def test_a_folder_has_the_code_of_its_precision_alone(tmp_path: Path) -> None:
    """Each folder has all headers that its files include, and kernels of the other precision in none of them."""
    arch = ShuffleNetV1(1, 0.25, classes=1)
    for folder, model in (("float32", random_network(arch)[1]), ("int8", random_quantized(arch.graph()))):
        export(model, "c", tmp_path / folder, name="net", check=False)
        engine = tmp_path / folder / "engine"
        assert ((engine / "kernels/tile.h").exists(), (engine / "kernels/int8_tile.h").exists()) == (
            folder == "float32",
            folder == "int8",
        )
        assert not (engine / "team").exists()
        readme = (tmp_path / folder / "README.md").read_text()
        assert ("in 8 bits" in readme, "VNNI" in readme) == (folder == "int8",) * 2


def test_preprocessing_is_that_of_python(model: Model, objects: list[Path], tmp_path: Path) -> None:
    """Preprocessing in C equals Python's to the bit: pictures enlarged, reduced, reduced in two steps, and thin."""
    random = np.random.default_rng(0)
    for preprocessing, size in [
        (Preprocessing(size=32, resize=36, mean=(0.1, 0.5, 0.9), std=(0.1, 0.3, 1.0)), (32, 32)),
        (Preprocessing(size=40, resize=40), (40, 40)),
        (Preprocessing(size=32, resize=36), (48, 33)),
    ]:
        model.preprocessing = preprocessing
        folder = tmp_path / f"{preprocessing.resize}_{size[0]}"
        folder.mkdir()
        library = load(model, size, objects, folder)
        given = np.empty((3, *size), np.float32)
        for height, width in [
            (1, 1), (2, 700), (700, 1), (32, 32), (36, 36), (40, 40), (31, 33), (239, 241), (217, 216), (500, 333),
            (251, 1999), (1201, 1000), (433, 649), (2, 70_000),
        ]:  # fmt: skip
            pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            pixels[: height // 2] //= 16  # halves of different brightness, as noise alone has one mean everywhere
            assert library.net_preprocess(pointer(pixels), width, height, pointer(given)) == 1
            np.testing.assert_array_equal(given, preprocess(Image.fromarray(pixels), preprocessing, size))


@pytest.mark.skipif(sys.platform != "linux", reason="needs memory that is only promised")
def test_the_longest_pictures(model: Model, objects: list[Path], tmp_path: Path) -> None:
    """Sides of 2^31 - 1 pixels, whose middle is far behind where 32 bits count bytes."""
    longest, size = 2**31 - 1, model.preprocessing.size
    library = load(model, (size, size), objects, tmp_path)
    given = np.empty((3, size, size), np.float32)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 101, 3), dtype=np.uint8)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    with mmap.mmap(-1, 3 * longest, flags=flags) as memory:
        middle = 3 * (longest // 2 - 50)
        memory[middle : middle + 303] = pixels.tobytes()
        buffer = (ctypes.c_uint8 * (3 * longest)).from_buffer(memory)
        for width, height in [(longest, 1), (1, longest)]:
            picture = Image.fromarray(pixels if height == 1 else pixels.transpose(1, 0, 2))
            assert library.net_preprocess(buffer, width, height, pointer(given)) == 1
            np.testing.assert_array_equal(given, preprocess(picture, model.preprocessing))
        values = np.empty(len(model.labels), np.float32)
        assert library.net_classify(buffer, longest, longest, pointer(values)) == -2
        assert b"more than 3,000 pixels a side" in library.net_message(-2)
        del buffer


def test_hostile_labels(model: Model, objects: list[Path], tmp_path: Path) -> None:
    labels = ['"); exit(1); //', r"C:\new\x41 \" ??/", "??=??( */ %s%n", "käse 🧀 日本", "a\u2028b\x7f\r\n\t12"]
    model.labels = labels
    library = load(model, (32, 32), objects, tmp_path)
    texts = (ctypes.c_char_p * len(labels)).in_dll(library, "net_labels")
    assert [text.decode() for text in texts] == labels  # type: ignore[union-attr]
    assert (tmp_path / "net" / "net_labels.c").read_bytes().isascii()


def test_the_threshold_of_the_unknown_is_in_the_program(
    model: Model, photos: Path, objects: list[Path], tmp_path: Path
) -> None:
    """The last layer is shifted so that one photo is above the threshold and another below it."""
    model.training = {"unknown": {"score": "energy"}}
    pictures = {name: images.decode(photos / f"{name}.jpg") for name in ("cat", "china")}
    run = Engine(model).run
    scores = {name: float(energy(run(preprocess(p, model.preprocessing)[None])[0])) for name, p in pictures.items()}
    model.tensors["fc.bias"] = model.tensors["fc.bias"] - np.float32(sum(scores.values()) / 2)
    export(model, "c", tmp_path / "net", name="net", check=False)
    sources = sorted(tmp_path.glob("net/net*.c"))
    command("cc", *QUICK, *WARNINGS, *sources, "net/main.c", *objects, "-o", "classify", "-lm", folder=tmp_path)
    for name, picture in pictures.items():
        picture.save(tmp_path / "p.ppm")
        says = "none of these" in command("./classify", "p.ppm", folder=tmp_path)
        assert says == (scores[name] == min(scores.values()))
    assert describe(model)["unknown"] == {"score": "log(sum(exp(logits)))", "threshold": 0, "kept": 0.95}
    model.training = {}
    export(model, "c", tmp_path / "plain", name="net", check=False)
    assert "#define NET_UNKNOWN 0.0f" in (tmp_path / "plain" / "net.h").read_text(encoding="utf-8")
    assert "unknown" not in describe(model)


@pytest.mark.parametrize("groups", [1, 8])
def test_memory_is_enough_at_every_level(groups: int, tmp_path: Path) -> None:
    """The memory sizes in the exported folder suffice for its plan at every level of the engine."""
    for number, (size, classes) in enumerate([((32, 32), 1), ((97, 131), 129), ((128, 128), 5), ((224, 224), 1000)]):
        _, model = random_network(ShuffleNetV1(groups, 0.25, classes=classes))
        folder = tmp_path / str(number)
        export(model, "c", folder, name="net", size=size, check=False)
        words = re.findall(r"0x[0-9a-f]+", (folder / "net_plan.c").read_text())
        plan = np.array([int(word, 16) for word in words], np.uint32).tobytes()
        text = (folder / "net.c").read_text()
        network, arena = (int(re.search(rf"{name}_BYTES = (\d+)", text)[1]) for name in ("NETWORK", "ARENA"))  # type: ignore[index]
        for isa in isas():
            sizes = measure(plan, isa)
            assert sizes.network_bytes <= network <= 1.1 * sizes.network_bytes + 200_000
            assert sizes.arena_bytes == arena


@pytest.mark.parametrize("name", embedded_models())
def test_the_models_that_come_with_the_package(
    name: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c, "_FLAGS", QUICK)
    done = export(load_model(name), "c", tmp_path / name, name=name, check_on=[images.decode(photos / "cat.jpg")])
    assert done.ok


def test_levels_have_their_flags() -> None:
    """Every level for which CMake has flags of its own has them in the export."""
    build = (Path(__file__).parent.parent / "CMakeLists.txt").read_text()
    lines = re.findall(r"set_source_files_properties\((.*?) PROPERTIES", build, re.DOTALL)
    special = {Path(name).stem.removeprefix("int8_") for line in lines for name in line.split()}
    assert special == set(engine_sources._TARGETS)


def test_check_builds_the_folder(model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c, "_FLAGS", QUICK)
    pictures = [images.decode(photos / name) for name in ("cat.jpg", "china.jpg")]
    done = export(model, "c", tmp_path / "net", name="net", check_on=pictures)
    assert done.check is not None
    assert done.ok
    assert done.check.probability_error is not None
    assert done.check.probability_error < 1e-6
    assert [other.name.split()[0] for other in done.check.comparisons] == ["engine", "PyTorch"]
    assert all(other.error < 1e-5 for other in done.check.comparisons)
    assert done.file_bytes == sum(file.stat().st_size for file in (tmp_path / "net").rglob("*") if file.is_file())
    assert os.listdir(tmp_path) == ["net"]


@pytest.mark.skipif(
    not shutil.which("aarch64-linux-gnu-gcc") or not shutil.which("qemu-aarch64"),
    reason="no cross-compiler or emulator",
)
def test_aarch64(model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "aarch64-linux-gnu-gcc")
    monkeypatch.setattr(c, "_FLAGS", (*QUICK, "-static"))
    the_example_answers(model, photos, tmp_path, "qemu-aarch64")
    assert "kernels_neon" in command("aarch64-linux-gnu-nm", "classify", folder=tmp_path)


@pytest.mark.skipif(
    not shutil.which("aarch64-linux-gnu-gcc") or not shutil.which("qemu-aarch64"),
    reason="no cross-compiler or emulator",
)
def test_8_bits_on_aarch64(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dot products and without; the program says what the engine says here."""
    monkeypatch.setenv("CC", "aarch64-linux-gnu-gcc")
    monkeypatch.setattr(c, "_FLAGS", (*QUICK, "-static"))
    model = replace(random_quantized(ShuffleNetV1(3, 0.25, classes=7).graph()), preprocessing=Preprocessing(32, 36))
    the_example_answers(model, photos, tmp_path, "qemu-aarch64", "-cpu", "cortex-a72")
    answers = [
        command("qemu-aarch64", "-cpu", cpu, tmp_path / "classify", "cat.ppm", folder=tmp_path)
        for cpu in ("max", "cortex-a72")
    ]
    assert answers[0] == answers[1]
    assert "sdot" in command("aarch64-linux-gnu-objdump", "-d", "classify", folder=tmp_path)


def test_clang(model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ziglang = pytest.importorskip("ziglang")
    monkeypatch.setenv("CC", f"{Path(ziglang.__file__).parent / 'zig'} cc")
    monkeypatch.setattr(c, "_FLAGS", QUICK)
    the_example_answers(model, photos, tmp_path)


@pytest.mark.skipif(
    not shutil.which("aarch64-linux-gnu-gcc") or not shutil.which("qemu-aarch64"),
    reason="no cross-compiler or emulator",
)
def test_preprocessing_is_the_same_on_aarch64(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the compiler may add to a product in the same instruction."""
    monkeypatch.setenv("CC", "aarch64-linux-gnu-gcc")
    monkeypatch.setattr(c, "_FLAGS", (*QUICK, "-O2", "-ffp-contract=fast", "-static"))
    export(model, "c", tmp_path / "net", name="net", check=False)
    (tmp_path / "net" / "main.c").write_text(
        """
        #include "net_parts.h"
        #include <stdio.h>
        int main(int argc, char **argv)
        {
            static uint8_t rgb[3 * 1000 * 1000];
            static float input[INPUT_FLOATS];
            int width, height;
            FILE *file = fopen(argv[argc - 1], "rb");
            while (fscanf(file, "%d %d%*c", &width, &height) == 2) {
                if (!fread(rgb, 3 * width * height, 1, file) || !net_preprocess(rgb, width, height, input))
                    return 1;
                fwrite(input, sizeof input, 1, stdout);
            }
            return 0;
        }
        """
    )
    c.build(tmp_path / "net", tmp_path / "preprocess", *WARNINGS)
    random, sizes = (
        np.random.default_rng(0),
        [(1, 1), (33, 90), (251, 401), (700, 613), (999, 77), (37, 37), (640, 480)],
    )
    pictures = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    with (tmp_path / "pictures").open("wb") as file:
        for picture in pictures:
            file.write(f"{picture.shape[1]} {picture.shape[0]}\n".encode() + picture.tobytes())
    out = subprocess.run(
        ["qemu-aarch64", tmp_path / "preprocess", tmp_path / "pictures"], stdout=subprocess.PIPE, check=True
    )
    found = np.frombuffer(out.stdout, np.float32)
    expected = [preprocess(Image.fromarray(picture), model.preprocessing) for picture in pictures]
    np.testing.assert_array_equal(found.reshape(np.shape(expected)), expected)


def the_example_answers(model: Model, photos: Path, folder: Path, *emulator: str) -> None:
    """Builds the folder with the compiler CC and checks that the program's first label is the engine's."""
    picture = images.decode(photos / "cat.jpg")
    picture.save(folder / "cat.ppm")
    export(model, "c", folder / "net", name="net", check=False)
    c.build(folder / "net", folder / "classify", *WARNINGS)
    output = command(*emulator, folder / "classify", "cat.ppm", folder=folder)
    logits = Engine(model).run(preprocess(picture, model.preprocessing)[None])[0]
    best = int(logits.argmax())
    percent, label = output.splitlines()[0].strip().split(" %  ")
    assert label == model.labels[best]
    assert float(percent) == pytest.approx(100 / np.exp(logits - logits[best]).sum(), abs=0.051)
