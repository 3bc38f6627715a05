"""Codes beside their controls: a table in which every figure has its interval and its least reliable difference."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from codelab.core.attributes import Groups, group_column, named_groups
from codelab.core.checks import check_codes, check_same_images, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.disk_cache import on_disk
from codelab.core.errors import CodelabError, DataError, UsageError
from codelab.core.progress import counter
from codelab.core.result import Source
from codelab.scoring.cells import Cell, Seeds, difference, empty, interval, mean_cell, spread
from codelab.scoring.columns import Column, Measure, measures
from codelab.scoring.filed import IN_MEMORY, Filed
from codelab.scoring.provenance import provenance
from codelab.scoring.result import Entry, Scorecard
from codelab.scoring.rows import CONTROLS, MATCHED, ORACLE, PERMUTED, RANDOM, UNTRAINED, Row, rows_of
from codelab.scoring.setting import IMAGES, Setting


def scorecard(
    *codes: Codes | Filed,
    names: Sequence[str] | None = None,
    untrained: Codes | Filed | None = None,
    groups: Groups = None,
    attributes: Sequence[str] | None = None,
    images: int = IMAGES,
    seed: int = 0,
    cache: bool = False,
    progress: bool = True,
) -> Scorecard:
    """Codes of the same images beside their controls, in every measure that a paper prints.

    Controls are made from the labels, attributes and features of the first codes: signs of random directions, PCA with
    a random rotation, ITQ, random bits, permuted rows, and the oracle, the attributes themselves as bits.

    Args:
        codes: Codes of the same images in the same order, by `id`; the bits may differ in number. Where they stay in
            their files (`codelab.scoring.filed.Filed`), the columns that do not rank them are measured.
        names: one for each of them; those of one name are seeds of one method, and one row.
        untrained: codes of the same encoder before training.
        groups: an item column of the first codes, or one value an image: near copies are left out of each other's
            rankings, stay in one half, and count as one in every interval.
        attributes: the columns that are scored beside the class; default: all attributes.
        images: most images of the measures that fit or pair: probing, pairs, reuse, generalisation, matching and
            monosemanticity. More than these are drawn, in whole groups.
        seed: of all chance.
        cache: keep every cell on disk once it is measured, under the user's cache folder (`CODELAB_CACHE` names
            another) by the content it was made from, so that an interrupted call goes on where it stopped.
        progress: a bar on stderr that names the cell, where that is a terminal.

    Raises:
        UsageError: no codes, names that do not fit, no such column, or an option out of range.
        DataError: codes of other images or labels, groups that differ, or an attribute that cannot be scored.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> labels = np.arange(400) % 4
        >>> features = np.eye(8)[labels] + 0.3 * generator.normal(size=(400, 8))
        >>> good = Codes.from_bits(np.eye(4)[labels], labels, features=features)
        >>> found = scorecard(good, names=["one-hot"], images=400)
        >>> "retrieval_map" in found.better("one-hot", "random directions")
        True
    """
    check_seed(seed)
    check_whole("images", images, 8)
    methods = _methods(codes, names)
    filed = isinstance(codes[0], Filed)
    if any(isinstance(one, Filed) != filed for one in (*codes, *([] if untrained is None else [untrained]))):
        raise UsageError("scorecard: some codes stay in their files, expected all of them or none")
    first = codes[0].images if isinstance(codes[0], Filed) else codes[0]
    labels = [name for name, several in methods.items() for _ in several]
    ordered = [one for several in methods.values() for one in several]
    for name, other in [*zip(labels, ordered, strict=True), ("untrained", untrained)]:
        if other is not None and other is not codes[0]:
            _check_alike(name, first, other.images if isinstance(other, Filed) else other, groups)
    setting = Setting.of(first, groups, attributes, images, seed)
    rows = rows_of(setting, methods, untrained)
    todo = measures(setting, reseeded=any(len(several) > 1 for several in methods.values()))
    found = _measured(setting, rows, todo, cache, progress)
    columns = tuple(column for measure in todo for column in measure.columns)
    card = _card(setting, rows, columns, found, provenance(setting, methods, untrained))
    return dataclasses.replace(card, source=codes[0].source) if isinstance(codes[0], Filed) else card


def _methods(codes: Sequence[Codes | Filed], names: Sequence[str] | None) -> dict[str, list[Codes | Filed]]:
    """The codes of each method, in order of first appearance."""
    if not codes:
        raise UsageError("scorecard: no codes given")
    for place, one in enumerate(codes):
        if not isinstance(one, Filed):
            check_codes(f"codes {place}", one)
    if names is None:
        names = ["codes", *(f"codes {number}" for number in range(2, len(codes) + 1))]
    if isinstance(names, str) or len(names) != len(codes):
        raise UsageError(f"names={names!r}: expected a list with one name for each of {len(codes)} codes")
    methods: dict[str, list[Codes | Filed]] = {}
    for name, one in zip(names, codes, strict=True):
        methods.setdefault(str(name), []).append(one)
    taken = next((name for name in methods if name in CONTROLS), None)
    if taken is not None:
        raise UsageError(f"names: {taken!r} is the name of a control, expected another one")
    return methods


def _check_alike(name: str, first: Codes, other: Codes, groups: Groups) -> None:
    """Refuse codes of other images, in another order, with other labels or groups.

    Raises:
        DataError: what differs.
    """
    check_codes(name, other)
    try:
        check_same_images("scorecard", first, other)
    except DataError as error:
        raise DataError(f"{error} (a: the first codes, b: {name})") from None
    if other.labelled and first.labelled:
        names = [np.array([*one.classes, ""], dtype=object) for one in (first, other)]
        same = first.multilabel == other.multilabel and (
            first.classes == other.classes and np.array_equal(first.labels, other.labels)
            if first.multilabel
            else np.array_equal(names[0][first.labels], names[1][other.labels])
        )
        if not same:
            raise DataError(
                f"scorecard: {name} has other labels than the first codes, expected the same for each image"
            )
    if isinstance(named_groups(groups), str) and groups in first.items.column_names:
        if groups not in other.items.column_names:
            raise DataError(f"scorecard: {name} has no column {groups!r}, by which the first codes are grouped")
        if not np.array_equal(group_column(first, groups), group_column(other, groups)):
            raise DataError(f"scorecard: groups={groups!r} differs between {name} and the first codes")


def _measured(
    setting: Setting, rows: Sequence[Row], todo: Sequence[Measure], cache: bool, progress: bool
) -> dict[tuple[str, str], list[Cell]]:
    """By row and column, a cell for each code of the row."""
    found: dict[tuple[str, str], list[Cell]] = {}
    streamed = _streamed(rows)
    work = [(row, measure, number) for row in rows for measure in todo for number in _codes_of(row, measure)]
    with counter("scorecard", len(work), show=progress) as advance:
        for row, measure, number in work:
            advance(0, f"{row.name}: {measure.name}")
            numbers = (number,) if measure.two is None else (number, number + 1)
            names = [row.keys[n] if n < len(row.keys) else f"{row.keys[0]} seed {n}" for n in numbers]
            make = partial(_one, setting, row, measure, numbers, streamed)
            key: dict[str, Any] = {"what": "cell of a scorecard", "setting": setting.key, "measure": measure.name}
            key |= {"codes": names, "streamed": streamed}  # streamed, cells that need the codes in memory are empty
            cells = on_disk(key, make) if cache else make()
            for column, cell in zip(measure.columns, cells, strict=True):
                found.setdefault((row.name, column.name), []).append(cell)
            advance(1)
    return found


def _codes_of(row: Row, measure: Measure) -> Sequence[int]:
    """The numbers of the codes that are measured; of a measure of two, the first of each pair."""
    if measure.two is None:
        return range(len(row.keys))
    if row.given or row.name == UNTRAINED:
        return [a for a, _ in pairwise(range(len(row.keys)))] or [0]
    return [0]


def _streamed(rows: Sequence[Row]) -> bool:
    """Whether the codes stay in their files; the first row is of codes that were given."""
    return isinstance(rows[0].make(0), Filed)


def _one(setting: Setting, row: Row, measure: Measure, numbers: tuple[int, ...], streamed: bool) -> list[Cell]:
    if row.given and measure.two is not None and len(row.keys) < 2:
        return [empty("one file, expected two of one method")] * len(measure.columns)
    if streamed and not (measure.streams and (row.given or row.name in (UNTRAINED, ORACLE))):
        return [empty(IN_MEMORY)] * len(measure.columns)
    try:
        codes = [row.make(number) for number in numbers]
    except CodelabError as error:
        return [empty(str(error))] * len(measure.columns)
    except IndexError:
        return [empty("one file, expected two of one method")] * len(measure.columns)
    return measure.measured(setting, *codes)


def _card(
    setting: Setting,
    rows: Sequence[Row],
    columns: tuple[Column, ...],
    found: Mapping[tuple[str, str], list[Cell]],
    about: dict[str, Any],
) -> Scorecard:
    shape = (len(rows), len(columns))
    values, low, high, spreads = (np.full(shape, np.nan) for _ in range(4))
    apart, least, p_value = (np.full((len(rows), *shape), np.nan) for _ in range(3))
    reasons: dict[tuple[str, str], str] = {}
    for c, column in enumerate(columns):
        several = [found[row.name, column.name] for row in rows]
        cells = [mean_cell(each) for each in several]
        seeds = _seeds(rows, several)
        for i, cell in enumerate(cells):
            values[i, c], spreads[i, c] = cell.value, spread(several[i])
            low[i, c], high[i, c] = interval(cell, column.bounds)
            if cell.reason:
                reasons[rows[i].name, column.name] = cell.reason
            for j, other in enumerate(cells):
                if i != j:
                    pair = difference(cell, other, seeds[i], seeds[j])
                    apart[i, j, c], least[i, j, c], p_value[i, j, c] = pair.value, pair.least, pair.p_value
    card = Scorecard(
        source=Source.of(setting.codes),
        seed=setting.seed,
        rows=tuple(Entry(row.name, row.how, row.given, len(row.keys)) for row in rows),
        columns=columns,
        values=values,
        low=low,
        high=high,
        spread=spreads,
        difference=apart,
        least=least,
        p_value=p_value,
        reasons=reasons,
        invalid=("",) * len(columns),
        notes=_notes(setting, rows),
        provenance=about,
    )
    return dataclasses.replace(card, invalid=tuple(_invalid(card, c) for c in range(len(columns))))


def _seeds(rows: Sequence[Row], several: Sequence[Sequence[Cell]]) -> list[Seeds]:
    """The spread of each row over seeds: its own, or that of random directions where it has one code."""
    random = next(spread(cells) for row, cells in zip(rows, several, strict=True) if row.name == RANDOM)
    draws = next(len(row.keys) for row in rows if row.name == RANDOM)
    found = []
    for row, cells in zip(rows, several, strict=True):
        own = spread(cells)
        if not np.isnan(own):
            found.append(Seeds(own, len(cells)))
        elif row.learnt and not np.isnan(random):
            found.append(Seeds(random, draws, own=False))
        else:
            found.append(Seeds())
    return found


def _invalid(card: Scorecard, c: int) -> str:
    """Why a column is no valid score on this data set; empty where the oracle wins and permuted rows lose."""
    if not card.columns[c].relates:
        return "it looks at the bits alone, so that permuted rows do not lose"
    oracle, permuted = card.row(ORACLE), card.row(PERMUTED)
    if np.isnan(card.values[oracle, c]):
        return "the oracle has no value"
    above = card.difference[:, :, c] > np.nan_to_num(card.least[:, :, c], nan=0.0)
    for i, row in enumerate(card.rows):
        if i != oracle and above[i, oracle]:
            return f"{row.name} is above the oracle"
    if not np.isnan(card.values[permuted, c]):
        if not above[oracle, permuted]:
            return "permuted rows do not lose to the oracle"
        for i, row in enumerate(card.rows):
            if above[permuted, i] and row.name != MATCHED:
                return f"permuted rows are above {row.name}"
    return ""


def _notes(setting: Setting, rows: Sequence[Row]) -> tuple[str, ...]:
    """What holds for all cells, a sentence each."""
    parts = int(setting.part.max()) + 1
    units = "images" if setting.unit is None else "groups of near copies"
    lines = [
        f"Intervals are 95 % jackknife intervals over {parts} parts of whole {units} (fewer for measures that are "
        "fitted again; 64 for degrees of freedom and code length; retrieval as in compare_retrieval).",
        "The least reliable difference of two rows holds the paired jackknife of the images and the spread over "
        "seeds, at 95 % for each cell.",
    ]
    single = [row.name for row in rows if row.learnt and len(row.keys) == 1]
    streamed = _streamed(rows)
    if streamed:
        lines.append("Permuted rows need the codes in memory: no column is marked as not valid on their account.")
    if single and streamed:
        lines.append(
            f"One file: {', '.join(single)}. Their spread over seeds is not known, and random directions, which stand "
            "in for it, need the codes in memory, so a difference is one of these codes, not of the methods that made "
            "them."
        )
    elif single and setting.codes.features is not None:
        lines.append(
            f"One file: {', '.join(single)}. Their spread over seeds is not known; that of random directions stands "
            "in for it. Give several seeds of one method under one name for their own."
        )
    elif single:
        lines.append(
            f"One file and no features: {', '.join(single)}. Their spread over seeds is not known, so a difference is "
            "one of these codes, not of the methods that made them."
        )
    for row in rows:
        if len(set(row.keys)) < len(row.keys):
            lines.append(f"{row.name}: codes of several seeds are equal, so that their spread is too small.")
    return (*lines, *(f"Not scored: {line}." for line in setting.left_out))
