"""The command line: its output on stdout and stderr, and its exit codes; partly in a process of its own."""

from __future__ import annotations

import ast
import contextlib
import csv
import io
import json
import os
import pty
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from PIL import Image

import shufflenet
from shufflenet import cli, model_file
from shufflenet.commands.pictures import named_pictures
from shufflenet.install_hint import install_hint
from shufflenet.networks.model import Model
from shufflenet.sheet import MAX_PICTURES

COMMAND = [sys.executable, "-m", "shufflenet"]


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments], input=stdin)


def process(*arguments: str | bytes | Path, code: str = "", **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", code] if code else COMMAND
    return subprocess.run([*command, *arguments], capture_output=True, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


def test_version() -> None:
    assert run("--version").stdout == f"shufflenet {shufflenet.__version__}\n"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_has_examples(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"  shufflenet {command}" in result.stdout.split("Example")[1]
    assert f"\n  {command} " in run("--help").stdout


def test_predict_takes_labels_from_a_file(model_path: Path, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("n1\tone\ntwo\nthree\nfour\nfive\n", "utf-8")
    picture = next(photos.glob("*.jpg"))
    before = json.loads(run("predict", picture, "--model", model_path, "--json").stdout)
    after = json.loads(run("predict", picture, "--model", model_path, "--labels", file, "--json").stdout)
    names = ["one", "two", "three", "four", "five"]
    assert [row["label"] for row in after["predictions"]] == [
        names[row["class_index"]] for row in before["predictions"]
    ]
    file.write_text("one\n", "utf-8")
    result = run("predict", picture, "--model", model_path, "--labels", file)
    assert (result.exit_code, result.stderr) == (2, f"Error: {file}: 1 class names for 5 classes\n")


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    result = run("evalute")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No such command 'evalute'. Did you mean evaluate?" in result.stderr


def test_short_help() -> None:
    assert run("-h").stdout == run("--help").stdout
    assert run("predict", "-h").stdout == run("predict", "--help").stdout


def test_attributes_that_macos_keeps_beside_a_picture_are_no_picture(tmp_path: Path) -> None:
    (tmp_path / "x.png").touch()
    (tmp_path / "._x.png").touch()
    assert named_pictures([str(tmp_path)]) == ([str(tmp_path / "x.png")], [])


def test_unknown_command() -> None:
    result = run("no-such-command")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No such command 'no-such-command'" in result.stderr


def test_every_command_has_its_file() -> None:
    """Every module with a command is listed in `cli.COMMANDS`; otherwise it would never be loaded."""
    folder = Path(cli.__file__).parent / "commands"
    decorated = {path.stem.rstrip("_") for path in folder.glob("*.py") if "@click.command" in path.read_text()}
    assert decorated == set(cli.COMMANDS)


# summary


def test_summary_json() -> None:
    cost = json.loads(run("summary", "shufflenet_g3_x1_0", "--json").stdout)
    assert cost["macs_without_classifier"] == 136_500_672
    assert cost["macs"] == 136_500_672 + 960_000
    assert cost["parameters"] == 1_865_728
    assert sum(layer["macs"] for layer in cost["layers"]) == cost["macs"]
    assert cost["layers"][0] == {
        "name": "conv1",
        "output_shape": [24, 112, 112],
        "macs": 24 * 27 * 112 * 112,
        "parameters": 24 * 27 + 48,
        "activation_bytes": 24 * 112 * 112 * 4,
    }


def test_summary_table() -> None:
    lines = run("summary", "shufflenet_g1_x1_0").stdout.splitlines()
    assert lines[0].split() == ["layer", "output", "multiply-adds", "parameters", "activation", "KiB"]
    assert lines[1].split() == ["conv1", "24", "x", "112", "x", "112", "8,128,512", "696", "1,176.0"]
    assert "without the classifier 142.5 million" in lines[-2]
    assert lines[-1].endswith(" 1,531,936")
    assert len({len(line) for line in lines[:54]}) == 1  # aligned


def test_summary_of_an_embedded_name_says_how_its_model_differs() -> None:
    result = run("summary", "shufflenet_g3_x0_5")
    assert "the model shufflenet_g3_x0_5 that comes with the package has --size 64 --classes 200 --stem-stride 1" in (
        result.stderr
    )
    assert run("summary", "shufflenet_g3_x0_5", "--size", "64").stderr == ""
    in_8_bits = run("summary", "shufflenet_g3_x0_5_int8")
    assert (", 200 classes, stem stride 1, 64 x 64 pixels" in in_8_bits.stdout, in_8_bits.stderr) == (True, "")


@pytest.mark.parametrize(
    ("words", "typed", "offered"),
    [
        (["predict", "--model"], "shuffle", {f"shufflenet_g3_{x}" for x in ("x0_5", "x0_5_int8", "x1_0", "x1_0_int8")}),
        (["evaluate"], "pytorchcv:shufflenet_g8", {"pytorchcv:shufflenet_g8_w1"}),
        (["export", "m.safetensors", "--to"], "on", {"onnx"}),
        (["train", "--recipe"], "s", {"short"}),
        ([], "pre", {"predict"}),
    ],
)
def test_shells_complete_names(words: list[str], typed: str, offered: set[str]) -> None:
    found = ShellComplete(cli.commands, {}, "shufflenet", "_SHUFFLENET_COMPLETE").get_completions(words, typed)
    assert {item.value for item in found if item.type == "plain"} == offered


def test_the_line_that_installs_completion() -> None:
    folder = Path(sys.executable).parent
    if shutil.which("bash") is None or not (folder / "shufflenet").exists():
        pytest.skip("bash or the command itself is not there")
    (line,) = re.findall(r"eval .*", " ".join(run("--help").stdout.split()))
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", f"{line} && complete -p shufflenet"], env=environment, capture_output=True)
    assert b"_shufflenet_completion" in done.stdout


def test_summary_options() -> None:
    cost = json.loads(
        run(
            "summary", "shufflenet_g2_x0_25", "--size", "64x96", "--classes", "7", "--stem-stride", "1", "--json"
        ).stdout
    )
    assert cost["layers"][0]["output_shape"] == [12, 64, 96]
    assert cost["layers"][-1]["output_shape"] == [7, 1, 1]
    square = json.loads(run("summary", "shufflenet_g2_x0_25", "--size", "50", "--json").stdout)
    assert (square["height"], square["width"]) == (50, 50)


def test_a_run_folder_stands_for_its_model(model_path: Path, photos: Path, tmp_path: Path) -> None:
    run_folder = tmp_path / "flowers"
    run_folder.mkdir()
    refused = run("predict", photos / "cat.jpg", "--model", run_folder)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(
        f"Error: {run_folder}: a folder without model.safetensors, which `shufflenet train`"
    )
    (run_folder / "model.safetensors").write_bytes(model_path.read_bytes())
    first, second = (run("summary", where, "--json").stdout for where in (model_path, run_folder))
    assert first == second
    ours, theirs = (
        run("predict", photos / "cat.jpg", "--model", where, "--csv").stdout.split(",")[8:12]
        for where in (model_path, run_folder)
    )
    assert ours == theirs


def test_summary_of_a_model_file(model_path: Path) -> None:
    cost = json.loads(run("summary", model_path, "--json").stdout)
    assert (cost["name"], cost["height"], cost["width"]) == ("shufflenet_g2_x0_25", 32, 32)
    assert cost["layers"][-1]["output_shape"] == [5, 1, 1]
    result = run("summary", model_path, "--classes", "7")
    assert (result.exit_code, "a model file has its own" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["resnet50"],
        ["shufflenet_g5_x1_0"],
        ["missing.safetensors"],
        ["shufflenet_g3_x1_0", "--size", "0"],
        ["shufflenet_g3_x1_0", "--size", "-5x5"],
        ["shufflenet_g3_x1_0", "--size", "axb"],
        ["shufflenet_g3_x1_0", "--size", "1x2x3"],
        ["shufflenet_g3_x1_0", "--stem-stride", "3"],
    ],
)
def test_summary_refuses(arguments: list[str]) -> None:
    result = run("summary", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith("Error: ")


# predict


def test_predict_table(model_path: Path, photos: Path) -> None:
    result = run("predict", photos, "--model", model_path, "--top-k", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    head, *rows, closing = result.stdout.splitlines()
    names = sorted(str(path) for path in photos.glob("*.jpg"))
    assert len(rows) == 2 * len(names)
    assert [row.split()[0] for row in rows[::2]] == names
    assert head.split() == ["picture", "decode", "ms", "preprocess", "ms", "network", "ms", "%", "label"]
    assert {row[head.index("label") :] for row in rows} <= set(shufflenet.Classifier(model_path).labels)
    times = [
        [float(value) for value in row[len(name) :].split()[:3]] for row, name in zip(rows[::2], names, strict=True)
    ]
    decode, preprocess, network = (statistics.median(column) for column in zip(*times, strict=True))
    assert closing.startswith(f"{len(names)} pictures, median: decode ")
    medians = [float(part.split()[-2]) for part in closing.partition("(")[0].split(",")[1:]]
    assert medians == pytest.approx([decode, preprocess, network], abs=0.011)


def test_long_paths_keep_the_table_straight(model_path: Path, photos: Path, tmp_path: Path) -> None:
    """Of a long path the end is shown, which tells pictures of one folder apart."""
    folder = tmp_path / ("long " * 12)
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes((photos / "cat.jpg").read_bytes())
    lines = run("predict", folder, "--model", model_path, "--top-k", "1").stdout.splitlines()
    place = lines[0].index("label")
    assert all(line[place - 2 : place] == "  " and line[place] != " " for line in lines[1:3])
    assert [line[:48].rstrip() for line in lines[1:3]] == [
        f"…{str(folder / name)[-47:]}" for name in ("a.jpg", "b.jpg")
    ]


def test_predict_by_threads_that_share_a_picture(model_path: Path, photos: Path) -> None:
    predictions = []
    for threads, text in [("1", ", 1 thread each)"), ("2", ", 2 threads each)")]:
        table = run("predict", photos, "--model", model_path, "--threads", threads)
        assert (table.exit_code, table.stdout.splitlines()[-1].endswith(text)) == (0, True)
        lines = run("predict", photos, "--model", model_path, "--threads", threads, "--json").stdout.splitlines()
        predictions.append([(row["source"], row["predictions"]) for row in map(json.loads, lines)])
    assert predictions[0] == predictions[1]


def test_predict_json(model_path: Path, photos: Path) -> None:
    result = run("predict", photos / "cat.jpg", photos / "coffee.jpg", "--model", model_path, "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    expected = shufflenet.Classifier(model_path).predict([photos / "cat.jpg", photos / "coffee.jpg"])
    for row, prediction in zip(rows, expected, strict=True):
        assert row["source"] == prediction.source
        assert [p["label"] for p in row["predictions"]] == list(prediction.labels)
        assert [p["class_index"] for p in row["predictions"]] == list(prediction.class_indices)
        assert [p["probability"] for p in row["predictions"]] == list(prediction.probabilities)
        assert min(row["decode_ms"], row["preprocess_ms"], row["network_ms"]) > 0


def test_predict_csv(model_path: Path, photos: Path) -> None:
    result = run("predict", photos / "cat.jpg", "--model", model_path, "--csv", "--top-k", "5")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    prediction = shufflenet.Classifier(model_path).predict(photos / "cat.jpg")
    assert [row["label"] for row in rows] == list(prediction.labels)
    assert [row["rank"] for row in rows] == list("12345")
    assert [int(row["class_index"]) for row in rows] == list(prediction.class_indices)
    assert [float(row["probability"]) for row in rows] == pytest.approx(prediction.probabilities, abs=1e-6)


def test_folders_globs_and_lists(model_path: Path, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    (folder / "day 2").mkdir(parents=True)
    data = (photos / "cat.jpg").read_bytes()
    for name in ("b.JPG", "a.jpeg", "notes.txt", "day 2/c.png", "[d].jpg"):
        (folder / name).write_bytes(data)

    def sources(*arguments: str | Path, stdin: bytes | None = None) -> list[str]:
        result = run("predict", *arguments, "--model", model_path, "--top-k", "1", "--json", stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return [os.path.relpath(json.loads(line)["source"], folder) for line in result.stdout.splitlines()]

    everything = ["[d].jpg", "a.jpeg", "b.JPG", "day 2/c.png"]
    assert sources(folder) == everything
    assert sources(folder / "?.*[gG]") == ["a.jpeg", "b.JPG"]
    assert sorted(sources(folder / "**" / "*.*p*g")) == ["[d].jpg", "a.jpeg", "day 2/c.png"]
    assert sorted(sources(folder / "*.jpg", folder / "day*")) == ["[d].jpg", "day 2/c.png"]
    assert sources(folder / "[d].jpg") == ["[d].jpg"]  # a file with that very name takes precedence over the glob
    listed = f"{folder}/a.jpeg\n\n{folder}/day 2\n".encode()
    assert sources("-", stdin=listed) == ["a.jpeg", "day 2/c.png"]
    assert sources("-", folder / "b.JPG", stdin=listed.replace(b"\n", b"\0")) == ["a.jpeg", "day 2/c.png", "b.JPG"]


def test_bad_files_do_not_stop_the_others(model_path: Path, photos: Path, tmp_path: Path) -> None:
    empty, text, folder = tmp_path / "empty.jpg", tmp_path / "text.jpg", tmp_path / "folder"
    empty.touch()
    text.write_text("hello")
    folder.mkdir()
    arguments = [
        empty,
        photos / "cat.jpg",
        tmp_path / "missing.jpg",
        text,
        folder,
        tmp_path / "*.gif",
        photos / "china.jpg",
    ]
    result = run("predict", *arguments, "--model", model_path, "--json")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 5
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    files = [argument for argument in arguments if argument.suffix == ".jpg"]
    assert [row["source"] for row in rows] == list(map(str, files))
    assert [row.get("error") for row in rows] == [
        next((m for m in lines if m.startswith(f"{f}: ")), None) for f in files
    ]
    assert ["predictions" in row for row in rows] == [False, True, False, False, True]
    table = run("predict", *arguments, "--model", model_path, "--csv", "--top-k", "1")
    cells = list(csv.DictReader(io.StringIO(table.stdout)))
    assert [cell["error"] for cell in cells] == [row.get("error", "") for row in rows]
    assert [cell["source"] for cell in cells] == [row["source"] for row in rows]
    assert [bool(cell["label"]) for cell in cells] == [not row.get("error") for row in rows]
    for name in ("empty.jpg", "missing.jpg", "text.jpg", "folder", "*.gif"):
        assert sum(line.startswith(f"{tmp_path / name}: ") for line in lines) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right")
def test_linked_folders_are_followed_once(model_path: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photos").symlink_to(photos)
    (tmp_path / "holiday" / "again").symlink_to(tmp_path / "holiday")
    result = run("predict", tmp_path / "holiday", "--model", model_path, "--csv", "--top-k", "1")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1 + len(list(photos.glob("*.jpg")))


def test_list_on_stdin_that_is_none(model_path: Path, photos: Path) -> None:
    result = run("predict", "-", "--model", model_path, "--csv", stdin=b"\n")
    assert (result.exit_code, result.stderr) == (1, "-: no paths in the list\n")
    result = run("predict", "-", "--model", model_path, stdin=(photos / "cat.jpg").read_bytes())
    assert result.exit_code == 2
    assert "not a picture itself" in result.stderr


def test_pictures_that_are_not_read_are_named(model_path: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "cat.jpg", tmp_path / "a.jfif")
    (tmp_path / "b.heic").write_bytes(b"\0\0\0 ftypheic")
    (tmp_path / "notes.txt").touch()
    result = run("predict", tmp_path, "--model", model_path, "--csv", "--top-k", "1")
    assert (result.exit_code, len(result.stdout.splitlines()), len(result.stderr.splitlines())) == (1, 3, 1)
    assert "b.heic: not a picture in a format that can be read" in result.stderr


@pytest.mark.parametrize("error", ["MemoryError()", 'RuntimeError("can\'t allocate memory: you tried")'])  # PyTorch's
def test_too_little_memory_is_said(photos: Path, error: str) -> None:
    code = (
        "from shufflenet import classifier, cli\n"
        f"def refuse(*_, **__): raise {error}\n"
        "classifier.Classifier = refuse\n"
        "cli.main()"
    )
    result = process("predict", photos, code=code)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.startswith(b"Error: not enough memory")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_stdout_that_is_full(model_path: Path, photos: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [*COMMAND, "predict", str(photos / "cat.jpg"), "--model", str(model_path)]
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (ran.returncode, ran.stderr) == (2, b"Error: stdout: No space left on device\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="descriptors close differently")
def test_closed_stderr(model_path: Path, photos: Path) -> None:
    command = [
        *COMMAND,
        "predict",
        *[str(photos / "cat.jpg")] * 20,
        "--model",
        str(model_path),
        "--csv",
        "--top-k",
        "1",
    ]
    ran = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, preexec_fn=lambda: os.close(2))
    assert ran.returncode == 0
    assert len(ran.stdout.splitlines()) == 21
    command = [*COMMAND, "bench", "--models", "shufflenet_g3_x0_25", "--runtimes", "pytorch-eager", "--rounds", "1"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, timeout=100, preexec_fn=lambda: os.close(2))
    assert (ran.returncode, b"failed" in ran.stdout) == (0, False)


def test_a_model_of_too_long_a_name(photos: Path) -> None:
    result = run("predict", photos, "--model", "a" * 300)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_only_bad_files(model_path: Path, tmp_path: Path) -> None:
    result = run("predict", tmp_path / "missing.jpg", "--model", model_path, "--sheet", tmp_path / "sheet.png")
    assert (result.exit_code, result.stdout) == (1, "")
    assert not (tmp_path / "sheet.png").exists()


def test_max_pixels(model_path: Path, tmp_path: Path) -> None:
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    assert run("predict", tmp_path / "a.png", "--model", model_path, "--max-pixels", "10000").exit_code == 0
    result = run("predict", tmp_path / "a.png", "--model", model_path, "--max-pixels", "9999")
    assert result.exit_code == 1
    assert "a.png: " in result.stderr


def test_a_sheet_replaces_no_picture_that_it_shows(model_path: Path, photos: Path, tmp_path: Path) -> None:
    with Image.open(photos / "cat.jpg") as picture:
        picture.save(tmp_path / "cat.png")
    before = (tmp_path / "cat.png").read_bytes()
    result = run("predict", tmp_path, "--model", model_path, "--sheet", tmp_path / "cat.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is one of the pictures to classify" in result.stderr
    assert (tmp_path / "cat.png").read_bytes() == before


def test_sheet(model_path: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert run("predict", photos, tmp_path / "missing.jpg", "--model", model_path, "--sheet", out).exit_code == 1
    with Image.open(out) as image:
        assert image.format == "PNG"
        assert image.width > 1000
    for bad in (tmp_path / "sheet.jpg", tmp_path / "nowhere" / "sheet.png", tmp_path):
        result = run("predict", photos, "--model", model_path, "--sheet", bad)
        assert (result.exit_code, result.stdout) == (2, "")
    too_many = f"{photos}/cat.jpg\n".encode() * (MAX_PICTURES + 1)
    assert run("predict", "-", "--model", model_path, "--sheet", out, stdin=too_many).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.jpg", "--top-k", "0"],
        ["a.jpg", "--json", "--csv"],
        ["a.jpg", "--model", "no_such"],
        ["a.jpg", "--model", "."],
    ],
)
def test_predict_cannot_start(arguments: list[str]) -> None:
    result = run("predict", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_wrong_model_files(model: Model, model_path: Path, photos: Path) -> None:
    model.self_test = [1.0, 2.0, 3.0, 4.0, 5.0]
    model_file.save(model, model_path)
    result = run("predict", photos, "--model", model_path)
    assert (result.exit_code, "failed its self-test" in result.stderr) == (2, True)
    model_path.write_bytes(model_path.read_bytes()[:5000])
    result = run("predict", photos, "--model", model_path)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert result.stderr.startswith(f"Error: {model_path}: ")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_odd_names(model_path: Path, photos: Path, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/odd"
    os.mkdir(folder)
    names = [b'comma, "quote".jpg', "käse\x1b[31m.jpg".encode(), b"line\nbreak.jpg", b"odd\xff\xfe.jpg"]
    for name in names:
        Path(os.fsdecode(folder + b"/" + name)).write_bytes((photos / "cat.jpg").read_bytes())
    arguments: list[str | bytes | Path] = ["predict", folder, "--model", model_path, "--top-k", "1"]

    lines = process(*arguments, "--json").stdout.splitlines()
    assert [os.fsencode(json.loads(line)["source"]) for line in lines] == [folder + b"/" + name for name in names]
    text = process(*arguments, "--csv").stdout.decode("utf-8", "surrogateescape")
    rows = list(csv.reader(io.StringIO(text)))[1:]
    assert [os.fsencode(row[0]) for row in rows] == [folder + b"/" + name for name in names]

    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for environment in (dict(os.environ), ascii_only):
        table = process(*arguments, env=environment)
        assert (table.returncode, table.stderr) == (0, b"")
        assert len(table.stdout.splitlines()) == 2 + len(names)
        assert b"\x1b" not in table.stdout
        missing = process(*arguments[:1], folder + b"/no\n\xff", *arguments[2:], env=environment)
        assert missing.returncode == 1
        assert len(missing.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_progress_bar_on_a_terminal_only(model_path: Path, photos: Path) -> None:
    def shown(pictures: int) -> tuple[bytes, bytes]:
        terminal, stderr = pty.openpty()
        try:
            command = [*COMMAND, "predict", *[str(photos / "cat.jpg")] * pictures, "--model", str(model_path), "--json"]
            result = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, timeout=60)
        finally:
            os.close(stderr)
        text = b""
        with contextlib.suppress(OSError):  # a closed terminal raises on reading
            while piece := os.read(terminal, 4096):
                text += piece
        os.close(terminal)
        return result.stdout, text

    stdout, stderr = shown(25)
    assert len([json.loads(line) for line in stdout.splitlines()]) == 25
    assert b"classifying" in stderr
    assert b"100%" in stderr
    assert shown(3)[1] == b""
    many = process("predict", *[photos / "cat.jpg"] * 25, "--model", model_path, "--json")
    assert many.stderr == b""


def _heed_ctrl_c() -> None:
    """Restores Ctrl-C in the child: processes started by a shell's background job ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def in_the_middle(slow: str, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running command that has reached the function ``slow`` and sleeps in it; it has received no signal yet."""
    code = (
        f"import time, {slow.rpartition('.')[0]}; from shufflenet import cli\n"
        "def wait(*arguments): print('began\\n', end='', flush=True); time.sleep(300)\n"
        f"{slow} = wait\n"
        "cli.main()\n"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, preexec_fn=_heed_ctrl_c) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"began\n"
        yield running


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process")
def test_ctrl_c(model_path: Path) -> None:
    with in_the_middle("shufflenet.commands.pictures._read_stdin", "predict", "-", "--model", model_path) as running:
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=30)
    assert (running.returncode, stderr.strip()) == (130, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process")
def test_ctrl_c_waits_for_no_thread(model_path: Path, photos: Path) -> None:
    with in_the_middle("shufflenet.classifier.preprocess", "predict", photos, "--model", model_path) as running:
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=30)
    assert (running.returncode, stderr.strip()) == (130, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close differently")
def test_a_reader_that_leaves(model_path: Path, photos: Path) -> None:
    command = [*COMMAND, "predict", *[str(photos / "cat.jpg")] * 200, "--model", str(model_path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to a process")
def test_terminated_leaves_nothing_half_written(model_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    export = ("export", model_path, "--to", "c", "--out", out / "net")
    with in_the_middle("shufflenet.exporters.c._write_engine", *export) as running:
        assert list(out.iterdir())
        running.send_signal(signal.SIGTERM)
        _, stderr = running.communicate(timeout=30)
    assert (running.returncode, stderr) == (143, b"")
    assert not list(out.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize(("closed", "message"), [("<&-", "stdin, which is closed"), (">&-", "stdout is closed")])
def test_closed_pipes(model_path: Path, closed: str, message: str) -> None:
    command = f"{shlex.join([*COMMAND, 'predict', '-', '--model', str(model_path)])} {closed}"
    ran = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert ran.returncode == 2
    assert message in ran.stderr.splitlines()[-1]


# train


def test_train_without_torch_names_the_remedy(tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from shufflenet.cli import main; main()"
    result = process("train", tmp_path, "--out", tmp_path / "run", code=code)
    assert result.returncode == 2
    assert result.stderr.decode().endswith(f": {install_hint('train')}\n")


def test_train_refuses_a_folder_without_pictures(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    result = run("train", tmp_path, "--out", tmp_path / "run")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert str(tmp_path) in result.stderr


# the package's surface and its start-up


def test_public_names() -> None:
    assert shufflenet.__all__ == sorted(shufflenet.__all__)
    assert set(shufflenet.__all__) == set(shufflenet._MODULES)
    for name in shufflenet.__all__:
        assert getattr(shufflenet, name).__name__ == name
        assert getattr(shufflenet, name).__module__ == f"shufflenet.{shufflenet._MODULES[name]}"
    assert set(shufflenet.__all__) <= set(dir(shufflenet))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = shufflenet.nonsense


def test_torch_is_never_imported(model_path: Path, photos: Path) -> None:
    code = (
        "import sys, shufflenet.cli as cli\n"
        "assert not {'numpy', 'PIL', 'torch'} & sys.modules.keys()\n"
        "import atexit\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "cli.main()\n"
    )
    result = process("predict", photos / "cat.jpg", "--model", model_path, code=code)
    assert (result.returncode, result.stderr) == (0, b"False\n")


@pytest.mark.timing
@pytest.mark.skipif(sys.platform == "win32", reason="takes the processor's time as Unix tells it")
@pytest.mark.parametrize(("limit", "what"), [(0.3, "import"), (0.7, "predict")])
def test_start_up_time(limit: float, what: str, model_path: Path, photos: Path, tmp_path: Path) -> None:
    """Processor time of the start, the least of a few attempts, since other load on the machine only adds to it.

    The first one compiles the modules' bytecode, which `pip install` has done for a user.
    """
    import resource

    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}

    def total() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def seconds() -> float:
        began = total()
        if what == "import":
            process(code="import shufflenet", env=environment).check_returncode()
        else:
            process("predict", photos / "cat.jpg", "--model", model_path, env=environment).check_returncode()
        return total() - began

    assert min(seconds() for _ in range(5)) < limit


CORPUS = Path(__file__).parent.parent / "fuzz" / "corpus"


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_model_whose_logits_are_not_finite_is_refused(command: str, photos: Path, tmp_path: Path) -> None:
    model = CORPUS / "model_files" / "nan_probabilities.safetensors"
    for name in ("a", "b"):
        (tmp_path / "val" / name).mkdir(parents=True)
        shutil.copy(photos / "cat.jpg", tmp_path / "val" / name)
    arguments = [photos / "cat.jpg", "--model", model] if command == "predict" else [model, tmp_path]
    result = run(command, *arguments, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "its logits of the built-in test picture are not finite" in result.stderr


def test_nothing_writes_json_with_nan() -> None:
    """`json.dumps` writes NaN and Infinity, which are not JSON, unless it is told not to."""
    calls = 0
    for file in (Path(shufflenet.__file__).parent).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dumps", "json.dump"):
                assert "allow_nan=False" in ast.unparse(node), f"{file}:{node.lineno}"
                calls += 1
    assert calls > 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_messages_that_cannot_be_written_change_nothing(model_path: Path, photos: Path) -> None:
    arguments = ["predict", "missing.jpg", str(photos / "cat.jpg"), "--top-k", "1", "--csv", "--model", str(model_path)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=full, timeout=60)
        assert done.returncode == 1
        assert done.stdout.count(b"\n") == 3
        done = subprocess.run(
            [*COMMAND, "predict", "--no-such-option"], stdout=subprocess.PIPE, stderr=full, timeout=60
        )
        assert done.returncode == 2
