"""`shufflenet bench --training`: training steps of this package against a plain PyTorch loop.

The plain loop is torchvision's ImageFolder, a DataLoader and channels_last. Both train the same network with SGD on
the same pictures, shuffled, cropped and flipped anew in each epoch, in turns of a few steps. Decoding, which the
package does once before the first step, is timed apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from shufflenet.bench.run import Status, machine
from shufflenet.bench.turns import images_per_second
from shufflenet.networks.module import module_of
from shufflenet.threads import map_in_order
from shufflenet.training import augment, training_data
from shufflenet.training.job import Job, prepare
from shufflenet.training.kernels import keep_freed_memory
from shufflenet.training.planar import by_kernels
from shufflenet.training.recipe import RECIPES
from shufflenet.training.run_folder import RunFolder
from shufflenet.training.state import new_network, optimizer

_TURN_STEPS = 5
_SIZE, _BATCH = 64, 128


@dataclass(frozen=True)
class TrainingResults:
    """Both loops' images/s for one network, medians over turns. These fields are the keys of the JSON file."""

    machine: dict[str, Any]
    model: str
    size: int
    batch: int
    threads: int
    decode_s: float  # the package's time until the first step is done
    images_per_s: float
    plain_images_per_s: float

    @property
    def ratio(self) -> float:
        """The package's images/s over the plain loop's."""
        return self.images_per_s / self.plain_images_per_s

    def document(self) -> dict[str, Any]:
        """The results for JSON."""
        return asdict(self)


def training_bench(data: Path, names: list[str], threads: int, turns: int, status: Status) -> list[TrainingResults]:
    """Times both loops on ``data``, a data folder with train/ and val/ as for `shufflenet train`.

    Args:
        names: architectures to train, one after the other.
        threads: of PyTorch, and the plain loop's DataLoader workers.
        turns: turns of each loop, of `_TURN_STEPS` steps.

    Raises:
        dataset.DataError, job.JobError: see `job.prepare`; for example there are fewer pictures than a batch has.
    """
    recipe = replace(RECIPES["paper"], epochs=10_000, ema_epochs=0)
    torch.set_num_threads(threads)
    results = []
    for name in names:
        with TemporaryDirectory() as temporary:
            job = prepare(data, recipe, arch=name, size=_SIZE, batch_size=_BATCH)
            status(f"{name}: preparing both loops")
            began = perf_counter()
            steps = _ours(job, RunFolder(Path(temporary)))
            next(steps)
            decode_s = perf_counter() - began
            plain = _plain(data / "train", job, threads)
            next(plain)
            status(f"{name}: timing")
            speeds = images_per_second([_program(steps), _program(plain)], range(turns))
            results.append(TrainingResults(machine(), name, _SIZE, _BATCH, threads, decode_s, *speeds))
    return results


def table(results: list[TrainingResults]) -> str:
    """The results as text, one line per network."""
    first = results[0]
    lines = [
        f"training at {first.size} x {first.size}, batch {first.batch}, threads {first.threads}, "
        f"{first.machine['processor']}",
        f"{'model':20} {'images/s':>9} {'plain PyTorch':>14} {'ratio':>6}",
    ]
    lines += [f"{r.model:20} {r.images_per_s:9.1f} {r.plain_images_per_s:14.1f} {r.ratio:6.2f}" for r in results]
    return "\n".join(lines)


def _program(steps: Iterator[None]) -> Callable[[int], int]:
    """A program for `images_per_second`: one turn is `_TURN_STEPS` steps."""

    def run(_: int) -> int:
        for _ in range(_TURN_STEPS):
            next(steps)
        return _TURN_STEPS * _BATCH

    return run


def _ours(job: Job, folder: RunFolder) -> Iterator[None]:
    """A generator that makes one step of `shufflenet train` per `next`."""
    data = training_data.load(job, folder, False, lambda text: None, lambda what, done, of: None)
    keep_freed_memory()
    network = new_network(job.graph).train()
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
    """A generator that makes one step per `next`, written as PyTorch's examples are."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(_SIZE, scale=(job.recipe.min_crop_area, 1)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(job.preprocessing.mean, job.preprocessing.std),
        ]
    )
    network = module_of(job.graph).to(memory_format=torch.channels_last).train()
    step = _step(network, optimizer(network, job.recipe), job)
    pictures = datasets.ImageFolder(str(folder), transform)
    loader = DataLoader(pictures, _BATCH, shuffle=True, drop_last=True, num_workers=threads, persistent_workers=True)
    while True:
        for x, target in loader:
            step(x.to(memory_format=torch.channels_last), target)
            yield


def _step(network: nn.Module, sgd: torch.optim.SGD, job: Job) -> Callable[[Tensor, Tensor], None]:
    """A function of (x [N, 3, H, W], class indices [N]) that makes one SGD step on the cross-entropy loss."""
    loss_of = nn.CrossEntropyLoss(label_smoothing=job.recipe.label_smoothing)
    for group in sgd.param_groups:
        group["lr"] = 0.01

    def step(x: Tensor, target: Tensor) -> None:
        loss = loss_of(network(x), target)
        sgd.zero_grad()
        loss.backward()
        sgd.step()

    return step
