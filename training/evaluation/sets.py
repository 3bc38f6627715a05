"""What is evaluated: labelled codes with features of train and test images, made now or read from codes files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError, few
from codelab.core.files import load
from codelab.images.encoder import Encoder
from codelab.images.export import encode_images, export
from codelab.images.imageset import ImageSet
from codelab.images.picture import MOST_PIXELS
from codelab.images.sources import open_images
from training.parts import EVALUATED, held_out_rows, held_out_words, splits_of

S = TypeVar("S", Codes, ImageSet)
_SPLITTING = (
    "a split is a column named split of the data, or of a CSV given as --labels; "
    "without --train-split and --test-split a fifth is held out"
)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which images are meant.

    Args:
        train_split, test_split: None for the default (`train` and `test` where there are such), empty for all.
        by: item column that is the label; None for the labels there are.
        group: item column by which near copies are known.
        apart: whether there must be train images other than those of the test.
        held_out: seed, largest number and group of the images held out as the test where the data has no split for
            it; None to hold none out. See `training.parts.held_out_rows`.
    """

    train_split: str | None = None
    test_split: str | None = None
    by: str | None = None
    group: str | None = None
    apart: bool = False
    held_out: tuple[int, int, str] | None = None


@dataclass(frozen=True)
class Pair(Generic[S]):
    """Labelled test and train images, or their codes; without train, test images are ranked against each other."""

    test: S
    train: S | None
    chosen: Chosen
    notes: tuple[str, ...] = ()
    """What was left out, a line each."""


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Labelled codes with features and one list of classes.

    Args:
        test: the queries.
        train: the database; None where the test images are ranked against each other.
        of: what made the codes, for a heading.
        data: what they were made from, for a heading.
        group: item column of near copies, which both have.
        notes: what was left out, a line each.
    """

    test: Codes
    train: Codes | None
    of: str
    data: str
    group: str | None
    notes: tuple[str, ...]


def choose(whole: S, others: S, chosen: Chosen, *, name: str, others_name: str) -> Pair[S]:
    """The labelled test and train images that are meant.

    Args:
        whole: where the test is.
        others: where train is; the same object where both are in one place.
        name, others_name: what the user called them.

    Raises:
        UsageError: a split or a column is not there, train and test overlap, or are not apart and must be.
        DataError: no image has a label.
    """
    check_columns(whole, chosen, name)
    check_columns(others, chosen, others_name)
    same = others is whole
    test_split, there = chosen.test_split, splits_of(whole)
    by_default = same and test_split is None and chosen.train_split is None
    if by_default and chosen.held_out is not None and not set(EVALUATED) & set(there):
        return _held_out_pair(part(whole, "train" if "train" in there else "", name), chosen, name)
    if test_split is None:
        test_split = next((split for split in ("test", *EVALUATED) if split in there), "test" if there else "")
    train_split = chosen.train_split
    if train_split is None and "train" in splits_of(others):
        train_split = "train"
    elif train_split is None and not same:
        train_split = ""
    if same and train_split == test_split:
        train_split = None
    if same and train_split is not None and "" in (train_split, test_split):
        raise UsageError(f"{name}: train is {train_split or 'all'} and test {test_split or 'all'}, which overlap")
    if train_split is None and chosen.apart:
        found = ", ".join(splits_of(others)) or "no splits"
        raise UsageError(f"{others_name}: no train images apart from those of the test; found {found}; {_SPLITTING}")
    notes: list[str] = []
    test = _labelled(part(whole, test_split, name), name, "test", chosen.by, notes)
    if train_split is None:
        return Pair(test, None, chosen, tuple(notes))
    train = _labelled(part(others, train_split, others_name), others_name, "train", chosen.by, notes)
    return Pair(test, train, chosen, tuple(notes))


def _held_out_pair(whole: S, chosen: Chosen, name: str) -> Pair[S]:
    """The images held out as the test, the others as train."""
    seed, most, group = chosen.held_out or (0, 0, "")
    group = group if group in whole.items.column_names else ""
    rows = held_out_rows(whole, seed=seed, most=most, group=group)
    if not len(rows):
        raise UsageError(f"{name}: no split 'test', and {len(whole)} images are too few to hold some out")
    notes = [f"{name}: no split 'test': {held_out_words(len(rows), len(whole), seed=seed, group=group)}"]
    rest = np.setdiff1d(np.arange(len(whole)), rows)
    test, train = (whole[r] if isinstance(whole, Codes) else whole.subset(r) for r in (rows, rest))
    test = _labelled(test, name, "test", chosen.by, notes)
    return Pair(test, _labelled(train, name, "train", chosen.by, notes), chosen, tuple(notes))


def open_pair(
    data: str,
    chosen: Chosen,
    *,
    train_data: str | None = None,
    labels_csv: str | None = None,
    skip_bad: bool = False,
    most_pixels: int = MOST_PIXELS,
) -> Pair[ImageSet]:
    """The images of `data`, train those of `train_data` where it is named; errors as `choose` and `open_images`."""
    given: dict[str, Any] = {"labels_csv": labels_csv, "skip_bad": skip_bad, "most_pixels": most_pixels}
    whole = open_images(data, **given)
    others = whole if train_data is None else open_images(train_data, **given)
    return choose(whole, others, chosen, name=data, others_name=train_data or data)


def open_codes(files: Sequence[str], chosen: Chosen) -> Sets:
    """Sets from codes files: one that has splits, or that of train and that of test.

    Raises:
        UsageError: as `choose`.
        DataError: a file cannot be read or has no features, or the two were made by different encoders.
    """
    if not 1 <= len(files) <= 2:
        raise UsageError(f"--codes: found {len(files)} files, expected one, or that of train and that of test")
    found = {file: load(file) for file in files}
    for file, codes in found.items():
        if codes.features is None:
            raise DataError(f"{file}: codes without features; export them with --features")
    train, test = found[files[0]], found[files[-1]]
    makers = [codes.meta.get("encoder") or {} for codes in (test, train)]
    if makers[0].get("sha256") != makers[1].get("sha256"):
        raise DataError(f"{files[0]}: made by another encoder than {files[1]} (another SHA-256)")
    pair = choose(test, train, chosen, name=files[-1], others_name=files[0])
    data = " and ".join(found)
    return matched(pair, of=str(makers[0].get("path") or makers[0].get("name") or data), data=data)


def encode(
    encoder: Encoder, pair: Pair[ImageSet], *, of: str, skip_bad: bool = False, device: str | None = None
) -> Sets:
    """Sets from images, each encoded once.

    Raises:
        UsageError: the device cannot be used.
        DataError: an image cannot be read and `skip_bad` is off, or the encoder gives numbers that are not finite.
    """
    notes = list(pair.notes)
    test = _encoded(encoder, pair.test, "test", notes, skip_bad, device)
    train = None if pair.train is None else _encoded(encoder, pair.train, "train", notes, skip_bad, device)
    names = [images.name for images in (pair.test, pair.train) if images is not None]
    return matched(Pair(test, train, pair.chosen, tuple(notes)), of=of, data=" and ".join(dict.fromkeys(names)))


def matched(pair: Pair[Codes], *, of: str, data: str) -> Sets:
    """The same with one list of classes; test items of a class that train does not have are left out.

    Raises:
        DataError: nothing is left.
    """
    chosen, notes = pair.chosen, list(pair.notes)
    test, train = pair.test, pair.train
    if chosen.by is not None:
        test, train = test.label_by(chosen.by), None if train is None else train.label_by(chosen.by)
    if train is not None and not test.multilabel and not train.multilabel:
        test, train = _one_list(test, train, notes)
    return Sets(test=test, train=train, of=of, data=data, group=chosen.group, notes=tuple(notes))


def check_columns(source: Codes | ImageSet, chosen: Chosen, name: str) -> None:
    """Refuse, before any work is done, a column that is not there."""
    for option, column in (("--by", chosen.by), ("--group", chosen.group)):
        if column is not None and column not in source.items.column_names:
            found = ", ".join(source.items.column_names)
            raise UsageError(f"{name}: no column {column!r} for {option}; found {found}")


def part(source: S, split: str, name: str) -> S:
    """The images of a split, all where it is empty; `name` is what the user called them."""
    if split and split not in splits_of(source):
        found = ", ".join(splits_of(source)) or "no splits"
        raise UsageError(f"{name}: no split {split!r}; found {found}; {_SPLITTING}")
    return source.split(split) if split else source


def has_label(source: Codes | ImageSet, by: str | None) -> np.ndarray:
    """Which images have a label, bool `[N]`: one of their own, or a value in the column `by`."""
    if by is not None:
        return np.array([v is not None and v != "" and v == v for v in source.items[by].to_pylist()], dtype=bool)
    return np.asarray(source.labels >= 0 if source.labels.ndim == 1 else source.labels.sum(axis=1) > 0)


def _labelled(source: S, name: str, kind: str, by: str | None, notes: list[str]) -> S:
    """The images that have a label."""
    has = has_label(source, by)
    what = "a label" if by is None else f"a value of {by}"
    if not has.any():
        raise DataError(f"{name}: none of {len(has):,} {kind} images has {what}")
    if has.all():
        return source
    notes.append(f"left out: {int((~has).sum()):,} of {len(has):,} {kind} images, without {what}")
    rows = np.flatnonzero(has)
    return source[rows] if isinstance(source, Codes) else source.subset(rows)


def _one_list(test: Codes, train: Codes, notes: list[str]) -> tuple[Codes, Codes]:
    """Both with train's classes as far as train has images of them."""
    there = {train.classes[c] for c in np.unique(train.labels)}
    named = np.array(test.classes)[test.labels]
    known = np.isin(named, list(there))
    strange = sorted(set(named[~known].tolist()))
    if not known.any():
        raise DataError(f"test: none of its classes ({few(strange)}) is one of train's ({few(sorted(there))})")
    if strange:
        notes.append(
            f"left out: {int((~known).sum()):,} of {len(known):,} test images, of {len(strange)} classes that train "
            f"does not have ({few(strange)})"
        )
        test, named = test[np.flatnonzero(known)], named[known]
    if test.classes != train.classes:
        number = {name: c for c, name in enumerate(train.classes)}
        test = replace(test, labels=np.array([number[name] for name in named], np.int32), classes=train.classes)
    return test, train


def _encoded(
    encoder: Encoder, images: ImageSet, name: str, notes: list[str], skip_bad: bool, device: str | None
) -> Codes:
    try:
        if not skip_bad:
            return encode_images(encoder, images, features=True, device=device, label=f"encoding {name}")
        with tempfile.TemporaryDirectory() as folder:  # only an export leaves images out
            done = export(encoder, images, Path(folder) / "codes.parquet", features=True, skip_bad=True, device=device)
            if done.bad:
                notes.append(f"left out: {len(done.bad):,} of {len(images):,} {name} images that cannot be read")
            return load(done.path)
    except DataError as error:
        hint = "; --skip-bad leaves them out" if error.details and not skip_bad else ""
        where = "" if str(error).startswith(images.name) else f"{images.name}: "
        raise DataError(f"{where}{error}{hint}", error.details) from None
