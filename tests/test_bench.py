"""The benchmark: logits are checked before times are taken, results have the right fields, exports keep the logits."""

from __future__ import annotations

import copy
import importlib.util
import json
import struct
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.fx
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

import labelled_shapes
from exported import apart
from random_network import every_operator
from shufflenet import model_file
from shufflenet.bench import layers, plot, report, runtime
from shufflenet.bench.case import Case, make_case
from shufflenet.bench.folder import FolderResults
from shufflenet.bench.folder import table as folder_table
from shufflenet.bench.graph import example
from shufflenet.bench.peak import Peak
from shufflenet.bench.pictures import FILE_BYTES, make_pictures
from shufflenet.bench.run import LEAST_AGREEMENT, Results, Row, bench
from shufflenet.bench.runtime import FLOAT32, INT8, OURS, RUNTIMES, Reduced, Run, Runtime, UnavailableError, select
from shufflenet.bench.samples import like_trained, synthetic
from shufflenet.bench.training import TrainingResults
from shufflenet.bench.training import table as training_table
from shufflenet.cli import commands
from shufflenet.engine.engine import Engine
from shufflenet.engine.plan import make_plan, step_names
from shufflenet.engine.steps import HEADER
from shufflenet.exporters.graph import TunedNetwork
from shufflenet.models import DEFAULT_MODEL, load_model
from shufflenet.networks import complexity, families
from shufflenet.networks.model import Model
from shufflenet.networks.module import module_of
from shufflenet.networks.random_model import random_model
from shufflenet.networks.shufflenet_v1 import STAGE2_CHANNELS
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.threads import usable_cores
from shufflenet.training.planar import by_kernels

