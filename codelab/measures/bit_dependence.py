"""Which bits say the same: correlation and information of every pair, groups of bits, and smaller codes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from codelab.core.attributes import Groups
from codelab.core.checks import need_items
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.formats import number
from codelab.core.result import Result, plain
from codelab.kernels import loops
from codelab.statistics.clusters import DesignEffects, as_independent, group_units
from codelab.statistics.counts import MOST_PAIRS, ClassPairCounts, PairCounts
from codelab.statistics.estimators import pair_information
from codelab.statistics.nulls import false_discovery, pair_null

if TYPE_CHECKING:
    import pandas as pd

MATRICES = (
    *("phi", "plugin", "information", "p_value", "q_value", "dependent_q_value"),
    *("conditional", "conditional_plugin"),
)
STRONGEST = 50
AS_INDEPENDENT = "of as many independent images as the groups are worth"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitDependence(Result):
    """Arrays `[B, B]`, symmetric: `phi` the correlation, `plugin` the mutual information in bits as counted,
    `information` with the exact mean over permutations subtracted, `p_value` and, over all pairs, `q_value`
    (Benjamini-Hochberg) and `dependent_q_value` (Benjamini-Yekutieli, which holds however pairs depend);
    `conditional` the information given the class, corrected, and `conditional_plugin` as counted (None where
    `pairs_within` gives none). The diagonal of `phi` is 1 (0 for a bit that never changes), that of the informations
    the entropy. `groups` is their number, None without.

    `duplicates` and `complements` are pairs of bits with phi of at least `near`, or at most -`near`. `cluster` `[B]`
    numbers groups of bits (average linkage on 1 - abs(phi), cut at abs(phi) = `cut`), and `order` `[B]` puts like bits
    side by side for a picture. `value` is the mean corrected information of two bits.

    The line quotes `value`, the pairs at q < 0.05, the duplicates and complements.
    """

    value: float
    phi: np.ndarray
    plugin: np.ndarray
    information: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    dependent_q_value: np.ndarray
    conditional: np.ndarray | None
    conditional_plugin: np.ndarray | None
    duplicates: tuple[tuple[int, int], ...]
    complements: tuple[tuple[int, int], ...]
    cluster: np.ndarray
    order: np.ndarray
    near: float
    cut: float
    n: int
    groups: int | None = None
    estimator: str = "plug-in less its exact permutation mean"

    def headline(self) -> str:
        pairs = self.q_value[np.triu_indices(len(self.phi), 1)]
        alike = f"{len(self.duplicates)} duplicates, {len(self.complements)} complements"
        found = f"{int((pairs < 0.05).sum()):,} of {len(pairs):,} pairs at q < 0.05"
        return f"{number(self.value)} bit a pair on average; {found}; {alike}"

    def _first_rows(self, most: int) -> tuple[pd.DataFrame, int]:
        """The strongest pairs: of all pairs the first say nothing."""
        frame = self.to_frame()
        return frame.sort_values("information", ascending=False, kind="stable").head(most), len(frame)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the matrices stay out (they grow with B squared); the `STRONGEST` pairs stand for them."""
        strongest = self.to_frame().sort_values("information", ascending=False, kind="stable").head(STRONGEST)
        significant = int((self.q_value[np.triu_indices(len(self.phi), 1)] < 0.05).sum())
        rest = {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name not in MATRICES}
        return {**rest, "significant_pairs": significant, "strongest": plain(strongest.to_dict("records"))}

    def to_frame(self) -> pd.DataFrame:
        """One row for each pair of different bits."""
        import pandas as pd

        a, b = np.triu_indices(len(self.phi), 1)
        names = ["phi", "plugin", "information", "p_value", "q_value", "dependent_q_value"]
        if self.conditional is not None:
            names += ["conditional", "conditional_plugin"]
        return pd.DataFrame({"bit_a": a, "bit_b": b, **{name: getattr(self, name)[a, b] for name in names}})


