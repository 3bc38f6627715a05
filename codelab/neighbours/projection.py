"""Maps: codes laid out in two or three dimensions, beside the same map of shuffled bits."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from codelab.core.attributes import Groups, check_groups, group_column, same_thing
from codelab.core.checks import check_choice, check_codes, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.disk_cache import on_disk
from codelab.core.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, plain_name, template
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.progress import counter
from codelab.core.result import Result, Source
from codelab.kernels.counting import column_counts, distinct_codes
from codelab.neighbours.graph import Graph, neighbour_graph
from codelab.neighbours.layout import principal_start, tsne_layout, umap_layout
from codelab.neighbours.trustworthiness import trustworthiness
from codelab.statistics.exchange import shuffled_rows

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Method = Literal["umap", "tsne"]

EXACT = 200_000
"""Different codes up to which all pairs are compared: faster than pynndescent, and without its misses."""

SAMPLE = 5000
"""Codes that the trustworthiness is measured on, where there are more."""

DRAWN = 20_000
"""Points of a figure."""

PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)

LEAST_RECALL = 0.9
"""Below, a warning says how many of the nearest codes the approximate search found."""

PACKAGES = {"umap": ("umap-learn", "pynndescent"), "tsne": ("openTSNE", "pynndescent")}
_ARRAYS = ("coordinates", "control", "neighbours", "distances", "figures")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Projection(Result):
    """A map of N codes, and the same map of shuffled bits, its control.

    `coordinates` and `control` are float32 `[N, dims]`. `trustworthiness` says how far the `k` nearest on the map are
    the `k` nearest in the code (1: they all are; about .5: no more than by chance), `control_trustworthiness` the same
    on the control; both are means over `sample` different codes. `distinct` of the codes are different: equal codes
    share a point. `neighbours` int32 and `distances` int32 `[N, k]` are the rows and Hamming distances of the nearest
    other codes, of equal codes the first row; `recall` is the share of them that are right, 1 where all pairs were
    compared. `method` is `umap` or `tsne`.

    The line quotes both trustworthinesses.
    """

    method: str
    k: int
    coordinates: np.ndarray
    control: np.ndarray
    trustworthiness: float
    control_trustworthiness: float
    neighbours: np.ndarray
    distances: np.ndarray
    recall: float
    distinct: int
    sample: int

    @property
    def value(self) -> float:
        """The trustworthiness."""
        return self.trustworthiness

    @property
    def dims(self) -> int:
        """Dimensions of the map."""
        return self.coordinates.shape[1]

    def headline(self) -> str:
        both = f"{number(self.trustworthiness)} trustworthy, {number(self.control_trustworthiness)} with shuffled bits"
        equal = len(self.coordinates) - self.distinct
        copies = f"; {equal:,} codes share the point of an equal one" if equal else ""
        return f"{self.method} in {self.dims} dimensions, {both} (k={self.k}){copies}"

    def to_frame(self) -> pd.DataFrame:
        """One row an image: `x`, `y` (and `z`), and the same of the control."""
        import pandas as pd

        sides = (("", self.coordinates), ("control_", self.control))
        columns = {f"{side}{'xyz'[d]}": points[:, d] for side, points in sides for d in range(self.dims)}
        return pd.DataFrame(columns)

    def plot(self, labels: np.ndarray | None = None, names: tuple[str, ...] = ()) -> go.Figure:
        """The map beside its control, at most 20,000 points drawn at random.

        Args:
            labels: int `[N]`, -1 = none: the colours; the six most frequent have one each.
            names: of the labels.
        """
        from plotly import graph_objects
        from plotly.subplots import make_subplots

        flat = self.dims == 2
        titles = (f"codes: {number(self.trustworthiness)}", f"shuffled: {number(self.control_trustworthiness)}")
        figure = make_subplots(1, 2, subplot_titles=titles, specs=[[{"type": "xy" if flat else "scene"}] * 2])
        shown = np.sort(np.random.default_rng(0).permutation(len(self.coordinates))[:DRAWN])
        kind = graph_objects.Scattergl if flat else graph_objects.Scatter3d
        for name, colour, rows in _coloured(labels, names, shown):
            for place, points in enumerate((self.coordinates, self.control)):
                axes = {axis: points[rows, d] for d, axis in enumerate("xyz"[: self.dims])}
                look = {"size": 3, "color": colour, "opacity": 0.7}
                trace = kind(mode="markers", name=name, marker=look, legendgroup=name, **axes)
                trace.update(hoverinfo="skip", showlegend=place == 0 and labels is not None)
                figure.add_trace(trace, 1, place + 1)
        figure.update_layout(template=template(), height=460)
        figure.update_layout(legend={"y": -0.02, "yanchor": "top"})  # above it are the titles of both maps
        figure.update_xaxes(showticklabels=False, ticks="").update_yaxes(showticklabels=False, showgrid=False)
        return figure


def project(
    codes: Codes,
    method: Method = "umap",
    *,
    dims: int = 2,
    k: int = 15,
    groups: Groups = None,
    seed: int = 0,
    exact: int = EXACT,
    cache: bool = True,
) -> Projection:
    """A map of codes by their Hamming distances, and the same map of shuffled bits.

    What a map cannot show: distances between far groups, sizes and densities of groups, and rings, lines or gaps.
    Both methods give clouds and rings for plain clusters, other ones for other seeds, and shapes for coin flips too: a
    ring in three dimensions comes out of ten Gaussian clusters. Claim nothing from the picture; compare the
    trustworthiness with the control's, and the map with those of other seeds.

    Equal codes are laid out once. The same seed gives the same map, on any number of threads. Maps are kept in the
    user's cache folder (`CODELAB_CACHE` names another), under a hash of codes and arguments.

    Args:
        codes: codes `[N, B]`.
        method: `umap` (umap-learn) or `tsne` (openTSNE, with equal affinities of the k neighbours).
        dims: 2 or 3.
        k: neighbours of each code in the graph that is laid out, and in the trustworthiness.
        groups: item column, or one value an image; images of one group are near copies. Each bit is then shuffled by
            whole groups, so that near copies stay alike in the control; without it the map is above its control
            wherever there are near copies, and a warning says so where a column has a usual name of groups. `none`:
            all images differ.
        seed: of the layout and the shuffle.
        exact: up to this many different codes all pairs are compared; above, pynndescent searches (`bit_hamming`).
        cache: read and keep the map on disk.

    Raises:
        UsageError: no such method, dims that are not 2 or 3, k below 2, or a package of the extra `maps` is missing.
        DataError: fewer than 2 k + 1 different codes, in the codes or in the control.

    Source: McInnes et al. 2018 (UMAP); van der Maaten & Hinton 2008 (t-SNE); Venna & Kaski 2001 (trustworthiness).

    Example:
        >>> from codelab import project
        >>> project(Codes.from_bits([[0, 1], [1, 0]]))
        Traceback (most recent call last):
        codelab.core.errors.DataError: project: found 2 codes, expected at least 31 (2 k + 1, k=15)
    """
    check_codes("codes", codes)
    check_choice("method", method, get_args(Method))
    if check_whole("dims", dims, 2) > 3:
        raise UsageError(f"dims={dims}: expected 2 or 3")
    check_whole("k", k, 2)
    check_whole("exact", exact, 0)
    check_seed(seed)
    unit = None if check_groups(codes, groups) is None else group_column(codes, groups)
    if groups is None and (name := same_thing(codes)):
        text = f"project: images of one {name} look like near copies, which the control takes apart"
        warnings.warn(f"{text}; groups={name!r} keeps them together, groups='none' says that all differ", stacklevel=2)
    if len(codes) < 2 * k + 1:
        raise DataError(f"project: found {len(codes)} codes, expected at least {2 * k + 1} (2 k + 1, k={k})")
    make = partial(_both, codes, method, dims, k, unit, int(seed), exact)
    key: dict[str, Any] = {"what": "map", "packages": _versions(method), "codes": codes.sha256}
    key |= {"method": method, "dims": dims, "k": k, "seed": int(seed), "exact": exact}
    key |= {"groups": None if unit is None else hashlib.sha256(unit.tobytes()).hexdigest()}
    found = on_disk(key, make) if cache else make()
    trusted, control, recall, distinct, sample = found["figures"].tolist()
    if recall < LEAST_RECALL:
        text = f"project: the approximate search found {100 * recall:.0f} % of the nearest codes"
        warnings.warn(f"{text}; exact={int(distinct)} compares all pairs", UserWarning, stacklevel=2)
    return Projection(
        source=Source.of(codes),
        seed=int(seed),
        method=method,
        k=k,
        **{name: found[name] for name in _ARRAYS[:-1]},
        trustworthiness=trusted,
        control_trustworthiness=control,
        recall=recall,
        distinct=int(distinct),
        sample=int(sample),
    )


def _versions(method: str) -> list[str]:
    """The versions of the packages that lay out; a UsageError that names the extra where one is missing."""
    try:
        return [version(package) for package in PACKAGES[method]]
    except PackageNotFoundError as error:
        raise UsageError(f"project: needs {error.name}, found none (pip install 'codelab[maps]')") from None


@dataclasses.dataclass(frozen=True, eq=False)
class _Map:
    """The different codes on a map: their `points` and first `rows`, `place` `[N]` the number of each code's own."""

    points: np.ndarray
    rows: np.ndarray
    place: np.ndarray
    graph: Graph
    trusted: float

    @classmethod
    def of(cls, codes: Codes, what: str, method: str, dims: int, k: int, seed: int, exact: int) -> _Map:
        """Lay codes out; `what` they are, for a message where too few of them are different."""
        rows, number = np.unique(distinct_codes(codes.packed)[0], return_index=True, return_inverse=True)[1:]
        order = np.argsort(rows)  # in order of first appearance
        rows, place = rows[order], np.argsort(order)[number.reshape(-1)]
        if len(rows) < 2 * k + 1:
            vary = int((column_counts(codes.packed, codes.bits) % len(codes) > 0).sum())
            raise DataError(
                f"project: {what} {len(rows)} different codes among {len(codes)} ({vary} of {codes.bits} bits vary), "
                f"expected at least {2 * k + 1} (2 k + 1, k={k})"
            )
        different = Codes(codes.packed[rows], codes.bits)
        graph = neighbour_graph(different, k, exact=len(rows) <= exact, seed=seed)
        layout = umap_layout if method == "umap" else tsne_layout
        points = layout(graph, principal_start(different, dims, seed), seed)
        sample = np.sort(np.random.default_rng(seed).permutation(len(rows))[:SAMPLE])
        return cls(points, rows, place, graph, trustworthiness(different, points, k, sample))


