"""What a few bits say about the class together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.attributes import CLASS, Groups, labelling
from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number, p_phrase
from codelab.core.result import Result, Source
from codelab.kernels.counting import class_counts
from codelab.measures.class_information import EXACT_MEAN, FITTED, GROUP_MEAN, check_permutations
from codelab.statistics.estimators import expected_joint_information, xlog2x
from codelab.statistics.exchange import Exchange, need_groups
from codelab.statistics.information_nulls import BATCH, Chance, information_p_value
from codelab.statistics.splits import half

if TYPE_CHECKING:
    import pandas as pd

HALF = ", on the half that did not choose"
MOST = 12
"""Most bits in a set: a set of k has 2**k cells for every class."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointInformation(Result):
    """The bits chosen, in order, and what the first 1, 2, ... of them say about the class, in bits.

    `bits` `[k]`; `information` `[k]`, corrected for chance, on the half that did not choose, and `plugin` `[k]` as
    counted there (where the bits say nearly all there is to know, the correction takes off a little too much);
    `chosen_on` `[k]` the plug-in value on the half that chose, too high because it was maximised;
    `value` is the last of `information`, `p_value` from label permutations of the scoring half, by whole groups where
    `groups` counts them, and from the fitted tail of a gamma where `fitted_tail` says so; `class_entropy` the most
    there is to know.

    The line quotes `value` of `class_entropy`, and the p-value.
    """

    value: float
    bits: np.ndarray
    information: np.ndarray
    plugin: np.ndarray
    chosen_on: np.ndarray
    p_value: float
    class_entropy: float
    of: str
    chosen_items: int
    scored_items: int
    fitted_tail: bool = False
    groups: int | None = None
    estimator: str = EXACT_MEAN + HALF

    def headline(self) -> str:
        best = f"{number(self.value)} of {number(self.class_entropy)} bits about {self.of}"
        chance = p_phrase("p", self.p_value) + (FITTED if self.fitted_tail else "")
        return f"{best} in the {len(self.bits)} best bits together ({chance})"

    def to_frame(self) -> pd.DataFrame:
        """One row for each number of bits."""
        import pandas as pd

        names = ("information", "plugin", "chosen_on")
        columns = {name: getattr(self, name) for name in names}
        return pd.DataFrame({"size": range(1, len(self.bits) + 1), "bit": self.bits, **columns})


def joint_information(
    codes: Codes,
    size: int = 4,
    *,
    of: str = CLASS,
    groups: Groups = None,
    bins: int = 8,
    permutations: int = 200,
    seed: int = 0,
) -> JointInformation:
    """The set of bits that says most about the class: grown bit by bit on one half, scored on the other.

    It finds bits that are worth more together than alone only once one of them is in: greedy search sees no bit of a
    pure exclusive-or first.

    Args:
        codes: labelled codes `[N, B]`.
        size: k, bits in the set.
        of: `class`, or an item column (numbers in `bins` quantile bins).
        groups: an item column, or one value an image: near copies, which are in one half, and whose labels change
            places together.
        permutations: behind the p-value.
        seed: of the halves and the permutations.

    Returns:
        The bits and their joint information on the scoring half; see `JointInformation`.

    Raises:
        UsageError: a size that cannot be.
        DataError: no labels, fewer than 4 labelled items, or one class only in a half; one group only.

    Source: joint mutual information with greedy forward selection: Yang & Moody 1999.

    Example:
        >>> labels = np.random.default_rng(0).integers(0, 4, 2000)
        >>> noise = np.random.default_rng(1).integers(0, 2, (2000, 3))
        >>> codes = Codes.from_bits(np.column_stack([noise, labels // 2, labels % 2]), labels)
        >>> found = joint_information(codes, 2)
        >>> sorted(found.bits.tolist()), found.information.round(2).tolist()
        ([3, 4], [0.99, 1.99])
    """
    check_codes("codes", codes)
    if not isinstance(size, int | np.integer) or not 1 <= size <= min(codes.bits, MOST):
        raise UsageError(f"size {size}: expected 1 to {min(codes.bits, MOST)} for codes of {codes.bits} bits")
    check_permutations(permutations, seed)
    target = labelling(codes, of, bins=bins)
    generator = np.random.default_rng(seed)
    rows = np.flatnonzero(target.labels >= 0)
    if len(rows) < 4:
        raise DataError(
            f"joint_information: found {len(rows)} items with a value of {target.text}, expected 4 or more"
        )
    units = need_groups("joint_information", codes, groups, rows)
    first, own = _halves(len(rows), units, generator)
    halves = rows[first], rows[~first]
    for part in halves:
        if len(np.unique(target.labels[part])) < 2:
            raise DataError(f"joint_information: all items of a half have one {target.text}, expected two or more")
    chosen, chosen_on = _grow(codes.packed[halves[0]], codes.bits, target.labels[halves[0]], size)
    held_out = codes.packed[halves[1]]
    labels = target.labels[halves[1]]
    cells = np.zeros(len(labels), dtype=np.int64)
    for bit in chosen:
        cells = 2 * cells + _column(held_out, bit)
    plugin, chance = _score(cells, labels, own, size, permutations, generator)
    shares = np.bincount(labels) / len(labels)
    return JointInformation(
        source=Source.of(codes),
        seed=seed,
        value=float(plugin[-1] - chance.mean[-1]),
        bits=np.array(chosen),
        information=plugin - chance.mean,
        plugin=plugin,
        chosen_on=chosen_on,
        p_value=float(chance.p_value[-1]),
        fitted_tail=bool(chance.fitted[-1]),
        class_entropy=float(-xlog2x(shares).sum()),
        of=target.text,
        chosen_items=len(halves[0]),
        scored_items=len(labels),
        groups=None if units is None else int(units.max()) + 1,
        estimator=f"{EXACT_MEAN if units is None else GROUP_MEAN}{HALF}",
    )