def bit_dependence(
    codes: Codes | PairCounts,
    *,
    within: ClassPairCounts | None = None,
    near: float = 0.99,
    cut: float = 0.5,
    groups: Groups = None,
) -> BitDependence:
    """How much every two bits share, over all images and within classes.

    Args:
        codes: codes `[N, B]`, or their `PairCounts`.
        within: `ClassPairCounts`, where `codes` are counts; labelled codes need none.
        near: abs(phi) from which two bits count as the same.
        cut: abs(phi) at which clusters are cut apart.
        groups: an item column, or one value an image: images of one group are near copies. Tests and expected
            information are then those of as many independent images as the pair of bits is worth; see
            `DesignEffects`.

    Returns:
        See `BitDependence`. What two bits share only because both follow the class goes when the class is given.

    Raises:
        UsageError: `near` or `cut` outside 0 to 1; groups that are no column, or with counts.
        DataError: fewer than 2 items or groups.

    Source: Fisher's exact conditional test (mid-p) on information, with groups on tables divided by their design
        effect: Rao & Scott 1981; Sokal & Michener 1958 for average linkage.

    Example:
        >>> a, b = np.random.default_rng(0).integers(0, 2, (2, 500))
        >>> found = bit_dependence(Codes.from_bits(np.stack([a, b, a, 1 - b], axis=1)))
        >>> found.duplicates, found.complements, found.cluster.tolist()
        (((0, 2),), ((1, 3),), [0, 1, 0, 1])
    """
    for name, limit in (("near", near), ("cut", cut)):
        if not 0 < limit <= 1:
            raise UsageError(f"{name} {limit}: expected a correlation above 0 and up to 1")
    units = group_units("bit_dependence", codes, groups)
    if within is None and isinstance(codes, Codes):
        within = pairs_within(codes)
    counts = PairCounts.of(codes)
    n, pairs, bits = need_items("bit_dependence", counts.n, least=2), counts.pairs, counts.bits
    ones = np.diagonal(pairs)
    phi = correlation(pairs, n)
    plugin = pair_information(pairs, n)
    upper = np.triu_indices(bits, 1)
    tables, factor = (ones[upper[0]], ones[upper[1]], pairs[upper]), np.ones(len(upper[0]))
    if units is None:
        mean, p = pair_null(*tables, n)
    else:
        assert isinstance(codes, Codes)  # noqa: S101  counts with groups were refused
        effects = DesignEffects.of(codes.packed, bits, units)
        factor = effects.of_products(effects, *upper)
        mean, p = pair_null(*as_independent(*tables, n, factor))
    varies = ((ones > 0) & (ones < n))[np.stack(upper)].all(axis=0)
    information = plugin.copy()
    corrected = np.where(varies, plugin[upper] - mean, 0.0)
    information[upper] = information.T[upper] = corrected
    p_value, q_value, dependent = np.ones((3, bits, bits))
    p_value[upper] = p_value.T[upper] = p
    q_value[upper] = q_value.T[upper] = false_discovery(p)
    dependent[upper] = dependent.T[upper] = false_discovery(p, dependent=True)
    conditional = conditional_plugin = None
    if within is not None and within.n:
        conditional, conditional_plugin = _given_class(within, factor)
    cluster, order = _clusters(phi, cut)
    return BitDependence(
        source=counts.source,
        value=float(corrected.mean()) if bits > 1 else 0.0,
        phi=phi,
        plugin=plugin,
        information=information,
        p_value=p_value,
        q_value=q_value,
        dependent_q_value=dependent,
        conditional=conditional,
        conditional_plugin=conditional_plugin,
        duplicates=_pairs_where(phi >= near),
        complements=_pairs_where(phi <= -near),
        cluster=cluster,
        order=order,
        near=near,
        cut=cut,
        n=n,
        groups=None if units is None else int(units.max()) + 1,
        estimator=BitDependence.estimator if units is None else f"{BitDependence.estimator}, {AS_INDEPENDENT}",
    )


def pairs_within(codes: Codes) -> ClassPairCounts | None:
    """Counts of pairs in each class; None without one label an image, or with more classes than can be kept."""
    pairs = codes.bits * (codes.bits + 1) // 2
    if not codes.labelled or codes.multilabel or len(codes.classes) * pairs > MOST_PAIRS:
        return None
    return ClassPairCounts.of(codes)


def correlation(pairs: np.ndarray, n: int) -> np.ndarray:
    """Phi of every two bits, `[B, B]`; 0 where one of them never changes.

    Args:
        pairs: `[B, B]` items where both bits are 1.
        n: items.
    """
    p = np.diagonal(pairs) / n
    deviation = np.sqrt(p * (1 - p))
    scale = np.outer(deviation, deviation)
    covariance = pairs / n - np.outer(p, p)
    phi = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
    np.fill_diagonal(phi, (deviation > 0).astype(float))
    return np.clip(phi, -1.0, 1.0)


def _given_class(counts: ClassPairCounts, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Information of every two bits given the class: corrected and plug-in, `[B, B]`.

    `factor` `[B (B - 1) / 2]`: by what near copies raise what two independent bits seem to share.
    """
    bits = counts.bits
    a, b = np.triu_indices(bits)
    plugin, mean = loops.hypergeometric.pairs_in_classes(counts.both, counts.class_n, a, b, bits)
    mean[a == b] = 0.0
    mean[a != b] *= factor
    out = np.zeros((2, bits, bits))
    for matrix, values in zip(out, (plugin - mean, plugin), strict=True):
        matrix[a, b] = matrix[b, a] = values / counts.n
    return out[0], out[1]


def _clusters(phi: np.ndarray, cut: float) -> tuple[np.ndarray, np.ndarray]:
    """Cluster number of each bit, in order of first appearance, and the bits in the order of the tree's leaves."""
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(phi) == 1:
        return np.zeros(1, dtype=int), np.zeros(1, dtype=int)
    apart = 1 - np.abs(phi)
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(apart, checks=False), method="average", optimal_ordering=True)
    _, first, number = np.unique(fcluster(tree, 1 - cut, "distance"), return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[number.reshape(-1)], leaves_list(tree).astype(int)


def _pairs_where(mask: np.ndarray) -> tuple[tuple[int, int], ...]:
    return tuple((int(a), int(b)) for a, b in np.argwhere(np.triu(mask, 1)))
