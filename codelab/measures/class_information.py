"""Information of each bit about the class of an image, or about any attribute, also given another attribute."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.attributes import CLASS, labelling
from codelab.core.checks import check_codes, check_seed
from codelab.core.codes import Codes
from codelab.core.drawing import BLUE, GREY, blank
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number, p_phrase
from codelab.core.result import PerBit, Result, Source
from codelab.core.verdict import ALPHA, Verdict, counted
from codelab.statistics.counts import ClassCounts, StrataCounts
from codelab.statistics.estimators import binary_entropy, expected_information, table_information
from codelab.statistics.nulls import false_discovery, fitted_p_value, pair_null, permuted_information

if TYPE_CHECKING:
    import plotly.graph_objects as go

FEW = 10
"""Images a class has on average, below which its information is biased."""
INFORMATIVE = 0.1
"""Share of bits with information about the class at q < 0.05: good from here, worth a look below, never bad.

A code that knows little of these labels may know other things.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassInformation(PerBit):
    """Per bit, arrays `[B]`, in bits.

    `plugin` is I(bit; class) as counted; `expectation` its exact mean over permutations of the labels;
    `information` = plugin - expectation (near 0, either sign, where there is none); `p_value` from label
    permutations, `q_value` after Benjamini-Hochberg; `entropy` H(bit); `uncertainty` = information / H(bit).
    `n` labelled items in `classes` classes that occur. `of` says in words what the labels are, `given` what was held
    fixed (then all is conditional, and labels are permuted within it); `multilabel` codes: see `class_information`.
    `note` is not empty where a class has so few images that `information` is a low estimate: the correction takes off
    too much where a bit says nearly all there is to know.

    The line quotes how many bits stand out at q < 0.05, and the most informative bit with its q-value.
    """

    plugin: np.ndarray
    expectation: np.ndarray
    information: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    entropy: np.ndarray
    uncertainty: np.ndarray
    n: int
    classes: int
    permutations: int
    of: str = CLASS
    given: str = ""
    multilabel: bool = False
    note: str = ""
    estimator: str = "plug-in less its exact permutation mean"

    COLUMNS = ("plugin", "expectation", "information", "p_value", "q_value", "entropy", "uncertainty")

    def headline(self) -> str:
        best = int(self.information.argmax())
        found = f"{int((self.q_value < 0.05).sum())} of {len(self.q_value)} bits at q < 0.05"
        chance = p_phrase("q", float(self.q_value[best]))
        about = f" about {self.of}" if self.of != CLASS else ""
        return f"{found}; most {number(float(self.information[best]))} bit{about} (bit {best}, {chance})"

    def plot(self, alpha: float = ALPHA) -> go.Figure:
        """Corrected information of every bit about the class, most first; bits no better than chance are grey."""
        order = np.argsort(-self.information, kind="stable")
        figure = blank("bits, from the most informative", "information (bits)")
        sure = self.q_value[order] < alpha
        by_chance = f"no better than chance (q ≥ {alpha})"
        for chosen, colour, name in ((sure, BLUE, f"q < {alpha}"), (~sure, GREY, by_chance)):
            places = np.flatnonzero(chosen)
            if len(places):
                bits = order[places]
                figure.add_bar(
                    x=places + 1,
                    y=self.information[bits],
                    name=name,
                    marker_color=colour,
                    customdata=np.column_stack([bits, self.plugin[bits]]),
                    hovertext=[p_phrase("q", float(q)) for q in self.q_value[bits]],
                    hovertemplate="bit %{customdata[0]:d}, rank %{x}<br>%{y:.3f} bit "
                    "(plug-in %{customdata[1]:.3f})<br>%{hovertext}<extra></extra>",
                )
        figure.update_layout(barmode="overlay", bargap=0.15)
        figure.update_xaxes(range=[0.25, len(order) + 0.75])
        return figure


def class_information(codes: Codes | ClassCounts, *, permutations: int = 200, seed: int = 0) -> ClassInformation:
    """Mutual information of each bit and the class, corrected for chance, with its significance.

    Args:
        codes: labelled codes `[N, B]`, or their `ClassCounts`; items without a label are left out.
        permutations: label permutations behind each p-value. Two classes need none: their null is exact.
        seed: of the permutations.

    Returns:
        One row a bit; see `ClassInformation`. A bit that never changes has information 0 and p-value 1.
        Multi-label codes: the sum over classes of I(bit; class present), which counts twice what classes share; its
        p-value joins the exact ones of the classes by Simes' rule, and is on the safe side.

    Raises:
        DataError: no labels, or all in one class.
        UsageError: fewer than 1 permutation.

    Source: exact expectation: Vinh, Epps & Bailey 2010; q-values: Benjamini & Hochberg 1995; Simes 1986.

    Example:
        >>> labels = np.arange(200) % 2
        >>> noise = np.random.default_rng(0).integers(0, 2, 200)
        >>> found = class_information(Codes.from_bits(np.stack([labels, noise], axis=1), labels))
        >>> found.plugin.round(2).tolist(), (found.q_value < 0.01).tolist()
        ([1.0, 0.0], [True, False])
    """
    _check_permutations(permutations, seed)
    counts = need_classes("class_information", ClassCounts.of(codes), multilabel=True)
    ones, class_n = counts.bit_ones, counts.class_n
    if counts.multilabel:
        plugin, expectation, p_value = _sum_over_labels(counts)
    else:
        plugin = table_information(counts.ones.T, class_n)
        expectation = expected_information(ones, class_n)
        p_value = _p_values(plugin, expectation, counts.ones[None], class_n[None], permutations, seed)
    result = _assemble(counts, plugin, expectation, p_value, permutations, seed, binary_entropy(ones / counts.n))
    return dataclasses.replace(result, multilabel=counts.multilabel)


