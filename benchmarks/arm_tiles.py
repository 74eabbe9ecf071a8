"""Cycles of the engine's tiles on Arm cores, by calculation: `python benchmarks/arm_tiles.py`.

Compiles the levels `neon` and `int8_neon_dot` for aarch64, cuts out the loop of the tile that does most multiply-adds,
in float32 and in 8 bits, and asks llvm-mca how many cycles a core takes for a round, if everything is in its
first-level cache. Prints multiply-adds a cycle. Needs Debian's gcc-aarch64-linux-gnu and llvm.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ENGINE = Path(__file__).resolve().parent.parent / "engine"
CORES = ("cortex-a55", "cortex-a76", "neoverse-n1")
LANES = 4  # float32 of a vector; int8 dot products have as many words of four
_ROUNDS = 1000


@dataclass(frozen=True)
class Tile:
    """A level's tile: ``outputs`` x ``vectors`` sums. ``instruction`` adds ``products`` to each lane of one of them."""

    name: str
    source: str
    flags: tuple[str, ...]
    function: str
    outputs: int
    vectors: int
    instruction: str
    products: int


TILES = (
    Tile("float32", "neon.c", (), "tile_4x5", 4, 5, "fmla", 1),
    Tile("int8", "int8_neon_dot.c", ("-march=armv8.2-a+dotprod",), "int8_tile_4x5_QUADS_READ_QUADS_WRITTEN", 4, 5,
         "sdot", 4),
)  # fmt: skip


def assembly(tile: Tile) -> str:
    """What the compiler makes of a level."""
    compiler = ["aarch64-linux-gnu-gcc", "-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-S", "-o", "-"]
    command = [*compiler, "-fno-trapping-math", *tile.flags, str(ENGINE / "levels" / tile.source)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def inner_loop(text: str, tile: Tile) -> tuple[list[str], int]:
    """The instructions of the innermost loop with most multiply-adds in the tile's function, and how many those are."""
    body = re.search(rf"^{tile.function}:\n(.*?)^\t\.size\t{tile.function},", text, re.DOTALL | re.MULTILINE)
    if body is None:
        raise SystemExit(f"{tile.source} has no function {tile.function}")
    lines, best, inner_end = body[1].splitlines(), list[str](), 0
    places = {line[:-1]: number for number, line in enumerate(lines) if re.fullmatch(r"\.L\w+:", line)}
    for number, line in enumerate(lines):
        target = re.match(r"\t(?:b\w*(?:\.\w+)?|cbn?z\t\w+,|tbn?z\t\w+, #?\d+,)\s+(\.L\w+)", line)
        begin = places.get(target[1], number) if target else number
        if begin < number and begin >= inner_end:  # backwards, and around no other such branch
            inner_end = number
            loop = [each for each in lines[begin : number + 1] if re.match(r"\t\w", each)]
            best = max(best, loop, key=lambda each: count(each, tile))
    return best, count(best, tile)


def count(instructions: list[str], tile: Tile) -> int:
    return sum(line.startswith(f"\t{tile.instruction}\t") for line in instructions)


def cycles(instructions: list[str], core: str) -> float:
    """Cycles of one round of a loop."""
    with tempfile.NamedTemporaryFile("w", suffix=".s") as file:
        file.write("\n".join(instructions) + "\n")
        file.flush()
        command = ["llvm-mca", "-mtriple=aarch64", f"-mcpu={core}", "-mattr=+dotprod", f"-iterations={_ROUNDS}"]
        said = subprocess.run([*command, file.name], check=True, capture_output=True, text=True).stdout
    total = re.search(r"Total Cycles:\s+(\d+)", said)
    assert total
    return int(total[1]) / _ROUNDS


def main() -> None:
    loops = [inner_loop(assembly(tile), tile) for tile in TILES]
    shapes = [f"{tile.name}, {tile.outputs} x {tile.vectors * LANES}" for tile in TILES]
    print(f"| core | {shapes[0]} | {shapes[1]} | times |\n|---|---:|---:|---:|")
    for core in CORES:
        rates = [
            number * LANES * tile.products / cycles(loop, core)
            for tile, (loop, number) in zip(TILES, loops, strict=True)
        ]
        print(f"| {core} | {rates[0]:.2f} | {rates[1]:.2f} | {rates[1] / rates[0]:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
