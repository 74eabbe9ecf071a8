"""The paper's tables: consistency of the published figures, multiply-adds, the command, Table 8's times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from shufflenet.bench.run import Results, Row
from shufflenet.bench.runtime import FLOAT32, INT8, OURS, select
from shufflenet.cli import commands
from shufflenet.networks import complexity
from shufflenet.networks.baselines.resnext import ResNeXt
from shufflenet.networks.baselines.vgg_like import VGGLike
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.paper import published, tables, times
from shufflenet.paper.cost import REASONS, build, matches
from shufflenet.paper.table import Column, Table
from shufflenet.paper.trained import Trained


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(commands, ["paper", *map(str, arguments)])


def test_published_figures_agree() -> None:
    """The same network has the same error in every table; Table 3's gains are the paper's."""
    for (scale, groups), (_, with_shuffle) in published.TABLE3.items():
        assert published.TABLE2[scale][groups] == with_shuffle
    known: dict[str, float] = {}
    for entry in (*published.TABLE5, *published.TABLE6):
        assert known.setdefault(entry.network, entry.error) == entry.error
        assert published.errors()[entry.network] == entry.error
    for budget, row in published.TABLE4.items():
        scale = next(scale for scale, macs in published.SCALE_MACS.items() if macs == budget)
        assert row[f"xception_like_{budget}m"] == published.TABLE2[scale][1]
        name = next(name for name in row if name.startswith("shufflenet"))
        assert row[name] == min(published.TABLE2[scale].values()) == published.errors()[name]
    gains = [without - with_shuffle for without, with_shuffle in published.TABLE3.values()]
    assert gains == pytest.approx([1.9, 5.2, 2.5, 5.8, 1.3, 3.8])


def test_complexity_is_the_published_or_there_is_a_reason() -> None:
    different = set()
    for number in (1, 2, 4, 5, 6):
        for row in tables.TABLES[number](Trained({}, [])).rows:
            if "million_macs" not in row:
                assert row["network"] in ("VGG-16", "GoogLeNet")
            elif not matches(row["million_macs"], row["paper_million_macs"]):
                different.add(row["network"])
    assert different == set(REASONS)


def test_matching() -> None:
    assert matches(144.4, 143)
    assert not matches(144.5, 143)
    assert matches(13.49, 13), "rounded it is the same"
    assert not matches(13.51, 13)


def test_reasons_are_true() -> None:
    def million(graph: Any) -> float:
        return complexity.summary(graph).macs / 1e6

    wide = ShuffleNetV1(8, 0.25, stem_channels=16)
    narrow = ShuffleNetV1(8, 0.25)
    assert (narrow.stem_channels, round(million(narrow.graph()), 1), round(million(wide.graph()), 1)) == (8, 12.4, 15.7)
    for groups in (1, 2, 4):
        assert ShuffleNetV1(groups, 0.5).stem_channels == 12
    assert ShuffleNetV1(8, 0.5).stem_channels == 16
    other = {"stage4_channels": {140: ResNeXt.stage4_channels[140] - 1}}
    assert round(million(type("Narrower", (ResNeXt,), other)(140).graph()), 1) == 129.9
    other = {"stage4_channels": {38: VGGLike.stage4_channels[38] + 1}}
    assert round(million(type("Wider", (VGGLike,), other)(38).graph()), 1) == 38.9


def test_tables_without_torch() -> None:
    """Every table is printed without PyTorch and matplotlib."""
    code = (
        "import sys; sys.modules.update(torch=None, matplotlib=None)\n"
        "from shufflenet.cli import commands\n"
        "for number in range(1, 9): commands(['paper', f'table{number}'], standalone_mode=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    for number in range(1, 9):
        assert f"Table {number}: " in done.stdout
    assert "1,865,728" in done.stdout


def test_json() -> None:
    (row, *_) = json.loads(run("table2", "--json").stdout)["rows"]
    assert (row["network"], row["paper_error"], row["paper_million_macs"]) == ("shufflenet_g1_x1_0", 33.6, 140)
    assert row["million_macs"] == pytest.approx(143.08, abs=0.01)
    assert row["paper_gain"] is None


def test_table7_is_not_reproduced() -> None:
    assert "Not reproduced" in run("table7").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a table, such as table1, or --report DIRECTORY"),
        (["table1", "--report", "out"], "leave the table out"),
        (["table2", "--results", "no/such/folder"], "no/such/folder: no such folder"),
        (["table9"], "'table9' is not one of 'table1'"),
        (["table1", "--train", "."], "--train goes with table2, table3, table4 or table5"),
        (["table3", "--measure"], "--measure goes with table8"),
        (["table1", "--runtimes", "openvino"], "--runtimes goes with --measure"),
        (["table8", "--rounds", "3"], "--rounds goes with --measure"),
        (["table8", "--measure", "--runtimes", "tflite"], "unknown runtime 'tflite'"),
        (["--report", "out", "--json"], "--json goes with a table"),
    ],
)
def test_refused_options(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not result.stdout


@pytest.mark.parametrize(("table", "file"), [("table2", "trained.json"), ("table8", "times.json")])
@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"settings": {}, "runs": []}', '{"machine": {}, "versions": {}, "peak_gmacs_per_s": 1, "rows": []}'],
)
def test_damaged_results(table: str, file: str, text: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text)
    result = run(table, "--results", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path / file}: can't be used as results of ")
    assert result.stderr.count("\n") == 1


def made_up_times() -> Results:
    """Results in which the engine takes 1 us per thousand multiply-adds, a tenth for AlexNet, and others longer."""
    results = Results({"processor": "p", "shufflenet": "1"}, {}, 50.0)
    for height, width in published.TABLE8_SIZES:
        for name in times.NETWORKS:
            network = build(name)
            assert network is not None
            macs = complexity.summary(network, height, width).macs
            ms = macs / 1e6 / (10 if name == "alexnet" else 1)
            for runtime, factor in ((OURS, 1), ("slower", 3), ("other", 2)):
                results.rows.append(Row(name, runtime, FLOAT32, 1, 1, height, width, macs, ms * factor, max_error=0.0))
    results.rows[1].ms, results.rows[1].problem = None, "failed"
    return results


def test_table8_compares_with_alexnet() -> None:
    table = times.table8(made_up_times())
    first, *_ = table.rows
    assert first["network"] == "shufflenet_g3_x0_5"
    assert first["paper_speedup"] == pytest.approx(184 / 15.2)
    assert first["theoretical"] == pytest.approx(714.19 / 37.59, rel=1e-3)
    assert first["speedup"] == pytest.approx(first["theoretical"] / 10)
    assert (first["other"], first["other_ms"]) == ("other", pytest.approx(2 * first["ms"]))
    assert [row["speedup"] for row in table.rows if row["network"] == "alexnet"] == [1, 1, 1]
    assert any(
        "shufflenet_g3_x0_5 against alexnet at 224 x 224" in n and "0.10 of what theory" in n for n in table.notes
    )
    assert any("against mobilenet_v1_x0_5" in n and "1.00 of what theory" in n for n in table.notes)


def test_times_are_measured_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(times, "NETWORKS", ("shufflenet_g3_x0_5", "shufflenet_g3_x1_0"))
    monkeypatch.setattr(times, "_AGAINST", "shufflenet_g3_x1_0")
    monkeypatch.setattr(published, "TABLE8_SIZES", ((64, 64),))
    monkeypatch.setattr(published, "errors", lambda: {"resnext_13m": 65.2, "shufflenet_g3_x0_5": 43.2, "VGG-16": 28.5})
    measured = times.measure(tmp_path / "new", select([OURS]), rounds=1)
    both = ["shufflenet_g3_x0_5", "shufflenet_g3_x1_0"]
    assert [row.model for row in measured.rows] == [*both, "resnext_13m", *both]
    assert [row.precision for row in measured.rows] == [FLOAT32] * 3 + [INT8] * 2
    assert all(row.ms is not None and row.ms > 0 for row in measured.rows)
    assert times.load(tmp_path / "new") == measured
    (row, other) = times.table8(measured).rows
    assert row["speedup"] == pytest.approx(other["ms"] / row["ms"])
    assert row["int8_ms"] == measured.rows[3].ms
    assert "ours: 8 bits" in times.table8(measured).markdown()
    assert "8 bits" not in times.table8(made_up_times()).markdown()


def test_table_as_text_and_markdown() -> None:
    columns = [Column("name", "network"), Column("x", "error", "ours", "+.1f", "d"), Column("n", "runs", "ours", "d")]
    rows: list[dict[str, Any]] = [{"name": "a", "x": 1.26, "d": 0.5, "n": 2}, {"name": "b|c", "x": -0.01}]
    table = Table(3, "title", columns, rows, ["A note."])
    assert table.text().splitlines() == [
        "Table 3: title", "", "                ours  ours", "network        error  runs", "a        +1.3 ± 0.50     2",
        "b|c             +0.0     -", "", "A note.",
    ]  # fmt: skip
    assert table.markdown().splitlines()[:3] == [
        "| network | ours: error | ours: runs |", "| --- | ---: | ---: |", "| a | +1.3 ± 0.50 | 2 |",
    ]  # fmt: skip
    assert table.document()["rows"][1] == {"name": "b|c", "x": -0.01, "d": None, "n": None}