def _both(
    codes: Codes, method: str, dims: int, k: int, unit: np.ndarray | None, seed: int, exact: int
) -> dict[str, np.ndarray]:
    """The arrays `_ARRAYS` of a map and its control."""
    lay_out = partial(_Map.of, method=method, dims=dims, k=k, seed=seed, exact=exact)
    with counter(f"{method}: the map and its control", 2) as advance:
        shuffled = Codes(shuffled_bits(codes, unit, seed), codes.bits)
        found = lay_out(codes, "found")
        advance(1)
        control = lay_out(shuffled, "the control, with each bit shuffled, has")
        advance(1)
    graph, size = found.graph, len(found.rows)
    return {
        "coordinates": found.points[found.place],
        "control": control.points[control.place],
        "neighbours": found.rows[graph.rows].astype(np.int32)[found.place],
        "distances": graph.distances[found.place],
        "figures": np.array([found.trusted, control.trusted, graph.recall, size, min(SAMPLE, size)]),
    }


def shuffled_bits(codes: Codes, unit: np.ndarray | None, seed: int) -> np.ndarray:
    """Packed codes with each bit permuted over the images on its own: its share of ones stays, what bits share goes.

    Args:
        codes: codes `[N, B]`.
        unit: groups int `[N]`, which change places as a whole; None: each image on its own.
        seed: of the permutations.
    """
    generator = np.random.default_rng(seed)
    packed = np.empty_like(codes.packed)
    for byte in range(packed.shape[1]):
        bits = np.unpackbits(codes.packed[:, byte : byte + 1], axis=1)
        for bit in range(8):  # those that only fill the byte are 0 in all
            rows = generator.permutation(len(bits)) if unit is None else shuffled_rows(unit, generator)
            bits[:, bit] = bits[rows, bit]
        packed[:, byte] = np.packbits(bits, axis=1)[:, 0]
    return packed


def _coloured(
    labels: np.ndarray | None, names: tuple[str, ...], shown: np.ndarray
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name, colour and rows of each part of a figure, the most frequent label first."""
    if labels is None:
        yield "codes", BLUE, shown
        return
    known = labels[labels >= 0]
    frequent = np.argsort(-np.bincount(known), kind="stable")[: len(PALETTE)]
    rest = shown[~np.isin(labels[shown], frequent)]
    if len(rest):
        yield "others", GREY, rest
    for label, colour in zip(frequent, PALETTE, strict=False):
        yield plain_name(names[label] if names else str(label)), colour, shown[labels[shown] == label]