def _halves(n: int, units: np.ndarray | None, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """Bool `[n]`, the items that choose, and the groups of the others (None: no groups)."""
    if units is None:
        return half(generator.permutation(n)), None
    first = half(generator.permutation(int(units.max()) + 1), units)
    return first, units[~first]


def _score(
    cells: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None,
    size: int,
    permutations: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, Chance]:
    """Plug-in information `[k]` of the first 1, 2, ... k bits, which `cells` `[N]` number, and its chance."""
    table = _tables(cells, labels[None], 1 << size)
    plugin = _prefixes(table)[0]

    def draw(which: np.ndarray, n: int) -> np.ndarray:
        return np.concatenate([_prefixes(part) for part in tables(n)])[:, which]

    def tables(n: int) -> Iterator[np.ndarray]:
        if groups is None:  # a table with these margins: no image is moved
            from scipy.stats import random_table  # slow to load

            step = max(1, BATCH // table.size)
            shuffled = random_table(of_cell, of_class)
            for start in range(0, n, step):
                yield shuffled.rvs(min(step, n - start), random_state=generator).astype(np.int64)
            return
        exchange, step = Exchange.of(labels, groups), max(1, BATCH // len(labels))
        for start in range(0, n, step):
            drawn = np.stack([exchange.draw(generator) for _ in range(min(step, n - start))])
            yield _tables(cells, drawn, 1 << size)

    of_cell, of_class = table[0].sum(axis=1), table[0].sum(axis=0)
    mean = None
    if groups is None:
        rows = [of_cell.reshape(2 << i, -1).sum(axis=1) for i in range(size)]
        mean = np.array([expected_joint_information(row, of_class) for row in rows])
    observations = len(labels) if groups is None else len(np.unique(groups))
    few = observations < np.count_nonzero(of_cell) * np.count_nonzero(of_class)
    rare = np.arange(size) == (size - 1 if few else -1)  # the p-value is that of all bits
    return plugin, information_p_value(plugin, draw, permutations, rare=rare, mean=mean)[0]


def _prefixes(tables: np.ndarray) -> np.ndarray:
    """Plug-in information `[n, k]` of the first 1, 2, ... k bits, from n tables `[n, 2**k, C]` of all of them."""
    n, cells, classes = tables.shape
    parts = [tables.reshape(n, 2 << i, -1, classes).sum(axis=2) for i in range(cells.bit_length() - 1)]
    return np.stack([_information(part) for part in parts], axis=1)


def _grow(packed: np.ndarray, bits: int, labels: np.ndarray, size: int) -> tuple[list[int], np.ndarray]:
    """Greedy choice: at each step all bits are tried at once; a bit splits each cell of the set so far in two."""
    n_classes = int(labels.max()) + 1
    class_n = np.bincount(labels, minlength=n_classes)
    cells = np.zeros(len(labels), dtype=np.int64)
    chosen: list[int] = []
    reached = np.zeros(size)
    for k in range(size):
        occupied, cells = np.unique(cells, return_inverse=True)
        joint = (cells.reshape(-1) * n_classes + labels).astype(np.int32)
        filled = np.bincount(joint, minlength=len(occupied) * n_classes).reshape(len(occupied), n_classes)
        ones = class_counts(packed, bits, joint, filled.size).reshape(*filled.shape, bits)
        zeros = filled[..., None] - ones
        joint_log = xlog2x(ones).sum(axis=(0, 1)) + xlog2x(zeros).sum(axis=(0, 1))
        cell_log = xlog2x(ones.sum(axis=1)).sum(axis=0) + xlog2x(zeros.sum(axis=1)).sum(axis=0)
        information = (joint_log - cell_log - xlog2x(class_n).sum() + xlog2x(len(labels))) / len(labels)
        information[chosen] = -np.inf
        best = int(np.argmax(information))
        chosen.append(best)
        reached[k] = information[best]
        cells = 2 * cells.reshape(-1) + _column(packed, best)
    return chosen, reached


def _column(packed: np.ndarray, bit: int) -> np.ndarray:
    return (packed[:, bit // 8] >> (7 - bit % 8)) & 1


def _tables(cells: np.ndarray, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """Items `[n, cells, C]` of each cell and class, for n rows of labels `[n, N]`."""
    shape = (len(labels), n_cells, int(labels.max()) + 1)
    joint = (np.arange(shape[0])[:, None] * n_cells + cells) * shape[2] + labels
    return np.bincount(joint.ravel(), minlength=shape[0] * n_cells * shape[2]).reshape(shape)


def _information(tables: np.ndarray) -> np.ndarray:
    n = tables[0].sum()
    rows, columns = (xlog2x(tables.sum(axis=axis)).sum(axis=1) for axis in (2, 1))
    return np.maximum(xlog2x(tables).sum(axis=(1, 2)) - rows - columns + xlog2x(n), 0.0) / n