def attribute_information(
    codes: Codes | StrataCounts,
    attribute: str = CLASS,
    *,
    given: str = "",
    bins: int = 8,
    permutations: int = 200,
    seed: int = 0,
) -> ClassInformation:
    """The same as `class_information` for any item column, also conditional on another: I(bit; attribute | given).

    Args:
        codes: codes `[N, B]` with item columns, or `StrataCounts` of the two columns (then `attribute` and `given` are
            their names in words).
        attribute: an item column, or `class`; numbers go into quantile bins (`ClassInformation.of` says how many).
        given: an item column, or `class`, to condition on; empty for none.
        bins: quantile bins of a column of numbers.
        permutations: behind each p-value; labels are permuted within each value of `given`.
        seed: of the permutations.

    Returns:
        One row a bit; with `given`, `entropy` is H(bit | given).

    Raises:
        UsageError: no such column.
        DataError: no item has a value, or all have the same (within every value of `given`).

    Source: as `class_information`; conditional permutation: Winkler et al. 2015 (exchangeability blocks).

    Example:
        >>> sex = np.arange(400) % 2
        >>> kind = np.arange(400) // 2 % 2
        >>> codes = Codes.from_bits(np.stack([sex, kind ^ sex], axis=1), kind, items={"sex": sex.astype(str)})
        >>> attribute_information(codes, "sex").plugin.round(2).tolist()
        [1.0, 0.0]
        >>> attribute_information(codes, "sex", given="class").plugin.round(2).tolist()
        [1.0, 1.0]
    """
    if not isinstance(codes, StrataCounts):
        check_codes("codes", codes)
    _check_permutations(permutations, seed)
    of, held = attribute, given
    if isinstance(codes, Codes):
        target = labelling(codes, attribute, bins=bins)
        strata = labelling(codes, given, bins=bins) if given else None
        if strata is None:
            view = dataclasses.replace(codes, labels=target.labels, classes=target.names)
            counts = need_classes(f"attribute_information of {target.text}", ClassCounts.of(view))
            tables, sizes = counts.ones[None], counts.class_n[None]
            source_counts: ClassCounts | StrataCounts = counts
        else:
            held = strata.text
            source_counts = StrataCounts.of(codes, target, strata)
            tables, sizes = source_counts.ones, source_counts.class_n
        of = target.text
    else:
        source_counts, tables, sizes = codes, codes.ones, codes.class_n
    if source_counts.n == 0:
        raise DataError(f"attribute_information: no image has both a value of {of} and one of {held}")
    varied = (sizes > 0).sum(axis=1) > 1
    if not varied.any():
        raise DataError(f"attribute_information: {of} has one value only within each value of {held}")
    weights = sizes.sum(axis=1) / source_counts.n
    used = np.flatnonzero(weights > 0)
    plugin, expectation, entropy = np.zeros((3, source_counts.bits))
    for s in used:
        ones = tables[s].sum(axis=0)
        plugin += weights[s] * table_information(tables[s].T, sizes[s])
        expectation += weights[s] * expected_information(ones, sizes[s])
        entropy += weights[s] * binary_entropy(ones / sizes[s].sum())
    p_value = _p_values(plugin, expectation, tables[used], sizes[used], permutations, seed)
    result = _assemble(source_counts, plugin, expectation, p_value, permutations, seed, entropy)
    source = Source.of(codes) if isinstance(codes, Codes) else result.source
    return dataclasses.replace(result, source=source, classes=int((sizes.sum(axis=0) > 0).sum()), of=of, given=held)


