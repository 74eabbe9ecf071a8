"""Which of timm's and torchvision's small networks `shufflenet import` takes (docs/import.md).

python benchmarks/census.py                    # counts multiply-adds, imports, compares; goes on where it was stopped
python benchmarks/census.py lcnet_050 starnet  # those whose names begin so, again
python benchmarks/census.py --table            # writes the table of docs/import.md
python benchmarks/census.py --write nets/ lcnet_050 resnet18    # writes their ONNX files, with the same weights

Every classifier below 600 million multiply-adds at 224 x 224, with random weights and statistics, is exported by
torch.onnx and imported; its logits are compared with PyTorch's at 224 x 224 and at 201 x 201, or at 160 x 160 where
PyTorch's network can't have that.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from between_comments import rewrite
from torch import nn

from shufflenet.engine.engine import Engine
from shufflenet.importers.checkpoint import CheckpointError
from shufflenet.importers.network_file import import_network

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "census.json"
PAGE = ROOT / "docs" / "import.md"
SIZE, OTHER_SIZES = 224, (201, 160)  # of the others the first that the network itself takes
MOST_MACS = 600e6
MOST_PARAMETERS = 60e6  # no network with more has so few multiply-adds; building it would take memory
TOLERANCE = 1e-5
BATCHES = 2
ALSO = ("resnet18", "torchvision:resnet18")  # larger, but asked for often


def names() -> list[str]:
    """All networks, each once; torchvision's under its own name if timm has it too."""
    torchvisions = torchvision.models.list_models(module=torchvision.models)
    return [*timm.list_models(), *(f"torchvision:{name}" for name in torchvisions)]


def build(name: str) -> nn.Module:
    library, _, own = name.rpartition(":")
    if not library:
        network: nn.Module = timm.create_model(own)
        return network
    without = {"init_weights": False} if own in ("googlenet", "inception_v3") else {}
    built: nn.Module = torchvision.models.get_model(own, weights=None, **without)
    return built


def macs(name: str) -> float | str:
    """Multiply-adds of convolutions and linear layers at 224 x 224, or why it can't be told."""
    try:
        with torch.device("meta"):
            network = build(name).eval()
            if sum(p.numel() for p in network.parameters()) > MOST_PARAMETERS:
                return float("inf")
            total = 0.0

            def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
                nonlocal total
                if isinstance(module, nn.Conv2d):
                    total += output.numel() * module.weight[0].numel()
                elif isinstance(module, nn.Linear):
                    total += output.numel() * module.in_features

            for module in network.modules():
                module.register_forward_hook(count)
            with torch.no_grad():
                network(torch.zeros(1, 3, SIZE, SIZE))
            return total
    except Exception as error:  # whatever these libraries raise
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:120]


def pictures(count: int, size: int) -> torch.Tensor:
    """Noise, and smooth pictures with a little of it, in turn: [count, 3, size, size]."""
    noise = torch.randn(count, 3, size, size)
    smooth = nn.functional.interpolate(torch.randn(count, 3, 7, 7), (size, size), mode="bicubic")
    noise[1::2] = smooth[1::2] + 0.2 * noise[1::2]
    return noise


def randomised(name: str) -> nn.Module:
    """With batch norms far from the identity, in which a mistake would hide, and the statistics of a few batches.

    Their offsets are near 1. Were they near 0, random layers would magnify rounding so much, one after the other, that
    PyTorch's own logits in 32 bits would be 1e-5 from those in 64.
    """
    torch.manual_seed(0)
    network = build(name).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) and module.affine and module.running_var is not None:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 1, 0.3)
            module.momentum = None  # an average over all batches
            module.reset_running_stats()
            module.train()
    with torch.no_grad():
        for _ in range(BATCHES):
            network(pictures(4, SIZE))
    return network.eval()


def write(network: nn.Module, size: int, file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(io.StringIO()):  # a graph that can't be exported is printed
            torch.onnx.export(network, (torch.zeros(1, 3, size, size),), file, dynamo=False)


def imported(network: nn.Module, size: int) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        write(network, size, file)
        try:
            return import_network(file)
        except CheckpointError as error:
            raise CheckpointError(str(error).removeprefix(f"{file}: ")) from None


def apart(network: nn.Module, model: Any, size: int) -> float:
    """How far the engine's logits are from PyTorch's in 64 bits, in parts of the largest: the worst of two pictures."""
    torch.manual_seed(size)
    engine, worst = Engine(model), 0.0
    network.double()
    try:
        for picture in pictures(2, size)[:, None]:
            with torch.inference_mode():
                expected = network(picture.double()).numpy()
            ours = engine.run(picture.numpy())
            worst = max(worst, float(np.abs(ours - expected).max() / np.abs(expected).max()))
    finally:
        network.float()
    return worst


def takes(network: nn.Module, size: int) -> bool:
    """Whether the network itself runs on such pictures."""
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size))
        return True
    except (RuntimeError, AssertionError):
        return False


