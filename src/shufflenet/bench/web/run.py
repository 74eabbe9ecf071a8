"""The comparison in a browser: checks the logits of each runtime, then times all of them in turns."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.bench.case import Case
from shufflenet.bench.run import LEAST_AGREEMENT, MAX_ERROR, Status, error_of, machine
from shufflenet.bench.runtime import FLOAT32, OURS, Precision, UnavailableError
from shufflenet.bench.web import npm
from shufflenet.bench.web.chromium import chromium
from shufflenet.bench.web.runtimes import Configuration, WebRuntime
from shufflenet.bench.web.site import Site, serving
from shufflenet.engine.engine import Engine
from shufflenet.exporters.converting import quiet

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_MAX_PROBLEM = 200  # characters
_SCRIPT_SECONDS = 300  # at most for one script: loading a runtime, or a round of all of them
_COMPILED_SECONDS = 2.0  # of untimed runs at first, while the browser compiles again what runs often
# Of each turn: untimed runs, in which caches are filled and the core's clock rises, and those that count.
_TURN = {"warm": 0.01, "timed": 0.03}


@dataclass
class WebRow:
    """One runtime on one case. These fields are the keys of a row in the JSON file."""

    model: str
    runtime: str
    precision: Precision
    height: int
    width: int
    macs: int
    ms: float | None = None  # median; None: not timed, see ``problem``
    # Largest difference of a logit, relative to the largest: from PyTorch's in float32, from our engine's in 8 bits.
    max_error: float | None = None
    agreement: float | None = None  # below float32: share of pictures with the class of float32, 0 to 1
    configuration: str = ""  # the fastest one's name
    download_bytes: int | None = None  # of the runtime without the network, as a server compresses it
    problem: str | None = None  # why it was not timed
    available: bool = True  # false: the runtime has nothing for this precision, as ``problem`` says


@dataclass
class WebResults:
    """All rows, with the machine, the browser and the versions that they hold for."""

    machine: dict[str, Any]
    browser: str  # with its version
    versions: dict[str, str]  # of runtimes, by name
    rows: list[WebRow] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The results for JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> WebResults:
        """The results that `document` was called on."""
        return cls(**{**document, "rows": [WebRow(**row) for row in document["rows"]]})

    def cases(self) -> list[list[WebRow]]:
        """The rows of each network and size."""
        cases: dict[tuple[str, int, int], list[WebRow]] = {}
        for row in self.rows:
            cases.setdefault((row.model, row.height, row.width), []).append(row)
        return list(cases.values())


@dataclass(frozen=True)
class _Running:
    """A configuration that runs in a worker and is right."""

    row: WebRow
    configuration: Configuration
    max_error: float
    agreement: float | None


class _WrongError(Exception):
    """A configuration's logits or classes are wrong; the message says how."""


@dataclass
class _Page:
    """The page in the browser, with its workers by the ids of their configurations."""

    chrome: Chrome
    site: Site

    def call(self, function: str, *arguments: Any) -> Any:
        """What a function of bench.js returns.

        Raises:
            RuntimeError: it failed; the message is the runtime's own.
        """
        script = f"""
            const done = arguments[arguments.length - 1], given = [...arguments].slice(0, -1);
            Promise.resolve(window.bench.{function}(...given)).then(
                (result) => done({{ result }}), (error) => done({{ error: error.message }}));
        """
        answer = self.chrome.execute_async_script(script, *arguments)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]


def web_bench(
    cases: Iterable[Case],
    runtimes: Sequence[WebRuntime],
    precisions: Sequence[Precision],
    rounds: int,
    packages: Path,
    status: Status = lambda _: None,
) -> WebResults:
    """Times every runtime on every case, ``rounds`` turns each, in a worker of its own.

    A run goes from the input in the worker's memory to the logits there, with the copies that the runtime makes. What
    is wrong is not timed, as in `shufflenet.bench.run.bench`.

    Args:
        packages: folder of npm packages; those that are missing are installed there.

    Raises:
        ValueError: there is no browser, or no npm for what is missing.
    """
    needed = [package for runtime in runtimes for package in runtime.packages]
    if needed:
        status("npm install")
    modules = npm.install(needed, packages) if needed else packages
    versions = {row.name: npm.version(modules, row.packages[0]) for row in runtimes if row.packages}
    with TemporaryDirectory() as folder, chromium(seconds=_SCRIPT_SECONDS) as chrome:
        site = Site(Path(folder))
        browser = f"Chromium {chrome.capabilities['browserVersion']}"
        about = machine()
        results = WebResults(about, browser, {OURS: about["shufflenet"]} | versions)
        with serving(site) as address:
            for number, case in enumerate(cases):
                chrome.get(f"{address}index.html")
                page = _Page(chrome, site)
                results.rows += _rows(page, case, number, runtimes, precisions, modules, rounds, status)
    return results