def need_classes(measure: str, counts: ClassCounts, *, multilabel: bool = False) -> ClassCounts:
    """The counts without empty classes, or a DataError where labels, or two classes, are missing."""
    if counts.multilabel and not multilabel:
        raise DataError(f"{measure}: needs one label an image, found multi-label data")
    present = np.flatnonzero(counts.class_n)
    if counts.n == 0 or len(present) == 0:
        raise DataError(f"{measure}: needs labels, and none of these codes has one")
    if len(present) == 1 and not counts.multilabel:
        raise DataError(f"{measure}: all labels are {counts.classes[present[0]]!r}, expected two classes or more")
    return dataclasses.replace(
        counts,
        class_n=counts.class_n[present],
        ones=counts.ones[present],
        classes=tuple(counts.classes[c] for c in present),
    )


def _check_permutations(permutations: int, seed: int) -> None:
    check_seed(seed)
    if not isinstance(permutations, int | np.integer) or permutations < 1:
        raise UsageError(f"permutations {permutations}: expected at least 1")


def _p_values(
    plugin: np.ndarray,
    expectation: np.ndarray,
    tables: np.ndarray,
    sizes: np.ndarray,
    permutations: int,
    seed: int,
) -> np.ndarray:
    """P-value of each bit, the labels permuted within each stratum: tables `[S, C, B]`, sizes `[S, C]`."""
    ones = tables.sum(axis=1)
    totals = sizes.sum(axis=1)
    if len(sizes) == 1 and sizes.shape[1] == 2:  # a 2 x 2 table has an exact null
        return pair_null(ones[0], sizes[0, :1], tables[0, 0], int(totals[0]))[1]
    p_value = np.ones(len(plugin))
    generator = np.random.default_rng(seed)
    for bit in np.flatnonzero(((ones > 0) & (ones < totals[:, None])).any(axis=0)):
        null = permuted_information(ones[:, bit], sizes, permutations, generator)
        p_value[bit] = fitted_p_value(plugin[bit], null, expectation[bit])
    return p_value


def _sum_over_labels(counts: ClassCounts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Multi-label: information with each class present or absent, summed; p-values by Simes' rule."""
    n, class_n = counts.n, counts.class_n
    both = np.stack([counts.ones, counts.bit_ones - counts.ones], axis=-1)  # [C, B, present or absent]
    plugin = np.zeros((len(class_n), counts.bits))
    for c, size in enumerate(class_n):
        plugin[c] = table_information(both[c], np.array([size, n - size]))
    expectation, p_value = pair_null(counts.bit_ones[None, :], class_n[:, None], counts.ones, n)
    ranks = np.arange(1, len(class_n) + 1)[:, None]
    simes = (np.sort(p_value, axis=0) * len(class_n) / ranks).min(axis=0)
    varies = (counts.bit_ones > 0) & (counts.bit_ones < n)
    return plugin.sum(axis=0), np.where(varies, expectation.sum(axis=0), 0.0), np.where(varies, simes, 1.0)


def _assemble(
    counts: ClassCounts | StrataCounts,
    plugin: np.ndarray,
    expectation: np.ndarray,
    p_value: np.ndarray,
    permutations: int,
    seed: int,
    entropy: np.ndarray,
) -> ClassInformation:
    varies = entropy > 0
    information = np.where(varies, plugin - expectation, 0.0)
    return ClassInformation(
        source=counts.source,
        seed=seed,
        plugin=plugin,
        expectation=expectation,
        information=information,
        p_value=p_value,
        q_value=false_discovery(p_value),
        entropy=entropy,
        uncertainty=np.divide(information, entropy, out=np.zeros_like(entropy), where=varies),
        n=counts.n,
        classes=int(counts.class_n.shape[-1]),
        permutations=permutations,
        note=_few(counts.n, int(np.count_nonzero(counts.class_n.reshape(-1, counts.class_n.shape[-1]).sum(axis=0)))),
    )


def _few(n: int, classes: int) -> str:
    if n >= FEW * classes:
        return ""
    return f"{n} items in {classes} classes, fewer than {FEW} each: the information is a lower estimate"


def best_bits(information: ClassInformation, count: int) -> list[int]:
    """The bits with the most corrected information about the class, most first; the lower bit among equals."""
    return [int(b) for b in np.argsort(-information.information, kind="stable")[:count]]


def judge_classes(title: str, information: ClassInformation, results: Mapping[str, Result]) -> Verdict:
    """Do single bits have information about the class?"""
    found = information.q_value < ALPHA
    bits = len(found)
    best = ", ".join(f"bit {b} ({information.information[b]:.3f})" for b in best_bits(information, 3) if found[b])
    text = f"{counted(int(found.sum()), 'bit')} of {bits} {'has' if found.sum() == 1 else 'have'} information about "
    text += f"the {information.classes} classes (q < {ALPHA})"
    text += f"; the most, in bits: {best}." if best else ": no single bit does better than shuffled labels."
    return Verdict(
        "good" if found.mean() >= INFORMATIVE else "watch",
        title,
        f"{int(found.sum())} of {bits}",
        text,
        f"corrected for chance, {information.permutations} label permutations; good from {INFORMATIVE:.0%} of bits",
    )
