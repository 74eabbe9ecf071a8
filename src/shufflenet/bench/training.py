"""How fast training is beside a baseline, plain PyTorch: torchvision's ImageFolder, a DataLoader, channels_last.

Both train the same network with SGD on the same pictures, drawn anew for each epoch with random crops and flips, in
turns of a few steps. What the package does once (decode all pictures, and keep them) is timed apart.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from shufflenet.bench.run import Status, machine
from shufflenet.networks.network import ShuffleNet
from shufflenet.threads import map_in_order
from shufflenet.training import augment, training_data
from shufflenet.training.job import Job, prepare
from shufflenet.training.kernels import keep_freed_memory
from shufflenet.training.planar import by_kernels
from shufflenet.training.recipe import RECIPES
from shufflenet.training.run_folder import RunFolder
from shufflenet.training.state import optimizer

_TURN = 5  # steps
_SIZE, _BATCH = 64, 128


@dataclass(frozen=True)
class TrainingResults:
    """The speeds of one network in images/s, medians over turns."""

    machine: dict[str, Any]
    model: str
    size: int
    batch: int
    threads: int
    decode_s: float
    images_per_s: float
    plain_images_per_s: float

    @property
    def ratio(self) -> float:
        """How many times as fast as plain PyTorch the package is."""
        return self.images_per_s / self.plain_images_per_s

    def document(self) -> dict[str, Any]:
        """The results for JSON."""
        return asdict(self)


def training_bench(data: Path, names: list[str], threads: int, turns: int, status: Status) -> list[TrainingResults]:
    """Times both ways on the pictures of ``data``, with train/ and val/ as for `shufflenet train`.

    Raises:
        dataset.DataError, job.JobError: see `job.prepare`; fewer than a batch of pictures, among others.
    """
    recipe = replace(RECIPES["paper"], epochs=10_000, ema_epochs=0)
    torch.set_num_threads(threads)
    results = []
    for name in names:
        with TemporaryDirectory() as temporary:
            job = prepare(data, recipe, arch=name, size=_SIZE, batch_size=_BATCH)
            status(f"{name}: preparing both ways")
            began = perf_counter()
            steps = _ours(job, RunFolder(Path(temporary)))
            next(steps)
            decode_s = perf_counter() - began
            plain = _plain(data / "train", job, threads)
            next(plain)
            status(f"{name}: timing")
            speeds = _time([steps, plain], turns)
            results.append(TrainingResults(machine(), name, _SIZE, _BATCH, threads, decode_s, *speeds))
    return results


def table(results: list[TrainingResults]) -> str:
    """The results as text, a line for each network."""
    first = results[0]
    lines = [
        f"training at {first.size} x {first.size}, batch {first.batch}, threads {first.threads}, "
        f"{first.machine['processor']}",
        f"{'model':20} {'images/s':>9} {'plain PyTorch':>14} {'ratio':>6}",
    ]
    lines += [f"{r.model:20} {r.images_per_s:9.1f} {r.plain_images_per_s:14.1f} {r.ratio:6.2f}" for r in results]
    return "\n".join(lines)


def _time(ways: list[Iterator[None]], turns: int) -> list[float]:
    """The speed of each way in images/s, the median over the turns; every other turn starts with the other way."""
    speeds: list[list[float]] = [[] for _ in ways]
    for turn in range(turns):
        for way in range(len(ways)) if turn % 2 == 0 else reversed(range(len(ways))):
            began = perf_counter()
            for _ in range(_TURN):
                next(ways[way])
            speeds[way].append(_TURN * _BATCH / (perf_counter() - began))
    return [statistics.median(samples) for samples in speeds]


def _ours(job: Job, folder: RunFolder) -> Iterator[None]:
    """Makes a step of `shufflenet train` for each `next`."""
    data = training_data.load(job, folder, False, lambda text: None, lambda what, done, of: None)
    keep_freed_memory()
    network = ShuffleNet(job.arch).train()
    step = _step(by_kernels(network), optimizer(network, job.recipe), job)
    steps_per_epoch = len(data.train) // _BATCH

    def batch(number: int) -> tuple[Tensor, Tensor]:
        epoch, place = divmod(number, steps_per_epoch)
        chosen = data.batch(0, epoch, place, _BATCH)
        choices = augment.choose(job.recipe, number)
        x, _ = augment.make_input(data.train, chosen, range(_BATCH), choices, _SIZE, job.preprocessing)
        return x, torch.from_numpy(data.targets[chosen])

    for x, target in map_in_order(batch, range(10**9), threads=1):
        step(x, target)
        yield


def _plain(folder: Path, job: Job, threads: int) -> Iterator[None]:
    """Makes a step for each `next`, as PyTorch's examples train."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms  # type: ignore[import-untyped]

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(_SIZE, scale=(job.recipe.min_crop_area, 1)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(job.preprocessing.mean, job.preprocessing.std),
        ]
    )
    network = ShuffleNet(job.arch).to(memory_format=torch.channels_last).train()
    step = _step(network, optimizer(network, job.recipe), job)
    pictures = datasets.ImageFolder(str(folder), transform)
    loader = DataLoader(pictures, _BATCH, shuffle=True, drop_last=True, num_workers=threads, persistent_workers=True)
    while True:
        for x, target in loader:
            step(x.to(memory_format=torch.channels_last), target)
            yield


def _step(network: nn.Module, sgd: torch.optim.SGD, job: Job) -> Callable[[Tensor, Tensor], None]:
    loss_of = nn.CrossEntropyLoss(label_smoothing=job.recipe.label_smoothing)
    for group in sgd.param_groups:
        group["lr"] = 0.01

    def step(x: Tensor, target: Tensor) -> None:
        loss = loss_of(network(x), target)
        sgd.zero_grad()
        loss.backward()
        sgd.step()

    return step
