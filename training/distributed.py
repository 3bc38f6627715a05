"""Several processes as one: sums over ranks that carry gradients, and BatchNorm over the whole batch."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from codelab.core.errors import UsageError

K = TypeVar("K")
_host: Any = None
"""A group of the same processes that talks between CPUs, so that no GPU is waited for."""


def start(device: torch.device) -> None:
    """Join the processes that `torchrun` started; nothing where this one is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        global _host
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        _host = distributed.new_group(backend="gloo")


def stop() -> None:
    """Leave the other processes."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def left_alone(error: RuntimeError) -> bool:
    """Whether another process ended and so caused this error; that process has printed why."""
    return world() > 1 and ("by peer" in str(error) or isinstance(error, distributed.DistError))


def world() -> int:
    """How many processes share the batch."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process; 0 writes the files."""
    return distributed.get_rank() if world() > 1 else 0


def wait() -> None:
    """Until every process is here."""
    if world() > 1:
        distributed.barrier()


def total(value: Tensor) -> Tensor:
    """The sum of `value` over all processes; its gradient is summed over them too."""
    return _Total.apply(value) if world() > 1 else value


def gather(value: Tensor, dim: int = 0) -> Tensor:
    """The values of all processes, one after the other along `dim`, without a gradient."""
    if world() == 1:
        return value
    parts = [torch.empty_like(value) for _ in range(world())]
    distributed.all_gather(parts, value.contiguous())
    return torch.cat(parts, dim)


class _Total(torch.autograd.Function):
    """As `torch.distributed.nn.functional.all_reduce`, which PyTorch has deprecated; equal to it bit for bit."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        value = value.clone()
        distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # The sum is part of every process's loss, so the gradients of all of them add up.
        # DistributedDataParallel divides by their number afterwards.
        return _Total.forward(ctx, gradient)


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm with the statistics of the batch over all processes, on every backend.

    PyTorch's SyncBatchNorm is for CUDA alone, and a result that depends on the number of processes is a bug.

    Args:
        norm: the one to replace; where it ends in a dropout and an activation, as timm's BatchNormAct2d, these stay.
    """

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__(norm.num_features, eps=norm.eps, momentum=norm.momentum, affine=norm.affine)
        self.drop = getattr(norm, "drop", nn.Identity())
        self.act = getattr(norm, "act", nn.Identity())
        self.load_state_dict(norm.state_dict())
        self.to(norm.running_mean.device)  # type: ignore[union-attr]

    def _check_input_dim(self, input: Tensor) -> None:  # any number of places
        pass

    def forward(self, input: Tensor) -> Tensor:
        return self.act(self.drop(self._normalise(input)))

    def _normalise(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.float()
        places = [0, *range(2, x.ndim)]
        count = x.numel() / x.shape[1] * world()
        mean = total(x.sum(places)) / count
        shape = (1, -1, *[1] * (x.ndim - 2))
        x = x - mean.view(shape)
        variance = total(x.square().sum(places)) / count  # about the mean: no digits are lost
        with torch.no_grad():
            keep = 1 - (self.momentum if self.momentum is not None else 1.0)
            self.running_mean.mul_(keep).add_(mean, alpha=1 - keep)  # type: ignore[union-attr]
            self.running_var.mul_(keep).add_(variance * count / max(count - 1, 1), alpha=1 - keep)  # type: ignore[union-attr]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        x = x * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            x = x * self.weight.view(shape) + self.bias.view(shape)
        return x.to(input.dtype)


def share_norms(module: nn.Module) -> None:
    """Replace each BatchNorm by `GlobalBatchNorm`, in place; nothing where this process is alone.

    Raises:
        UsageError: a norm of a kind whose forward pass is not known here.
    """
    if world() == 1:
        return
    from timm.layers.norm_act import BatchNormAct2d

    known = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNormAct2d)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, nn.modules.batchnorm._BatchNorm):
                continue
            if type(child) not in known:
                raise UsageError(
                    f"backbone: its {type(child).__name__} cannot be shared by several processes, expected "
                    f"{' or '.join(kind.__name__ for kind in known)}; train in one process, or take another backbone"
                )
            setattr(parent, name, GlobalBatchNorm(child))


def mean(values: Tensor) -> Tensor:
    """The mean over processes of a tensor of figures, without a gradient."""
    if world() == 1:
        return values
    values = values.clone()
    distributed.all_reduce(values)
    return values / world()


def merge(zeros_but_mine: Tensor) -> None:
    """Fill in, in place, what the other processes have where this one has zeros."""
    if world() > 1:
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        for part in zeros_but_mine.view(-1).split(1 << 26):
            there = part.to(device)
            distributed.all_reduce(there)
            part.copy_(there)


def merge_words(mine: dict[K, str]) -> dict[K, str]:
    """The entries of all processes."""
    if world() == 1:
        return mine
    parts: list[Any] = [None] * world()
    distributed.all_gather_object(parts, mine, group=_host)
    return {key: text for part in parts for key, text in part.items()}


def any_of(flag: bool) -> bool:
    """Whether it holds in any process; the CPUs agree on it, so that no GPU is waited for."""
    if world() == 1:
        return flag
    count = torch.tensor(float(flag))
    distributed.all_reduce(count, group=_host)
    return bool(count > 0)
