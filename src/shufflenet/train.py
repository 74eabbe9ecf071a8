"""Train a network of the family on an image folder, with the paper's recipe scaled to the data (section 4).

Every random choice is drawn from (seed, epoch) or (seed, step), never from a running state, so a run that
was stopped and resumed makes the same choices as one that was not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import shufflenet
from shufflenet import data, model_file
from shufflenet.arch import Architecture
from shufflenet.images import Preprocessing
from shufflenet.network import ShuffleNet

Pixels = NDArray[np.uint8]  # [N, S, S, 3]


@dataclass(frozen=True)
class Recipe:
    """All that decides a run besides data and architecture."""

    epochs: int = 16
    batch_size: int = 128
    learning_rate: float = 1.0  # for a batch of 1024; scaled linearly to batch_size, as is usual
    warmup_epochs: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 4e-5  # none on batch norm and biases
    label_smoothing: float = 0.1
    min_crop_area: float = 0.35  # of the picture, for random crops of aspect 3/4 to 4/3
    size: int = 64
    progressive: tuple[float, ...] = (0.5, 0.5, 0.75, 0.75, 1.0)  # of size, for equal parts of the run
    batch_norm_pictures: int = 20_000  # seen by the last pass, which estimates batch norm statistics anew
    seed: int = 0

    def input_size(self, epoch: int) -> int:
        part = min(epoch * len(self.progressive) // self.epochs, len(self.progressive) - 1)
        return round(self.size * self.progressive[part] / 16) * 16

    def learning_rate_at(self, epoch: float) -> float:
        """Linear warm-up, then linear to zero at the last step."""
        peak = self.learning_rate * self.batch_size / 1024
        warm = min(1.0, epoch / self.warmup_epochs) if self.warmup_epochs else 1.0
        return peak * min(warm, (self.epochs - epoch) / max(self.epochs - self.warmup_epochs, 1e-9))


def train(root: Path, out: Path, arch_name: str, recipe: Recipe, checkpoint_minutes: float = 5) -> Path:
    """Trains until ``recipe.epochs`` or goes on from the checkpoint in ``out``; returns the model file.

    ``out`` receives checkpoint.pt, metrics.csv and, at the end, model.safetensors.

    Raises:
        data.DataError, images.ImageError: the data can't be used.
        ValueError: ``out`` belongs to a run with other settings.
    """
    folder = data.open_folder(root)
    # No stem stride on small pictures: Table 1's 224 pixels would shrink to 2 x 2 at the end of the network.
    arch = Architecture.from_name(
        arch_name, classes=len(folder.classes), stem_stride=1 if recipe.size <= 96 else 2
    )
    out.mkdir(parents=True, exist_ok=True)
    pixels = {name: data.load(getattr(folder, name), recipe.size, _counter(f"decoding {name}")) for name in ("train", "val")}
    preprocessing = Preprocessing(size=recipe.size, resize=recipe.size)

    torch.manual_seed(recipe.seed)
    network = ShuffleNet(arch)
    optimizer = _optimizer(network, recipe)
    settings = {"arch": asdict(arch), "recipe": json.loads(json.dumps(asdict(recipe)))}
    step = _resume(out / "checkpoint.pt", settings, network, optimizer)
    steps_per_epoch = len(pixels["train"]) // recipe.batch_size
    last_save, seconds, losses = time.monotonic(), 0.0, []

    while step < recipe.epochs * steps_per_epoch:
        epoch, first = divmod(step, steps_per_epoch)
        network.train()
        for batch in _batches(len(pixels["train"]), recipe, epoch)[first:]:
            began = time.monotonic()
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at(step / steps_per_epoch)
            x = augment(pixels["train"][batch], recipe, recipe.input_size(epoch), step, preprocessing)
            loss = nn.functional.cross_entropy(
                network(x), torch.from_numpy(folder.train.targets[batch]), label_smoothing=recipe.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            losses.append(loss.item())
            seconds += time.monotonic() - began
            if not np.isfinite(losses[-1]):
                raise ValueError(f"the loss is {losses[-1]} at step {step}: a lower learning rate is needed")
            if time.monotonic() - last_save > checkpoint_minutes * 60 or step % steps_per_epoch == 0:
                _save_checkpoint(out / "checkpoint.pt", settings, network, optimizer, step)
                last_save = time.monotonic()
        errors = measure(network, pixels["val"], folder.val.targets, preprocessing)
        row = {
            "epoch": epoch + 1,
            "input_size": recipe.input_size(epoch),
            "loss": f"{np.mean(losses):.4f}",
            "top1_error": f"{errors[0]:.2f}",
            "top5_error": f"{errors[1]:.2f}",
            "images_per_s": f"{len(losses) * recipe.batch_size / seconds:.0f}",
        }
        _append_row(out / "metrics.csv", row)
        print(" ".join(f"{key} {value}" for key, value in row.items()), file=sys.stderr, flush=True)
        seconds, losses = 0.0, []

    estimate_batch_norm(network, pixels["train"], recipe, preprocessing)
    errors = measure(network, pixels["val"], folder.val.targets, preprocessing)
    model = model_file.Model(
        arch=arch,
        preprocessing=preprocessing,
        labels=folder.labels,
        tensors={name: t.numpy() for name, t in network.state_dict().items() if not name.endswith("tracked")},
        training={
            "command": f"shufflenet train {root.name} --arch {arch_name} --epochs {recipe.epochs}",
            "data": f"{root.name}: {len(pixels['train'])} pictures of {arch.classes} classes",
            "recipe": settings["recipe"],
            "versions": {"shufflenet": shufflenet.__version__, "torch": torch.__version__},
        },
        accuracy={"data": f"{root.name}/val, {len(pixels['val'])} pictures", "top1_error": errors[0], "top5_error": errors[1]},
    )
    network.eval()
    with torch.inference_mode():
        model.self_test = network(torch.from_numpy(model_file.test_input(preprocessing))[None])[0].tolist()
    model_file.save(model, out / "model.safetensors")
    return out / "model.safetensors"


def normalise(pixels: Pixels, how: Preprocessing) -> Tensor:
    """uint8 [N, S, S, 3] -> float32 [N, 3, S, S]."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (how.mean, how.std))
    return ((x / 255 - mean) / std).contiguous()


