"""`shufflenet bench --browser`: what it serves, what it writes for other runtimes, and how it takes and shows times."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional

from shufflenet.bench.case import Case, make_case
from shufflenet.bench.runtime import FLOAT32, INT8, OURS, Precision, UnavailableError
from shufflenet.bench.web import report, run
from shufflenet.bench.web.chromium import NoBrowserError
from shufflenet.bench.web.npm import install, main_file, version
from shufflenet.bench.web.run import WebResults, WebRow, web_bench
from shufflenet.bench.web.runtimes import RUNTIMES, WITHOUT_RELAXED, Configuration, WebRuntime, select
from shufflenet.bench.web.site import Site
from shufflenet.bench.web.tfjs_network import Groups, tfjs_files
from shufflenet.cli import commands
from shufflenet.networks import families
from shufflenet.networks.random_model import random_model

SMALL = "shufflenet_g3_x0_25"


def small_case() -> Case:
    return make_case(random_model(families.architecture(SMALL, classes=10).graph()), 1, 64, 96, threads=1)


def in_torch(files: dict[str, bytes], x: torch.Tensor) -> torch.Tensor:
    """What page/tfjs.js does with these files, in PyTorch; x [1, 3, H, W]."""
    network = json.loads(files["network.json"])
    tensors = []
    for tensor in network["tensors"]:
        count = int(np.prod(tensor["shape"]))
        values = np.frombuffer(files["weights.bin"], tensor["dtype"], count, tensor["offset"])
        tensors.append(torch.from_numpy(values.reshape(tensor["shape"]).copy()))
    values_of = [x]
    for step in network["steps"]:
        values_of.append(operator(step, [tensors[i] for i in step["weights"]], [values_of[i] for i in step["inputs"]]))
    return values_of[-1]


def operator(step: dict[str, Any], weights: list[torch.Tensor], inputs: list[torch.Tensor]) -> torch.Tensor:
    x = inputs[0]
    if "pads" in step:
        (top, bottom), (left, right) = step["pads"][1:3]
        x = functional.pad(x, (left, right, top, bottom))
    match step["kind"]:
        case "convolution":
            x = functional.conv2d(x, weights[0].permute(3, 2, 0, 1), weights[1], step["stride"])
        case "depthwise":
            x = functional.conv2d(x, weights[0].permute(2, 3, 0, 1), weights[1], step["stride"], groups=x.shape[1])
        case "max_pool":
            x = functional.max_pool2d(x, step["size"], step["stride"])
        case "mean":
            x = x.mean((2, 3))
        case "fully_connected":
            x = x @ weights[0] + weights[1]
        case "add":
            x = x + inputs[1]
        case "concat":
            x = torch.cat(inputs, 1)
        case "split":
            x = x[:, step["first"] : step["first"] + step["channels"]]
        case "gather":
            x = x[:, weights[0].long()]
        case "shuffle":
            x = x.reshape(1, step["groups"], -1, *x.shape[2:]).transpose(1, 2).reshape(x.shape)
    return torch.relu(x) if step.get("activation") == "relu" else x


@pytest.mark.parametrize("groups", ["dense", "gather", "transpose"])
def test_operators_for_tensorflow_js(groups: Groups) -> None:
    case = small_case()
    files = tfjs_files(case.model, groups, case.height, case.width)
    logits = in_torch(files, torch.from_numpy(case.x)).numpy()
    assert np.abs(logits - case.logits).max() < 1e-5 * np.abs(case.logits).max()
    kinds = {step["kind"] for step in json.loads(files["network.json"])["steps"]}
    assert kinds & {"split", "shuffle", "gather"} == {
        "dense": set(), "gather": {"split", "gather"}, "transpose": {"split", "shuffle"}
    }[groups]  # fmt: skip


def test_other_operators_are_refused() -> None:
    model = random_model(families.architecture("mobilenet_v3_small", classes=10).graph())
    with pytest.raises(TypeError, match="is not among the operators that the bench writes"):
        tfjs_files(model, "gather", 64, 64)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    modules = tmp_path / "modules"
    for package, entry in (("@a/core", '"module": "dist/index.js", "main": "no.cjs"'), ("b", '"main": "./b.js"')):
        (modules / package / "dist").mkdir(parents=True)
        (modules / package / "package.json").write_text(f'{{"version": "1.2", {entry}}}')
    (modules / "@a/core/dist/index.js").write_text('import { b } from "b";import "./own.js";export * from "lost";')
    (modules / "b/b.js").write_text("export const b = 1;" * 100)
    (tmp_path / "secret").write_text("secret")
    return Site(tmp_path / "given", {"0": modules}, {"0": tmp_path / "given"})


def test_packages_import_each_other(site: Site) -> None:
    script = site.found("/of/0/code/@a/core/dist/index.js")
    assert script == b'import { b } from "/of/0/code/b/b.js";import "./own.js";export * from "lost";'
    assert version(site.code["0"], "@a/core") == "1.2"
    assert main_file(site.code["0"], "@a/core") == "@a/core/dist/index.js"


def test_size_of_what_was_loaded(site: Site) -> None:
    for _ in range(2):
        assert site.found("/of/0/code/b/b.js") is not None
    assert site.download_bytes("0") == len(gzip.compress(b"export const b = 1;" * 100, 9))
    assert site.found("/index.html") is not None
    assert site.found("/of/0/code/b/none.js") is None
    assert site.found("/of/1/code/b/b.js") is None
    assert site.found("/given/../secret") is None
    assert site.found("/of/0/code/../secret") is None
    assert len(site.loaded["0"]) == 1


def npm_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(program))


def test_packages_are_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "npm"
    made = f"{folder}/node_modules/x"
    npm_that(tmp_path, monkeypatch, f"mkdir -p {made} && echo '{{}}' > {made}/package.json && echo $* >> {folder}/said")
    for _ in range(2):
        assert install(["x"], folder) == folder / "node_modules"
    (said,) = (folder / "said").read_text().splitlines()
    assert said.startswith("install --no-audit")
    assert said.endswith(f"--prefix {folder} x")


def test_npm_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_that(tmp_path, monkeypatch, "echo no network >&2; exit 1")
    with pytest.raises(ValueError, match=r"npm could not install x and y in .*: no network"):
        install(["x", "y"], tmp_path / "npm")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ValueError, match="no npm, which installs x; --runtimes shufflenet times"):
        install(["x"], tmp_path / "npm")


def row(runtime: str, precision: Precision, ms: float | None, **fields: Any) -> WebRow:
    return WebRow(SMALL, runtime, precision, 224, 224, 13_300_656, ms, **fields)


ROWS = [
    row(OURS, FLOAT32, 1.2, max_error=1e-6, download_bytes=29_749),
    row(WITHOUT_RELAXED, FLOAT32, 1.5, download_bytes=29_866),
    row("litertjs", FLOAT32, 6.0, configuration="litert-torch, gather", download_bytes=2_914_000),
    row(OURS, INT8, 0.8, agreement=1.0, download_bytes=53_000),
    row("litertjs", INT8, 4.0, agreement=0.9, download_bytes=2_914_000),
    row("tfjs-wasm", INT8, None, problem="computes in float32 alone", available=False),
]


def results() -> WebResults:
    return WebResults({"processor": "p"}, "Chromium 1", {OURS: "0", "litertjs": "2"}, ROWS)


def test_tables() -> None:
    text = report.table(results())
    assert "litertjs             int8         4.000   5.00    90.0  2,914" in text
    assert "computes in float32 alone" in text
    assert "float32: the fastest other runtime takes 5.00 times as long, without relaxed SIMD 4.00" in text
    assert "shufflenet in float32 takes 1.50 times as long as in 8 bits" in text
    lines = report.markdown(results()).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[-1] == (f"| {SMALL} | **1.2** | 1.5 | 6 | **0.8** (100 %) | 4 (90 %) | 5.00 | 4.00 | 5.00 | 1.50 |")
    sizes = report.downloads(results()).splitlines()
    assert sizes[2:] == [
        "| shufflenet 0 | 30 |", "| shufflenet-simd128 | 30 |", "| shufflenet for networks in 8 bits 0 | 53 |",
        "| litertjs 2 | 2,914 |",
    ]  # fmt: skip
    assert WebResults.from_document(json.loads(json.dumps(results().document()))) == results()


def test_of_ours_alone() -> None:
    alone = replace(results(), rows=ROWS[:2])
    assert report.markdown(alone).splitlines()[-1] == f"| {SMALL} | **1.2** | 1.5 | - | - |"
    assert "fastest other" not in report.table(alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--browser", "--threads", "2"], "--browser makes --threads useless"),
        (["--browser", "--layers"], "--browser makes --layers useless"),
        (["--npm", "."], "--npm goes with --browser"),
        (["--browser", "--runtimes", "onnxruntime"], "in a browser there are shufflenet, shufflenet-simd128, onnx"),
    ],
)
def test_command_refuses(options: list[str], message: str) -> None:
    ran = CliRunner().invoke(commands, ["bench", *options])
    assert ran.exit_code == 2
    assert message in ran.output


def test_chosen_runtimes() -> None:
    assert select(None) == list(RUNTIMES)
    assert [chosen.name for chosen in select(["litertjs"])] == [OURS, WITHOUT_RELAXED, "litertjs"]


def test_tensorflow_js_has_no_8_bits() -> None:
    with pytest.raises(UnavailableError, match="float32 alone"):
        list(RUNTIMES[-1].configurations(small_case(), INT8))


@pytest.mark.slow
def test_in_chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our engine is timed; what gives other logits, can't be loaded or can't be made has its reason."""
    pytest.importorskip("ziglang")
    monkeypatch.setattr(run, "_COMPILED_SECONDS", 0)
    case = small_case()

    def wrong(case: Case, precision: Precision) -> Iterator[Configuration]:
        tensors = {name: 1.01 * tensor for name, tensor in case.model.tensors.items()}
        yield from RUNTIMES[0].configurations(replace(case, model=replace(case.model, tensors=tensors)), precision)

    def absent(case: Case, precision: Precision) -> Iterator[Configuration]:
        yield Configuration("", {}, {"engine": "engine.wasm"}, code={})

    def unmade(case: Case, precision: Precision) -> Iterator[Configuration]:
        raise UnavailableError("has nothing for it")

    others = [WebRuntime(made.__name__, "shufflenet.js", made) for made in (wrong, absent, unmade)]
    try:
        got = web_bench([case], [*RUNTIMES[:2], *others], [FLOAT32], 2, tmp_path)
    except NoBrowserError as lack:
        pytest.skip(str(lack))
    ours, plain, *rest = got.rows
    for timed in (ours, plain):
        assert timed.problem is None
        assert timed.ms is not None and 0.05 < timed.ms < 200  # noqa: PT018
        assert timed.max_error is not None and timed.max_error < 1e-5  # noqa: PT018
        assert timed.download_bytes is not None and 20_000 < timed.download_bytes < 50_000  # noqa: PT018
    assert [other.ms for other in rest] == [None] * 3
    assert (rest[0].problem or "").startswith("wrong: differs from PyTorch by ")
    assert (rest[1].problem or "").startswith("failed: ")
    assert (rest[2].problem, rest[2].available) == ("has nothing for it", False)
    assert got.browser.startswith("Chromium ")
