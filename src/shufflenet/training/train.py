"""Train a network of the family on labelled pictures, with the paper's recipe scaled to the data (section 4).

Every random choice is drawn from (seed, epoch) or (seed, step), never from a running state. So a run that was
stopped and resumed makes the same choices as one that was not, and ends with the same weights bit for bit (on the
same processor, with as many threads, and with one process or two; other numbers of those change the rounding of sums,
as does resuming with three processes or more, whose gradients PyTorch orders anew after the first step).
"""

from __future__ import annotations

import copy
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import shufflenet
from shufflenet import model_file
from shufflenet.networks.graph_network import GraphNetwork
from shufflenet.networks.network import ShuffleNet, tensors_of
from shufflenet.threads import map_in_order
from shufflenet.training import augment, curves, parallel, teacher, training_data, validate
from shufflenet.training.job import Job
from shufflenet.training.kernels import keep_freed_memory
from shufflenet.training.on_engine import Network
from shufflenet.training.planar import by_kernels
from shufflenet.training.progress import Progress
from shufflenet.training.recipe import FREEZABLE, Recipe
from shufflenet.training.run_folder import RunFolder

# Pictures that batch norm's statistics are estimated from, besides `Recipe.batch_norm_pictures` at the end of the run.
EPOCH_PICTURES = 256  # at the end of each epoch: enough for its errors, and little beside a small epoch
_TEACHER_PICTURES = 2560  # a teacher's, once for each input size


class TrainingError(ValueError):
    """Training can't go on. The message says why and what to do."""


