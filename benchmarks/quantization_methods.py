"""Top-1 accuracy of a model in 8 bits, method by method (docs/quantization.md).

python benchmarks/quantization_methods.py shufflenet_g3_x0_5 tiny-imagenet-200/
"""

from __future__ import annotations

import sys
from pathlib import Path

from shufflenet.models import load_model
from shufflenet.quantization.calibration import Method, calibrate
from shufflenet.quantization.gate import measure
from shufflenet.quantization.quantize import read_pictures

METHODS = (
    Method("largest", "nearest", bias_correction=False),
    Method("largest", "nearest"),
    Method("percentile", "nearest"),
    Method("largest"),
    Method("error"),
    Method("percentile"),
)


def main(name: str, data: Path) -> None:
    model = load_model(name)
    pictures = read_pictures(model, data)
    print(f"{name}, calibrated on {len(pictures.x):,} pictures")
    print("| weights | range | bias correction | top-1 | points lost |")
    print("|---|---|---|---:|---:|")
    for method in METHODS:
        loss = measure(model, calibrate(model, pictures.x, method), data)
        correction = "yes" if method.bias_correction else "no"
        print(
            f"| {method.weights} | {method.ranges} | {correction} | {loss.accuracy:.2f} | "
            f"{loss.points:+.2f} ± {loss.uncertainty:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
