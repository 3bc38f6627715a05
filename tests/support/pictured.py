"""Small codes with real pictures in them, and the encoder that made them: what the explorer and the report show."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa

from codelab.core.codes import Codes
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.export import export
from codelab.images.sources import open_images
from tests.conftest import draw

KINDS = ("bar", "disc")


def png(kind: str, seed: int) -> bytes:
    out = io.BytesIO()
    draw(kind, seed).save(out, "PNG")
    return out.getvalue()


def shapes(n: int = 80, bits: int = 12, *, thumbnails: bool = True, logits: bool = True, seed: int = 0) -> Codes:
    """Bars and discs: bit 3 says which, the other bits are coins; `twin` pairs items two by two."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    values = rng.normal(size=(n, bits))
    values[:, 3 % bits] = np.abs(values[:, 3 % bits]) * (2 * kind - 1)
    items = pa.table(
        {
            "id": [f"item-{i}" for i in range(n)],
            "name": [f"{KINDS[k]} number {i}" for i, k in enumerate(kind)],
            "shade": ["dark" if rng.random() < 0.5 else "light" for _ in range(n)],
            "twin": [f"pair-{i // 2}" for i in range(n)],
        }
    )
    if thumbnails:
        pictures = pa.array([png(KINDS[k], i) for i, k in enumerate(kind)], pa.large_binary())
        items = items.append_column("thumbnail", pictures)
    labels = np.array(KINDS)[kind]
    if logits:
        return Codes.from_logits(values, labels=labels, classes=KINDS, items=items)
    return Codes.from_bits(values > 0, labels=labels, classes=KINDS, items=items)


def exported(folder: Path, bits: int = 16) -> Path:
    """`codes.parquet` of 40 drawn pictures with the checkpoint `encoder.safetensors` beside it."""
    for kind in KINDS:
        (folder / "pictures" / kind).mkdir(parents=True)
        for seed in range(20):
            draw(kind, seed).save(folder / "pictures" / kind / f"{seed}.png")
    encoder = Encoder(EncoderConfig(bits=bits, image_size=16, width=8, hidden=32, head_norm="none"), seed=3)
    encoder.save(folder / "encoder.safetensors")
    options = {"logits": True, "thumbnails": True, "workers": 1, "progress": False, "device": "cpu"}
    export(encoder, open_images(folder / "pictures"), folder / "codes.parquet", **options)
    return folder / "codes.parquet"


TWINS = (7, 40)
"""Items of `planted` that have one code."""


def planted(folder: Path, n: int = 80, bits: int = 24) -> None:
    """Bars and discs whose answers are known: `codes.parquet`, `other.parquet` and an encoder of as many bits.

    Bit 3 says which kind; bits 16 to 23 follow one coin, which makes two clusters on a map; all others are coins of
    their own. `TWINS` have one code. In `other.parquet` the bits stand in reverse.
    """
    codes = shapes(n, bits)
    rng = np.random.default_rng(1)
    coin = 2 * rng.integers(0, 2, n) - 1
    values = codes.logits.astype(np.float64)
    values[:, 16:] = np.abs(values[:, 16:]) * coin[:, None]
    values[TWINS[1]] = values[TWINS[0]]
    labels = codes.labels.copy()
    labels[TWINS[1]] = labels[TWINS[0]]
    for name, logits in (("codes", values), ("other", values[:, ::-1])):
        made = Codes.from_logits(logits, labels=labels, classes=KINDS, items=codes.items)
        made.save(folder / f"{name}.parquet")
    Encoder(EncoderConfig(bits=bits, image_size=16, width=8, hidden=32, head_norm="none"), seed=3).save(
        folder / "encoder.safetensors"
    )
    (folder / "disc.png").write_bytes(png("disc", 99))
