"""Simple statistics of a picture: what a bit may read that has nothing to do with meaning."""

from __future__ import annotations

import numpy as np
from PIL import Image

from codelab.core.codes import STATISTIC

SIDE = 64
"""Longest side in pixels that statistics are taken at: they are of the whole picture, and cost about a millisecond."""

EDGE = 0.1
"""Change of brightness from one pixel to the next, of 1, above which it counts as an edge."""

APART = 0.1
"""Difference from the colour of the border, of 1 in any channel, above which a pixel is foreground."""

GREY = 0.05
"""Mean saturation below which a picture has no hue."""

NAMES = tuple(
    STATISTIC + name for name in ("brightness", "contrast", "saturation", "hue", "edges", "foreground", "aspect")
)


def image_statistics(image: Image.Image) -> dict[str, float]:
    """Brightness, contrast, saturation, hue, edges, foreground and aspect of a picture, by the names in `NAMES`.

    `brightness` and `contrast` are mean and standard deviation of the luma, 0 to 1; `saturation` is the mean of
    HSV's S; `hue` the mean direction of HSV's H, each pixel weighted by its S and V, 0 to 1 (NaN for grey pictures);
    `edges` the share of pixels where the luma changes by more than `EDGE`; `foreground` the share that differs from
    the median colour of the border by more than `APART`; `aspect` is width / height.

    Args:
        image: RGB.

    Source: luma: ITU-R BT.601.

    Example:
        >>> found = image_statistics(Image.new("RGB", (40, 20), (255, 0, 0)))
        >>> {name.removeprefix(STATISTIC): round(value, 3) for name, value in found.items()}
        {'brightness': 0.299, 'contrast': 0.0, 'saturation': 1.0, 'hue': 0.0, 'edges': 0.0, 'foreground': 0.0, \
'aspect': 2.0}
    """
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    rgb = np.asarray(small, np.float64) / 255
    luma = rgb @ (0.299, 0.587, 0.114)
    hue, saturation, value = np.moveaxis(np.asarray(small.convert("HSV"), np.float64) / 255, 2, 0)
    direction = (saturation * value * np.exp(2j * np.pi * hue)).sum()
    coloured = saturation.mean() > GREY and abs(direction) > 0
    down, right = (np.abs(np.diff(luma, axis=axis, append=np.take(luma, [-1], axis))) for axis in (0, 1))
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    found = (
        luma.mean(),
        luma.std(),
        saturation.mean(),
        (np.angle(direction) / (2 * np.pi)) % 1 if coloured else np.nan,
        (np.maximum(down, right) > EDGE).mean(),
        (np.abs(rgb - np.median(border, axis=0)).max(axis=2) > APART).mean(),
        image.width / image.height,
    )
    return dict(zip(NAMES, map(float, found), strict=True))
