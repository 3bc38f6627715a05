"""Drawn images whose factors are known, exported as any images are, with a code planted from the factors."""

from __future__ import annotations

import dataclasses
import io
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from codelab.core.bits import pack_bits
from codelab.core.codes import Codes
from codelab.core.files import load
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.export import export
from codelab.images.imageset import ImageSet

SIDE = 32
SHAPES = ("disc", "square", "triangle")
COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}
PLACES = ("left", "right")
TEXTURES = ("plain", "striped")
SIZES = {"small": 12, "large": 15}
PAPERS = {"grey": 150, "white": 235}
INSTANCES = 4
"""Things of each shape, hue, texture and size; each is drawn once on the left and once on the right."""

PLANTED = ("hue = red", "not a disc", "right", "striped", "large", "red disc", "white paper")
"""What the first bits say; the others are coins, the same in both drawings of a thing in 19 of 20."""
COINS = 5


def factors() -> dict[str, np.ndarray]:
    """The factors of all drawings, one after the other, and the thing that each is of."""
    every = list(itertools.product(SHAPES, COLOURS, TEXTURES, SIZES, range(INSTANCES), PLACES))
    names = ("shape", "hue", "texture", "size", "instance", "position")
    found = {name: np.array(values) for name, values in zip(names, zip(*every, strict=True), strict=True)}
    found["thing"] = np.array([f"thing {i // 2}" for i in range(len(every))])
    found["paper"] = np.array(list(PAPERS))[np.random.default_rng(3).integers(0, 2, len(every) // 2).repeat(2)]
    del found["instance"]
    return found


def drawing(shape: str, hue: str, texture: str, size: str, position: str, paper: str) -> Image.Image:
    """A shape on grey or white paper; stripes are rows of half its colour."""
    image = Image.new("RGB", (SIDE, SIDE), (PAPERS[paper],) * 3)
    side, colour = SIZES[size], COLOURS[hue]
    x, y = (1 if position == "left" else SIDE - 1 - side), (SIDE - side) // 2
    box = (x, y, x + side - 1, y + side - 1)
    mask = Image.new("1", (SIDE, SIDE))
    pen = ImageDraw.Draw(mask)
    if shape == "triangle":
        pen.polygon([(x, y + side - 1), (x + side - 1, y + side - 1), (x + side // 2, y)], fill=1)
    else:
        (pen.ellipse if shape == "disc" else pen.rectangle)(box, fill=1)
    paint = np.full((SIDE, SIDE, 3), colour, np.uint8)
    if texture == "striped":
        paint[::2] //= 2
    image.paste(Image.fromarray(paint), mask=mask)
    return image


def exported(folder: Path) -> Codes:
    """The drawings, encoded by an untrained encoder with features and image statistics; the class is the shape."""
    known = factors()
    kinds = [known[name] for name in ("shape", "hue", "texture", "size", "position", "paper")]

    def read(i: int) -> bytes:
        out = io.BytesIO()
        drawing(*(str(values[i]) for values in kinds)).save(out, "PNG")
        return out.getvalue()

    n = len(known["thing"])
    items = {"id": [str(i) for i in range(n)], "path": [f"drawing {i}" for i in range(n)]}
    items |= {name: values.tolist() for name, values in known.items() if name != "shape"}
    labels = np.array([SHAPES.index(shape) for shape in known["shape"]], np.int32)
    images = ImageSet("drawings", pa.table(items), labels, SHAPES, read)
    encoder = Encoder(EncoderConfig(bits=16, image_size=SIDE, width=4, hidden=16), seed=0)
    export(
        *(encoder, images, folder / "codes.parquet"),
        features=True,
        statistics=True,
        workers=1,
        device="cpu",
        progress=False,
    )
    return load(folder / "codes.parquet")


def planted(codes: Codes) -> Codes:
    """The exported items with the planted code; the logit of a bit is surer where the drawing is large."""
    known, rng = factors(), np.random.default_rng(0)
    red, disc = known["hue"] == "red", known["shape"] == "disc"
    coins = rng.integers(0, 2, (len(codes) // 2, COINS)).repeat(2, axis=0) ^ (rng.random((len(codes), COINS)) < 0.05)
    bits = np.column_stack(
        [
            *(red, ~disc, known["position"] == "right", known["texture"] == "striped", known["size"] == "large"),
            *(red & disc, known["paper"] == "white", coins),
        ]
    ).astype(bool)
    sure = rng.uniform(0.1, 1, bits.shape) + (known["size"] == "large")[:, None]
    logits = np.where(bits, sure, -sure).astype(np.float16)
    return dataclasses.replace(codes, packed=pack_bits(bits), bits=bits.shape[1], logits=logits)
