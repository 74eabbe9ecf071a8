"""Times `shufflenet predict FOLDER --to` beside two other ways to label the same pictures, in turns.

    python benchmarks/batch_throughput.py FOLDER [TURNS]

The others are `shufflenet predict FOLDER --json`, which prints its answers, and `ray_read_images.py`, which follows Ray
Data's guide on the same weights in ONNX Runtime. A command's whole time counts, its start included; Ray's counts from
the first batch on. Prints pictures/s as a line of JSON for each turn, and the medians of the ratios.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SHUFFLENET = [sys.executable, "-m", "shufflenet"]
_MODEL = "shufflenet_g3_x0_5"


def per_second(command: list[str], pictures: int) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return pictures / (time.perf_counter() - began)


def main(folder: str, turns: int) -> None:
    pictures = sum(1 for path in Path(folder).rglob("*.jpg"))
    ratios: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        onnx = f"{scratch}/model.onnx"
        subprocess.run([*_SHUFFLENET, "export", _MODEL, "--to", "onnx", "--out", onnx], check=True)
        ray = [sys.executable, str(Path(__file__).with_name("ray_read_images.py")), folder, onnx]
        for turn in range(turns):
            ways = {"to": ["--to", f"{scratch}/labels{turn}"], "json": ["--json"]}
            # Each comes first as often as the other: Ray's processes of the turn before may still be ending.
            names = ("to", "json") if turn % 2 == 0 else ("json", "to")
            speeds = {name: per_second([*_SHUFFLENET, "predict", folder, *ways[name]], pictures) for name in names}
            answer = subprocess.run(ray, check=True, capture_output=True, text=True).stdout
            speeds["ray_guide"] = json.loads(answer.splitlines()[-1])["pictures_per_s"]
            print(json.dumps({name: round(speed, 1) for name, speed in speeds.items()}), flush=True)
            ratios.append((speeds["to"] / speeds["json"], speeds["to"] / speeds["ray_guide"]))
    over_plain, over_guide = (round(statistics.median(ratio), 2) for ratio in zip(*ratios, strict=True))
    print(json.dumps({"to_over_json": over_plain, "to_over_ray_guide": over_guide}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5)
