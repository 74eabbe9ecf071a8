"""What README and the pages tell to type is typed, on small stand-ins for the files that they name.

Every block of code is run here or by another test that is named, or is listed with the reason why it can't be.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("torch")

import torch

import hub_stand_in
import labelled_shapes
from page_blocks import EVERY, ROOT, Block
from shufflenet import Classifier, cli, create_model, export, load_model
from shufflenet.models import DEFAULT_MODEL
from training_runs import one_thread

pytestmark = pytest.mark.slow

# Commands that no test types, and why.
NOT_TYPED = {
    r"pip install .*": "changes the environment of the tests; test_docs.py looks for the extras",
    r"make [a-z-]+( .*)?|\.venv/bin/pytest .*": "makes that environment, or runs these tests themselves",
    r"shufflenet .*pytorchcv:.*": "downloads a checkpoint; test_importers_download.py has a stand-in",
    r"shufflenet import megvii:.*": "a file that its authors give away on their own pages",
    r"shufflenet predict s3://.*": "needs object storage; test_cluster_docs.py types --on ray",
    r"shufflenet bench --browser .*": "installs other web runtimes by npm",
    r"mkdir nets|python benchmarks/census\.py --write .*": "builds and exports seventeen networks of timm, minutes",
    r"python -m http\.server .*": "ends never; test_web_page.py serves the folder likewise",
    r"\.venv/bin/python fuzz/.*": "takes as long as it is told to; test_fuzz.py and test_faults.py begin with the same",
}
# Commands that other tests type, or call the functions of.
TYPED_ELSEWHERE = {
    r"eval .*_SHUFFLENET_COMPLETE.*": "test_cli.py::test_the_line_that_installs_completion",
    r"torchrun .*": "test_train_resume.py::test_two_processes_have_the_losses_of_one",
    r"shufflenet export shufflenet_g3_x0_5 --to (?!c$|web|onnx --check-on)\w+": "test_export_docs.py::test_first_label",
    r"shufflenet export \S+ --to web": "test_web_page.py::test_dropped_and_pasted",
    r"shufflenet export \S+ --to web --single-file": "test_web_page.py::test_single_file",
    r"python benchmarks/update_readme\.py .*": "test_docs.py::test_speed_tables_are_written_anew",
    r"shufflenet serve|curl .*": "test_pages_run.py::test_server",
    r"shufflenet info hf:.*": "test_pages_run.py::test_hub",
}
# Blocks that are run whole, by bash: a page and how the block begins; what is changed in it, so that it takes seconds.
SHELL = {
    ("docs/training.md", "cd tiny-imagenet-200"): {},
    ("docs/export.md", "mkdir val200"): {},
    ("docs/export-c.md", "shufflenet export"): {"-O3": "-O0", "--to c": "--to c --no-check"},
    ("docs/export-c.md", "aarch64-linux-gnu-gcc"): {"-O3": "-O0"},
    ("docs/pytorch.md", "python -c"): {"CHECKOUT": str(ROOT)},
}
# Blocks of a language that nothing runs, by a page and how the block begins, and why.
NOT_RUN = {
    ("docs/export-litert.md", "from mediapipe"): "MediaPipe is not among what the tests install",
}
# Those that other tests run.
BLOCKS_ELSEWHERE = {
    ("docs/export-onnx.md", "import onnxruntime\n"): "test_export_docs.py::test_size_of_the_onnx_page",
    ("docs/export-*.md", "import "): "test_export_docs.py::test_first_label",
    ("docs/export-web.md", "import {"): "test_web.py::test_the_script_of_the_page",
    ("docs/export-c.md", '#include "'): "test_pages_run.py::test_c_in_a_program",
    ("docs/export-c.md", "add_subdirectory"): "test_pages_run.py::test_c_in_a_program",
    ("docs/cluster.md", ""): "test_cluster_docs.py::test_program",
    ("docs/pytorch.md", "import shufflenet\n"): "test_pages_run.py::test_hub",
}


def shell_changes(block: Block) -> dict[str, str] | None:
    """What `SHELL` says of a block; None: it is not there."""
    return next((SHELL[key] for key in SHELL if block.page == key[0] and block.text.startswith(key[1])), None)


def left_to_others(block: Block) -> bool:
    """Whether a block is in `NOT_RUN` or `BLOCKS_ELSEWHERE`."""
    return any(fnmatch(block.page, page) and block.text.startswith(start) for page, start in NOT_RUN | BLOCKS_ELSEWHERE)


def left_out(command: str) -> bool:
    return any(re.fullmatch(pattern, command) for pattern in [*NOT_TYPED, *TYPED_ELSEWHERE])


def commands_of(block: Block) -> list[str]:
    """Those that are typed alone: not by bash, not by other tests, and not listed above."""
    if block.language or shell_changes(block) is not None:
        return []
    return [command for command in block.commands() if not left_out(command)]


COMMANDS = {command: block.page for block in reversed(EVERY) for command in commands_of(block)}
PYTHON = [block for block in EVERY if block.language == "python" and not left_to_others(block)]


def nobody_runs(block: Block) -> list[str]:
    """What of a block neither is run nor has a reason why it is not."""
    if block.language not in ("", "text", "python") and not left_to_others(block):
        return [block.text]
    return [command for command in commands_of(block) if not command.startswith("shufflenet ")]


@pytest.mark.parametrize("block", EVERY, ids=lambda block: f"{block.page}-{EVERY.index(block)}")
def test_every_block_is_run_or_listed(block: Block) -> None:
    assert not nobody_runs(block), f"{block.page}: run it by a test, list it above with the reason, or call it text"


def test_a_new_block_is_found() -> None:
    commands = Block("docs/new.md", "", "shufflenet models\ncd holiday && ls > files.txt\npip install '.[train]'\n")
    assert nobody_runs(commands) == ["cd holiday", "ls"]
    for page, language in (("docs/export-c.md", "rust"), ("docs/new.md", "c")):
        assert nobody_runs(Block(page, language, "int x;\n")) == ["int x;\n"]


def test_what_is_listed_is_there() -> None:
    commands = {command for block in EVERY if not block.language for command in block.commands()}
    for pattern in [*NOT_TYPED, *TYPED_ELSEWHERE]:
        assert any(re.fullmatch(pattern, command) for command in commands), f"{pattern}: no page has it"
    for page, start in [*SHELL, *NOT_RUN, *BLOCKS_ELSEWHERE]:
        assert any(fnmatch(block.page, page) and block.text.startswith(start) for block in EVERY), (page, start)
    for test in [*TYPED_ELSEWHERE.values(), *BLOCKS_ELSEWHERE.values()]:
        file, name = test.split("::")
        assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), test


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The files that the pages name: photos, class folders, networks, and a model of the classes."""
    root = tmp_path_factory.mktemp("pages")
    for place in ("holiday", "garden", "other-photos", "photos", "more"):
        (root / place).mkdir()
        shutil.copy(photos / "china.jpg", root / place / "b.jpg")
        shutil.copy(photos / "cat.jpg", root / place / ("cat.jpg" if place == "photos" else "a.jpg"))
    Image.open(photos / "cat.jpg").save(root / "more" / "a.png")
    for name, count in {"flowers": 40, "DATA": 8}.items():
        labelled_shapes.make(root / name, train=count, val=3)
    shutil.copy(photos / "cat.jpg", root / "cat.jpg")
    (root / "benchmarks" / "results").mkdir(parents=True)
    (root / "mine.toml").write_text("epochs = 1\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        done = CliRunner().invoke(cli.commands, ["train", "flowers", "--recipe", "nearest", "--size", "32"])
        assert done.exit_code == 0, done.output
        _tiny_imagenet(root / "tiny-imagenet-200", photos)
        _networks(root)
    shutil.copy(root / "runs" / "flowers" / "model.safetensors", root)
    shutil.copy(ROOT / "src" / "shufflenet" / "weights" / f"{DEFAULT_MODEL}.safetensors", root / "MODEL")
    return root


def _tiny_imagenet(root: Path, photos: Path) -> None:
    """A picture of each of its classes in both splits, by the names of their folders: parts of a photo."""
    photo = Image.open(photos / "china.jpg")
    for place, name in enumerate(load_model().classes):
        for split, left in (("train", 0), ("val", 64)):
            (root / split / name).mkdir(parents=True)
            part = photo.crop((left + place, place, left + place + 64, place + 64))
            part.save(root / split / name / f"{split}_{place}.JPEG")
    for name in load_model().classes[:10]:
        shutil.copytree(root / "val" / name, root.parent / "few" / name)


def _networks(root: Path) -> None:
    """What a reader may have of a network of his own: an ONNX file, a program, a checkpoint, and names of classes."""
    network = create_model("shufflenet_g3_x0_25", classes=3).eval()
    torch.save(network.state_dict(), root / "mine.pth")
    program = torch.export.export(network, (torch.zeros(1, 3, 192, 192),))
    torch.export.save(program, root / "other.pt2")
    (root / "classes.txt").write_text("daisy\nrose\ntulip\n", encoding="utf-8")
    (block,) = (block for block in EVERY if "network.eval()" in block.text)
    exec(block.text, {"network": network, "numpy": np, "torch": torch})  # makes expect.npz
    if find_spec("onnx") is not None:
        model = load_model(root / "runs" / "flowers" / "model.safetensors")
        export(model, "onnx", root / "net.onnx", name="net", check=False)
        (root / "nets").mkdir()
        shutil.copy(root / "net.onnx", root / "nets")


def shortened(name: str, line: str) -> list[str]:
    """Options that make a command of seconds of one of minutes or hours."""
    if name == "train" and "--recipe nearest" not in line and "--show-recipe" not in line:
        return ["--dry-run", *([] if "--quantize" in line else ["--size", "32"])]  # whose size is the model's
    if name == "export":
        return ["--no-check"]
    if name == "bench":
        one = [] if "--model-file" in line else ["--models", "shufflenet_g3_x0_25"]
        runtimes = [] if "--layers" in line else ["--runtimes", "onnxruntime"]
        return [*one, *runtimes, "--rounds", "1", "--sizes", "32"]
    if name == "quantize" and "--report" in line:
        return ["--evaluate", "few", "--most-loss", "100"]
    return []


@pytest.mark.parametrize(("line", "page"), list(COMMANDS.items()))
def test_command(line: str, page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if re.search(r"bench|net\.onnx|--to onnx", line):
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    if ".parquet" in line or "--to labels/" in line:
        pytest.importorskip("pyarrow")
        pytest.importorskip("fsspec")
    monkeypatch.chdir(folder)
    _, name, *arguments = shlex.split(line)
    with one_thread():
        done = CliRunner().invoke(cli.commands, [name, *arguments, *shortened(name, line)])
    finds = 1 if name == "doctor" else 0  # the stand-ins are few pictures, which it says
    assert done.exit_code == finds, f"{page}: {line}: {done.output[-500:]}"


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"{block.page}-{PYTHON.index(block)}")
def test_python(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block runs alone as it stands, but for the length of training and what would be downloaded."""
    if "network.eval()" in block.text:
        pytest.skip("a network of the reader's own; it runs when the stand-ins are made")
    for module in ("torchvision", "timm"):
        if f"import {module}" in block.text or f"from {module}" in block.text:
            pytest.importorskip(module)
    monkeypatch.chdir(folder)
    code = block.text.replace("epochs=20, size=160", 'epochs=1, size=32, out="runs/python"')
    code = code.replace('weights="DEFAULT"', "weights=None")
    code = code.replace("engine.run(x)", "engine.run(__import__('numpy').zeros((1, 3, 64, 64), 'float32'))")
    with one_thread():
        exec(compile(code, block.page, "exec"), {})


def bash(text: str, folder: Path, **environment: str) -> str:
    """What the lines print in ``folder``, where ``shufflenet`` and ``python`` are those of the tests."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["bash", "-e", "-c", text]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{text}: {done.stderr}"
    return done.stdout


def shell_block(page: str, start: str) -> str:
    (text,) = (block.text for block in EVERY if block.page == page and block.text.startswith(start))
    for old, new in SHELL[page, start].items():
        text = text.replace(old, new)
    return text


def test_tiny_imagenet_gets_its_folders(tmp_path: Path, photos: Path) -> None:
    """A stand-in for Tiny ImageNet as it is published becomes class folders with the texts."""
    root, classes = tmp_path / "tiny-imagenet-200", load_model().classes[:3]
    (root / "val" / "images").mkdir(parents=True)
    for place, name in enumerate(classes):
        (root / "train" / name / "images").mkdir(parents=True)
        shutil.copy(photos / "cat.jpg", root / "train" / name / "images" / f"{name}_0.JPEG")
        shutil.copy(photos / "cat.jpg", root / "val" / "images" / f"val_{place}.JPEG")
    texts = "".join(f"{name}\tthing {name}, it\n" for name in classes)
    places = [f"val_{place}.JPEG\t{name}\t0\t32\t44\t62\n" for place, name in enumerate(classes)]
    (root / "val" / "val_annotations.txt").write_text("".join(places))
    (root / "wnids.txt").write_text("".join(f"{name}\n" for name in classes))
    (root / "words.txt").write_text(f"n00000000\tan entity\n{texts}")
    bash(shell_block("docs/training.md", "cd tiny-imagenet-200"), tmp_path)
    assert [len(list((root / "val" / name).glob("*.JPEG"))) for name in classes] == [1, 1, 1]
    said = CliRunner().invoke(cli.commands, ["doctor", str(root)]).output
    assert "3 classes" in said
    assert (root / "classes.tsv").read_text() == texts


def test_one_picture_of_each_class(folder: Path, tmp_path: Path) -> None:
    """With ten classes, which are enough to see that it does so."""
    pytest.importorskip("onnxruntime")
    shutil.copytree(folder / "few", tmp_path / "tiny-imagenet-200" / "val")
    said = bash(shell_block("docs/export.md", "mkdir val200"), tmp_path)
    assert sorted(path.stem for path in (tmp_path / "val200").iterdir()) == sorted(load_model().classes[:10])
    assert "10 pictures" in said


def test_torch_hub(folder: Path) -> None:
    bash(shell_block("docs/pytorch.md", "python -c"), folder, OMP_NUM_THREADS="1")


@pytest.fixture(scope="module")
def c_folder(folder: Path) -> Path:
    """Where the first block of C's page was typed; without the compiler's optimisation, which takes a minute."""
    if shutil.which("cc") is None:
        pytest.skip("a C compiler is needed")
    said = bash(shell_block("docs/export-c.md", "shufflenet export"), folder)
    (folder / "said.txt").write_text(said, encoding="utf-8")
    return folder


def answer(said: str) -> str:
    """The best label of the last answer in what was printed."""
    return str(re.findall(r"^ *[\d.]+ %  (.*)$", said, re.MULTILINE)[0])


def test_c(c_folder: Path) -> None:
    expected = Classifier().predict(c_folder / "cat.jpg").labels[0]
    assert answer((c_folder / "said.txt").read_text(encoding="utf-8")) == expected
    for program in ("aarch64-linux-gnu-gcc", "qemu-aarch64"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not there")
    assert answer(bash(shell_block("docs/export-c.md", "aarch64-linux-gnu-gcc"), c_folder)) == expected


def test_c_in_a_program(c_folder: Path) -> None:
    """The page's C, as the body of a program that reads the .ppm, and its lines of CMake build and run."""
    if shutil.which("cmake") is None:
        pytest.skip("cmake is needed")
    code, cmake = (
        next(block.text for block in EVERY if block.page == "docs/export-c.md" and block.language == language)
        for language in ("c", "cmake")
    )
    include, body = code.split("\n\n", 1)
    picture = Image.open(c_folder / "cat.ppm")
    (c_folder / "cat.rgb").write_bytes(picture.tobytes())
    width, height = picture.size
    (c_folder / "program.c").write_text(
        f"""{include}
#include <stdio.h>
static unsigned char rgb[{3 * width * height}];
int main(void)
{{
    const int width = {width}, height = {height};
    FILE *file = fopen("cat.rgb", "rb");
    if (!file || fread(rgb, 1, sizeof rgb, file) != sizeof rgb)
        return 1;
{body}
    for (int c = 0; c < SHUFFLENET_G3_X0_5_CLASSES; c++)
        printf("%.9g\\n", probabilities[c]);
    return 0;
}}
""",
        encoding="utf-8",
    )
    (c_folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.15)\nproject(yours LANGUAGES C)\nadd_executable(your_program program.c)\n"
        + cmake,
        encoding="utf-8",
    )
    header = c_folder / "shufflenet_g3_x0_5_c" / "CMakeLists.txt"
    header.write_text(header.read_text().replace("-O3", "-O0"))  # quick to build
    said = bash("cmake -S . -B build && cmake --build build && build/your_program", c_folder)
    found = [float(line) for line in said.splitlines()[-200:]]
    expected = Classifier().predict(np.asarray(picture), top_k=200)
    assert int(np.argmax(found)) == expected.class_indices[0]
    assert max(found) == pytest.approx(expected.probabilities[0], abs=1e-5)


@pytest.fixture
def served(folder: Path) -> Iterator[int]:
    """The port at which the page's command answers; it chooses a free one."""
    for package in ("uvicorn", "starlette", "prometheus_client", "python_multipart"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", *shlex.split("shufflenet serve"), "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        port = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert port, line
        yield int(port[1])
        server.send_signal(signal.SIGTERM)


def test_server(served: int, folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not there")
    (line,) = (each for block in EVERY for each in block.commands() if each.startswith("curl "))
    said = json.loads(bash(line.replace(":8000", f":{served}"), folder))
    printed = CliRunner().invoke(cli.commands, ["predict", str(folder / "cat.jpg"), "--json"]).stdout
    assert said["predictions"] == json.loads(printed)["predictions"]


def test_hub(folder: Path, tmp_path: Path) -> None:
    """The block on the Hub runs beside a stand-in for it, and `info` reads what it left there."""
    pytest.importorskip("huggingface_hub")
    (code,) = (block.text for block in EVERY if block.language == "python" and "push_to_hub" in block.text)
    with hub_stand_in.running() as hub:
        here = {
            "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_nobody", "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "0",
        }  # fmt: skip
        (tmp_path / "block.py").write_text(code, encoding="utf-8")
        said = bash(f"python {tmp_path / 'block.py'} && shufflenet info hf:user/flowers", folder, **here)
    assert "3: daisy; rose; tulip" in said
