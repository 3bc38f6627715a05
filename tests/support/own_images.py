"""A folder of classes as a user has one: drawings in many formats and modes, and one file that is cut short."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image

from codelab.images.openmoji import demo_images

CLASSES = ("Animals & Nature", "Food & Drink", "Objects")
SIDES = (48, 64, 90, 130)
MODES = ("RGBA", "P", "L", "CMYK", "RGB", "LA")
ENDINGS = {"RGBA": ".png", "P": ".gif", "L": ".jpg", "CMYK": ".jpg", "RGB": ".webp", "LA": ".png"}
BROKEN = "objects/broken.jpg"


def own_images(folder: Path, each: int = 30) -> Path:
    """`each` drawings a class in subfolders, in turn of every mode and size; `cat.jpg` beside the folder is one."""
    images = demo_images()
    modes, sides = cycle(MODES), cycle(SIDES)
    for name in CLASSES:
        room = folder / name.split()[0].lower()
        room.mkdir(parents=True)
        for row in np.flatnonzero(images.labels == images.classes.index(name))[:each].tolist():
            mode, side = next(modes), next(sides)
            drawing = images.image(row).resize((side, side * 3 // 4))
            _in_mode(drawing, mode).save(room / f"{images.items['id'][row].as_py()}{ENDINGS[mode]}")
    cat = images.items["name"].to_pylist().index("cat face")
    images.image(cat).save(folder.parent / "cat.jpg")
    whole = (folder.parent / "cat.jpg").read_bytes()
    (folder / BROKEN).write_bytes(whole[: len(whole) // 3])
    return folder


def _in_mode(drawing: Image.Image, mode: str) -> Image.Image:
    """The drawing in this mode; where the mode has an alpha channel, its white ground is transparent."""
    if mode in ("RGBA", "LA"):
        alpha = Image.fromarray(np.where(np.asarray(drawing).min(2) > 250, 0, 255).astype(np.uint8))
        drawing = drawing.convert(mode)
        drawing.putalpha(alpha)
        return drawing
    return drawing.convert(mode)
