"""Lets one call of the system fail in each run of a command: a write, fsync, rename, opening, allocation or thread.

    python fuzz/faults.py --faults 10000

Which call of which command fails is drawn at random, and whether all that follow it fail too, as on a full disk. The
command must end with its result, or with exit code 1 or 2 and one line that says why; files that were there before are
as before or the new ones, whole; nothing half-written is left; and the command given again does all its work. A
command runs in a process that is forked from this one. `faults.c` is what fails.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]
KINDS = ("open", "write", "fsync", "rename", "allocation", "thread")
_SECONDS = 300  # of a run, which takes less than one
# Without memory protobuf, PyTorch's threads, safetensors, and NumPy where it broadcasts end the process; rows of
# predict --to say which pictures had none.
_OTHERWISE_WITHOUT_MEMORY = ("export_onnx", "train", "import", "predict_to")
# The last line says why the command failed, which picture or folder can't be read, or that nothing was written.
_REASON = re.compile(r"[Ee]rror: .|\.png: .|: Cannot allocate memory$|not written")
_SHEETS = ("sheet.png", "mistakes.png")  # they say where a picture could not be drawn for want of memory


@dataclass(frozen=True)
class Scenario:
    """A command that writes below ``out``; ``same`` says whether what it wrote is as good as in an undisturbed run."""

    name: str
    arguments: list[str]
    out: Path
    same: Callable[[Path, Path], bool]


def main() -> int:
    """Parses the command line, lets calls fail, and prints how runs ended; returns the exit code."""
    parser = argparse.ArgumentParser(description="Let one call of the system fail in each run of a command.")
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--torch", action="store_true", help="train and import too: processes with PyTorch take longer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        if "faults.so" not in os.environ.get("LD_PRELOAD", ""):
            library = Path(folder) / "faults.so"
            compiler = os.environ.get("CC", "cc")
            subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "faults.c", "-ldl"], check=True)
            environment = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
            return subprocess.run([sys.executable, *sys.argv], env=environment).returncode
        return attack(Path(folder), options.faults, random.Random(options.seed), options.torch)


def attack(folder: Path, faults: int, chance: random.Random, with_torch: bool) -> int:
    """Runs ``faults`` commands with a failing call each; returns 1 if one of them broke a promise."""
    system = ctypes.CDLL(None)
    scenarios = _scenarios(folder, with_torch)
    calls: dict[str, list[int]] = {}
    for scenario in scenarios:
        with contextlib.redirect_stdout(io.StringIO()):
            _run(scenario, system, -1, 0, False)  # what is imported late is there from now on
        _reset(scenario, with_earlier=False)
        code, said = _run_forked(scenario, system, -1, 0, False)
        if code:
            raise SystemExit(f"{scenario.name} ends with {code} undisturbed: {said}")
        calls[scenario.name] = [system.faults_calls(kind) for kind in range(len(KINDS))]
        shutil.copytree(scenario.out, _undisturbed(scenario))
    ends: Counter[str] = Counter()
    broken = []
    while sum(ends.values()) < faults:
        scenario = chance.choice(scenarios)
        counted = calls[scenario.name]
        kind = chance.choice([kind for kind in range(len(KINDS)) if counted[kind]])
        if KINDS[kind] == "allocation" and scenario.name in _OTHERWISE_WITHOUT_MEMORY:
            continue
        # Memory comes back when what was begun is given up; room on a disk does not.
        number, lasting = chance.randint(1, counted[kind]), KINDS[kind] != "allocation" and chance.random() < 0.5
        _reset(scenario, with_earlier=chance.random() < 0.5)
        code, said = _run_forked(scenario, system, kind, number, lasting)
        wrong = _broken_promise(scenario, code, said)
        if not wrong and code:
            again, said_again = _run_forked(scenario, system, -1, 0, False)
            if again or not scenario.same(scenario.out, _undisturbed(scenario)):
                wrong = f"given again: exit code {again}: {said_again}"
        ends[f"{KINDS[kind]}: exit code {code}"] += 1
        if wrong:
            broken.append(f"{scenario.name}, {KINDS[kind]} {number}{' and later' * lasting}: {wrong}")
            print(broken[-1], flush=True)
        if sum(ends.values()) % 500 == 0:
            print(f"{sum(ends.values())} faults", file=sys.stderr, flush=True)
    for name, counted in calls.items():
        print(f"{name}: " + ", ".join(f"{KINDS[k]} {n}" for k, n in enumerate(counted)))
    print("\n".join(f"{end}: {count}" for end, count in sorted(ends.items())))
    print(f"{faults:,} faults, {len(broken)} broken promises")
    return 1 if broken else 0


def _undisturbed(scenario: Scenario) -> Path:
    return scenario.out.with_name(f"{scenario.out.name}-undisturbed")


def _reset(scenario: Scenario, with_earlier: bool) -> None:
    """Empties the folder that a command writes to, or puts an earlier result there."""
    shutil.rmtree(scenario.out, ignore_errors=True)
    if with_earlier and scenario.name != "train":  # a finished run is not repeated
        shutil.copytree(_undisturbed(scenario), scenario.out)
    else:
        scenario.out.mkdir()


def _broken_promise(scenario: Scenario, code: int, said: str) -> str:
    """What a run did that it must not; empty: nothing."""
    if "Traceback" in said or "Exception ignored" in said:
        return f"exit code {code}: {said[-1500:]}"
    if code == 0:
        return "" if scenario.same(scenario.out, _undisturbed(scenario)) else f"exit code 0, another result: {said}"
    lines = said.splitlines()
    if code not in (1, 2) or not lines:
        return f"exit code {code}: {said[-1500:]}"
    if not _REASON.search(lines[-1]):
        return f"exit code {code}, and no line says why: {said[-500:]}"
    left = [path.name for path in scenario.out.rglob("*.tmp")]
    return f"left over: {left}" if left else _damaged(scenario, said)


def _damaged(scenario: Scenario, said: str) -> str:
    """Names a file that a failed run left and an undisturbed run writes with other bytes."""
    # Looked at when the command has been given again: what is written of the pictures that there was memory for.
    if scenario.same is not _same_files or ".png: not enough memory" in said:
        return ""
    expected = _files(_undisturbed(scenario))
    damaged = [name for name, data in _files(scenario.out).items() if expected.get(name) != data]
    return f"damaged: {damaged}" if damaged else ""


def _run_forked(scenario: Scenario, system: ctypes.CDLL, kind: int, number: int, lasting: bool) -> tuple[int, str]:
    """The exit code of the command in a process of its own, and what it wrote to stderr."""
    messages = scenario.out.with_name("messages")
    child = os.fork()
    if not child:
        signal.alarm(_SECONDS)
        try:
            for name, descriptor in (("results", 1), ("messages", 2)):
                file = os.open(scenario.out.with_name(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(file, descriptor)
            os._exit(_run(scenario, system, kind, number, lasting))
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            system.faults_arm(-1, 0, 0)
            sys.stderr.flush()
            os._exit(99)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), messages.read_text(errors="replace")


def _run(scenario: Scenario, system: ctypes.CDLL, kind: int, number: int, lasting: bool) -> int:
    from shufflenet import cli

    sys.argv = ["shufflenet", *scenario.arguments]
    system.faults_arm(kind, number, int(lasting))
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _scenarios(folder: Path, with_torch: bool) -> list[Scenario]:
    """The commands that write files, each with a network and pictures that are as small as can be."""
    import labelled_shapes
    import seeds
    from shufflenet import model_file
    from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

    data, model = labelled_shapes.make(folder / "shapes", 8, 2), folder / "model.safetensors"
    small = seeds.random_model(ShuffleNetV1(2, 0.05, classes=3, shallow=True).graph())
    small.labels = small.classes = list(labelled_shapes.CLASSES)
    model_file.save(small, model)
    out = folder / "out"
    commands = {
        "predict": ["predict", data / "val", "--model", model, "--json", "--sheet", out / "predict" / "sheet.png"],
        "predict_to": ["predict", data / "val", "--model", model, "--to", out / "predict_to" / "labels"],
        "evaluate": ["evaluate", model, data, "--out", out / "evaluate"],
        "export_c": ["export", model, "--to", "c", "--no-check", "--out", out / "export_c" / "net"],
        "export_onnx": ["export", model, "--to", "onnx", "--no-check", "--out", out / "export_onnx" / "net.onnx"],
    }
    if with_torch:
        import torch

        torch.set_num_threads(1)
        checkpoint, whole = folder / "net.pth", seeds.random_model(ShuffleNetV1(2, 0.25, classes=5).graph())
        torch.save({name: torch.from_numpy(tensor) for name, tensor in whole.tensors.items()}, checkpoint)
        commands["import"] = ["import", "paper", "--file", checkpoint, "--out", out / "import" / "net.safetensors"]
        training_options = [
            "--arch",
            "shufflenet_g2_x0_25",
            "--size",
            "32",
            "--epochs",
            "1",
            "--checkpoint-minutes",
            "0",
        ]
        commands["train"] = ["train", data, *training_options, "--out", out / "train"]
    for name in commands:
        (out / name).mkdir(parents=True)
    same = {"train": _same_model, "predict_to": _same_rows}
    return [
        Scenario(name, list(map(str, words)), out / name, same.get(name, _same_files))
        for name, words in commands.items()
    ]


def _files(folder: Path) -> dict[str, bytes]:
    """What each file holds, but for sheets."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): b"" if path.name in _SHEETS else path.read_bytes() for path in files}


def _same_files(one: Path, other: Path) -> bool:
    return _files(one) == _files(other)


def _same_model(one: Path, other: Path) -> bool:
    return (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def _same_rows(one: Path, other: Path) -> bool:
    import pyarrow.parquet as parquet

    rows = [parquet.read_table(folder / "labels").to_pylist() for folder in (one, other)]
    return sorted(map(repr, rows[0])) == sorted(map(repr, rows[1]))


if __name__ == "__main__":
    sys.exit(main())
