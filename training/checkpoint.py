"""The whole state of a run in one safe file: written whole or not at all, the last n and the best kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from codelab.core.errors import DataError, UsageError
from codelab.core.io import atomic_path
from codelab.core.tensors import FORMAT, load_state, read_tensors, write_tensors
from codelab.images.encoder import read_header
from training.config import TrainConfig

NEWEST = "checkpoint.safetensors"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
# Fields that a resumed run may change: they do not change the result beyond the order of sums.
_FREE = (
    *(
        "run",
        "control",
        "device",
        "log_every",
        "save_every",
        "keep_last",
        "keep_resets",
        "memory_gb",
        "store",
        "workers",
        "compile",
    ),
    "threads",
    *("checkpoint_activations", "accumulate", "tensorboard", "evaluate_every", "evaluate_data", "evaluate_split"),
    *("evaluate_images", "evaluate_group", "best_by", "most_pixels"),
)


def save(
    path: Path,
    config: TrainConfig,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    header: Mapping[str, Any],
) -> None:
    """Write modules, the moments of the optimiser and `header` as one file.

    There is no other state: all chance is a function of seed, epoch and image, and the batches of seed and step.
    """
    states = {kind: module.state_dict() for kind, module in modules.items()}
    tensors = {f"{kind}.{name}": _finite(name, v) for kind, state in states.items() for name, v in state.items()}
    for name, parameter in modules["student"].named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    write_tensors(path, tensors, {"format": FORMAT, "kind": "checkpoint", "config": config.to_dict(), **header})


def _finite(name: str, tensor: Tensor) -> Tensor:
    """Drop running statistics that a skipped batch spoiled: they are taken again before they are used."""
    return tensor.nan_to_num(0, 0, 0) if name.endswith(("running_mean", "running_var")) else tensor


def check(path: Path, config: TrainConfig, images: str | None) -> None:
    """Refuse a checkpoint of another config or of other images without reading its tensors.

    Args:
        images: their fingerprint; None where it is not known before they are read.

    Raises:
        UsageError, DataError: as `load` and `same_images`.
    """
    header = read_header(path, kind="checkpoint")
    _same_config(path, header, config, moved=images is not None)
    if images is not None:
        same_images(path, header, images)


def same_images(path: Path, header: Mapping[str, Any], now: str) -> None:
    """Refuse a checkpoint of images with another fingerprint: the batches would be others.

    Raises:
        UsageError: the fingerprints differ.
    """
    then = header.get("images")
    if then != now:
        raise UsageError(f"{path}: the images have changed, so it cannot be resumed: {then} then, {now} now")


def _same_config(path: Path, header: Mapping[str, Any], config: TrainConfig, *, moved: bool = True) -> None:
    """Refuse a change of config.

    Args:
        moved: the images may be elsewhere, because their fingerprints are compared.
    """
    then, now = header.get("config"), config.to_dict()
    if not isinstance(then, dict):
        raise DataError(f"{path}: its config is {type(then).__name__}, expected names and values")
    free = (*_FREE, *["data"] * moved)
    changed = [f"{k} {then.get(k)} to {v}" for k, v in now.items() if k not in free and then.get(k) != v]
    if changed:
        raise UsageError(f"{path}: the run's config has changed, so it cannot be resumed: {', '.join(changed)}")


def load(
    path: Path, config: TrainConfig, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Go back to the state that `save` wrote; returns its header.

    Raises:
        UsageError: the checkpoint is of another config.
        DataError: the file cannot be used, or is of another architecture; the message names the tensors.
    """
    header, tensors = read_tensors(path, kind="checkpoint")
    _same_config(path, header, config)
    parts: dict[str, dict[str, Tensor]] = {kind: {} for kind in (*modules, "optimizer")}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind not in parts:
            raise DataError(f"{path}: a tensor {name!r}, expected names that begin with {', '.join(parts)}")
        parts[kind][rest] = tensor
    for kind, module in modules.items():
        load_state(module, parts[kind], path)
    for name, parameter in modules["student"].named_parameters():
        kept = {k: v for k in _MOMENTS if (v := parts["optimizer"].get(f"{k}.{name}")) is not None}
        if kept:
            # The fused step reads moments and weights in memory order: both must have the same layout.
            optimizer.state[parameter] = {
                k: v.to(parameter.device) if k == "step" else torch.empty_like(parameter).detach().copy_(v)
                for k, v in kept.items()
            }
    return header


def keep(folder: Path, step: int, last: int, *, best: bool) -> None:
    """After a save: give the newest checkpoint its other names, and drop those beyond the last n.

    A name is a hard link where the file system has them: keeping a file costs no second write.
    """
    if best:
        _link(folder / NEWEST, folder / "checkpoint-best.safetensors")
    if last > 1:
        _link(folder / NEWEST, folder / f"checkpoint-{step:08d}.safetensors")
    numbered = sorted(folder.glob("checkpoint-[0-9]*.safetensors"))
    for old in numbered[: max(0, len(numbered) - last)] if last > 1 else numbered:
        old.unlink()


def _link(source: Path, target: Path) -> None:
    with atomic_path(target) as part:
        part.unlink(missing_ok=True)
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
