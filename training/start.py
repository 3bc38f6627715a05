"""A run that starts from an encoder takes over its image size, unless a flag sets another."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from codelab.images.encoder import EncoderConfig, read_encoder_config
from training.config import TrainConfig

_SMALLEST = 8
"""Smallest side of a local view in pixels: below it a convolutional network has nothing left to pool."""


def at_own_size(config: TrainConfig, given: Collection[str]) -> TrainConfig:
    """The config with the image size of the encoder in `init`, and the sizes that go with it.

    Args:
        config: `store_size` becomes that of the encoder's own training where it is recorded, else it keeps its ratio
            to `image_size`, as `local_size` does, in whole patches.
        given: names of fields that were set by flags and stay as they are; with `image_size` among them, all stay.

    Raises:
        UsageError, DataError: the encoder cannot be read.
    """
    if not config.init or "image_size" in given:
        return config
    start = read_encoder_config(config.init)
    if start.image_size == config.image_size:
        return config
    ratio = start.image_size / config.image_size
    sizes: dict[str, Any] = {
        "image_size": start.image_size,
        "store_size": start.training.get("store_size") or round(config.store_size * ratio),
        "local_size": _local_size(config.local_size * ratio, start),
    }
    return replace(config, **{name: size for name, size in sizes.items() if name not in given})


def size_words(before: TrainConfig, after: TrainConfig) -> str:
    """Which sizes were taken over, in one line; empty where none was."""
    names = ("image_size", "store_size", "local_size")
    changed = [name for name in names if getattr(before, name) != getattr(after, name)]
    if not changed:
        return ""
    new = ", ".join(f"{name} {getattr(after, name)}" for name in changed)
    old = ", ".join(str(getattr(before, name)) for name in changed)
    return f"{after.init}: an encoder of {after.image_size} pixels: {new} in place of {old}"


def _local_size(size: float, start: EncoderConfig) -> int:
    """Rounded to whole patches where the name of the backbone holds their side."""
    found = re.search(r"patch(\d+)", start.backbone)
    patch = int(found[1]) if found else 1
    return max(patch * round(size / patch), patch, _SMALLEST)
