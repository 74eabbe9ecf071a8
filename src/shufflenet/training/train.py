"""Train a network on labelled pictures, with the paper's recipe scaled to the data (section 4).

Every random choice is drawn from (seed, epoch) or (seed, step), never from a running state. So a run that was
stopped and resumed makes the same choices as one that was not, and ends with the same weights bit for bit (on the
same processor, with as many threads, and with one process or two; other numbers of those change the rounding of sums,
as does resuming with three processes or more, whose gradients PyTorch orders anew after the first step).
"""

from __future__ import annotations

import math
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shufflenet import model_file
from shufflenet.networks.module import module_with_weights
from shufflenet.networks.network import ShuffleNet
from shufflenet.pictures.dataset import Dataset
from shufflenet.quantization.calibration import MOST_LOSS
from shufflenet.quantization.trainable import Trainable
from shufflenet.threads import map_in_order
from shufflenet.training import calibrated, nearest, parallel, result, teacher, training_data, validate
from shufflenet.training.batches import Batches
from shufflenet.training.job import Job, prepare
from shufflenet.training.kernels import keep_freed_memory
from shufflenet.training.loss import Loss, Targets
from shufflenet.training.planar import by_kernels
from shufflenet.training.progress import Progress, shown_errors
from shufflenet.training.recipe import NEAREST, Recipe
from shufflenet.training.record import Record
from shufflenet.training.run_folder import RunFolder
from shufflenet.training.state import State, set_training
from shufflenet.training.stop import Stop, Stopped, stop_signals

# Pictures that batch norm's statistics are estimated from at the end of each epoch: enough for its errors, and little
# beside a small epoch. At the end of the run they are `Recipe.batch_norm_pictures`.
EPOCH_PICTURES = 256


class TrainingError(ValueError):
    """Training can't go on. The message says why and what to do."""


def train(
    data: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    name: str | None = None,
    recipe: str | Recipe | None = None,
    start: str | os.PathLike[str] | None = None,
    arch: str | None = None,
    size: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    val_fraction: float | None = None,
    skip_broken: bool = False,
    class_weights: bool = False,
    mixup: float | None = None,
    cutmix: float | None = None,
    flip: bool | None = None,
    vertical_flip: bool = False,
    crop: float | None = None,
    rotate: float | None = None,
    colour: float | None = None,
    teacher: str | os.PathLike[str] | None = None,
    freeze: str | None = None,
    start_share: float | None = None,
    quantize: bool = False,
    amp: bool = False,
    device: str | None = None,
    sync_bn: bool = True,
    workers: int = 1,
    checkpoint_minutes: float = 5,
    command: str = "",
) -> RunFolder:
    """Trains a network on labelled pictures, or goes on with a run that was stopped; ``.model`` is its model file.

    The arguments are the options of `shufflenet train`; only ``start`` has another name there, ``--from``, which Python
    keeps for itself. None: as the recipe, the data or the model ``start`` has it.

    Args:
        data: a folder with train/ and val/, in each a folder of pictures for every class; a folder of class folders, of
            which a part becomes val; or a .zip or shards of either.
        out: the run folder; default: runs/NAME, by the name of ``data``.
        name: of the model, after which exports are named; default: the run folder's.
        recipe: "paper", "short", "finetune", a TOML file or a `Recipe`; default: "finetune" with ``start``, else
            "paper". "nearest" trains nothing: it finds a last layer for the features of ``start`` in seconds.
        start: a model that is fine-tuned: a name that comes with the package, or a model file.
        arch: name of the network, of any family; default: shufflenet_g3_x0_5.
        size: side of the square input, in pixels.
        epochs: passes over the data; 0: only the last layer of ``start`` is trained.
        batch_size: pictures in a step, over all processes.
        learning_rate: the highest, for a batch of 1024; it is scaled with the batch.
        seed: of every random choice.
        val_fraction: share of the pictures that becomes val where ``data`` has none, 0 to 1.
        skip_broken: leave broken pictures out and list them; otherwise they are an error.
        class_weights: weight the loss so that each class counts the same.
        mixup: alpha of mixup's Beta distribution (arXiv 1710.09412).
        cutmix: alpha of CutMix's Beta distribution (arXiv 1905.04899).
        flip: mirror half of the pictures, left to right; False where left and right differ, as in arrows and letters.
        vertical_flip: turn half of the pictures upside down, as for cells and satellite pictures.
        crop: the smallest share of the picture in random crops, 0.01 to 1.
        rotate: the largest angle by which pictures are turned, in degrees.
        colour: by which share brightness, contrast and saturation vary, 0 to 1.
        teacher: a model file or torchvision network whose answers are learned too (distillation, arXiv 1503.02531).
        freeze: the last part that keeps its weights: "stem", "stage2", "stage3" or "stage4".
        start_share: share of the weights of ``start`` in the result, 0 to 1.
        quantize: train ``start`` in 8 bits, from where calibration ends: the last layer, or with ``epochs`` all of it.
        amp: matrix products in bfloat16: faster on GPUs, slower on CPUs.
        device: "cpu", "cuda", "cuda:1" or "mps"; default: "cuda" where there is one, else "cpu".
        sync_bn: batch norm statistics over all processes; otherwise over each one's pictures.
        workers: threads that make batches ahead; 0: none.
        checkpoint_minutes: time between two checkpoints.
        command: what was typed, for the model file.

    Raises:
        ValueError: an argument is out of range, or contradicts another.
        Everything that `train_job` raises: see there.
    """
    root = Path(data)
    options = _plain(
        arch=arch, size=size, batch_size=batch_size, val_fraction=val_fraction,
        start=None if start is None else os.fspath(start), teacher=None if teacher is None else os.fspath(teacher),
        amp=amp, epochs=epochs, learning_rate=learning_rate, seed=seed, class_weights=class_weights, mixup=mixup,
        cutmix=cutmix, freeze=freeze, start_share=start_share, name=name,
        flip=flip, vertical_flip=vertical_flip, crop=crop, rotate=rotate, colour=colour, quantize=quantize,
    )  # fmt: skip
    job = prepare(root, recipe, **options)
    folder = _run_folder(job.dataset, None if out is None else Path(out))
    if job.recipe.name == NEAREST:
        return nearest.train_job(job, folder, command, skip_broken)
    return train_job(
        job, folder, command=command, skip_broken=skip_broken, device=device,
        sync_bn=sync_bn, workers=workers, checkpoint_minutes=checkpoint_minutes,
    )  # fmt: skip


