"""Which classes have images with the same code."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from codelab.core.checks import check_codes, need_items
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.result import Result, Source
from codelab.kernels.counting import distinct_codes

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, kw_only=True)
class SharedCodes(Result):
    """Pairs of two classes, arrays `[K]`, most pairs of images first: `pairs` images of `a` and `b` have one code.

    `expected` is what the number would be if the images that share a code were drawn from the classes at random: all
    such pairs, times the share of pairs of images that are of these two classes. `classes` are all names.

    The line quotes the two classes with the most.
    """

    a: np.ndarray
    b: np.ndarray
    pairs: np.ndarray
    expected: np.ndarray
    classes: tuple[str, ...]

    def headline(self) -> str:
        if not len(self.pairs):
            return "no two classes share a code"
        most = f"{self.classes[self.a[0]]} and {self.classes[self.b[0]]} most ({int(self.pairs[0]):,} pairs of images)"
        return f"{len(self.pairs):,} pairs of classes share codes, {most}"

    def to_frame(self) -> pd.DataFrame:
        """One row for each pair of classes that share a code."""
        import pandas as pd

        names = np.array(self.classes, dtype=object)
        return pd.DataFrame({"a": names[self.a], "b": names[self.b], "pairs": self.pairs, "expected": self.expected})


def shared_codes(codes: Codes) -> SharedCodes:
    """Which classes are confused by equal codes: with a code in common no search can tell their images apart.

    Args:
        codes: codes `[N, B]` with one label an image; unlabelled images are left out.

    Raises:
        DataError: fewer than 2 codes, no labels, or several an image.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 0], [0, 0], [1, 1]], labels=["cat", "cat", "dog", "owl"])
        >>> found = shared_codes(codes)
        >>> found.to_frame()[["a", "b", "pairs"]].to_dict("records")
        [{'a': 'cat', 'b': 'dog', 'pairs': 2}]
    """
    check_codes("codes", codes)
    need_items("shared_codes", len(codes), least=2)
    if codes.multilabel or not codes.labelled:
        raise DataError("shared_codes: needs one label an image")
    known = codes.labels >= 0
    number, labels = distinct_codes(codes.packed)[0][known], codes.labels[known]
    size = len(codes.classes)
    table = csr_array((np.ones(len(labels), np.int64), (number, labels)), shape=(int(number.max()) + 1, size))
    both = (table.T @ table).tocoo()
    upper = both.row < both.col
    a, b, pairs = both.row[upper], both.col[upper], both.data[upper]
    order = np.lexsort((b, a, -pairs))
    times = np.asarray(table.sum(axis=1)).astype(np.int64)
    alike = int((times * (times - 1) // 2).sum())
    n = np.bincount(labels, minlength=size)
    every = len(labels) * (len(labels) - 1) / 2
    return SharedCodes(
        source=Source.of(codes),
        a=a[order],
        b=b[order],
        pairs=pairs[order],
        expected=alike * n[a[order]] * n[b[order]] / max(every, 1),
        classes=codes.classes,
    )
