"""Figures of a code beside its controls: signs of random directions of the same features, and shuffled codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codelab.analysis.figures import FIGURES, NAMED, Sample, paired_retrieval
from codelab.core.attributes import group_column, named_groups
from codelab.core.bits import pack_bits
from codelab.core.checks import check_codes, check_seed, check_whole, need_items
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError, DataError
from codelab.core.formats import number, p_phrase
from codelab.core.result import Result, Source
from codelab.core.verdict import Verdict, listed
from codelab.features.binariser import binarize
from codelab.retrieval.compare import RetrievalComparison
from codelab.retrieval.sampled import MEASURES
from codelab.statistics.exchange import places
from codelab.statistics.splits import fitting

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 20
"""Codes drawn of each control: a code that stands out from all of them has p = 1 / 21, just below 0.05."""

ALONE = 5
"""Of these, how many are measured in figures of the bits alone, in which they hardly differ."""

LEVEL = 0.05
"""A p-value below this tells codes from a control."""

IMAGES = 2000
"""Most images that codes and controls are compared on."""

JUDGED = ("retrieval_map", "knn_accuracy", "class_information")
"""Figures in which a code should be above random directions of the same features."""

NO_FEATURES = "no features: not compared with random directions"


MEANING = (
    "Random directions: the signs of as many random directions of the same features, centred. Shuffled codes: each "
    "bit permuted over the images on its own, which leaves no relation to them. Of each control, mean and range of "
    f"{DRAWS} codes, of {ALONE} for figures of the bits alone. The paired difference is from the first one."
)
"""Above a table of controls."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Controls(Result):
    """Figures by name (`codelab.analysis.figures`), each measured on the same `images` images.

    `codes` are those of these codes. `random` has the 20 values `[R]` of as many codes with as many bits, each bit the
    sign of a random direction of the same features, centred; it is empty without features. `shuffled` has those of 20
    codes each of whose bits was permuted over the images on its own: what no relation of bits to images gives.
    `compared` has the paired difference in retrieval between these codes and the first code of random directions.
    `note` says in one line what was not compared, and how many images were drawn.

    The line quotes one figure of these codes beside the means of both controls.
    """

    codes: dict[str, float]
    random: dict[str, np.ndarray]
    shuffled: dict[str, np.ndarray]
    compared: dict[str, RetrievalComparison]
    images: int
    note: str

    def headline(self) -> str:
        best = next((n for n in ("retrieval_map", "feature_distances", "degrees_of_freedom") if n in self.codes), "")
        line = self._line(best or next(iter(self.codes)))
        return f"{line}; {self.note}" if self.note else line

    def beside(self, title: str) -> str:
        """The figures that belong to the title of a verdict, each beside its controls, a sentence each."""
        some = f"On {self.images:,} images, " if self.source is not None and self.images < self.source.n else ""
        lines = [self._line(f.name) for f in FIGURES if f.title == title and f.name in self.shuffled]
        return " ".join(f"{_sentence(some + line)}" for line in lines)

    def _line(self, name: str) -> str:
        parts = [f"these codes {_rounded(name, self.codes[name])}"]
        for control, drawn in (("random directions", self.random), ("shuffled codes", self.shuffled)):
            if name in drawn:
                parts.append(f"{control} {_rounded(name, drawn[name].mean())}")
        return f"{NAMED[name].words}: {', '.join(parts)}"

    def words(self) -> str:
        """`note` as a sentence."""
        return _sentence(self.note) if self.note else ""

    def p_value(self, names: Iterable[str], drawn: Mapping[str, np.ndarray]) -> float:
        """How often a code of a control stands out as far as these codes, in the figure in which it does most.

        Each figure is divided by its spread over these codes and all draws; of these the largest counts:

            p = (1 + draws whose largest reaches that of these codes) / (1 + draws)

        NaN where none of the figures was measured.

        Source: Westfall & Young 1993 (the distribution of the maximum).
        """
        known = [name for name in names if name in self.codes and name in drawn]
        if not known:
            return float("nan")
        every = np.stack([np.append(self.codes[name], drawn[name]) for name in known], axis=1)
        spread = every.std(axis=0)
        most = np.divide(every - every.mean(axis=0), spread, out=np.zeros_like(every), where=spread > 1e-12).max(
            axis=1
        )
        return float((most >= most[0] - 1e-9).mean())

    def above_random(self) -> list[str]:
        """The figures in which these codes are above all random directions, in retrieval also by a paired test."""
        if not self.p_value(JUDGED, self.random) < LEVEL:
            return []
        sure = {name for name, one in self.compared.items() if one.value > 0 and one.p_value < LEVEL}
        above = [name for name in JUDGED if self.p_value([name], self.random) < LEVEL]
        return [name for name in above if name not in MEASURES or name in sure]

    def to_frame(self) -> pd.DataFrame:
        """One row a figure: these codes, the mean and range of each control, and the paired difference."""
        import pandas as pd

        rows = []
        for name, value in self.codes.items():
            row = {"figure": NAMED[name].words, "codes": value}
            for control, drawn in (("random_directions", self.random), ("shuffled_codes", self.shuffled)):
                values = drawn.get(name, np.array([np.nan]))
                row |= {control: values.mean(), f"{control}_low": values.min(), f"{control}_high": values.max()}
            pair = self.compared.get(name)
            for field in ("value", "low", "high", "p_value"):
                row["difference" if field == "value" else field] = np.nan if pair is None else getattr(pair, field)
            rows.append(row)
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """`to_frame` as a person reads it: text, each figure with its own decimals."""
        import pandas as pd

        rows = []
        for name, value in self.codes.items():
            row = {"figure": NAMED[name].words, "these codes": _rounded(name, value)}
            for control, drawn in (("random directions", self.random), ("shuffled codes", self.shuffled)):
                row[control] = _range(name, drawn[name]) if name in drawn else "–"
            pair = self.compared.get(name)
            row["paired difference from random directions"] = "" if pair is None else _difference(pair)
            rows.append(row)
        return pd.DataFrame(rows)


