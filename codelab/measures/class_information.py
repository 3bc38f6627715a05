"""Information of each bit about the class of an image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.attributes import CLASS, Groups
from codelab.core.checks import check_seed
from codelab.core.codes import Codes
from codelab.core.drawing import BLUE, GREY, blank
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number, p_phrase
from codelab.core.result import PerBit, Result
from codelab.core.verdict import ALPHA, Verdict, counted
from codelab.statistics.counts import ClassCounts, StrataCounts
from codelab.statistics.estimators import binary_entropy, strata_information, two_by_two_information
from codelab.statistics.exchange import need_groups
from codelab.statistics.information_nulls import Chance, GroupedTables, chance_by_counts, chance_by_groups
from codelab.statistics.nulls import false_discovery, pair_null

if TYPE_CHECKING:
    import plotly.graph_objects as go

FEW = 10
"""Images a class has on average, below which its information is biased."""
EXACT_MEAN = "plug-in less its exact permutation mean"
GROUP_MEAN = "plug-in less its mean over permutations of whole groups"
FITTED = ", fitted tail"
"""What stands behind a p- or q-value in words where it is from a fitted tail."""
INFORMATIVE = 0.1
"""Share of bits with information about the class at q < 0.05: good from here, worth a look below, never bad.

A code that knows little of these labels may know other things.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassInformation(PerBit):
    """Per bit, arrays `[B]`, in bits.

    `plugin` is I(bit; class) as counted; `expectation` its mean over permutations of the labels, exact without groups;
    `information` = plugin - expectation (near 0, either sign, where there is none); `entropy` H(bit); `uncertainty` =
    information / H(bit). `n` labelled items in `classes` classes that occur, in `groups` groups of near copies (None:
    each image is an observation of its own). `of` says in words what the labels are, `given` what was held fixed (then
    all is conditional, and labels are permuted within it); `multilabel` codes: see `class_information`.

    `p_value` is from label permutations, `permutations` of them, or up to 20 times as many for rare bits, and exact
    with two classes. Below 1 / (1 + permutations) it is exact, from more permutations, or, where `fitted_tail`
    `[B]` says so, from the fitted tail of a gamma. `q_value` is after Benjamini-Hochberg, whose share of false finds
    holds for bits that are independent or depend positively; `dependent_q_value` is after Benjamini-Yekutieli, whose
    share holds however the bits depend on each other.

    `note` is not empty where a class has so few images that `information` is a low estimate: the correction takes off
    too much where a bit says nearly all there is to know.

    The line quotes how many bits stand out at q < 0.05, and the most informative bit with its q-value.
    """

    plugin: np.ndarray
    expectation: np.ndarray
    information: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    dependent_q_value: np.ndarray
    fitted_tail: np.ndarray
    entropy: np.ndarray
    uncertainty: np.ndarray
    n: int
    classes: int
    permutations: int
    groups: int | None = None
    of: str = CLASS
    given: str = ""
    multilabel: bool = False
    note: str = ""
    estimator: str = EXACT_MEAN

    COLUMNS = (
        *("plugin", "expectation", "information", "p_value", "q_value", "dependent_q_value", "fitted_tail"),
        *("entropy", "uncertainty"),
    )

    def headline(self) -> str:
        best = int(self.information.argmax())
        found = f"{int((self.q_value < 0.05).sum())} of {len(self.q_value)} bits at q < 0.05"
        chance = p_phrase("q", float(self.q_value[best])) + (FITTED if self.fitted_tail[best] else "")
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


def class_information(
    codes: Codes | ClassCounts, *, groups: Groups = None, permutations: int = 200, seed: int = 0
) -> ClassInformation:
    """Mutual information of each bit and the class, corrected for chance, with its significance.

    Args:
        codes: labelled codes `[N, B]`, or their `ClassCounts`; items without a label are left out.
        groups: an item column, or one value an image: near copies, whose labels change places together.
        permutations: label permutations behind each p-value; two classes without groups need none.
        seed: of the permutations.

    Returns:
        One row a bit; see `ClassInformation`. A bit that never changes has information 0 and p-value 1.
        Multi-label codes: the sum over classes of I(bit; class present), which counts twice what classes share; its
        p-value without groups joins the exact ones of the classes by Simes' rule, and is on the safe side.

    Raises:
        DataError: no labels, or all in one class; one group only.
        UsageError: fewer than 1 permutation; groups of counts.

    Source: exact expectation: Vinh, Epps & Bailey 2010; q-values: Benjamini & Hochberg 1995, Benjamini & Yekutieli
        2001; Simes 1986; groups: Winkler et al. 2015 (exchangeability blocks).

    Example:
        >>> labels = np.arange(200) % 2
        >>> noise = np.random.default_rng(0).integers(0, 2, 200)
        >>> found = class_information(Codes.from_bits(np.stack([labels, noise], axis=1), labels))
        >>> found.plugin.round(2).tolist(), (found.q_value < 0.01).tolist()
        ([1.0, 0.0], [True, False])
    """
    check_permutations(permutations, seed)
    counts = need_classes("class_information", ClassCounts.of(codes), multilabel=True)
    grouped = None
    if isinstance(codes, Codes):
        kept = np.ones(len(codes), bool) if codes.multilabel else codes.labels >= 0
        units = need_groups("class_information", codes, groups, kept)
        if units is not None:
            grouped = GroupedTables.of(codes.packed[kept], codes.bits, codes.labels[kept], units)
    else:
        need_groups("class_information", codes, groups)
    if counts.multilabel:
        plugin, chance = _sum_over_labels(counts, grouped, permutations, seed)
    else:
        plugin, chance = information_in_strata(counts.ones[None], counts.class_n[None], grouped, permutations, seed)
    entropy = binary_entropy(counts.bit_ones / counts.n)
    result = assembled(counts, plugin, chance, entropy, grouped, permutations=permutations, seed=seed)
    return dataclasses.replace(result, multilabel=counts.multilabel)


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


