"""Training on many processes: PyTorch's DistributedDataParallel, under torchrun, with exact global batches.

Every process makes its rows of the same batch. Batch norm takes its statistics over all processes (or, if asked,
over each alone), so that two processes compute what one does with the same batch, to rounding.
"""

from __future__ import annotations

import datetime
import gc
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


class ParallelError(ValueError):
    """The processes can't train together."""


def rank() -> int:
    """This process's number among those of the run, 0 for the first."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextmanager
def processes(where: torch.device) -> Iterator[None]:
    """Within the block this process, which trains ``where`` `device` says, works with the others that torchrun has
    started; without torchrun, alone.

    Raises:
        ParallelError: another process ended within the block.
    """
    if "WORLD_SIZE" not in os.environ or "RANK" not in os.environ:
        yield
        return
    backend = "nccl" if where.type == "cuda" else "gloo"
    if where.type == "cuda":
        torch.cuda.set_device(where)  # NCCL sends from the current one
    # The others wait while the first decodes the pictures.
    distributed.init_process_group(backend, timeout=datetime.timedelta(hours=12))
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            reason = str(error).splitlines()[0][:200]
            raise ParallelError(f"another process of this run has ended ({reason}); the same command goes on") from None
        raise
    finally:
        gc.collect()  # so that cycles of objects that hold the group end before it
        distributed.destroy_process_group()


def device(name: str | None = None) -> torch.device:
    """Where this process trains: on a GPU of its own if there is one, else on the CPU; or where ``name`` says.

    Args:
        name: cpu, cuda, cuda:1 (one process, on this GPU) or mps, Apple's.

    Raises:
        ParallelError: there is no such device.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind, colon, number = (name or ("cuda" if there["cuda"] else "cpu")).partition(":")
    if kind not in there or (colon and (kind != "cuda" or not number.isdecimal())):
        raise ParallelError(f"--device is cpu, cuda, cuda:NUMBER or mps, not {name}")
    if not there[kind] or (colon and int(number) >= torch.cuda.device_count()):
        raise ParallelError(f"PyTorch finds no {name} here: leave --device out, or install a PyTorch that has it")
    if kind == "cuda":
        return torch.device("cuda", int(number or os.environ.get("LOCAL_RANK", "0")))
    return torch.device(kind)


def described(where: torch.device) -> str:
    """The device, for people."""
    if where.type == "cuda":
        return f"{where}: {torch.cuda.get_device_name(where)}"
    return "mps: Apple's GPU" if where.type == "mps" else f"cpu: {torch.get_num_threads()} threads"


def rows(batch_size: int) -> range:
    """The rows of a batch that this process makes.

    Raises:
        ParallelError: the batch can't be divided evenly.
    """
    if batch_size % world_size():
        raise ParallelError(f"a batch of {batch_size} pictures can't be divided evenly by {world_size()} processes")
    own = batch_size // world_size()
    return range(rank() * own, (rank() + 1) * own)


def wait() -> None:
    """A barrier: returns once every process has called it."""
    if distributed.is_initialized():
        distributed.barrier()


def total(values: list[float]) -> list[float]:
    """The sum over all processes of each value."""
    if not distributed.is_initialized():
        return values
    where = torch.device("cuda", torch.cuda.current_device()) if distributed.get_backend() == "nccl" else "cpu"
    sums = torch.tensor(values, dtype=torch.float64, device=where)
    distributed.all_reduce(sums)
    return [float(value) for value in sums]


def shared(value: Any) -> Any:
    """The ``value`` of the first process, in every process."""
    if not distributed.is_initialized():
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def average_statistics(network: nn.Module) -> None:
    """Replaces batch norm's running averages, which each process has taken alone, by their mean over all processes."""
    for module in network.modules():
        if distributed.is_initialized() and isinstance(module, nn.BatchNorm2d):
            for statistics in (module.running_mean, module.running_var):
                assert statistics is not None
                distributed.all_reduce(statistics)
                statistics /= distributed.get_world_size()


def parallel(network: nn.Module, synchronise: bool) -> nn.Module:
    """The network as training calls it: gradients become means over all processes, and with ``synchronise`` batch
    norm takes its statistics over all of them."""
    if not distributed.is_initialized():
        return network
    if synchronise:
        _synchronise(network)
    ids = [device().index] if device().type == "cuda" else None
    # Its name changed between versions of PyTorch. Synchronised statistics are equal already.
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {name: not synchronise}
    return DistributedDataParallel(network, device_ids=ids, **options)


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the pictures of all processes; unlike `nn.SyncBatchNorm` also on a CPU."""

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W] -> the same
        if not self.training:
            return super().forward(x)
        y, mean, variance, count = _BatchNorm.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            assert self.num_batches_tracked is not None
            assert self.running_mean is not None
            assert self.running_var is not None
            self.num_batches_tracked.add_(1)
            new = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, new)
            self.running_var.lerp_(variance * (count / (count - 1)), new)  # without bias, as PyTorch stores it
        return y  # type: ignore[no-any-return]


class _BatchNorm(torch.autograd.Function):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias, where mean and variance are over all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, float]:
        x = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        own = x.numel() / x.shape[1]
        mine = torch.stack((mean, variance))
        all_of_them = [torch.empty_like(mine) for _ in range(world_size())]
        distributed.all_gather(all_of_them, mine)  # processes have equal parts of the batch
        means, variances = torch.stack(all_of_them).unbind(dim=1)  # [processes, C]
        mean = means.mean(dim=0)
        variance = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
        inverse = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, inverse)
        scale = weight * inverse
        y = x * _wide(scale) + _wide(bias - mean * scale)
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance, own * world_size()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse = ctx.saved_tensors
        grad = grads[0].to(x.dtype)
        normal = (x - _wide(mean)) * _wide(inverse)
        grad_bias, grad_weight = grad.sum(dim=(0, 2, 3)), (grad * normal).sum(dim=(0, 2, 3))
        sums = torch.stack((grad_bias, grad_weight))
        distributed.all_reduce(sums)
        mean_grad, mean_product = (sums / (x.numel() / x.shape[1] * world_size())).unbind()
        grad_x = (grad - _wide(mean_grad) - normal * _wide(mean_product)) * _wide(weight * inverse)
        return grad_x, grad_weight, grad_bias, None


def _wide(channels: Tensor) -> Tensor:  # [C] -> [1, C, 1, 1]
    return channels.view(1, -1, 1, 1)


def _synchronise(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if type(child) is nn.BatchNorm2d:
            with torch.device(child.weight.device):
                norm = SynchronisedBatchNorm(child.num_features, child.eps, child.momentum)
            norm.weight, norm.bias = child.weight, child.bias
            norm.load_state_dict(child.state_dict())
            norm.train(child.training)
            setattr(module, name, norm)
        else:
            _synchronise(child)