def _rows(
    page: _Page, case: Case, number: int, runtimes: Sequence[WebRuntime], precisions: Sequence[Precision],
    modules: Path, rounds: int, status: Status,
) -> list[WebRow]:  # fmt: skip
    _write_inputs(case, page.site.given)
    macs, rows = case.macs, list[WebRow]()
    running: dict[str, _Running] = {}
    for precision in precisions:
        expected = case.logits if precision == FLOAT32 else Engine(case.quantized).run(case.x)
        for runtime in runtimes:
            status(f"{case.name} {case.height}x{case.width}: preparing {runtime.name} in {precision}")
            row = WebRow(case.name, runtime.name, precision, case.height, case.width, macs)
            rows.append(row)
            running |= _prepared(page, row, f"{number}-{len(rows)}", runtime, case, expected, modules)
    status(f"{case.name} {case.height}x{case.width}: timing")
    times = _timed(page, list(running), rounds)
    for row in rows:
        medians = {name: statistics.median(times[name]) for name in running if running[name].row is row}
        if medians:
            name = min(medians, key=lambda name: medians[name])
            best = running[name]
            row.ms, row.max_error, row.agreement = medians[name], best.max_error, best.agreement
            row.configuration, row.download_bytes = best.configuration.name, page.site.download_bytes(name)
    page.call("close", list(running))
    return rows


def _timed(page: _Page, order: list[str], rounds: int) -> dict[str, list[float]]:
    """The milliseconds of the runs of each configuration."""
    times: dict[str, list[float]] = {name: [] for name in order}
    page.call("round", order, {"warm": _COMPILED_SECONDS, "timed": 0})
    for _ in range(rounds):
        for name, ms in zip(order, page.call("round", order, _TURN), strict=True):
            times[name] += ms
        order = order[1:] + order[:1]  # in case the first place of a round is favoured
    return times


def _write_inputs(case: Case, folder: Path) -> None:
    """The case's input and the pictures that are compared, in both layouts."""
    pictures = {"input": case.x}
    if case.samples is not None:
        pictures["compared"] = case.samples.compared
    for name, x in pictures.items():
        (folder / f"{name}.NCHW").write_bytes(np.ascontiguousarray(x).tobytes())
        (folder / f"{name}.NHWC").write_bytes(np.ascontiguousarray(x.transpose(0, 2, 3, 1)).tobytes())


def _prepared(
    page: _Page, row: WebRow, prefix: str, runtime: WebRuntime, case: Case, expected: NDArray[np.float32],
    modules: Path,
) -> dict[str, _Running]:  # fmt: skip
    """By their ids the runtime's configurations that run and are right; if there are none the row says why."""
    try:
        with quiet():
            configurations = list(runtime.configurations(case, row.precision))
    except UnavailableError as lack:
        row.problem, row.available = str(lack), False
        return {}
    except Exception as failure:  # another project's converter may raise anything; the other rows go on
        row.problem = _said(failure)
        return {}
    prepared, problems = {}, []
    for i, configuration in enumerate(configurations):
        name = f"{prefix}-{i}"
        _place(page.site, name, configuration, modules)
        try:
            prepared[name] = _started(page, row, name, runtime, configuration, case, expected)
        except _WrongError as wrong:
            problems.append(f"wrong: {wrong}")
        except Exception as failure:  # the runtime's own, or that of the browser
            problems.append(_said(failure))
        if name not in prepared:
            page.call("close", [name])
    if not prepared:
        row.problem = problems[0]
    return prepared


def _said(failure: Exception) -> str:
    return f"failed: {failure}".splitlines()[0][:_MAX_PROBLEM]


def _place(site: Site, name: str, configuration: Configuration, modules: Path) -> None:
    """Gives a configuration its addresses."""
    site.code[name], site.files[name] = modules, site.given / name
    site.files[name].mkdir()
    for file, data in configuration.files.items():
        (site.files[name] / file).write_bytes(data)
    if configuration.code is not None:
        site.code[name] = site.given / f"{name}-code"
        site.code[name].mkdir()
        for file, data in configuration.code.items():
            (site.code[name] / file).write_bytes(data)


def _started(
    page: _Page, row: WebRow, name: str, runtime: WebRuntime, configuration: Configuration, case: Case,
    expected: NDArray[np.float32],
) -> _Running:  # fmt: skip
    """Starts a configuration, and compares its logits and below float32 its classes.

    Raises:
        _WrongError: they are wrong.
        RuntimeError: the runtime fails.
    """
    order = {
        "runtime": f"/{runtime.script}",
        "root": f"/of/{name}/",
        "address": f"/given/input.{configuration.layout}",
        "given": configuration.given,
    }
    page.call("prepare", name, order)
    logits = np.array(page.call("ask", name, "logits"), np.float32)
    if logits.size != expected.size:
        raise _WrongError(f"gives {logits.size} logits, not {expected.size}")
    error = error_of(logits.reshape(expected.shape), expected)
    if row.precision == FLOAT32:
        if not error <= MAX_ERROR:
            raise _WrongError(f"differs from PyTorch by {error:.1e} of the largest logit")
        return _Running(row, configuration, error, None)
    classes = page.call("ask", name, "classes", f"/given/compared.{configuration.layout}")
    agreement = float(np.mean(np.array(classes) == case.classes))
    if not agreement >= LEAST_AGREEMENT or not math.isfinite(error):
        raise _WrongError(f"gives float32's class for {100 * agreement:.0f} % of the pictures")
    return _Running(row, configuration, error, agreement)
