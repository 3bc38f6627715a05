"""Do codes hold near copies of one image that nobody has named? Each would count as an image of its own."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from PIL import Image

from codelab.core.attributes import group_column, same_thing
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.images.imageset import decode
from codelab.images.picture import THUMBNAIL_BYTES, THUMBNAIL_PIXELS
from codelab.measures.pair_distances import pair_distances
from codelab.neighbours.search import search

SAMPLE = 500
"""Images whose nearest neighbour is looked at."""
PAIRS = 20_000
"""Random pairs that give the degrees of freedom."""
NEAR = 50
"""Two codes are nearly the same if at most one bit in so many differs: 1 of 64, 5 of 256."""
COPIES = 20
"""Most near copies of one image; of a code that has collapsed, more than these are near."""
APART = 4
"""The neighbour after those is farther than this many times the distance of near codes."""
ABOVE_CHANCE = 3
"""Near codes must be this many times as frequent as among as many codes of independent bits."""
MANY = 0.05
"""Share of images with a near copy from which it matters."""
SIDE = 16
"""Pixels of a side of the grey pictures that are compared."""
ALIKE = 0.99
"""Correlation of the grey pictures of near copies. Recompressed or brightened they have .99 and more; the nearest of
70,000 images of Fashion-MNIST by a code of 256 bits have .98."""


def unnamed_copies(codes: Codes, *, seed: int = 0) -> str:
    """Why these codes look as if they held near copies, in words; empty where they do not.

    A column has a usual name (`emoji`, `group`, `identity`) and its values repeat; or many images have a nearest
    neighbour whose code is nearly the same, and

    * where there are thumbnails, the small grey versions of both are nearly equal too;
    * where there are none, only a few codes are that near, and independent bits with the spread of distances of these
      codes (`degrees_of_freedom`) would rarely give one. A code that has collapsed fails both.

    Args:
        codes: codes `[N, B]`.
        seed: of the sample of images.

    Example:
        >>> bits = np.random.default_rng(0).integers(0, 2, (200, 64))
        >>> unnamed_copies(Codes.from_bits(np.repeat(bits, 3, axis=0)))
        '100% of the images have another within 1 of 64 bits'
        >>> unnamed_copies(Codes.from_bits(bits)), unnamed_copies(Codes.from_bits(np.zeros((200, 64))))
        ('', '')
    """
    name = same_thing(codes)
    if name is not None and 1 < len(np.unique(group_column(codes, name))) < len(codes):
        return f"the column {name!r} has one value for several images"
    if len(codes) < 2:
        return ""
    radius, pictured = codes.bits // NEAR, "thumbnail" in codes.items.column_names
    rows = np.sort(np.random.default_rng(seed).permutation(len(codes))[:SAMPLE])
    found = search(codes, codes[rows], k=min(COPIES + 2, len(codes)))
    own = found.indices[:, 0] == rows  # another row with the same code can come before the image itself
    other = np.where(own, found.indices[:, 1], found.indices[:, 0])
    near = found.distances[:, 1] <= radius  # the image itself is at distance 0
    if pictured:
        near[near] = _alike(codes, rows[near], other[near])
    else:
        near &= found.distances[:, -1] > APART * max(radius, 1)
        near &= len(codes) > COPIES + 1
    share = float(near.mean())
    if share < MANY or (not pictured and share < ABOVE_CHANCE * _expected(codes, radius, seed)):
        return ""
    code = f"within {radius} of {codes.bits} bits" if radius else "with the same code"
    return f"{share:.0%} of the images have another {code}{' and nearly the same thumbnail' if pictured else ''}"


def warn_of_copies(reason: str, stacklevel: int) -> None:
    """One line where nothing is said of near copies, and the codes look as if they held some."""
    if reason:
        text = f"near copies count as independent images here, and {reason}"
        hint = "name the column that says which by groups= (--group), or say groups='none' if all images differ"
        warnings.warn(f"{text}; {hint}", UserWarning, stacklevel=stacklevel + 1)


def _expected(codes: Codes, radius: int, seed: int) -> float:
    """The share of images with a near code, had the code as many fair coins as it has degrees of freedom."""
    from scipy.special import betainc

    every = pair_distances(Codes(codes.packed, codes.bits), pairs=PAIRS, seed=seed).every / PAIRS
    differs = np.arange(codes.bits + 1) / codes.bits
    mean = float(every @ differs)
    variance = float(every @ (differs - mean) ** 2)
    if variance == 0:
        return 1.0
    coins = mean * (1 - mean) / variance
    most = radius / codes.bits * coins
    # the binomial distribution function at `most`, for numbers of coins that are not whole
    near = betainc(max(coins - most, 1e-9), most + 1, 1 - mean)
    return float(-np.expm1(-len(codes) * near))


def _alike(codes: Codes, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Bool `[n]`: whether the small grey versions of two thumbnails are nearly equal; a plain one is like no other."""
    thumbnails = codes.items["thumbnail"]
    kept: dict[int, Any] = {}
    for row in map(int, np.concatenate([rows, others])):
        if row not in kept:
            kept[row] = _grey(thumbnails[row].as_py())
    pairs = [(kept[int(a)], kept[int(b)]) for a, b in zip(rows, others, strict=True)]
    return np.array([a is not None and b is not None and a @ b > ALIKE for a, b in pairs], dtype=bool)


def _grey(data: bytes | None) -> np.ndarray | None:
    """Its small grey version as a vector of mean 0 and length 1; None where there is no picture, or a plain one."""
    try:
        image = decode((data or b"")[:THUMBNAIL_BYTES], "thumbnail", most_pixels=THUMBNAIL_PIXELS)
    except DataError:
        return None
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=float).ravel()
    grey -= grey.mean()
    length = float(np.linalg.norm(grey))
    return grey / length if length else None
