"""The notebook docs/first-day.ipynb runs, and says what is stored below its cells.

After a change of it: `.venv/bin/jupyter execute --inplace docs/first-day.ipynb`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
for package in ("ipykernel", "torch", "onnx", "onnxruntime", "matplotlib"):
    pytest.importorskip(package)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # warnings of other projects
]

NOTEBOOK = Path(__file__).parent.parent / "docs" / "first-day.ipynb"
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def said(cell: Any) -> tuple[str, list[str]]:
    """What a cell has printed, on stdout and then on stderr, and the kinds of pictures that it has shown."""
    streams = {"stdout": "", "stderr": ""}
    pictures = []
    for output in cell.outputs:
        assert output.output_type != "error", output
        if output.output_type == "stream":
            streams[output.name] += output.text
        else:
            pictures += [kind for kind in output.data if kind.startswith("image/")]
    return streams["stdout"] + streams["stderr"], pictures


def differs(stored: str, new: str, numbers: bool = True) -> bool:
    """Whether words differ, or a number by more than its last digit that is printed, which rounding may change."""
    if NUMBER.sub("#", " ".join(stored.split())) != NUMBER.sub("#", " ".join(new.split())):
        return True
    pairs = zip(NUMBER.findall(stored), NUMBER.findall(new), strict=True)
    return numbers and any(abs(float(a) - float(b)) > 1.01 * 10 ** -len(a.partition(".")[2]) for a, b in pairs)


def test_what_differs() -> None:
    assert not differs("cat  0.42\n", "cat 0.43\n")
    assert differs("cat 0.42", "cat 0.44")
    assert differs("cat 0.42", "dog 0.42")
    assert differs("cat 0.42", "cat 0.42\ndog 0.1")
    assert not differs("4.20 ms", "17.11 ms", numbers=False)


def test_it_runs_and_says_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    stored, run = (nbformat.read(NOTEBOOK, as_version=4) for _ in range(2))
    for cell in code_cells(run):
        cell.outputs = []
    client = nbclient.NotebookClient(run, timeout=240, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
    client.execute()
    for old, new in zip(code_cells(stored), code_cells(run), strict=True):
        (text, pictures), (new_text, new_pictures) = said(old), said(new)
        times = "times" in old.metadata.get("tags", [])
        assert not differs(text, new_text, numbers=not times), f"{new.source}\n{new_text}"
        assert new_pictures == pictures, new.source
    assert {kind for cell in code_cells(stored) for kind in said(cell)[1]} == {"image/jpeg", "image/png"}


def test_it_is_whole_and_small() -> None:
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))
    assert NOTEBOOK.stat().st_size < 300_000
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"/(tmp|home|root|work)/", text), "no path of the machine that it ran on"
    for name in re.findall(r"\]\((\w+\.md)\)", text):
        assert (NOTEBOOK.parent / name).exists(), name