def _plain(**options: Any) -> dict[str, Any]:
    """The options with Python's numbers for NumPy's, which the record of the run can't hold."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in options.items()}


def _run_folder(dataset: Dataset, out: Path | None) -> Path:
    """``out``, or the default place.

    Raises:
        ValueError: the run would look like a class of ``dataset``.
    """
    data = dataset.root
    out = out or Path("runs") / (data.resolve().stem if data.is_file() else data.resolve().name)
    if data.resolve() in out.resolve().parents and dataset.folders.train is None:
        raise ValueError(f"{out}: would be one of the class folders in {data}; give another place with --out")
    return out


def train_job(
    job: Job,
    out: Path,
    *,
    command: str = "",
    checkpoint_minutes: float = 5,
    workers: int = 1,
    skip_broken: bool = False,
    sync_bn: bool = True,
    device: str | None = None,
    cache: Path | None = None,
) -> RunFolder:
    """Trains until ``job.recipe.epochs``, or goes on from the checkpoint in ``out``; returns the run folder.

    Args:
        out: the run folder, see `run_folder`.
        command: as the user gave it, for the model file.
        checkpoint_minutes: time between two checkpoints.
        workers: threads that make batches ahead; 0: made when needed. The result is the same.
        skip_broken: leave broken pictures out and list them; otherwise they are an error.
        sync_bn: batch norm statistics over all processes; otherwise over each one's pictures.
        device: see `parallel.device`.
        cache: a folder for decoded pictures that outlives the run; default: in ``out``, and removed at the end.

    Raises:
        Stopped: SIGINT or SIGTERM came; the run can be resumed.
        images.ImageError, dataset.DataError, run_folder.RunFolderError, TrainingError, teacher.TeacherError: see there.
        OSError: the result can't be written; the last checkpoint is kept.
        ValueError: ``checkpoint_minutes`` is negative or not a number.
    """
    if not checkpoint_minutes >= 0:  # with nan no checkpoint would ever be due
        raise ValueError(f"checkpoint minutes must be 0 or more, not {checkpoint_minutes:g}")
    folder = RunFolder(out, cache)
    where = torch.device("cpu") if job.recipe.quantize else parallel.device(device)
    with parallel.processes(where), stop_signals() as stop:
        first = parallel.rank() == 0
        with folder.lock() if first else nullcontext():
            if first:
                about = {"command": command, "seed": job.recipe.seed, "versions": result.versions()}
                folder.claim(job.settings() | {"sync_bn": sync_bn}, about)
            parallel.wait()  # for the first process, which has the folder now
            _Run(job, folder, stop, sync_bn, checkpoint_minutes, where).run(command, workers, skip_broken)
    return folder


class _Run:
    """One run in one process."""

    def __init__(
        self, job: Job, folder: RunFolder, stop: Stop, sync_bn: bool, checkpoint_minutes: float, where: torch.device
    ) -> None:
        self.job, self.recipe, self.folder, self.stop, self.sync_bn = job, job.recipe, folder, stop, sync_bn
        self.rows = parallel.rows(self.recipe.batch_size)
        self.device = where
        if self.device.type == "cpu":
            keep_freed_memory()
        self.progress = Progress(shown=parallel.rank() == 0)
        self.record = Record(folder, self.progress, stop, checkpoint_minutes)
        self.state = State.new(job, self.device)
        self.float_error = math.nan  # in percent, of the model that is trained in 8 bits

    def run(self, command: str, workers: int, skip_broken: bool) -> None:
        """Restores the newest checkpoint, trains what is left, and says where a stopped run goes on."""
        checkpoint = parallel.shared(self.folder.newest_checkpoint() if parallel.rank() == 0 else None)
        if checkpoint is not None:
            self.state.restore(checkpoint)
            self.record.saved_step = self.state.step
        if parallel.shared(self._finished()):
            self.progress.say(f"{self.folder.path}: this run is finished")
            return
        self.progress.say(self.job.describe())
        self.progress.say(f"device    {parallel.described(self.device)}")
        try:
            self._train(workers, skip_broken)
            self._end(command)
        except Stopped:
            step, saved = self.state.step, self.record.saved_step
            if saved:
                there = "there" if saved == step else f"step {saved:,}, the last one saved"
                self.progress.say(f"stopped after step {step:,}; the same command goes on from {there}")
            else:
                self.progress.say(
                    "stopped before the first checkpoint; the same command starts again, with what is decoded"
                )
            raise

    def _finished(self) -> bool:
        results = self.folder.result() is not None and self.folder.model.exists()
        return len(self.state.history) == self.recipe.epochs and results

    def _train(self, workers: int, skip_broken: bool) -> None:
        """Decodes the pictures, and makes all steps that are left."""
        # The teacher comes first, so that a wrong name is told before all pictures are decoded.
        ask = teacher.of(self.job, self.device, lambda size: self.batches.crops(size))
        data = training_data.load(self.job, self.folder, skip_broken, self.progress.say, self._tell)
        self.batches = Batches(self.job, data, self.rows, self.device)
        self.steps = self.batches.per_epoch * self.recipe.epochs
        classes = len(self.job.dataset.classes)
        weights = data.class_weights(classes) if self.recipe.class_weights else np.ones(classes)
        loss_of = Loss(self.recipe, torch.tensor(weights, dtype=torch.float32, device=self.device))
        network = parallel.parallel(by_kernels(self.state.network), self.sync_bn)
        if self.recipe.quantize:
            self._tell_begin(data)
        elif self.device.type == "cpu" and not isinstance(self.state.network, ShuffleNet):
            self.progress.say("kernels   PyTorch's: the package's own, which are faster, train only ShuffleNet")
        if self.state.step:
            self.progress.say(f"going on after step {self.state.step:,} of {self.steps:,}")
        self.progress.begin(self.steps, self.state.step)
        with self.record.tensorboard():
            self._steps(network, loss_of, ask, workers)

    def _tell_begin(self, data: training_data.TrainingData) -> None:
        """Says what the float model's error is, and that of its calibration in 8 bits."""
        assert self.job.start is not None

        def error_of(network: Trainable) -> float:
            return validate.errors(network, data.val, data.val_targets, self.job.preprocessing, self.stop.check)[0]

        self.float_error = error_of(module_with_weights(self.job.start))
        self.progress.say(f"float32   top-1 error {self.float_error:.2f} %")
        if self.state.step == 0:
            self.progress.say(f"8 bits    top-1 error {error_of(self.state.network):.2f} %, calibrated")

    def _steps(self, network: nn.Module, loss_of: Loss, ask: teacher.Teacher | None, workers: int) -> None:
        state, per_epoch = self.state, self.batches.per_epoch
        if state.step and len(state.history) < state.step // per_epoch:  # the run was stopped while it validated
            self._end_epoch()
            self.record.checkpoint(state)
        began = time.monotonic()
        numbers = range(state.step, self.steps)
        made = map_in_order(self.batches.training, numbers, workers) if workers else map(self.batches.training, numbers)
        for x, targets in made:
            loss = self._step(network, loss_of, ask, x, targets)
            loss_sum, stop = parallel.total([loss, self.stop.signal_number])
            mean_loss = loss_sum / parallel.world_size()
            if not math.isfinite(mean_loss):
                raise TrainingError(f"the loss is {mean_loss} at step {state.step}: lower --learning-rate")
            state.loss_sum += mean_loss
            now = time.monotonic()
            state.seconds, began = state.seconds + now - began, now
            epoch, done = divmod(state.step - 1, per_epoch)
            speed = (done + 1) * self.recipe.batch_size / state.seconds
            self.progress.step(epoch + 1, self.recipe.epochs, mean_loss, self._learning_rate(), speed)
            if done + 1 == per_epoch:
                self._end_epoch()
                began = time.monotonic()
            if self.record.due() or stop or state.step == self.steps:
                self.record.checkpoint(state)
            if stop:
                raise Stopped(self.stop.signal_number or signal.SIGTERM)

    def _step(
        self, network: nn.Module, loss_of: Loss, ask: teacher.Teacher | None, x: Tensor, targets: Targets
    ) -> float:
        """Trains on one batch; returns the loss of this process's part of it."""
        state = self.state
        state.step += 1
        set_training(state.network, self.recipe.freeze)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16):
            logits = network(x).float()
            answers = ask(x).float() if ask else None
        loss = loss_of(logits, targets, answers)
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for group in state.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        state.optimizer.step()
        state.update_average(self.recipe.ema_epochs * self.batches.per_epoch)
        return loss.item()

    def _learning_rate(self) -> float:
        """The learning rate of the step that was begun last."""
        return self.recipe.learning_rate_at((self.state.step - 1) / self.batches.per_epoch)

    def _end_epoch(self) -> None:
        """Measures the errors on validation pictures, and writes the epoch's row."""
        state, recipe, per_epoch = self.state, self.recipe, self.batches.per_epoch
        try:
            _, errors = self._result(EPOCH_PICTURES)
        except Stopped:  # the process that goes on makes up for the epoch's end
            self.record.checkpoint(state)
            raise
        epoch = state.step // per_epoch
        row = {
            "epoch": epoch,
            "step": state.step,
            "input_size": recipe.input_size(epoch - 1, self.job.preprocessing.size),
            "learning_rate": self._learning_rate(),
            "loss": round(state.loss_sum / per_epoch, 6),
            "top1_error": round(errors[0], 3),
            "top5_error": round(errors[1], 3),
            "images_per_s": round(per_epoch * recipe.batch_size / state.seconds, 1),
            "seconds": round(state.seconds, 1),
        }
        state.history.append(row)
        state.loss_sum = state.seconds = 0.0
        self.progress.epoch(row, self.job.graph.classes)
        self.record.epoch(state.history)

    def _result(self, pictures: int) -> tuple[Trainable, tuple[float, float]]:
        """What the run has come to, with batch norm's statistics of so many pictures, and its errors in percent."""
        data, check = self.batches.data, self.stop.check
        network = result.result(self.state, self.job, self.stop.checked(self.batches.whole_pictures(pictures)))
        errors = validate.errors(network, data.val, data.val_targets, self.job.preprocessing, check)
        return network, errors

    def _end(self, command: str) -> None:
        """Writes the model file, then result.json, which says that the run is finished."""
        network, errors = self._result(self.recipe.batch_norm_pictures)
        if parallel.rank() == 0:
            try:
                found = calibrated.calibrate(network.cpu(), self.job, self.batches.data, self._tell)
                errors, about = (errors, {}) if found is None else (found.errors, {"unknown": found.record})
                self.progress.say(f"result     {shown_errors(*errors, self.job.graph.classes)}")
                if self.recipe.quantize and (lost := errors[0] - self.float_error) > MOST_LOSS:
                    self.progress.say(
                        f"lost       {lost:.2f} points to float32: lower --learning-rate, or take what "
                        "`shufflenet quantize` makes of the float model"
                    )
                name = self.job.name or self.folder.path.resolve().name
                model = result.model(network, self.job, self.batches.data, *errors, command, name)
                model.training |= about
                model_file.save(model, self.folder.model)
                self.folder.write_result(*errors)
            except OSError as error:
                raise TrainingError(
                    f"{error.filename}: not written ({error.strerror}); make room and give the same command again"
                ) from None
            self.folder.tidy()
        parallel.wait()

    def _tell(self, what: str, done: int, of: int) -> None:
        """Shows how much is decoded; a signal ends the run here too."""
        self.stop.check()
        self.progress.count(what, done, of)
