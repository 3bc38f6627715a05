"""Which images a run trains on and which are held out for its evaluation: splits the data has, else a fixed share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codelab.core.errors import UsageError
from codelab.images.imageset import ImageSet
from codelab.images.sources import open_images
from training.config import AUTO, TrainConfig

SHARE = 0.2
"""Share of the images held out where the data has no split to evaluate on."""
LEAST = 2
"""Fewest images that are held out; with fewer, none is."""
EVALUATED = ("validation", "valid", "val", "test")
"""Names of splits to evaluate on, the first there is; where that one is trained on, train."""


@dataclass(frozen=True)
class Parts:
    """The images of a run.

    Args:
        train: what it trains on.
        held: what its teacher is evaluated on; None where the config never evaluates.
        config: the same config; where it says `auto`, the names of the splits and the group that were found.
        note: what was done where the data has no split, in one line; empty where its own splits are used.
    """

    train: ImageSet
    held: ImageSet | None
    config: TrainConfig
    note: str = ""


def _opened(data: str, config: TrainConfig) -> ImageSet:
    return open_images(data, skip_bad=config.skip_bad, most_pixels=config.most_pixels)


def parts(config: TrainConfig, images: ImageSet | None = None) -> Parts:
    """The images a config trains on, and those it is evaluated on; labels play no part.

    Args:
        config: `split`, `evaluate_split` and `evaluate_group` may be `auto`.
        images: take these instead of `config.data`.

    Raises:
        UsageError: a split or a column that the config names is not there; the message names those there are.
        DataError: as `open_images`.
    """
    whole = _opened(config.data, config) if images is None else images
    names = splits_of(whole)
    split = "train" if config.split == AUTO and "train" in names else config.split
    train = whole if split in ("", AUTO) else _split(whole, split, "split", names)
    all_of_it = replace(config, split="" if split == AUTO else split)
    if not config.evaluate_every:
        return Parts(train, None, replace(all_of_it, evaluate_split="", evaluate_group=""))

    other = _opened(config.evaluate_data, config) if config.evaluate_data else whole
    there, group = splits_of(other), _group(other, config.evaluate_group)
    evaluated = config.evaluate_split
    if evaluated == AUTO:
        seen = split if other is whole else ""
        evaluated = next((name for name in (*EVALUATED, "train") if name in there and name != seen), AUTO)
    found = replace(config, split=split, evaluate_split=evaluated, evaluate_group=group)
    all_of_it = replace(all_of_it, evaluate_split="", evaluate_group=group)
    if evaluated not in ("", AUTO):
        held = _split(other, evaluated, "evaluate_split", there)
        if split != AUTO or other is not whole:
            return Parts(train, held, replace(all_of_it, evaluate_split=evaluated))
        rest = np.flatnonzero([value != evaluated for value in whole.items["split"].to_pylist()])
        if len(rest):
            return Parts(whole.subset(rest), held, found)
    if other is not whole:
        return Parts(train, other, all_of_it)
    if evaluated == "" or split == "":  # all of them are to be trained on
        return Parts(train, train, all_of_it)

    rows = held_out_rows(train, seed=config.seed, most=config.evaluate_images, group=group)
    of = f"{train.name}: no split 'test'"
    if not len(rows):
        note = f"{of}, and {len(train)} images are too few to hold some out: evaluated on those it is trained on"
        return Parts(train, train, all_of_it, note)
    note = f"{of}: {held_out_words(len(rows), len(train), seed=config.seed, group=group)} for evaluation"
    rest = np.setdiff1d(np.arange(len(train)), rows)
    return Parts(train.subset(rest), train.subset(rows), replace(found, evaluate_split=AUTO), note)


def held_out_rows(images: Any, *, seed: int, most: int, group: str = "") -> np.ndarray:
    """Rows of the images held out, rising: a share of at most `most`, whole groups where a group column is named.

    Whether an image is held out depends on its id and the seed alone, so the order of the data does not matter, and
    few images change sides when others are added or removed. None is held out where the share is less than two images
    or one group.

    Args:
        images: an ImageSet, or Codes of one.
        seed: of the draw.
        most: the largest number.
        group: item column whose equal values mark near copies.

    Example:
        >>> import pyarrow as pa
        >>> images = ImageSet("ten", pa.table({"id": list("abcdefghij")}), np.zeros(10, np.int32), ("x",), len)
        >>> held_out_rows(images, seed=0, most=100).tolist()
        [8, 9]
    """
    ids = images.items["id"].to_pylist()
    values = images.items[group].to_pylist() if group else [None] * len(ids)
    named = [f"id {i}" if v is None or v == "" else f"group {v}" for i, v in zip(ids, values, strict=True)]
    room = min(round(SHARE * len(ids)), most)
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(named):
        rows_of.setdefault(name, []).append(row)
    held: list[int] = []
    for name in sorted(rows_of, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest()):
        if len(held) + len(rows_of[name]) <= room:
            held += rows_of[name]
    return np.array(sorted(held) if len(held) >= LEAST else [], np.int64)


def held_out_words(held: int, n: int, *, seed: int, group: str = "") -> str:
    """The result of `held_out_rows`, in words."""
    how = f"by {group}" if group else "by chance"
    return f"{held:,} of {n:,} images held out {how} (seed {seed})"


def held_out_as(training: Mapping[str, Any]) -> tuple[int, int, str] | None:
    """Seed, largest number and group of the images that a run held out; None where its splits were those of the data.

    Args:
        training: the config an encoder records of its run, or nothing.
    """
    if training.get("evaluate_split") != AUTO:
        return None
    return int(training["seed"]), int(training["evaluate_images"]), str(training.get("evaluate_group") or "")


def splits_of(source: Any) -> list[str]:
    """Names of the splits of an ImageSet or Codes, sorted."""
    if "split" not in source.items.column_names:
        return []
    return sorted({value for value in source.items["split"].to_pylist() if value})


def _split(images: ImageSet, name: str, field: str, names: Sequence[str]) -> ImageSet:
    if name not in names:
        raise UsageError(
            f"{images.name}: no split {name!r}, which {field} names; found {', '.join(names) or 'no splits'}; "
            "auto takes what is there"
        )
    return images.split(name)


def _group(images: ImageSet, name: str) -> str:
    """The column whose equal values mark near copies, empty where there is none."""
    if name == AUTO:
        return images.group
    if name and name not in images.items.column_names:
        raise UsageError(
            f"{images.name}: no column {name!r}, which evaluate_group names; found "
            f"{', '.join(images.items.column_names)}; auto takes what is there"
        )
    return name
