"""Runs that are stopped, killed, cut short or spread over two processes end with the weights of an unbroken one."""

from __future__ import annotations

import errno
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")


from shufflenet.training import teacher, validate
from shufflenet.training.run_folder import RunFolder
from shufflenet.training.stop import Stopped
from shufflenet.training.train import _Run, train_job
from training_runs import (
    COMMAND,
    ENVIRONMENT,
    QUICK,
    RUN,
    assert_same_weights,
    job,
    one_thread,
    refused,
    rows,
    run,
    weights,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def test_a_stop_while_the_teacher_gets_ready_loses_nothing(
    unbroken: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is at the first step of an input size. The run ends behind the step, and goes on to the same weights."""
    recipe = replace(QUICK, progressive=(0.7, 1.0))
    taught = job(shapes, recipe, size=48, teacher=str(unbroken / "model.safetensors"))
    train_job(taught, tmp_path / "whole")
    estimate, calls = validate.estimate_batch_norm, []

    def stop_at_the_second(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        estimate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(teacher, "estimate_batch_norm", stop_at_the_second)
        with pytest.raises(Stopped):
            train_job(taught, tmp_path / "stopped")
    assert RunFolder(tmp_path / "stopped").newest_checkpoint() is not None
    train_job(taught, tmp_path / "stopped")
    whole, stopped = (weights(tmp_path / name) for name in ("whole", "stopped"))
    assert all(np.array_equal(whole[name], tensor) for name, tensor in stopped.items())


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_stop_at_an_epochs_end_is_made_up_for(
    unbroken: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    estimate, calls = validate.estimate_batch_norm, []

    def stop(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == epoch:
            signal.raise_signal(signal.SIGTERM)
        estimate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(validate, "estimate_batch_norm", stop)
        assert run(shapes, "--out", tmp_path, *RUN).exit_code == 128 + signal.SIGTERM
    assert len(rows(tmp_path)) == epoch - 1 if epoch > 1 else not (tmp_path / "metrics.csv").exists()
    assert run(shapes, "--out", tmp_path, *RUN).exit_code == 0
    assert_same_weights(tmp_path, unbroken)
    times = {"images_per_s", "seconds"}
    for ours, theirs in zip(rows(tmp_path), rows(unbroken), strict=True):
        assert {k: v for k, v in ours.items() if k not in times} == {k: v for k, v in theirs.items() if k not in times}
    assert "this run is finished" in run(shapes, "--out", tmp_path, *RUN).stderr


def test_a_stop_says_from_where_it_goes_on(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = RunFolder.save_checkpoint

    def full(folder: RunFolder, step: int, state: dict[str, Any]) -> None:
        if step == 3:
            signal.raise_signal(signal.SIGTERM)
        if step >= 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(folder, step, state)

    monkeypatch.setattr(RunFolder, "save_checkpoint", full)
    result = run(shapes, "--out", tmp_path, *RUN, "--checkpoint-minutes", "0")
    assert result.exit_code == 128 + signal.SIGTERM
    *_, failed, last = result.stderr.splitlines()
    assert failed == f"{tmp_path}: checkpoint not written (No space left on device); the last one is kept"
    assert last == "stopped after step 4; the same command goes on from step 2, the last one saved"


def test_a_stop_before_the_first_checkpoint_says_so(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(run: _Run, *arguments: object) -> None:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(_Run, "_train", stop)
    result = run(shapes, "--out", tmp_path, *RUN)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1].startswith("stopped before the first checkpoint")


class Processes:
    """`shufflenet train` in one process, or in two with the environment that torchrun gives them."""

    def __init__(self, count: int, *arguments: str | Path) -> None:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = str(free.getsockname()[1])
        shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
        self.all = [
            subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                env=ENVIRONMENT | (shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for rank in range(count)
        ]

    def wait_for_step(self, out: Path, step: int) -> None:
        deadline = time.monotonic() + 120
        while not any(int(path.stem.split("-")[1]) >= step for path in out.glob("checkpoint-*.pt")):
            for process in self.all:
                assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def send(self, number: int) -> None:
        for process in self.all:
            process.send_signal(number)

    def end(self, code: int) -> tuple[str, str]:
        """What all processes wrote to stdout and stderr, once they have ended with ``code``."""
        outputs = [process.communicate(timeout=200) for process in self.all]
        stdout, stderr = (b"".join(streams).decode() for streams in zip(*outputs, strict=True))
        assert [process.returncode for process in self.all] == [code] * len(self.all), stderr
        return stdout, stderr


@pytest.fixture(scope="module")
def two_unbroken(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `unbroken`, on two processes."""
    out = tmp_path_factory.mktemp("runs") / "two"
    stdout, _ = Processes(2, shapes, "--out", out, *RUN).end(0)
    assert stdout.splitlines() == [str(out / "model.safetensors")]
    return out


def test_two_processes_have_the_losses_of_one(unbroken: Path, two_unbroken: Path) -> None:
    for two, one in zip(rows(two_unbroken), rows(unbroken), strict=True):
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=2e-5)
        assert (two["top1_error"], two["top5_error"]) == (one["top1_error"], one["top5_error"])


def test_two_processes_without_our_kernels(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    """What is partly frozen is trained by PyTorch, and with two processes by a batch norm over both."""
    options: list[str | Path] = ["--from", unbroken / "model.safetensors", "--freeze", "stem", "--size", "32"]
    options += ["--epochs", "2"]
    assert run(shapes, "--out", tmp_path / "one", *options).exit_code == 0
    Processes(2, shapes, "--out", tmp_path / "two", *options).end(0)
    for two, one in zip(rows(tmp_path / "two"), rows(tmp_path / "one"), strict=True):
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=1e-3)
        assert two["top1_error"] == one["top1_error"]


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_stopped_runs_go_on_bit_for_bit(
    shapes: Path, tmp_path: Path, unbroken: Path, two_unbroken: Path, processes: int
) -> None:
    """SIGKILL, then SIGTERM or Ctrl-C, then the rest with other workers: the model file is that of an unbroken run."""
    unbroken = unbroken if processes == 1 else two_unbroken
    out = tmp_path / unbroken.name  # the file has the run's name
    arguments: list[str | Path] = [shapes, "--out", out, *RUN, "--checkpoint-minutes", "0"]

    killed = Processes(processes, *arguments)
    killed.wait_for_step(out, random.randint(1, 4))
    killed.send(signal.SIGKILL)
    killed.end(-signal.SIGKILL)
    assert not (out / "model.safetensors").exists()

    stopped = Processes(processes, *arguments)
    stopped.wait_for_step(out, random.randint(6, 9))
    gently = signal.SIGTERM if processes == 1 else signal.SIGINT
    stopped.send(gently)
    stdout, stderr = stopped.end(128 + gently)
    assert stdout == ""
    assert "the same command goes on from there" in stderr.splitlines()[-1]
    assert len(list(out.glob("checkpoint-*.pt"))) == 2, "the newest two are kept"

    stdout, stderr = Processes(processes, *arguments, "--workers", "2").end(0)
    assert stdout.splitlines() == [str(out / "model.safetensors")]
    assert "going on after step" in stderr
    assert_same_weights(out, unbroken)
    assert (out / "model.safetensors").read_bytes() == (unbroken / "model.safetensors").read_bytes()
    for ours, theirs in zip(rows(out), rows(unbroken), strict=True):
        assert ours["loss"] == theirs["loss"]
    assert not list(out.glob(".*.tmp"))


def test_the_others_say_when_one_process_is_killed(shapes: Path, tmp_path: Path) -> None:
    arguments: list[str | Path] = [shapes, "--out", tmp_path, *RUN, "--epochs", "99", "--checkpoint-minutes", "0"]
    two = Processes(2, *arguments)
    two.wait_for_step(tmp_path, 2)
    two.all[1].kill()
    _, stderr = two.all[0].communicate(timeout=60)
    assert two.all[0].returncode == 2
    assert stderr.decode().splitlines()[-1].startswith("Error: another process of this run has ended")
    two.all[1].communicate()


def test_full_disk(shapes: Path, tmp_path: Path, unbroken: Path) -> None:
    """No file may grow beyond 100 kB: pictures stay in memory, checkpoints fail, the run's result is refused."""
    out = tmp_path / "run"
    arguments = ["train", str(shapes), "--out", str(out), *RUN, "--checkpoint-minutes", "0"]
    code = (
        "import resource, sys; from shufflenet import cli; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); cli.main()"
    )
    full = subprocess.run([sys.executable, "-c", code, *arguments], env=ENVIRONMENT, capture_output=True, text=True)
    assert full.returncode == 1
    lines = full.stderr.splitlines()
    assert f"{out}: checkpoint not written (File too large); training goes on, the last one is kept" in lines
    assert lines[-1].startswith("Error: ")
    assert lines[-1].endswith(
        "model.safetensors: not written (File too large); make room and give the same command again"
    )
    assert "Traceback" not in full.stderr
    assert not list(out.glob(".*.tmp"))
    assert run(shapes, "--out", out, *RUN).exit_code == 0, "with room it goes on"
    assert_same_weights(out, unbroken)


def test_a_cut_checkpoint_is_passed_over(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    (out / "model.safetensors").unlink()
    whole = next(out.glob("checkpoint-*.pt"))
    (out / "checkpoint-999.pt").write_bytes(whole.read_bytes()[:5000])
    result = run(shapes, "--out", out, *RUN)
    assert result.exit_code == 0, result.output
    assert f"{out}/checkpoint-999.pt: left out, it can't be read" in result.stderr
    assert_same_weights(out, unbroken)
    for path in out.glob("checkpoint-*.pt"):
        path.write_bytes(b"junk")
    assert "none of its checkpoints can be read" in refused(run(shapes, "--out", out, *RUN))


def test_a_run_of_an_earlier_version_goes_on(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    """Whose recipe lacks what is new since then, and is as by default."""
    folder = shutil.copytree(unbroken, tmp_path / "copy")
    written = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    del written["settings"]["recipe"]["start_share"]
    (folder / "recipe.json").write_text(json.dumps(written), encoding="utf-8")
    assert run(shapes, "--out", folder, *RUN).exit_code == 0
    result = run(shapes, "--out", folder, *RUN, "--recipe", "finetune")
    assert "holds a run with other settings (--recipe " in result.stderr


def test_a_finished_run_is_not_repeated(unbroken: Path, shapes: Path) -> None:
    before = (unbroken / "model.safetensors").stat().st_mtime_ns
    result = run(shapes, "--out", unbroken, *RUN)
    assert result.exit_code == 0
    assert "this run is finished" in result.stderr
    assert (unbroken / "model.safetensors").stat().st_mtime_ns == before
