"""Cells of the code as a whole: usage, independence, code length, retrieval."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from codelab.core.codes import Codes
from codelab.core.errors import CodelabError
from codelab.measures.code_length import code_length
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.retrieval.measures import knn_accuracy, retrieval_map
from codelab.retrieval.sampled import QUERIES, k_of
from codelab.retrieval.summary import RetrievalResult
from codelab.scoring.cells import Cell, empty, from_parts
from codelab.scoring.filed import IN_MEMORY, Filed, ones_of, pairs_of
from codelab.scoring.setting import Setting
from codelab.statistics.counts import PairCounts
from codelab.statistics.estimators import binary_entropy


def bits_alone(setting: Setting, codes: Codes | Filed) -> list[Cell]:
    """Mean entropy, degrees of freedom and code length; without groups all three from one count."""
    entropy = _or_reason(lambda: _entropy(setting, codes))
    if setting.unit is None:
        counts: Codes | PairCounts = pairs_of(codes)
    elif isinstance(codes, Filed):
        return [entropy, *[empty(f"of groups: {IN_MEMORY}")] * 2]
    else:
        counts = codes
    return [
        entropy,
        _or_reason(lambda: _kept(degrees_of_freedom(counts, groups=setting.unit))),
        _or_reason(lambda: _kept(code_length(counts, groups=setting.unit))),
    ]


def _or_reason(measure: Callable[[], Cell]) -> Cell:
    """The cell, or an empty one that says why: one measure that fails leaves the others."""
    try:
        return measure()
    except CodelabError as error:
        return empty(str(error))


def _kept(found: Any) -> Cell:
    return from_parts(found.value, found.deleted)


def _entropy(setting: Setting, codes: Codes | Filed) -> Cell:
    sizes = np.bincount(setting.part)
    ones = ones_of(codes, setting.part, len(sizes))
    left = (ones.sum(axis=0) - ones) / (sizes.sum() - sizes)[:, None]
    value = binary_entropy(ones.sum(axis=0) / sizes.sum()).mean()
    return from_parts(value, binary_entropy(left).mean(axis=1))


def queries_of(setting: Setting) -> int:
    """How many queries are ranked."""
    return min(QUERIES, len(setting.codes))


def retrieval(setting: Setting, codes: Codes) -> list[Cell]:
    """mAP and k-NN accuracy of the class."""
    bare = dataclasses.replace(codes, items=codes.items.select(["id"]))
    n, groups = len(codes), setting.unit
    sets: tuple[Codes, ...] = (bare,)
    given: Any = groups
    if queries_of(setting) < n:
        rows = np.sort(np.random.default_rng(setting.seed).choice(n, queries_of(setting), replace=False))
        unit = np.arange(n) if groups is None else groups
        sets, given = (bare[rows], bare), (unit[rows], unit)

    def measured(measure: Callable[..., RetrievalResult]) -> Cell:
        found = measure(*sets, groups=given, seed=setting.seed, **k_of(measure.__name__, n))
        deleted = np.empty(0) if found.deleted is None or np.isnan(found.deleted).any() else found.deleted
        return Cell(
            found.value,
            deleted,
            "" if len(deleted) else f"no interval: {found.interval_by}",
            found.design,
            np.empty(0) if found.of_subsets is None else found.of_subsets,
            np.empty(0) if found.effects is None else found.effects,
        )

    return [_or_reason(lambda: measured(retrieval_map)), _or_reason(lambda: measured(knn_accuracy))]
