"""Where the codes of a neighbour graph lie on a map: UMAP and t-SNE, from the same start."""

from __future__ import annotations

import warnings

import numpy as np

from codelab.core.bits import unpack_bits
from codelab.core.codes import Codes
from codelab.kernels.counting import column_counts
from codelab.neighbours.graph import Graph

EPOCHS = ((10_000, 500), (50_000, 200))
"""Codes, and epochs of UMAP up to that number; `FEWEST` above. The first two are UMAP's own."""
FEWEST = 100

ROWS = 1 << 14
PASSES = 8
SPARE = 8


def umap_layout(graph: Graph, start: np.ndarray, seed: int) -> np.ndarray:
    """Coordinates float32 `[N, dims]` by UMAP.

    Source: McInnes, Healy & Melville 2018.
    """
    from umap import UMAP

    n, k = graph.rows.shape
    itself = np.arange(n, dtype=np.int32)[:, None]  # UMAP counts the point among its neighbours
    model = UMAP(
        n_neighbors=k + 1,
        n_components=start.shape[1],
        n_epochs=next((epochs for most, epochs in EPOCHS if n <= most), FEWEST),
        init=start,
        precomputed_knn=(
            np.concatenate([itself, graph.rows], axis=1),
            np.concatenate([np.zeros((n, 1)), graph.distances], axis=1).astype(np.float32),
        ),
        force_approximation_algorithm=True,  # otherwise it takes all distances of few points from the data
        random_state=seed,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that new points cannot be placed
        return model.fit_transform(np.zeros((n, 1), np.float32)).astype(np.float32)


def tsne_layout(graph: Graph, start: np.ndarray, seed: int) -> np.ndarray:
    """Coordinates float32 `[N, dims]` by t-SNE, whose affinities are equal for all k neighbours of a code.

    Source: van der Maaten & Hinton 2008; uniform affinities: Böhm, Berens & Kobak 2022; Linderman et al. 2019 for the
    interpolation in two dimensions.
    """
    from openTSNE import TSNE
    from openTSNE.affinity import Uniform
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    dims = start.shape[1]
    affinities = Uniform(knn_index=PrecomputedNeighbors(graph.rows, graph.distances.astype(np.float64)))
    model = TSNE(
        n_components=dims,
        negative_gradient_method="auto" if dims == 2 else "bh",  # interpolation goes to two dimensions
        random_state=seed,
        n_jobs=1,  # sums by several threads differ in their last digits
    )
    scaled = start.astype(np.float64)
    scaled *= 1e-4 / scaled[:, 0].std()
    return np.asarray(model.fit(affinities=affinities, initialization=scaled), dtype=np.float32)


def principal_start(codes: Codes, dims: int, seed: int) -> np.ndarray:
    """Coordinates float32 `[N, dims]` on the principal components of the bits, the largest at 10.

    A start that depends on the data keeps distant groups where they belong far better than a random one. Values are
    rounded, so that they do not depend on the number of threads.

    Source: Kobak & Linderman 2021 (start); Halko, Martinsson & Tropp 2011, algorithm 4.4 (subspace iteration).
    """
    n, bits = len(codes), codes.bits
    mean = column_counts(codes.packed, bits) / n
    basis = np.random.default_rng(seed).normal(size=(bits, min(bits, dims + SPARE)))
    for _ in range(PASSES):
        basis = np.linalg.qr(_times(codes, mean, basis))[0]
    axes = basis @ np.linalg.eigh(basis.T @ _times(codes, mean, basis))[1][:, ::-1][:, :dims]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(dims)])
    out = np.empty((n, dims))
    for start in range(0, n, ROWS):
        out[start : start + ROWS] = (unpack_bits(codes.packed[start : start + ROWS], bits) - mean) @ axes
    return (out * 10 / np.abs(out).max()).round(4).astype(np.float32)


def _times(codes: Codes, mean: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """X'X basis `[B, width]` of the centred bits X, in blocks of rows."""
    total = np.zeros(basis.shape)
    for start in range(0, len(codes), ROWS):
        part = unpack_bits(codes.packed[start : start + ROWS], codes.bits) - mean
        total += part.T @ (part @ basis)
    return total