def outcome(name: str) -> dict[str, Any]:
    """``difference`` at 224 x 224 and at ``other_size``, or why it was ``refused``.

    ``own_export``: the other size needed one of its own.
    """
    try:
        network = randomised(name)
        model = imported(network, SIZE)
        result: dict[str, Any] = {"difference": [apart(network, model, SIZE)], "own_export": False}
        size = next((each for each in OTHER_SIZES if takes(network, each)), None)
        if size is None:
            return result
        try:
            other = apart(network, model, size)
        except ValueError:
            other = float("inf")
        if not other <= TOLERANCE:  # its padding depends on the size
            result["own_export"] = True
            other = apart(network, imported(network, size), size)
        result["difference"].append(other)
        result["other_size"] = size
        return result
    except Exception as error:  # of the importer, of the exporter, or of the network itself at another size
        kind = "" if isinstance(error, CheckpointError) else f"{type(error).__name__}: "
        return {"refused": f"{kind}{str(error).splitlines()[0] if str(error) else ''}"[:200]}


def main(prefixes: list[str]) -> None:
    torch.set_num_threads(1)
    rows: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for name in names():
        row = rows.setdefault(name, {})
        changed = "macs" not in row
        if changed:
            counted = macs(name)
            row["macs"] = counted if isinstance(counted, str) else min(counted, 1e12)
        again = any(name.rpartition(":")[2].startswith(prefix) for prefix in prefixes)
        known = "difference" in row or "refused" in row
        if isinstance(row["macs"], float) and (row["macs"] < MOST_MACS or name in ALSO) and (again or not known):
            row = rows[name] = {"macs": row["macs"], **outcome(name)}
            print(name, *([row["refused"]] if "refused" in row else row["difference"]), flush=True)
            changed = True
        if changed:
            RESULTS.write_text(json.dumps(rows, indent=0, allow_nan=False) + "\n", "utf-8")


def counted(rows: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All names, but for those whose multiply-adds can't be told."""
    known = [(name, rows.get(name, {})) for name in names()]
    return [(name, row) for name, row in known if not isinstance(row.get("macs"), str)]


def made_of_other_operators(reason: str) -> bool:
    """Whether a refusal names what the engine hasn't got, or is PyTorch's exporter's.

    Attention and norms across channels begin with channels and pixels that change places, or with a constant for each
    pixel.
    """
    signs = (
        "has no such operator",
        "channels and pixels",
        "must be a constant",
        "one per channel",
        "SymbolicValueError",
    )
    return any(sign in reason for sign in signs)


def table(rows: dict[str, Any]) -> str:
    """How many are imported; those that are, with the differences; those that are refused, by the reason."""
    small = {name: row for name, row in rows.items() if "difference" in row or "refused" in row}
    taken = {name: row for name, row in small.items() if "difference" in row}
    others = sum(made_of_other_operators(row.get("refused", "")) for row in small.values())
    could = len(small) - others
    left = sum("macs" not in row or (row["macs"] < MOST_MACS and name not in small) for name, row in counted(rows))
    waiting = f" {left} names have not been tried yet." if left else ""
    lines = [
        f"Of {len(small)} networks {others} have operators that the engine hasn't got, and {len(taken)} of the other "
        f"{could} are imported: {100 * len(taken) / could:.0f} %.{waiting} Differences are from PyTorch's logits in 64 "
        "bits, in parts of the largest.",
        "",
        f"| imported | million multiply-adds | at {SIZE} | at {OTHER_SIZES[0]} |",
        "|---|---:|---:|---:|",
    ]
    for name, row in taken.items():
        first, *more = row["difference"]
        marks = " *" * row["own_export"] + " †" * (row.get("other_size") == OTHER_SIZES[1])
        there = f"{more[0]:.1e}{marks}" if more else "none"
        lines.append(f"| {name} | {row['macs'] / 1e6:.0f} | {first:.1e} | {there} |")
    lines += [
        "",
        "\\* Its padding depends on the size, so that it was exported for this one too.",
        f"† PyTorch's network doesn't take pictures of this size: at {OTHER_SIZES[1]}.",
        "",
    ]
    lines += ["| refused | million multiply-adds | why |", "|---|---:|---|"]
    for name, row in small.items():
        if "refused" in row:
            reason = row["refused"].partition(". Please")[0].replace("|", "\\|")
            lines.append(f"| {name} | {row['macs'] / 1e6:.0f} | {reason} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        rewrite(PAGE, {"census": table(json.loads(RESULTS.read_text("utf-8")))})
    elif sys.argv[1:2] == ["--write"]:
        for name in sys.argv[3:]:
            write(randomised(name), SIZE, Path(sys.argv[2]) / f"{name.rpartition(':')[2]}.onnx")
    else:
        main(sys.argv[1:])