def _sentence(words: str) -> str:
    return f"{words if words.startswith('mAP') else words[0].upper() + words[1:]}."


def _rounded(name: str, value: float) -> str:
    return number(float(value), NAMED[name].decimals)


def _range(name: str, drawn: np.ndarray) -> str:
    ends = [_rounded(name, end) for end in (drawn.min(), drawn.max())]
    return f"{_rounded(name, drawn.mean())} ({' to '.join(ends)})"


def _difference(pair: RetrievalComparison) -> str:
    return f"{pair.value:+.3f} ({pair.low:+.3f} to {pair.high:+.3f}), {p_phrase('p', pair.p_value)}"


def controls(
    codes: Codes,
    *,
    groups: str | Sequence[object] | np.ndarray | None = None,
    images: int = IMAGES,
    seed: int = 0,
) -> Controls:
    """The figures that verdicts use: of these codes, of random directions of their features, of shuffled codes.

    Args:
        codes: codes `[N, B]`; labels and features open more figures.
        groups: item column, or one value an image, equal where images are near copies: these are left out of each
            other's rankings, and keep together where bits are shuffled.
        images: most images to compare on; of more, so many are drawn, in whole groups.
        seed: of the images, the directions and the permutations.

    Raises:
        DataError: fewer than 2 codes.
        UsageError: an option out of range.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> labels = np.arange(300) % 3
        >>> features = np.eye(8)[labels] + 0.3 * generator.normal(size=(300, 8))
        >>> found = controls(Codes.from_bits(features[:, :3] > 0.5, labels, features=features))
        >>> found.above_random()
        ['retrieval_map', 'knn_accuracy', 'class_information']
    """
    check_codes("codes", codes)
    check_seed(seed)
    check_whole("images", images, 2)
    groups = named_groups(groups)
    n = need_items("controls", len(codes), least=2)
    generator = np.random.default_rng(seed)
    unit = group_column(codes, groups)
    chosen = dataclasses.replace(codes, items=codes.items.select(["id"]))
    if n > images:
        rows = _drawn(unit, images, generator)
        if len(rows) < 2:
            raise DataError(
                f"controls: one group has {np.bincount(unit).max():,} of {n:,} images, expected more groups"
            )
        chosen, unit = chosen[rows], np.unique(unit[rows], return_inverse=True)[1].reshape(-1)
    sample = Sample.of(chosen, None if groups is None else unit, seed)
    notes = [f"measured on {len(chosen):,} of {n:,} images"] if n > images else []
    random: Sequence[np.ndarray] = ()
    if chosen.features is None:
        notes.append(NO_FEATURES)
    else:
        try:
            random = _random_directions(chosen.features, codes.bits, seed)
        except CodelabError as error:  # features that are all alike have no directions
            notes.append(f"{error}: not compared with random directions")
    return Controls(
        source=Source.of(codes),
        seed=seed,
        codes=sample.measured(),
        random=_measured(sample, random),
        shuffled=_measured(sample, [_shuffled(sample.codes, unit, generator) for _ in range(DRAWS)]),
        compared=_against_first(sample, random) if random and codes.labelled else {},
        images=len(chosen),
        note="; ".join(notes),
    )


