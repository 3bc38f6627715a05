"""What all rows of a scorecard share: the images, their attributes and near copies, and how images are parted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from codelab.core.attributes import CLASS, Groups, attribute_names, check_groups, group_column, labelling
from codelab.core.checks import check_columns
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.statistics.jackknife import deal
from codelab.statistics.splits import fitting

IMAGES = 10_000
"""Most images of the measures that fit or pair: probing, pairs, reuse, generalisation, matching."""


@dataclass(frozen=True, eq=False)
class Setting:
    """The images of a scorecard.

    Args:
        codes: the first codes, with labels, attribute columns and features.
        unit: numbers `[N]` of near copies, or None.
        part: numbers `[N]` of the parts that the jackknife leaves out in turn, whole groups in one.
        rows: the images of `IMAGES` at most, whole groups, in order.
        attributes: the columns that are scored, without the class.
        left_out: one line for each item column that is not scored.
        seed: of all chance.
    """

    codes: Codes
    unit: np.ndarray | None
    part: np.ndarray
    rows: np.ndarray
    attributes: tuple[str, ...]
    left_out: tuple[str, ...]
    seed: int

    @classmethod
    def of(cls, codes: Codes, groups: Groups, attributes: Sequence[str] | None, images: int, seed: int) -> Setting:
        """From the first codes and the options of a scorecard.

        Raises:
            UsageError: no such column, or groups that are no groups.
            DataError: an attribute that is named and has one value, or as many as images; fewer than 4 groups.
        """
        named = check_groups(codes, groups)
        unit = None if named is None else group_column(codes, named)
        number = np.arange(len(codes)) if unit is None else unit
        units = int(number.max(initial=-1)) + 1
        if units < 4:
            raise DataError(f"scorecard: found {units} images or groups, expected 4 or more")
        strata = codes.labels if codes.labels.ndim == 1 else None
        rows = np.arange(len(codes))
        if len(codes) > images:
            order = np.random.default_rng(seed).permutation(units)
            rows = np.flatnonzero(np.isin(number, order[fitting(np.bincount(number)[order], images)]))
        column = named if isinstance(named, str) else None
        known = [name for name in attribute_names(codes) if name != column]
        others = [name for name in codes.attributes if name not in (*known, column)]
        if attributes is not None:
            named_once = dict.fromkeys(check_columns("attributes", attributes))  # twice it would look like two seeds
            wanted = [name for name in named_once if name != CLASS]
            for name in wanted:
                if name not in known:
                    raise (DataError if name in others else UsageError)(f"scorecard: {_unfit(codes, name)}")
            known, others = wanted, []
        lines = tuple(_unfit(codes, name) for name in others)
        return cls(codes, unit, deal(number, strata, seed=seed), rows, tuple(known), lines, seed)

    def others(self, attribute: str) -> list[str]:
        """The attributes that stay equal where one changes."""
        return [name for name in self.attributes if name != attribute]

    @cached_property
    def sampled_unit(self) -> np.ndarray | None:
        """Groups of the images `rows`, numbered from 0."""
        return None if self.unit is None else np.unique(self.unit[self.rows], return_inverse=True)[1].reshape(-1)

    @cached_property
    def key(self) -> str:
        """Content hash of all that a cell depends on beside the bits of its row."""
        content = hashlib.sha256()
        for array in (self.codes.labels, self.part, self.rows, self.unit):
            content.update(b"none" if array is None else f"{array.dtype}{array.shape}".encode() + array.tobytes())
        for name in self.attributes:
            found = labelling(self.codes, name)
            content.update(json.dumps([name, list(found.names)]).encode() + found.labels.tobytes())
        content.update(self.features_key.encode() + json.dumps([self.codes.classes, self.seed]).encode())
        return content.hexdigest()

    @cached_property
    def features_key(self) -> str:
        """SHA-256 of the features; empty without."""
        features = self.codes.features
        return "" if features is None else hashlib.sha256(np.ascontiguousarray(features).data).hexdigest()

    def with_bits(self, packed: np.ndarray, bits: int) -> Codes:
        """Other codes of the same images: labels and items are those of the first."""
        return replace(self.codes, packed=packed, bits=bits, features=None, logits=None)


def _unfit(codes: Codes, name: str) -> str:
    """Why a column is no attribute, in one line."""
    if name not in codes.items.column_names:
        return f"attribute {name!r}: these codes have {', '.join(codes.attributes) or 'no attributes'}"
    try:
        found = labelling(codes, name)
    except Exception:
        return f"attribute {name!r}: not a column of names or numbers"
    labels = found.labels[found.labels >= 0]
    values = len(np.unique(labels))
    if values < 2:
        return f"attribute {name!r}: has {values} value, expected 2 or more"
    if len(labels) < 5 * values:
        return (
            f"attribute {name!r}: has {values:,} values in {len(labels):,} images, expected 5 images a value or more"
        )
    return f"attribute {name!r}: parts the images as the class does"
