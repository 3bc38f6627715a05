"""Two codes of the same images: their figures side by side, and which bit of one is which bit of the other."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from codelab.analysis.figures import NAMED, Sample, paired_retrieval
from codelab.core.attributes import Groups, group_column, named_groups
from codelab.core.checks import check_same_images, check_seed, need_items
from codelab.core.codes import Codes
from codelab.core.formats import number, p_phrase
from codelab.core.result import Result, Source
from codelab.retrieval.compare import RetrievalComparison
from codelab.semantics.decodable import DecodableBits, decodable_bits
from codelab.semantics.matching import Matching, match_bits

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodeComparison(Result):
    """Figures of codes `a` and `b` by name, where both have them; `source` is that of a, `other` that of b.

    `retrieval` has the paired difference, a minus b, of each retrieval measure with its interval and p-value; figures
    without a paired test are shown without one; `note` says where there is no paired test of retrieval, and why.
    `matching` pairs their bits, and `decodable` says which bits of a can be read from b (None where not asked for).

    The line quotes mAP of both, or the number of matched bits without labels.
    """

    a: dict[str, float]
    b: dict[str, float]
    retrieval: dict[str, RetrievalComparison]
    matching: Matching
    decodable: DecodableBits | None
    note: str
    other: Source | None

    def headline(self) -> str:
        found = self.retrieval.get("retrieval_map")
        matched = self.matching.headline()
        return matched if found is None else f"{found.headline()}; {matched}"

    def to_frame(self) -> pd.DataFrame:
        """One row a figure: `figure`, `a`, `b`, `difference` (a minus b), and where it is paired `low`, `high`,
        `p_value`.
        """
        import pandas as pd

        rows = []
        for name, value in self.a.items():
            row = {"figure": NAMED[name].words, "a": value, "b": self.b[name], "difference": value - self.b[name]}
            pair = self.retrieval.get(name)
            names = ("low", "high", "p_value")
            rows.append(row | {key: np.nan if pair is None else getattr(pair, key) for key in names})
        return pd.DataFrame(rows)

    def table(self) -> list[tuple[str, ...]]:
        """`to_frame` as a person reads it: figure, a, b, difference."""
        rows = []
        for name, value in self.a.items():
            figure, pair = NAMED[name], self.retrieval.get(name)
            words = f"{value - self.b[name]:+.{figure.decimals}f}"
            if pair is not None:
                words += f" ({pair.low:+.3f} to {pair.high:+.3f}), {p_phrase('p', pair.p_value)}"
            rows.append((figure.words, *(number(v, figure.decimals) for v in (value, self.b[name])), words))
        return rows


def compare_codes(
    a: Codes, b: Codes, *, groups: Groups = None, decodable: bool = False, seed: int = 0
) -> CodeComparison:
    """The figures of two codes of the same images side by side, retrieval with paired tests, and their bits matched.

    Args:
        a, b: codes of the same items in the same order, by `id`; the bits may differ in number.
        groups: an item column of `a`, or one value an image; images of one group are near copies.
        decodable: also fit a read-out of each bit of a by the bits of b, such as codes before and after a head reset.
        seed: of all chance.

    Raises:
        DataError: codes of other images, or in another order.

    Example:
        >>> labels = np.arange(120) % 3
        >>> coins = np.random.default_rng(0).integers(0, 2, (120, 6)).astype(bool)
        >>> good = Codes.from_bits(np.concatenate([np.eye(3, dtype=bool)[labels], coins[:, :3]], 1), labels)
        >>> found = compare_codes(good, Codes.from_bits(coins, labels))
        >>> bool(found.retrieval["retrieval_map"].p_value < 0.05), found.matching.lost.tolist()
        (True, [0, 1, 2])
    """
    check_seed(seed)
    check_same_images("compare", a, b)
    need_items("compare", len(a), least=2)
    groups = named_groups(groups)
    units = None if groups is None else group_column(a, groups)
    figures = [Sample.of(codes, units, seed).measured() for codes in (a, b)]
    shared = [name for name in figures[0] if name in figures[1]]
    return CodeComparison(
        source=Source.of(a),
        other=Source.of(b),
        seed=seed,
        a={name: figures[0][name] for name in shared},
        b={name: figures[1][name] for name in shared},
        retrieval=paired_retrieval(a, b, units, seed),
        note=_left_out(a, b),
        matching=match_bits(a, b, groups=units, seed=seed),
        decodable=decodable_bits(a, b, groups=units, seed=seed) if decodable else None,
    )


def _left_out(a: Codes, b: Codes) -> str:
    """Why retrieval has no paired test; empty where it can have one."""
    if not (a.labelled and b.labelled):
        missing = "a and b have" if not (a.labelled or b.labelled) else f"{'b' if a.labelled else 'a'} has"
        return f"retrieval is left out of the paired tests: {missing} no labels"
    if a.classes != b.classes or not np.array_equal(a.labels, b.labels):
        return "retrieval is left out of the paired tests: a and b have different labels"
    return ""
