"""The columns of a scorecard: what each is, how it is made, and what measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from codelab.core.attributes import CLASS
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError
from codelab.retrieval.sampled import K
from codelab.scoring import meaning, whole
from codelab.scoring.cells import Cell, empty
from codelab.scoring.filed import Filed
from codelab.scoring.setting import Setting

KS = (1, 5)
"""Numbers of bits of sparse probing, beside all of them."""


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        name: of the cell in JSON and CSV: the measure, and the attribute after a colon.
        heading: in the printed table.
        block: the table it stands in: that of the codes as a whole, or that of one attribute.
        how: how the number was made, a sentence.
        bounds: the range of its values.
        decimals: how it is rounded.
        relates: it relates the bits to the images; otherwise it looks at the bits alone, and is no score.
    """

    name: str
    heading: str
    block: str
    how: str
    bounds: tuple[float, float] = (0.0, 1.0)
    decimals: int = 3
    relates: bool = True


@dataclass(frozen=True)
class Measure:
    """What is measured at one time: the cells of one code in one column or more.

    `cells` goes from the setting and the codes to a cell for each column, in their order. Where it raises, all cells
    are empty with the error as their reason. `two` is for a measure of two codes of one method. A measure that
    `streams` follows from counts that add over blocks of the codes, or from the images that are drawn.
    """

    name: str
    columns: tuple[Column, ...]
    cells: Callable[[Setting, Any], list[Cell]] | None = None
    two: Callable[[Setting, Codes, Codes], list[Cell]] | None = None
    streams: bool = False

    def measured(self, setting: Setting, *codes: Codes | Filed) -> list[Cell]:
        """The cells, empty ones with their reason."""
        measure: Callable[..., list[Cell]] | None = self.cells or self.two
        try:
            return [] if measure is None else measure(setting, *codes)
        except CodelabError as error:
            return [empty(str(error))] * len(self.columns)


BITS, RETRIEVAL = "The codes as a whole", "Retrieval and features"


def measures(setting: Setting, reseeded: bool) -> list[Measure]:
    """All measures, in the order of the table.

    Args:
        setting: what rows share.
        reseeded: two codes of one method are given.
    """
    n = len(setting.codes)
    some = "" if len(setting.rows) == n else f", on {len(setting.rows):,} of {n:,} images drawn in whole groups"
    found = [
        Measure("the bits alone", _ALONE, whole.bits_alone, streams=True),
        Measure("retrieval", tuple(_retrieval(setting)), whole.retrieval),
        Measure(
            "monosemanticity",
            (
                Column(
                    "monosemanticity",
                    "two-sided monosemanticity",
                    RETRIEVAL,
                    "mean pairwise cosine, in the features of the first codes, of the images on each side of a bit, "
                    "less that of all images; mean of both sides and of the bits; pairs of near copies do not count"
                    f"{some}",
                    (-1.0, 1.0),
                    4,
                ),
            ),
            meaning.two_sided_monosemanticity,
        ),
    ]
    if reseeded:
        how = "share of the bits that match one of the next seed's above 95 % of matchings of permuted images"
        column = Column("matched", "bits matched on reseeding", RETRIEVAL, f"{how}{some}")
        found.append(Measure("bits matched on reseeding", (column,), two=meaning.matched, streams=True))
    for target in (CLASS, *setting.attributes):
        found += _of_target(target, some)
    for attribute in setting.attributes:
        found += _of_attribute(attribute, some)
    return found


_ALONE = (
    Column(
        "mean_entropy",
        "mean entropy (bits)",
        BITS,
        "mean over bits of the entropy of the share of ones",
        relates=False,
    ),
    Column(
        "degrees_of_freedom",
        "degrees of freedom",
        BITS,
        "independent fair coins with the same spread of pair distances",
        (0.0, float("inf")),
        1,
        relates=False,
    ),
    Column(
        "code_length",
        "code length (bits)",
        BITS,
        "held-out bits for one code by a Chow-Liu tree, two halves in turn",
        (0.0, float("inf")),
        1,
        relates=False,
    ),
)


def _retrieval(setting: Setting) -> Iterator[Column]:
    n, queries = len(setting.codes), whole.queries_of(setting)
    how = (
        f"{queries:,} queries drawn from {n:,} images" if queries < n else f"each of {n:,} images as a query"
    ) + ", near copies of the query left out"
    yield Column(
        "retrieval_map",
        "mAP@ALL (class)",
        RETRIEVAL,
        f"exact expectation over the order of ties, divided by all relevant; {how}",
    )
    yield Column("knn_accuracy", f"{K}-NN accuracy (class)", RETRIEVAL, f"vote of the {K} nearest; {how}")


def _of_target(target: str, some: str) -> Iterator[Measure]:
    columns = []
    for k in (*KS, 0):
        words = {0: "all bits", 1: "1 bit"}.get(k, f"{k} bits")
        name = k or "all"
        half = "chosen and read by logistic regression on one half, scored on the other"
        columns.append(Column(f"probe_{name}:{target}", f"accuracy by {words}", target, f"{words} {half}{some}"))
        columns.append(
            Column(
                f"selectivity_{name}:{target}",
                f"selectivity, {words}",
                target,
                f"accuracy by {words} less that with random labels, one a group{some}",
                (-1.0, 1.0),
            )
        )
    yield Measure(f"probing of {target}", tuple(columns), partial(meaning.probing, target=target, ks=KS), streams=True)
    best = Column(
        f"phi:{target}",
        "best phi",
        target,
        "correlation with the bit that agrees best, chosen on one half of the images for each value, scored on the "
        "other; mean over values",
        (-1.0, 1.0),
    )
    yield Measure(f"phi of {target}", (best,), partial(meaning.best_phi, target=target), streams=True)


def _of_attribute(attribute: str, some: str) -> Iterator[Measure]:
    kinds = (
        (
            "pair_selectivity",
            "pair selectivity",
            "over pairs of images that differ in this attribute alone, share in which a bit flips, less that of the "
            "attribute that flips it most, or that of the other bits where no other attribute changes alone; the bit "
            "is chosen on one half, scored on the other",
            meaning.pair_selectivity,
        ),
        (
            "reuse",
            "reuse",
            "mean over the bits with an effect above noise of shared / own effect over classes (attribute_reuse)",
            meaning.reuse,
        ),
        (
            "parallelism",
            "parallelism score",
            "mean cosine of the directions, in the space of the bits, by which the attribute moves two classes",
            meaning.parallelism,
        ),
        (
            "ccgp",
            "CCGP",
            "balanced accuracy of a linear read-out in classes it was not trained on (ccgp)",
            meaning.generalisation,
        ),
    )
    for name, heading, how, measure in kinds:
        sampled = "" if name == "parallelism" else some
        bounds = (0.0, 1.0) if name == "ccgp" else (-1.0, 1.0)
        column = Column(f"{name}:{attribute}", heading, attribute, f"{how}{sampled}", bounds)
        yield Measure(f"{heading} of {attribute}", (column,), partial(measure, attribute=attribute), streams=True)