class Stopped(Exception):  # noqa: N818 - it is not an error
    """A signal ended the run; the checkpoint that it goes on from is written."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


@dataclass
class State:
    """What training changes, and a checkpoint holds."""

    network: Network
    average: Network | None  # of the weights, by `Recipe.ema_epochs`
    optimizer: torch.optim.SGD
    step: int = 0
    loss_sum: float = 0.0  # of the epoch so far
    seconds: float = 0.0  # likewise
    history: list[dict[str, Any]] = field(default_factory=list)  # the rows of metrics.csv

    def to_checkpoint(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "loss_sum": self.loss_sum,
            "seconds": self.seconds,
            "history": self.history,
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        self.network.load_state_dict(checkpoint["network"])
        if self.average:
            self.average.load_state_dict(checkpoint["average"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.step, self.history = checkpoint["step"], checkpoint["history"]
        self.loss_sum, self.seconds = checkpoint["loss_sum"], checkpoint["seconds"]


def train(
    job: Job,
    out: Path,
    *,
    command: str = "",
    checkpoint_minutes: float = 5,
    workers: int = 1,
    skip_broken: bool = False,
    synchronise: bool = True,
    cache: Path | None = None,
) -> RunFolder:
    """Trains until ``job.recipe.epochs``, or goes on from the checkpoint in ``out``; returns the run folder.

    Args:
        out: the run folder, see `run_folder`.
        command: as the user gave it, for the model file.
        workers: threads that make batches ahead; 0: made when needed. The result is the same.
        skip_broken: leave broken pictures out and list them; otherwise they are an error.
        synchronise: batch norm statistics over all processes; otherwise over each one's pictures.
        cache: a folder for decoded pictures that outlives the run; default: in ``out``, and removed at the end.

    Raises:
        Stopped: SIGINT or SIGTERM came; the run can be resumed.
        images.ImageError, dataset.DataError, run_folder.RunFolderError, TrainingError, teacher.TeacherError: see there.
        OSError: the result can't be written; the last checkpoint is kept.
        ValueError: ``checkpoint_minutes`` is negative or not a number.
    """
    if not checkpoint_minutes >= 0:  # with nan no checkpoint would ever be due
        raise ValueError(f"checkpoint minutes must be 0 or more, not {checkpoint_minutes:g}")
    with parallel.processes(), _signals() as received:
        folder = RunFolder(out, cache)
        if parallel.rank() > 0:
            parallel.shared(None)  # until the first process has the folder
            return _Trainer(job, folder, received, workers, skip_broken, synchronise, checkpoint_minutes).run(command)
        with folder.lock():
            about = {"command": command, "seed": job.recipe.seed, "versions": _versions()}
            folder.claim(job.settings() | {"sync_bn": synchronise}, about)
            parallel.shared(None)
            trainer = _Trainer(job, folder, received, workers, skip_broken, synchronise, checkpoint_minutes)
            return trainer.run(command)


class _Trainer:
    """One run in one process."""

    def __init__(
        self,
        job: Job,
        folder: RunFolder,
        received: list[int],
        workers: int,
        skip_broken: bool,
        synchronise: bool,
        checkpoint_minutes: float,
    ) -> None:
        self.job, self.folder, self.received = job, folder, received
        self.workers, self.skip_broken, self.synchronise = workers, skip_broken, synchronise
        self.checkpoint_minutes = checkpoint_minutes
        self.recipe, self.how = job.recipe, job.preprocessing
        self.first = parallel.rank() == 0
        self.rows = parallel.rows(self.recipe.batch_size)
        self.device = parallel.device()
        if self.device.type == "cpu":
            keep_freed_memory()
        self.state = self._initial_state()
        self.last_save = time.monotonic()
        self.saved_step = 0
        self.drawn = 0  # rows of the history in curves.png

    def run(self, command: str) -> RunFolder:
        checkpoint = parallel.shared(self.folder.newest_checkpoint() if self.first else None)
        if checkpoint is not None:
            self.state.restore(checkpoint)
            self.saved_step = self.state.step
        if parallel.shared(self._finished()):
            self._say(f"{self.folder.path}: this run is finished")
            return self.folder
        self._say(self.job.describe())
        try:
            self._run(command)
        except Stopped:
            step, saved = self.state.step, self.saved_step
            if saved:
                there = "there" if saved == step else f"step {saved:,}, the last one saved"
                self._say(f"stopped after step {step:,}; the same command goes on from {there}")
            else:
                self._say("stopped before the first checkpoint; the same command starts again, with what is decoded")
            raise
        return self.folder

    def _run(self, command: str) -> None:
        # First, so that a wrong name is told before all pictures are decoded.
        ask = teacher.of(self.job, self.device, self._enlarged_parts)
        self.data = training_data.load(self.job, self.folder, self.skip_broken, self._say, self._tell)
        self.steps_per_epoch = max(1, len(self.data.train) // self.recipe.batch_size)
        classes = len(self.job.dataset.classes)
        weights = self.data.class_weights(classes) if self.recipe.class_weights else np.ones(classes)
        self.class_weights = torch.tensor(weights, dtype=torch.float32, device=self.device)
        self.steps = self.steps_per_epoch * self.recipe.epochs
        if self.state.step:
            self._say(f"going on after step {self.state.step:,} of {self.steps:,}")
        self.progress = Progress(self.steps, self.state.step, self.first)
        self._train(ask)
        errors = self._last_pass()
        if self.first:
            try:
                if self.job.comparison is None:
                    model_file.save(self._model(command, errors), self.folder.model)
                self.folder.write_result(*errors)
            except OSError as error:
                raise TrainingError(
                    f"{error.filename}: not written ({error.strerror}); make room and give the same command again"
                ) from None
            self.folder.tidy()
        parallel.wait()

    def _initial_state(self) -> State:
        torch.manual_seed(self.recipe.seed)
        network = _network(self.job)
        if self.job.start is not None:
            _take_weights(network, self.job.start, self.job.dataset.classes)
        network = network.to(self.device)
        freeze(network, self.recipe.freeze)
        average = copy.deepcopy(network) if self.recipe.ema_epochs else None
        return State(network, average, optimizer(network, self.recipe))

    def _finished(self) -> bool:
        model = self.job.comparison is not None or self.folder.model.exists()
        return len(self.state.history) == self.recipe.epochs and self.folder.result() is not None and model

    def _train(self, ask: teacher.Teacher | None) -> None:
        state, recipe = self.state, self.recipe
        network = parallel.parallel(by_kernels(state.network), self.synchronise)
        with _board(self.folder.path, self.first) as board:
            if self.state.step and len(state.history) < state.step // self.steps_per_epoch:
                self._end_epoch(recipe.learning_rate_at((state.step - 1) / self.steps_per_epoch), board)
                self._save()
            began = time.monotonic()
            steps = range(state.step, self.steps)
            batches = map_in_order(self._batch, steps, self.workers) if self.workers else map(self._batch, steps)
            for x, target, other, share in batches:
                epoch = state.step / self.steps_per_epoch
                rate = recipe.learning_rate_at(epoch)
                set_training(state.network, recipe.freeze)
                for group in state.optimizer.param_groups:
                    group["lr"] = rate
                loss = self._loss(network, x.to(self.device), target, other, share, ask)
                state.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                state.optimizer.step()
                state.step += 1
                self._update_average()
                loss_sum, stop = parallel.total([loss.item(), float(self.received[0] if self.received else 0)])
                mean_loss = loss_sum / parallel.world_size()
                if not math.isfinite(mean_loss):
                    raise TrainingError(f"the loss is {mean_loss} at step {state.step}: lower --learning-rate")
                state.loss_sum += mean_loss
                now = time.monotonic()
                state.seconds, began = state.seconds + now - began, now
                done = (state.step - 1) % self.steps_per_epoch + 1
                self.progress.step(
                    int(epoch) + 1, recipe.epochs, mean_loss, rate, done * recipe.batch_size / state.seconds
                )
                if done == self.steps_per_epoch:
                    self._end_epoch(rate, board)
                    began = time.monotonic()
                self._save_if_due(stop)

    def _batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, float]:
        """This process's rows of a step's batch: input, class indices, those of the partners, the own's share."""
        epoch, place = divmod(step, self.steps_per_epoch)
        batch = self.data.batch(self.recipe.seed, epoch, place, self.recipe.batch_size)
        choices = augment.choose(self.recipe, step)
        input_size = self.recipe.input_size(epoch, self.how.size)
        x, share = augment.make_input(self.data.train, batch, self.rows, choices, input_size, self.how)
        own = list(self.rows)
        targets = (self.data.targets[batch[rows]] for rows in (own, choices.partner[own]))
        target, other = (torch.from_numpy(values).to(self.device) for values in targets)
        return x, target, other, share

    def _loss(
        self, network: nn.Module, x: Tensor, target: Tensor, other: Tensor, share: float, ask: teacher.Teacher | None
    ) -> Tensor:
        recipe = self.recipe
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bf16):
            logits = network(x).float()
            answers = ask(x).float() if ask else None

        def entropy(classes: Tensor) -> Tensor:
            each = nn.functional.cross_entropy(
                logits, classes, label_smoothing=recipe.label_smoothing, reduction="none"
            )
            return (each * self.class_weights[classes]).mean()

        loss = entropy(target)
        if share < 1:
            loss = share * loss + (1 - share) * entropy(other)
        if answers is not None:
            soft = (answers / recipe.temperature).log_softmax(dim=1)
            student = (logits / recipe.temperature).log_softmax(dim=1)
            divergence = nn.functional.kl_div(student, soft, log_target=True, reduction="batchmean")
            loss = torch.lerp(loss, divergence * recipe.temperature**2, recipe.teacher_weight)
        return loss

    @torch.no_grad()
    def _update_average(self) -> None:
        state = self.state
        if state.average is None:
            return
        steps = self.recipe.ema_epochs * self.steps_per_epoch
        # A short average at first, or the random start would weigh for long.
        new = max(1 - math.exp(-1 / steps), 9 / (state.step + 9)) if state.step > 1 else 1.0
        averages, currents = (
            [t for t in network.state_dict().values() if t.is_floating_point()]
            for network in (state.average, state.network)
        )
        torch._foreach_lerp_(averages, currents, new)

    def _end_epoch(self, rate: float, board: Any) -> None:
        state = self.state
        epoch = state.step // self.steps_per_epoch
        try:
            errors = self._errors(self._result(EPOCH_PICTURES))
        except Stopped:  # the epoch's end is made up for by the process that goes on
            self._save()
            raise
        row = {
            "epoch": epoch,
            "step": state.step,
            "input_size": self.recipe.input_size(epoch - 1, self.how.size),
            "learning_rate": rate,
            "loss": round(state.loss_sum / self.steps_per_epoch, 6),
            "top1_error": round(errors[0], 3),
            "top5_error": round(errors[1], 3),
            "images_per_s": round(self.steps_per_epoch * self.recipe.batch_size / state.seconds, 1),
            "seconds": round(state.seconds, 1),
        }
        state.history.append(row)
        state.loss_sum = state.seconds = 0.0
        self.progress.epoch(row)
        if not self.first:
            return
        if board is not None:
            for key in ("loss", "learning_rate", "top1_error", "top5_error", "images_per_s"):
                board.add_scalar(key, row[key], epoch)
        self._write("metrics.csv", lambda: self.folder.write_metrics(state.history))

    def _save_if_due(self, stop: float) -> None:
        """A checkpoint every so often, at the end and at a signal, which then ends the run."""
        due = time.monotonic() - self.last_save >= 60 * self.checkpoint_minutes
        if due or stop or self.state.step == self.steps:
            self._save()
        if stop:
            raise Stopped(self.received[0] if self.received else signal.SIGTERM)

    def _save(self) -> None:
        self.last_save = time.monotonic()
        if self.first:
            state = self.state.to_checkpoint()
            if self._write("checkpoint", lambda: self.folder.save_checkpoint(self.state.step, state)):
                self.saved_step = self.state.step
            self._draw_curves()

    def _write(self, what: str, write: Callable[[], None]) -> bool:
        """A full disk does not end a run: room can be made while it goes on, and the next writing succeeds."""
        try:
            write()
        except OSError as error:
            goes_on = "" if self.received else "training goes on, "
            self.progress.say(
                f"{self.folder.path}: {what} not written ({error.strerror}); {goes_on}the last one is kept"
            )
            return False
        return True

    def _draw_curves(self) -> None:
        if len(self.state.history) == self.drawn:
            return
        self.drawn = len(self.state.history)
        picture = curves.draw(self.state.history)
        if picture is not None:
            self._write("curves.png", lambda: self.folder.write("curves.png", picture))

    def _errors(self, network: Network) -> tuple[float, float]:
        return validate.errors(network, self.data.val, self.data.val_targets, self.how, self._poll)

    def _last_pass(self) -> tuple[float, float]:
        """Makes the network the result; returns its top-1 and top-5 error in percent."""
        self.state.network = self._result(self.recipe.batch_norm_pictures)
        errors = self._errors(self.state.network)
        self._say(f"result     top-1 error {errors[0]:.2f} %  top-5 {errors[1]:.2f} %")
        return errors

    def _result(self, pictures: int) -> Network:
        """What the run has come to: the weights' average, if there is one, with the start's share, and batch norm's
        statistics of so many whole pictures. Training sees enlarged parts, whose statistics differ."""
        network = copy.deepcopy(self.state.network)
        if self.state.average is not None:
            network.load_state_dict(self.state.average.state_dict())
        if self.recipe.start_share and self.job.start is not None:
            for name, parameter in network.named_parameters():
                start = torch.from_numpy(self.job.start.tensors[name]).to(parameter)
                parameter.data.lerp_(start, self.recipe.start_share)
        round_fully_connected(network)
        set_training(network, self.recipe.freeze)
        validate.estimate_batch_norm(network, self._whole_pictures(pictures))
        parallel.average_statistics(network)
        return network

    def _whole_pictures(self, count: int) -> Iterator[Tensor]:
        """Batches as validation has them."""
        recipe, how = self.recipe, self.how
        for place in range(max(1, min(len(self.data.train), count) // recipe.batch_size)):
            self._poll()
            batch = self.data.batch(recipe.seed, -1, place, recipe.batch_size)[list(self.rows)]
            pixels = augment.centre(self.data.train, batch, how.size, how.size / how.resize)
            yield augment.normalise(pixels, how).to(self.device)

    def _enlarged_parts(self, input_size: int) -> Iterator[Tensor]:
        """Some batches as training has them, the same in every process."""
        recipe, size = self.recipe, self.recipe.batch_size
        for place in range(max(1, min(len(self.data.train), _TEACHER_PICTURES) // size)):
            batch, choices = self.data.batch(recipe.seed, -1, place, size), augment.choose(recipe, place)
            x, _ = augment.make_input(self.data.train, batch, range(size), choices, input_size, self.how)
            yield x.to(self.device)

    def _model(self, command: str, errors: tuple[float, float]) -> model_file.Model:
        dataset, arch = self.job.dataset, self.job.arch
        network = self.state.network.cpu().eval()
        with torch.inference_mode():
            logits = network(torch.from_numpy(model_file.test_input(self.how))[None])[0].tolist()
        return model_file.Model(
            arch=arch,
            preprocessing=self.how,
            labels=dataset.labels,
            classes=dataset.classes,
            tensors=tensors_of(network),
            self_test=logits,
            training={
                "command": command,
                "data": f"{dataset.root.name}: {len(self.data.train)} pictures of {arch.classes} classes",
                "recipe": asdict(self.recipe),
                "from": self.job.start.arch.name if self.job.start else None,
                "teacher": os.path.basename(self.job.teacher) if self.job.teacher else None,
                "versions": _versions(),
            },
            accuracy={
                "data": f"{dataset.root.name}, {len(self.data.val)} validation pictures",
                "top1_error": errors[0],
                "top5_error": errors[1],
            },
        )

    def _tell(self, what: str, done: int, of: int) -> None:
        self._poll()
        Progress(1, 0, self.first).count(what, done, of)

    def _poll(self) -> None:
        """Between pieces of work that can be done again. Several processes have to agree, and go on."""
        if self.received and parallel.world_size() == 1:
            raise Stopped(self.received[0])

    def _say(self, text: str) -> None:
        Progress(1, 0, self.first).say(text)


def _network(job: Job) -> Network:
    if job.comparison is None:
        return ShuffleNet(job.arch)
    # The layout in which PyTorch's convolutions are faster.
    return GraphNetwork(job.comparison).to(memory_format=torch.channels_last)


def optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """Weight decay on weights alone, none on batch norm and biases."""
    trained = [p for p in network.parameters() if p.requires_grad]
    decayed, others = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.0, momentum=recipe.momentum)


def _take_weights(network: nn.Module, start: model_file.Model, classes: list[str]) -> None:
    """All that fits: a classifier of other classes stays new."""
    tensors = {name: torch.from_numpy(t) for name, t in start.tensors.items()}
    if start.classes != classes:
        tensors = {name: t for name, t in tensors.items() if not name.startswith("fc.")}
    network.load_state_dict(tensors, strict=False)


def freeze(network: nn.Module, up_to: str) -> None:
    """Lets the weights of these parts stay as they are."""
    for module in _frozen(network, up_to):
        module.requires_grad_(False)


def _frozen(network: nn.Module, up_to: str) -> list[nn.Module]:
    last = FREEZABLE.index(up_to)
    stem = ("conv1", "bn1") if last else ()
    return [network.get_submodule(name) for name in (*stem, *FREEZABLE[2 : last + 1])]


def round_fully_connected(network: nn.Module) -> None:
    """Gives fully connected layers weights that half-precision floats hold: the engine reads those in half the time."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            rounded = module.weight.data.half()
            if rounded.isfinite().all():
                module.weight.data = rounded.float()


def set_training(network: nn.Module, frozen_up_to: str) -> None:
    """Frozen parts keep their batch norm statistics too."""
    network.train()
    for module in _frozen(network, frozen_up_to):
        module.eval()


def _versions() -> dict[str, str]:
    return {
        "shufflenet": shufflenet.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "threads": str(torch.get_num_threads()),
    }


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM, so that the run ends between two steps; outside the main thread none can be."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    earlier = [signal.signal(number, lambda got, frame: received.append(got)) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, earlier, strict=True):
            signal.signal(number, handler)


@contextmanager
def _board(out: Path, wanted: bool) -> Iterator[Any]:
    """TensorBoard's writer if it is installed, else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        wanted = False
    if not wanted:
        yield None
        return
    with SummaryWriter(str(out / "tensorboard")) as board:
        yield board
