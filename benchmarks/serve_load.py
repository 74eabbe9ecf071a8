"""Loads `shufflenet serve` with wrk on this machine, and prints what docs/serve.md says of it.

    python benchmarks/serve_load.py FOLDER [SECONDS] [SOAK_MINUTES]

wrk posts the .jpg files in FOLDER and its folders in turn, over loopback and on the same cores. In turns with
`shufflenet predict` on the same pictures: as many as can be (16 connections); then half of that, in random intervals;
then twice of it, from 256 connections; last, half for SOAK_MINUTES. Lines of JSON: pictures/s, statuses, latencies in
ms, the server's memory.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

_SHUFFLENET = [sys.executable, "-m", "shufflenet"]
_TURNS = 3
_WRK = """
local bodies, at, counts = {}, 0, {}
for path in io.lines("%(listing)s") do
  local file = io.open(path, "rb")
  bodies[#bodies + 1] = wrk.format("POST", "/predict", {["Content-Type"] = "image/jpeg"}, file:read("*a"))
  file:close()
end
function request() at = at %% #bodies + 1; return bodies[at] end
if %(delay_ms)f > 0 then function delay() return -math.log(1 - math.random()) * %(delay_ms)f end end
function response(status) counts[status] = (counts[status] or 0) + 1; seen = "" for k, v in pairs(counts) do
  seen = seen .. k .. "=" .. v .. " " end end
local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function done(summary, latency)
  print(string.format("result seconds=%%f p50=%%f p99=%%f max=%%f errors=%%d %%s", summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    threads[1]:get("seen")))
end
"""


class Server:
    """`shufflenet serve` in a process of its own, which ends with the block, and wrk against it."""

    def __init__(self, listing: Path) -> None:
        self._listing = listing
        self._began = time.monotonic()
        command = [*_SHUFFLENET, "serve", "--port", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Server:
        try:
            assert self._process.stdout
            self.address = self._process.stdout.readline().strip()
            self.label(Path(self._listing.read_text().splitlines()[0]))
        except BaseException:
            self.end()
            raise
        self.start_s = time.monotonic() - self._began
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def label(self, picture: Path) -> Any:
        with urllib.request.urlopen(f"{self.address}/predict", picture.read_bytes()) as answer:
            return json.load(answer)["predictions"]

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1000

    def load(self, seconds: float, connections: int, rate: float = 0) -> dict[str, Any]:
        """What wrk saw; ``rate`` is of requests a second, 0: as many as can be."""
        delay_ms = 1000 * connections / rate if rate else 0
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(_WRK % {"listing": self._listing, "delay_ms": delay_ms})
            script.flush()
            command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "30s", "-s", script.name]
            printed = subprocess.run([*command, self.address], capture_output=True, text=True, check=True).stdout
        (line,) = re.findall(r"^result (.*)$", printed, re.MULTILINE)
        found = {key: float(value) for key, value in (pair.split("=") for pair in line.split())}
        return {
            "labelled_per_s": round(found.get("200", 0) / found["seconds"], 1),
            "statuses": {key: int(value) for key, value in found.items() if key.isdigit()},
            "errors": int(found["errors"]),
            "p50_ms": round(found["p50"], 2),
            "p99_ms": round(found["p99"], 2),
            "max_ms": round(found["max"], 1),
            "memory_mb": round(self.memory_mb(), 1),
        }

    def end(self) -> int:
        self._process.terminate()
        return self._process.wait()


def predict(listing: Path) -> tuple[float, dict[str, Any]]:
    """Pictures/s of the command less its start, and its labels of each picture."""
    times = []
    for text in (listing.read_bytes(), listing.read_bytes().splitlines()[0]):
        began = time.monotonic()
        done = subprocess.run([*_SHUFFLENET, "predict", "-", "--json"], input=text, capture_output=True, check=True)
        times.append((time.monotonic() - began, done.stdout.splitlines()))
    (all_s, lines), (start_s, _) = times
    rows = {row["source"]: row["predictions"] for row in map(json.loads, lines)}
    return len(lines) / (all_s - start_s), rows


def main(folder: Path, seconds: float = 10, soak_minutes: float = 0) -> None:
    pictures = sorted(folder.resolve().rglob("*.jpg"))
    if not pictures:
        sys.exit(f"{folder} has no .jpg file")
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("\n".join(map(str, pictures)))
        file.flush()
        with Server(Path(file.name)) as server:
            measure(server, Path(file.name), seconds, soak_minutes)


def measure(server: Server, listing: Path, seconds: float, soak_minutes: float) -> None:
    say(start_to_first_answer_s=round(server.start_s, 2), memory_mb=server.memory_mb())
    shares = []
    for _ in range(_TURNS):
        command_per_s, rows = predict(listing)
        loaded = server.load(seconds, 16)
        shares.append(loaded["labelled_per_s"] / command_per_s)
        say(predict_per_s=round(command_per_s, 1), share=round(shares[-1], 3), **loaded)
    say(share_of_predict_median=round(statistics.median(shares), 3))
    some = list(rows)[:50]
    say(equal_answers=sum(server.label(Path(name)) == rows[name] for name in some), of=len(some))
    most = loaded["labelled_per_s"]
    for load in (0.5, 2):
        say(load=load, **server.load(seconds, 16 if load < 1 else 256, load * most))
    if soak_minutes:
        before = server.memory_mb()
        say(soak_minutes=soak_minutes, memory_before_mb=before, **server.load(60 * soak_minutes, 16, most / 2))
    say(exit_code=server.end())


def say(**found: Any) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(float, sys.argv[2:]))