def _drawn(unit: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """Row numbers of whole groups, drawn until `most` images are full."""
    order = generator.permutation(int(unit.max()) + 1)
    return np.flatnonzero(np.isin(unit, order[fitting(np.bincount(unit)[order], most)]))


def _random_directions(features: np.ndarray, bits: int, seed: int) -> list[np.ndarray]:
    """Packed codes `[N, ceil(B/8)]`: the signs of the centred features along random directions, `bits` a code."""
    coder = binarize(features, DRAWS * bits, method="lsh", seed=seed, progress=False)
    return [pack_bits(part > 0) for part in np.split(coder.logits(features), DRAWS, axis=1)]


def _shuffled(codes: Codes, unit: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Packed codes, each bit permuted over the images on its own; near copies get the values of near copies.

    Groups change places whatever their sizes, which may depend on the class: so a bit's share of ones moves a little.
    """
    bits, (sizes, starts, place) = codes.to_bits(), places(unit)
    if len(sizes) == len(bits):
        return pack_bits(generator.permuted(bits, axis=0))
    rows = np.argsort(unit, kind="stable")
    for bit in range(codes.bits):  # another group for each group; where it is smaller, its images come again
        giver = generator.permutation(len(sizes))[unit]
        bits[:, bit] = bits[rows[starts[giver] + place % sizes[giver]], bit]
    return pack_bits(bits)


def _measured(sample: Sample, draws: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The values of each figure over the codes of a control."""
    found: dict[str, list[float]] = {}
    for place, packed in enumerate(draws):
        for name, value in sample.measured(packed, related=place >= ALONE).items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


def _against_first(sample: Sample, random: Sequence[np.ndarray]) -> dict[str, RetrievalComparison]:
    """The paired differences of these codes from the first code of random directions."""
    other = dataclasses.replace(sample.codes, packed=random[0])
    return paired_retrieval(sample.codes, other, sample.groups, sample.seed)


def judge_shuffled(title: str, found: Controls, results: Mapping[str, Result]) -> Verdict:
    """Have the bits a relation to the class, or to the features?"""
    about = {"class": "the class", "features": "the features"}
    names = {key: [f.name for f in FIGURES if f.about == key and f.name in found.shuffled] for key in about}
    known = [key for key in about if names[key]]
    if not known:
        return Verdict("note", title, "", "No labels and no features: nothing that bits could be related to.")
    every = [name for key in known for name in names[key]]
    chance = not found.p_value(every, found.shuffled) < LEVEL  # over all at once: chance has one try
    related = [] if chance else [key for key in known if found.p_value(names[key], found.shuffled) < LEVEL]
    lacking = listed([about[key] for key in known if key not in related] or [""])
    text = f"Related to {listed([about[key] for key in related])}. " if related else ""
    answer = ""
    if lacking:
        text += f"No better than shuffled codes about {lacking}. "
        answer = f"No relation to {lacking}" if related else "No better than shuffled codes"
    return Verdict(
        "good" if not lacking else "watch" if related or "features" not in known else "bad",
        title,
        " and ".join(related) or "no relation",
        f"{text}{_against(found, every, found.shuffled)}",
        f"related where a figure stands out from all {DRAWS} shuffled codes, all figures taken together",
        answer=answer,
    )


def judge_random(title: str, found: Controls, results: Mapping[str, Result]) -> Verdict:
    """Are the codes better than random directions of the same features?"""
    names = [name for name in JUDGED if name in found.codes and name in found.random]
    if not names:
        reason = found.note.rpartition("; ")[2] if not found.random else "no labels that a code could know"
        return Verdict("note", title, "", _sentence(reason))
    above = found.above_random()
    text = f"Above them in {listed([NAMED[name].words for name in above])}." if above else "No better than they are."
    return Verdict(
        "good" if above else "watch",
        title,
        f"better in {len(above)} of {len(names)}",
        f"{text} {_against(found, names, found.random)}",
        f"figures above all {DRAWS} codes of random directions; in retrieval also in a paired test, p < {LEVEL}",
        answer="" if above else "No better than random directions of the same features",
    )


def _against(found: Controls, names: Sequence[str], drawn: Mapping[str, np.ndarray]) -> str:
    parts = [
        f"{NAMED[name].words} {_rounded(name, found.codes[name])} against {_rounded(name, drawn[name].mean())}"
        for name in names
    ]
    return _sentence(", ".join(parts))
