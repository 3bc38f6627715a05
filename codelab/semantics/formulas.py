"""Formulas: the OR of ANDs of a few bits and complements of bits that picks out a set of images best."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from bitarray import bitarray

from codelab.core.attributes import Groups
from codelab.core.checks import check_codes, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number, p_phrase
from codelab.core.result import Result, Source
from codelab.kernels.counting import class_counts
from codelab.semantics.signatures import bit_values
from codelab.semantics.targets import question
from codelab.statistics.clusters import group_units
from codelab.statistics.exchange import Exchange
from codelab.statistics.nulls import mid_p_value
from codelab.statistics.splits import held_out_part

PENALTY = 0.98
"""What each further literal costs: IoU is multiplied by PENALTY^(literals - 1)."""


@dataclasses.dataclass(frozen=True)
class Literal:
    """A bit, or its complement."""

    bit: int
    negated: bool

    def __str__(self) -> str:
        return f"{'~' * self.negated}{self.bit}"


@dataclasses.dataclass(frozen=True)
class Formula:
    """An OR of terms, each an AND of literals; its text is a query that `Codes.where` answers.

    Example:
        >>> str(Formula(((Literal(3, False), Literal(17, True)), (Literal(200, False),))))
        '(3 & ~17) | 200'
    """

    terms: tuple[tuple[Literal, ...], ...]

    def __str__(self) -> str:
        texts = [" & ".join(map(str, sorted(term, key=lambda literal: literal.bit))) for term in self.terms]
        return " | ".join(f"({t})" if "&" in t and len(texts) > 1 else t for t in texts)

    def __len__(self) -> int:
        return sum(map(len, self.terms))

    def term(self, codes: Codes, place: int) -> np.ndarray:
        """Of which images one term is true, bool `[N]`."""
        return np.logical_and.reduce([bit_values(codes, one.bit) ^ one.negated for one in self.terms[place]])

    def of(self, codes: Codes, terms: int | None = None) -> np.ndarray:
        """Of which images it is true, bool `[N]`; by its first `terms` alone."""
        found = np.zeros(len(codes), bool)
        for place in range(len(self.terms) if terms is None else terms):
            found |= self.term(codes, place)
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description(Result):
    """The best formula of a selection, chosen on one half of the images and scored on the other.

    `formula` is a query for `Codes.where`. `precision`, `recall` and `iou` are on the held-out half, as are
    `null_iou`, the mean IoU of formulas found in the same way for permuted selections, and `p_value`, how often one of
    them reaches `iou`. `iou_chosen` is the IoU on the half it was chosen on. `prevalence` is the share of images that
    are selected. `tried` candidates were scored. `by_length` are the best formulas of 1, 2, ... literals, each with
    its IoU on the half that chose and on the other.

    The line quotes the formula with its held-out IoU beside that of permuted selections.
    """

    formula: str
    precision: float
    recall: float
    iou: float
    iou_chosen: float
    null_iou: float
    p_value: float
    prevalence: float
    tried: int
    by_length: tuple[tuple[str, float, float], ...]
    n_selected: int
    n_scored: int
    groups: int | None
    permutations: int
    words: str

    @property
    def value(self) -> float:
        """IoU on the held-out half."""
        return self.iou

    def headline(self) -> str:
        null = f"permuted {number(self.null_iou)}, {p_phrase('p', self.p_value)}"
        return f"{self.words}: {self.formula}, IoU {number(self.iou)} ({null}), precision {number(self.precision)}"


def describe(
    codes: Codes,
    selection: str | Sequence[int] | np.ndarray | bitarray,
    *,
    literals: int = 4,
    beam: int = 10,
    groups: Groups = None,
    permutations: int = 20,
    seed: int = 0,
) -> Description:
    """The best formula of at most four bits for a selection of images: AND, OR and AND NOT.

    Beam search over ORs of ANDs, which adds one literal at a time to the last term or as a new one, by

        IoU x 0.98^(literals - 1),    IoU = images in both / images in either.

    Args:
        codes: codes `[N, B]`.
        selection: bool `[N]`, row numbers, a bitarray such as `Codes.where` gives, or a question such as
            `tone = dark`.
        literals: bits in a formula, at most.
        beam: formulas of each length that are made longer.
        groups: an item column or one value an image; images of one group are near copies: they are in one half, and
            are permuted as a whole.
        permutations: selections behind the null.
        seed: of the halves and the permutations.

    Raises:
        UsageError: a selection that is neither of these, or of other length.
        DataError: the selection is empty or everything, or of one group.

    Source: compositional explanations, Mu & Andreas 2020 (arXiv 2006.14032), with a held-out half and a null.

    Example:
        >>> bits = np.random.default_rng(0).integers(0, 2, (400, 8)).astype(bool)
        >>> found = describe(Codes.from_bits(bits), bits[:, 2] & ~bits[:, 5])
        >>> found.formula, found.iou, found.p_value < 0.05
        ('2 & ~5', 1.0, True)
    """
    check_codes("codes", codes)
    check_seed(seed)
    check_whole("literals", literals, 1)
    check_whole("beam", beam, 1)
    check_whole("permutations", permutations, 1)
    words, chosen = _selected(codes, selection)
    if chosen.all() or not chosen.any():
        raise DataError(
            f"describe: {words} is {'everything' if chosen.any() else 'empty'}, so no formula picks it out"
        )
    units = group_units("describe", codes, groups)
    first, second = held_out_part(chosen.astype(np.int64), units, share=0.5, seed=seed, measure="describe")
    choose, score = codes[first], codes[second]
    best, tried = _search(choose, chosen[first], literals, beam)
    generator = np.random.default_rng(seed)
    # groups change places with groups of about their size, so that as many images are selected
    sizes = None if units is None else np.log2(np.bincount(units)[units]).astype(np.int64)
    exchange = Exchange.of(chosen.astype(np.int64), units, sizes)
    null = []
    for _ in range(permutations):
        drawn = exchange.draw(generator).astype(bool)
        found, _ = _search(choose, drawn[first], literals, beam)
        null.append(_iou(_penalised(found)[0].of(score), drawn[second]) if found else 0.0)
    scored = [(str(f), iou, _iou(f.of(score), chosen[second])) for f, iou in best]
    formula, iou_chosen = _penalised(best)
    picked, truth = formula.of(score), chosen[second]
    both = int((picked & truth).sum())
    iou = _iou(picked, truth)
    return Description(
        source=Source.of(codes),
        seed=seed,
        formula=str(formula),
        precision=both / max(int(picked.sum()), 1),
        recall=both / max(int(truth.sum()), 1),
        iou=iou,
        iou_chosen=iou_chosen,
        null_iou=float(np.mean(null)),
        p_value=float(mid_p_value(iou, np.array(null))),
        prevalence=float(chosen.mean()),
        tried=tried,
        by_length=tuple(scored),
        n_selected=int(chosen.sum()),
        n_scored=len(second),
        groups=None if units is None else int(units.max()) + 1,
        permutations=permutations,
        words=words,
    )


def _selected(codes: Codes, selection: Any) -> tuple[str, np.ndarray]:
    """The selection in words, and bool `[N]`."""
    if isinstance(selection, str):
        return question(codes, selection)
    if isinstance(selection, bitarray):
        selection = np.frombuffer(selection.unpack(), dtype=bool)
    values = np.asarray(selection)
    if values.shape == (0,):
        values = values.astype(np.int64)
    if values.dtype == bool and values.shape == (len(codes),):
        return "the selection", values
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise UsageError(
            f"selection: found {values.dtype} {list(values.shape)}, expected bool [{len(codes)}] or row numbers"
        )
    if values.size and not (values.min() >= 0 and values.max() < len(codes)):
        raise UsageError(f"selection: a row number is not one of 0 to {len(codes) - 1}")
    if len(np.unique(values)) < len(values):  # 0 and 1 for each image, most likely
        raise UsageError(f"selection: a row number is there twice, expected bool [{len(codes)}] or each row once")
    return "the selection", np.isin(np.arange(len(codes)), values)


def _iou(picked: np.ndarray, truth: np.ndarray) -> float:
    return float((picked & truth).sum() / max((picked | truth).sum(), 1))


def _penalised(best: Sequence[tuple[Formula, float]]) -> tuple[Formula, float]:
    return max(best, key=lambda pair: pair[1] * PENALTY ** (len(pair[0]) - 1))


def _search(codes: Codes, chosen: np.ndarray, literals: int, beam: int) -> tuple[list[tuple[Formula, float]], int]:
    """The best formula of each length with its IoU, as long as that grows; and how many candidates were scored."""
    if chosen.all() or not chosen.any():  # a permuted selection of few groups
        return [], 0
    best: list[tuple[Formula, float]] = []
    heads = [Formula(())]
    tried = 0
    for _ in range(literals):
        scores = np.stack([_grown(codes, chosen, head) for head in heads])
        tried += int(np.isfinite(scores).sum())
        flat = scores.ravel()
        if best and flat.max() <= best[-1][1] + 1e-12:
            break
        longer: list[Formula] = []
        seen = set[float]()
        for place in np.argsort(-flat, kind="stable")[: 20 * beam].tolist():
            # equal scores are most often of the same images
            if np.isfinite(flat[place]) and flat[place] not in seen and len(longer) < beam:
                seen.add(flat[place])
                longer.append(_joined(heads[place // scores.shape[1]], place % scores.shape[1], codes.bits))
        heads = longer
        best.append((heads[0], float(flat.max())))
    return best, tried


def _joined(head: Formula, place: int, bits: int) -> Formula:
    """The formula at a place of `_grown`."""
    new, rest = divmod(place, 2 * bits)
    literal = Literal(rest % bits, rest >= bits)
    if new:
        return Formula((*head.terms, (literal,)))
    return Formula((*head.terms[:-1], (*head.terms[-1], literal)))


def _grown(codes: Codes, chosen: np.ndarray, head: Formula) -> np.ndarray:
    """IoU of every formula that is one literal longer: `[4 B]`, the literal joins the last term (bits, complements),
    or is a new one (bits, complements).

    One count of the ones of each bit gives them all: among the images of which no earlier term is true, in the four
    cells of (last term, selected). -infinity where there is no last term.
    """
    n_chosen = int(chosen.sum())
    if head.terms:
        closed, last = head.of(codes, len(head.terms) - 1), head.term(codes, len(head.terms) - 1)
    else:
        closed, last = np.zeros((2, len(chosen)), bool)
    cell = np.where(closed, -1, 2 * last + chosen).astype(np.int32)
    ones = class_counts(codes.packed, codes.bits, cell, 4)
    sizes = np.bincount(cell + 1, minlength=5)[1:]
    within = np.concatenate([ones, sizes[:, None] - ones], axis=1)  # [4, 2 B]: images of each literal in each cell
    before = int((closed & chosen).sum()), int(closed.sum())
    joins = before[0] + within[3], before[1] + within[2] + within[3]
    starts = before[0] + sizes[3] + within[1], before[1] + sizes[2] + sizes[3] + within[0] + within[1]
    iou = np.stack([hit / np.maximum(every + n_chosen - hit, 1) for hit, every in (joins, starts)])
    if not head.terms:
        iou[0] = -np.inf
    return iou.ravel()