def check_permutations(permutations: int, seed: int) -> None:
    check_seed(seed)
    if isinstance(permutations, bool | np.bool_) or not isinstance(permutations, int | np.integer) or permutations < 1:
        raise UsageError(f"permutations {permutations}: expected at least 1")


def information_in_strata(
    tables: np.ndarray, sizes: np.ndarray, grouped: GroupedTables | None, permutations: int, seed: int
) -> tuple[np.ndarray, Chance]:
    """Plug-in information `[B]` of tables `[S, C, B]` and sizes `[S, C]`, and its chance."""
    plugin = strata_information(tables, sizes)
    if grouped is None:
        return plugin, chance_by_counts(plugin, tables, sizes, permutations, seed)

    def statistic(ones: np.ndarray, class_n: np.ndarray, which: np.ndarray) -> np.ndarray:
        return strata_information(ones, class_n)

    return plugin, chance_by_groups(plugin, grouped, statistic, tables.sum(axis=1), permutations, seed)


def _sum_over_labels(
    counts: ClassCounts, grouped: GroupedTables | None, permutations: int, seed: int
) -> tuple[np.ndarray, Chance]:
    """Multi-label: information with each class present or absent, summed; p-values by Simes' rule without groups."""
    n, bit_ones = counts.n, counts.bit_ones

    def statistic(ones: np.ndarray, class_n: np.ndarray, which: np.ndarray) -> np.ndarray:
        return two_by_two_information(ones[:, 0], bit_ones[which], class_n[:, 0, :, None], n).sum(axis=1)

    plugin = statistic(counts.ones[None, None], counts.class_n[None, None], np.arange(counts.bits))[0]
    if grouped is not None:
        return plugin, chance_by_groups(plugin, grouped, statistic, bit_ones[None], permutations, seed)
    expectation, p_value = pair_null(bit_ones[None, :], counts.class_n[:, None], counts.ones, n)
    ranks = np.arange(1, len(p_value) + 1)[:, None]
    simes = (np.sort(p_value, axis=0) * len(p_value) / ranks).min(axis=0)
    varies = (bit_ones > 0) & (bit_ones < n)
    mean = np.where(varies, expectation.sum(axis=0), 0.0)
    return plugin, Chance(mean, np.where(varies, simes, 1.0), np.zeros(counts.bits, bool))


def assembled(
    counts: ClassCounts | StrataCounts,
    plugin: np.ndarray,
    chance: Chance,
    entropy: np.ndarray,
    grouped: GroupedTables | None,
    *,
    permutations: int,
    seed: int,
) -> ClassInformation:
    """The result, from plug-in information, its chance and the bits' entropy, each `[B]`."""
    classes = int(np.count_nonzero(counts.class_n.reshape(-1, counts.class_n.shape[-1]).sum(axis=0)))
    few = _few(counts.n, "items", classes) if grouped is None else _few(grouped.groups, "groups", classes)
    varies = entropy > 0
    information = np.where(varies, plugin - chance.mean, 0.0)
    return ClassInformation(
        source=counts.source,
        seed=seed,
        plugin=plugin,
        expectation=chance.mean,
        information=information,
        p_value=chance.p_value,
        q_value=false_discovery(chance.p_value),
        dependent_q_value=false_discovery(chance.p_value, dependent=True),
        fitted_tail=chance.fitted,
        entropy=entropy,
        uncertainty=np.divide(information, entropy, out=np.zeros_like(entropy), where=varies),
        n=counts.n,
        classes=int(counts.class_n.shape[-1]),
        permutations=permutations,
        groups=None if grouped is None else grouped.groups,
        note=few,
        estimator=EXACT_MEAN if grouped is None else GROUP_MEAN,
    )


def _few(n: int, what: str, classes: int) -> str:
    if n >= FEW * classes:
        return ""
    return f"{n} {what} in {classes} classes, fewer than {FEW} each: the information is a lower estimate"


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