def augment(pixels: Pixels, recipe: Recipe, size: int, step: int, how: Preprocessing) -> Tensor:
    """Random crops and flips of a whole batch at once: uint8 [N, S, S, 3] -> float32 [N, 3, size, size]."""
    random = np.random.default_rng((recipe.seed, 1, step))
    count = len(pixels)
    area = random.uniform(recipe.min_crop_area, 1, count)
    aspect = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3), count))
    half_width, half_height = np.minimum(np.sqrt(area * aspect), 1), np.minimum(np.sqrt(area / aspect), 1)
    # In the coordinates of grid_sample a picture spans -1 to 1.
    centre_x = random.uniform(-1, 1, count) * (1 - half_width)
    centre_y = random.uniform(-1, 1, count) * (1 - half_height)
    flip = random.choice((-1.0, 1.0), count)
    theta = np.zeros((count, 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 0, 2] = half_width * flip, centre_x
    theta[:, 1, 1], theta[:, 1, 2] = half_height, centre_y
    full = pixels.shape[1]
    grid = nn.functional.affine_grid(torch.from_numpy(theta), [count, 3, full, full], align_corners=False)
    x = nn.functional.grid_sample(normalise(pixels, how), grid, padding_mode="reflection", align_corners=False)
    if size != full:
        x = nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
    return x


@torch.no_grad()
def estimate_batch_norm(network: ShuffleNet, pixels: Pixels, recipe: Recipe, how: Preprocessing) -> None:
    """Replaces the running averages of batch norm by true means over ``recipe.batch_norm_pictures`` pictures."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's way to say: a plain mean over all batches
    network.train()
    for batch in _batches(len(pixels), recipe, epoch=-1)[: max(1, recipe.batch_norm_pictures // recipe.batch_size)]:
        network(normalise(pixels[batch], how))
    for norm in norms:
        norm.momentum = 0.1


@torch.inference_mode()
def measure(network: ShuffleNet, pixels: Pixels, targets: NDArray[np.int64], how: Preprocessing) -> tuple[float, float]:
    """Top-1 and top-5 error in percent."""
    network.eval()
    wrong1 = wrong5 = 0
    for start in range(0, len(pixels), 256):
        logits = network(normalise(pixels[start : start + 256], how))
        target = torch.from_numpy(targets[start : start + 256])[:, None]
        hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == target
        wrong1 += len(hits) - int(hits[:, 0].sum())
        wrong5 += len(hits) - int(hits.any(dim=1).sum())
    return 100 * wrong1 / len(pixels), 100 * wrong5 / len(pixels)


def _batches(count: int, recipe: Recipe, epoch: int) -> list[NDArray[np.int64]]:
    order = np.random.default_rng((recipe.seed, 0, epoch + 1)).permutation(count)
    return [order[i : i + recipe.batch_size] for i in range(0, count - recipe.batch_size + 1, recipe.batch_size)]


def _optimizer(network: ShuffleNet, recipe: Recipe) -> torch.optim.SGD:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.0, momentum=recipe.momentum)


def _resume(path: Path, settings: dict[str, Any], network: ShuffleNet, optimizer: torch.optim.SGD) -> int:
    if not path.exists():
        return 0
    checkpoint = torch.load(path, weights_only=True)
    if checkpoint["settings"] != settings:
        raise ValueError(f"{path.parent}: holds a run with other settings; choose another --out or remove it")
    network.load_state_dict(checkpoint["network"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    return int(checkpoint["step"])


def _save_checkpoint(
    path: Path, settings: dict[str, Any], network: ShuffleNet, optimizer: torch.optim.SGD, step: int
) -> None:
    state = {"settings": settings, "network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _append_row(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        if new:
            file.write(",".join(row) + "\n")
        file.write(",".join(str(value) for value in row.values()) + "\n")


def _counter(what: str) -> Any:
    def show(count: int) -> None:
        if sys.stderr.isatty() and count % 100 == 0:
            print(f"\r{what}: {count}", end="", file=sys.stderr)

    return show