pytestmark = pytest.mark.slow

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
NATIVE_RESULTS = sorted(set(RESULTS.glob("*.json")) - set(RESULTS.glob("*-browser.json")))
SMALL = "shufflenet_g3_x0_25"
ONE_OF_EACH_FAMILY = (
    "mobilenet_v1_x0_25", "resnet_13m", "resnext_13m", "vgg_like_13m", "squeezenet1_0", "shufflenet_g3_x2_0_se",
    "shufflenet_v2_x0_5",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # small networks gain nothing from more threads


def small_model() -> Model:
    return random_model(families.architecture(SMALL, classes=10).graph())


def small_case(batch: int = 1, **fields: object) -> Case:
    arch = replace(families.architecture(SMALL, classes=10), **fields)  # type: ignore[arg-type]
    return make_case(random_model(arch.graph()), batch, 64, 96, threads=1)


class FakeRuntime(Runtime):
    """A runtime of PyTorch's logits, each configuration with an error relative to the largest logit."""

    def __init__(self, name: str, *errors: float) -> None:
        super().__init__(name, "", (), ())
        object.__setattr__(self, "errors", errors)
        object.__setattr__(self, "calls", [])

    def version(self) -> str:
        return "1"

    def runs(self, case: Case) -> list[Run]:
        def run(error: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            self.calls.append(1)  # type: ignore[attr-defined]
            return (case.logits + error * float(np.abs(case.logits).max())).astype(np.float32)

        return [partial(run, error) for error in self.errors]  # type: ignore[attr-defined]


@pytest.mark.parametrize("shuffle", ["gather", "transpose"])
@pytest.mark.parametrize("groups", STAGE2_CHANNELS)
@torch.inference_mode()
def test_tuned_network_equals_plain(groups: int, shuffle: str) -> None:
    for changes in ({}, {"shuffle": False}):
        case = small_case(batch=2, groups=groups, stem_channels=0, **changes)
        tuned = TunedNetwork(case.model, shuffle)(example(case)).numpy()  # type: ignore[arg-type]
        assert np.abs(tuned - case.logits).max() < 1e-5 * np.abs(case.logits).max()


@pytest.mark.parametrize("shuffle", ["gather", "transpose"])
@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
@torch.inference_mode()
def test_tuned_baselines_equal_plain(name: str, shuffle: str) -> None:
    case = make_case(random_model(families.architecture(name, classes=10).graph()), 2, 64, 96, threads=1)
    tuned = TunedNetwork(case.model, shuffle)  # type: ignore[arg-type]
    for network in (tuned, torch.fx.symbolic_trace(tuned)):
        assert np.abs(network(example(case)).numpy() - case.logits).max() < 1e-5 * np.abs(case.logits).max()


def errors(runtime: str) -> list[float | str | None]:
    """The runtime's errors, or its problems, on small networks that have every operator."""
    graphs = every_operator(), families.architecture("shufflenet_v2_x0_5", classes=10).graph()
    cases = [make_case(random_model(graph), 1, 32, 32, threads=1) for graph in graphs]
    return [row.problem or row.max_error for row in bench(cases, select([runtime]), rounds=1).rows]


OTHERS = [row for row in RUNTIMES if row.imports and row.packages != ("torch",)]


@pytest.mark.parametrize("name", [row.name for row in OTHERS if row.precision == FLOAT32])
def test_runtimes_take_any_network(name: str) -> None:
    if not next(row for row in RUNTIMES if row.name == name).installed():
        pytest.skip(f"{name} is not installed")
    for error in apart(errors, name):
        assert isinstance(error, float), error
        assert error < 1e-5


def test_engine_is_timed_beside_pytorch() -> None:
    results = bench([small_case(batch=2)], select(["pytorch-eager"]), rounds=2)
    assert [row.runtime for row in results.rows] == [OURS, "pytorch-eager"]
    for row in results.rows:
        assert row.problem is None
        assert row.ms is not None
        assert row.max_error is not None
        assert row.ms > 0
        assert row.max_error < 1e-5
        assert (row.batch, row.height, row.width, row.threads, row.precision) == (2, 64, 96, 1, FLOAT32)
        assert row.macs == 2 * complexity.summary(families.architecture(SMALL, classes=10).graph(), 64, 96).macs
    ours, theirs = results.rows
    assert results.ratio_to_ours(ours) == 1
    assert results.ratio_to_ours(theirs) == theirs.ms / ours.ms  # type: ignore[operator]
    assert 0.1 < results.peak_gmacs_per_s < 1000
    assert ours.ms is not None
    assert results.share_of_peak(ours) == pytest.approx(ours.macs / ours.ms / 1e6 / results.peak_gmacs_per_s)


@pytest.mark.parametrize("path", NATIVE_RESULTS, ids=lambda path: path.stem)
def test_kept_results_are_below_the_peak(path: Path) -> None:
    kept = Results.from_document(json.loads(path.read_text(encoding="utf-8")))
    ours = [row for row in kept.rows if row.runtime == OURS]
    assert ours
    for row in ours:
        assert 0 < (kept.share_of_peak(row) or 0) < 1


def test_wrong_runtime_is_not_timed() -> None:
    right, wrong, bad = FakeRuntime("right", 1e-5), FakeRuntime("wrong", 2e-4), FakeRuntime("bad", float("nan"))
    results = bench([small_case()], [right, wrong, bad], rounds=3)
    assert results.rows[0].ms is not None
    assert results.rows[0].problem is None
    for row in results.rows[1:]:
        assert row.ms is None
        assert row.problem is not None
        assert row.problem.startswith("wrong: differs from PyTorch")
    assert len(right.calls) > 2 + 3  # type: ignore[attr-defined]
    assert len(wrong.calls) == 2  # type: ignore[attr-defined]
    assert "wrong: differs" in report.table(results)


def test_one_wrong_configuration_is_enough() -> None:
    (row,) = bench([small_case()], [FakeRuntime("two", 1e-5, float("nan"))], rounds=1).rows
    assert (row.ms, row.max_error) == (None, None)
    assert row.problem == "wrong: differs from PyTorch by nan of the largest logit"


def test_the_faster_configuration_counts_and_each_core_has_a_peak() -> None:
    class Two(FakeRuntime):
        def runs(self, case: Case) -> list[Run]:
            (run,) = super().runs(case)

            def slowly() -> NDArray[np.float32]:
                time.sleep(0.05)
                return run()

            return [slowly, run]

    results = bench([small_case()], [Two("two", 0.0)], rounds=1)
    (row,) = results.rows
    assert row.ms is not None
    assert row.ms < 40
    row.threads, row.macs, row.ms, results.peak_gmacs_per_s = 2, 80_000_000, 1.0, 100.0
    assert results.share_of_peak(row) == pytest.approx(0.4)


def test_the_peak_is_what_the_core_keeps_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peak is the median of samples, without each sample's first run; the best sample is not sustained."""
    calibration, samples = [0.004], [[0.010] + [0.004] * 6, [0.002] * 7, [0.002] + [0.0041] * 6]
    seconds = iter(sum(samples, calibration))
    now = [0.0]

    def peak(isa: str, rounds: int) -> int:
        now[0] += next(seconds)
        return 400_000_000

    monkeypatch.setattr("shufflenet.bench.peak.engine.peak", peak)
    monkeypatch.setattr("shufflenet.bench.peak.perf_counter", lambda: now[0])
    measured = Peak()
    for _ in range(3):
        measured.sample()
    assert measured.gmacs_per_s == pytest.approx(100.0)


def int8_case(batch: int = 1) -> Case:
    samples = synthetic(batch, 3, 32, 32)
    return make_case(like_trained(small_model(), samples), batch, 32, 32, threads=1, samples=samples)


@pytest.fixture(scope="module")
def in_8_bits() -> Case:
    return int8_case(batch=2)


class Reducing(FakeRuntime):
    """A runtime in less than float32 that gives each of its configurations' share of pictures float32's class."""

    def reduced(self, case: Case) -> list[Reduced]:
        return [self._configuration(case, share) for share in self.errors]  # type: ignore[attr-defined]

    def _configuration(self, case: Case, share: float) -> Reduced:
        given, engine = [case.x], Engine(case.model)

        def run() -> NDArray[np.float32]:
            logits = engine.run(given[0])
            self.calls.append(1)  # type: ignore[attr-defined]
            return logits if len(self.calls) % 32 < 32 * share else -logits  # type: ignore[attr-defined]

        def set_input(x: NDArray[np.float32]) -> None:
            given[0] = x

        return Reduced(run, set_input)


def of_precision(runtime_: FakeRuntime, precision: str) -> FakeRuntime:
    object.__setattr__(runtime_, "precision", precision)
    return runtime_


def test_8_bits_of_the_engine_and_of_others_beside_float32(in_8_bits: Case) -> None:
    class Lacking(FakeRuntime):
        def reduced(self, case: Case) -> list[Reduced]:
            raise UnavailableError("no such instructions")

    wrong, lacking = of_precision(Reducing("wrong", 0.2), "int8"), of_precision(Lacking("lacking"), "bfloat16")
    right = of_precision(Reducing("right", 0.1, 1.0), "int8")
    results = bench([in_8_bits], [*select([], (FLOAT32, INT8)), right, wrong, lacking], rounds=2)
    ours, ours_in_8_bits, other, bad, absent = results.rows
    assert ours_in_8_bits.agreement is not None
    assert ours_in_8_bits.agreement > 0.8
    assert (ours.precision, ours_in_8_bits.precision, ours.agreement) == (FLOAT32, INT8, None)
    assert results.ratio_to_ours(ours_in_8_bits) == 1
    assert results.ratio_to_ours(ours) == ours.ms / ours_in_8_bits.ms  # type: ignore[operator]
    assert results.int8_peak_gmacs_per_s is not None
    share = results.share_of_peak(ours_in_8_bits)
    assert share == pytest.approx(ours_in_8_bits.macs / ours_in_8_bits.ms / 1e6 / results.int8_peak_gmacs_per_s)  # type: ignore[operator]
    assert other.agreement == 1
    assert other.ms is not None
    assert (bad.ms, bad.problem) == (None, "wrong: gives float32's class for 22 % of the pictures")
    assert (absent.ms, absent.problem, absent.available) == (None, "no such instructions", False)
    assert Results.from_document(json.loads(json.dumps(results.document()))).document() == results.document()
    text, page = report.table(results), report.markdown(results)
    assert "no such instructions" in text
    assert "in 8 bits where both are there" in text
    assert page.startswith(
        "| network | input | threads | million multiply-adds | **shufflenet int8** | share of peak |"
    )
    assert " (100 %) |" in page


def test_other_runtimes_in_8_bits() -> None:
    """All but OpenVINO, whose quantizer takes long."""
    names = [row.name for row in OTHERS if row.precision == INT8 and row.name != "openvino" and row.installed()]
    if not names:
        pytest.skip("no other runtime in 8 bits is installed")
    for name, problem, available, agreement in apart(agreements, names):
        assert (problem is None) == available, name
        assert (agreement or 0) >= (0 if name == "ncnn" else LEAST_AGREEMENT), name


def agreements(names: list[str]) -> list[tuple[str, str | None, bool, float | None]]:
    rows = bench([int8_case()], [row for row in OTHERS if row.precision == INT8 and row.name in names], rounds=1).rows
    return [(row.runtime, row.problem, row.available, row.agreement) for row in rows]


def test_command_in_8_bits(tmp_path: Path) -> None:
    out, data = tmp_path / "r.json", labelled_shapes.make(tmp_path / "shapes")
    options = ["bench", "--precision", "int8,float32", "--runtimes", "ncnn", "--rounds", "1"]
    model = replace(small_model(), preprocessing=Preprocessing(size=32, resize=32))
    model_file.save(model, tmp_path / "m.safetensors")
    given = ["--model-file", str(tmp_path / "m.safetensors"), "--calibrate", str(data)]
    ran = CliRunner().invoke(commands, [*options, *given, "--json", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "no int8 by its Python package" in ran.output
    rows = {(row["runtime"], row["precision"]): row for row in json.loads(out.read_text())["rows"]}
    assert rows[OURS, INT8]["agreement"] > 0.5
    assert rows[OURS, INT8]["ms"] > 0
    ran = CliRunner().invoke(commands, ["bench", "--layers", "--precision", "int8", *given, "--rounds", "2"])
    assert ran.exit_code == 0, ran.output
    assert "32 x 32, int8, 1 thread" in ran.output
    for more, reason in (
        (["--precision", "int4"], "unknown precision 'int4'"),
        (["--calibrate", str(data)], "--calibrate needs --precision int8"),
        (["--precision", "int8", *given, "--sizes", "64"], "--calibrate takes the size of"),
        (["--precision", "int8", "--folder", "2"], "--folder makes --precision useless"),
    ):
        ran = CliRunner().invoke(commands, ["bench", *more])
        assert ran.exit_code == 2, more
        assert reason in ran.stderr


def test_batch_and_threads_reach_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    threads = []

    class Spy(Engine):
        def __init__(self, model: Model, isa: str | None = None, threads_: int = 1, **how: int) -> None:
            threads.append(how.get("threads", threads_))
            super().__init__(model, isa, **how)

    monkeypatch.setattr(importlib.import_module("shufflenet.bench.engine"), "Engine", Spy)
    options = ["--batch", "2", "--threads", "2", "--models", SMALL, "--sizes", "32", "--rounds", "1"]
    out = tmp_path / "r.json"
    ran = CliRunner().invoke(commands, ["bench", *options, "--runtimes", OURS, "--json", str(out)])
    assert ran.exit_code == 0, ran.output
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["batch"], row["threads"], threads) == (2, 2, [2])
    assert row["macs"] == 2 * complexity.summary(families.architecture(SMALL).graph(), 32, 32).macs


def test_ratios_are_ours_over_the_others() -> None:
    folders = FolderResults({"processor": "p"}, SMALL, 9, 2, 100, 300.0, 100.0, 1.0, 50, 80)
    assert folders.ratio == 3
    assert "3.00 times the images/s" in folder_table(folders)
    loops = TrainingResults({"processor": "p"}, SMALL, 64, 128, 2, 1.0, 300.0, 100.0)
    assert loops.ratio == 3
    assert training_table([loops]).splitlines()[-1].split() == [SMALL, "300.0", "100.0", "3.00"]


def test_without_pytorch_there_is_nothing_to_compare_with() -> None:
    code = "import sys; sys.modules['torch'] = None; from shufflenet.cli import main; main()"
    command = [sys.executable, "-c", code, "bench", "--models", SMALL, "--sizes", "32", "--runtimes", "shufflenet"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert "PyTorch is needed for this" in ran.stderr


def test_failing_runtime_has_a_row() -> None:
    results = bench([small_case()], [Runtime("absent", "no_such_file", ("numpy",), ())], rounds=1)
    (row,) = results.rows
    assert row.ms is None
    assert row.problem is not None
    assert row.problem.startswith("failed: ModuleNotFoundError")


def test_command_exits_1_for_a_wrong_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtime, "RUNTIMES", (*runtime.RUNTIMES[:1], FakeRuntime("wrong", 1e-2)))
    options = ["bench", "--models", SMALL, "--sizes", "32", "--rounds", "1", "--json", str(tmp_path / "r.json")]
    ran = CliRunner().invoke(commands, options)
    assert ran.exit_code == 1, ran.output
    assert "wrong: differs from PyTorch" in ran.output


def test_command_writes_table_json_and_plot(tmp_path: Path) -> None:
    files = tmp_path / "results.json", tmp_path / "results.png"
    ran = CliRunner().invoke(
        commands,
        ["bench", "--models", f"{SMALL},shufflenet_g1_x0_25", "--sizes", "32,32x64", "--runtimes", "pytorch-eager",
         "--rounds", "1", "--json", str(files[0]), "--plot", str(files[1])],
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    document = json.loads(files[0].read_text())
    assert set(document) == {"machine", "versions", "peak_gmacs_per_s", "rows", "int8_peak_gmacs_per_s"}
    assert document["int8_peak_gmacs_per_s"] is None
    assert len(document["rows"]) == 8
    keys = ["model", "runtime", "precision", "threads", "batch", "height", "width", "macs", "ms", "max_error"]
    for row in document["rows"]:
        assert list(row) == [*keys, "problem", "available", "agreement"]
        arch = families.architecture(row["model"])
        assert row["macs"] == complexity.summary(arch.graph(), row["height"], row["width"]).macs
    results = Results.from_document(document)
    assert results.document() == document
    assert report.table(results) + "\n" == ran.stdout
    with Image.open(files[1]) as image:
        assert image.width > 600
        assert len(image.getcolors(maxcolors=100_000) or []) > 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runtimes", "tensorflow"], "unknown runtime 'tensorflow'"),
        (
            ["--models", "resnet"],
            "unknown network 'resnet'; did you mean resnet_38m? families, by one of each: shufflenet_g1_x0_25, ",
        ),
        (["--models", "shufflenet_g5_x1_0"], "groups must be 1, 2, 3, 4 or 8, not 5"),
        (["--sizes", "big"], "a size must be N or HxW"),
        (["--sizes", "31x64"], "a size must be at least 32 pixels, not 31x64"),
        (["--layers", "--folder"], "--layers makes --folder useless"),
        (["--layers", "--plot", "a.png"], "--layers makes --plot useless"),
        (["--layers", "--threads", "2"], "--layers makes --threads useless"),
        (["--training", ".", "--batch", "2"], "--training makes --batch useless"),
        (["--model-file", "a.safetensors", "--models", "alexnet"], "--model-file makes --models useless"),
        (["--photos", "."], "--photos goes with --folder"),
        (["--folder", "3", "--models", "alexnet,resnet_13m"], "--folder takes one network"),
        (["--folder", "--photos", "nowhere"], "nowhere: no such folder"),
        (["--json", "photo.jpg"], "--json needs a name that ends in .json, not photo.jpg"),
        (["--plot", "plot.jpg"], "--plot needs a name that ends in .png"),
        (["--threads", "1025"], "1<=x<=1024"),
        (["--json", "no/such/folder.json"], "no such folder"),
    ],
)
def test_command_refuses(options: list[str], message: str) -> None:
    ran = CliRunner().invoke(commands, ["bench", *options])
    assert ran.exit_code == 2
    assert message in ran.output
    assert "Traceback" not in ran.output


def test_layers_are_those_of_the_summary() -> None:
    case = small_case()
    times = layers.layer_times(case, rounds=2)
    by_name = {layer.name: layer for layer in times.layers}
    for layer in complexity.summary(case.model.graph, 64, 96).layers:
        assert by_name[layer.name].macs == layer.macs
        assert by_name[layer.name].ms > 0 or layer.macs < 1000
    began = time.perf_counter()
    Engine(case.model).step_seconds(case.x, 1)
    assert sum(layer.ms for layer in times.layers) < 1e4 * (time.perf_counter() - began), "milliseconds"
    assert sum(layer.ms for layer in times.layers) > 0.01
    assert sum(layer.macs for layer in times.layers) == case.macs
    assert "stage2.0.pointwise1" in layers.table(times)
    header = struct.unpack_from(f"<{len(HEADER)}I", make_plan(case.model, 64, 96))
    assert len(step_names(case.model, 64, 96)) == header[HEADER.index("step_count")]


def test_steps_of_the_same_name_are_all_there() -> None:
    case = make_case(random_model(families.architecture("alexnet").graph()), 1, 224, 224, 1)
    names = [layer.name for layer in layers.layer_times(case, rounds=11).layers]
    assert names == step_names(case.model, 224, 224)
    assert len(set(names)) < len(names)


def test_layers_that_take_turns_have_one_time() -> None:
    case = make_case(random_model(families.architecture(SMALL).graph()), 1, 224, 224, 1)
    times = layers.layer_times(case, rounds=2)
    assert sum(layer.macs for layer in times.layers) == case.macs
    assert "conv1 +\nmaxpool +\n" in layers.table(times)


def test_readme_table(tmp_path: Path) -> None:
    rows = [
        Row(SMALL, name, FLOAT32, 1, 1, 224, 224, 11_000_000, ms, 0.0)
        for name, ms in ((OURS, 0.5), ("a", 1.0), ("b", 0.8), ("c", None))
    ]
    results = Results({"processor": "p"}, dict.fromkeys((OURS, "a", "b", "c"), "1"), 44.0, rows)
    lines = report.markdown(results).splitlines()
    assert lines[-1] == f"| {SMALL} | 224x224 | 1 | 11.0 | **0.5** | 50 % | 1 | 0.8 | - | 1.60 |"
    assert len({line.count("|") for line in lines}) == 1
    plot.plot(results, tmp_path / "plot.png")
    results.rows = rows[-1:]
    with pytest.raises(ValueError, match="nothing was timed"):
        plot.plot(results, tmp_path / "plot.png")


def test_pictures_differ_and_are_about_100_kb(photos: Path, tmp_path: Path) -> None:
    paths = [Path(path) for path in make_pictures(photos, tmp_path, 6)]
    contents = [path.read_bytes() for path in paths]
    assert len(set(contents)) == 6
    sizes = set()
    for path, content in zip(paths, contents, strict=True):
        assert FILE_BYTES / 2 < len(content) < FILE_BYTES * 2
        with Image.open(path) as image:
            sizes.add(image.size)
    assert len(sizes) == 6
    assert make_pictures(photos, tmp_path, 1) == [str(paths[0])]
    assert paths[0].read_bytes() == contents[0]
    with pytest.raises(ValueError, match="nothing: no such folder"):
        make_pictures(tmp_path / "nothing", tmp_path, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no \.jpg files"):
        make_pictures(tmp_path / "empty", tmp_path, 1)


@pytest.mark.parametrize("embedded", [False, True])
def test_folder_of_pictures(embedded: bool, photos: Path, tmp_path: Path) -> None:
    for package in ("onnxruntime", "onnx"):
        pytest.importorskip(package)
    out = tmp_path / "folder.json"
    which = ["--models", SMALL]
    if embedded:  # its preprocessing is not the benchmark's
        model_file.save(load_model(DEFAULT_MODEL), tmp_path / "model.safetensors")
        which = ["--model-file", str(tmp_path / "model.safetensors")]
    ran = CliRunner().invoke(commands, ["bench", "--folder", "4", *which, "--photos", str(photos), "--json", str(out)])
    assert ran.exit_code == 0, ran.output
    document = json.loads(out.read_text())
    assert document["pictures"] == 4
    assert document["threads"] == usable_cores()
    assert document["agreement"] == 1
    assert document["images_per_s"] > 0
    assert document["ordinary_images_per_s"] > 0
    assert 10 < document["peak_mb"] < 1000
    assert 10 < document["ordinary_peak_mb"] < 1000


def test_training(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    data, out = labelled_shapes.make(tmp_path / "shapes", train=43), tmp_path / "training.json"
    command = ["bench", "--training", str(data), "--models", SMALL, "--rounds", "1", "--json", str(out)]
    ran = CliRunner().invoke(commands, command)
    assert ran.exit_code == 0, ran.output
    (document,) = json.loads(out.read_text())
    assert document["model"] == SMALL
    assert document["images_per_s"] > 0
    assert document["plain_images_per_s"] > 0
    refused = CliRunner().invoke(commands, ["bench", "--training", str(labelled_shapes.make(tmp_path / "few"))])
    assert refused.exit_code == 2
    assert "more than the 48 pictures to train on" in refused.output


def test_training_step_is_the_same_by_both() -> None:
    """The package's step and the plain PyTorch step compute the same, so that their times can be compared."""
    network = module_of(families.architecture(SMALL, classes=3).graph()).train()
    plain = copy.deepcopy(network).to(memory_format=torch.channels_last)
    x = torch.randn(4, 3, 64, 64)
    want = plain(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(by_kernels(network)(x), want, rtol=1e-3, atol=1e-5)
