"""Shared by all tests: a folder of small real pictures, and one cache for the drawn demo set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codelab.kernels import loops

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="session")
def _no_line_on_compiling():
    """Kernels say on stderr that they compile, once on each machine: tests look for their own lines there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "_announce_compilation", lambda: None)
        yield


def draw(kind: str, seed: int, size: int = 24) -> Image.Image:
    """A disc or a bar in a colour of its own on white: two classes that a code can tell apart."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    cx, cy = rng.uniform(size * 0.3, size * 0.7, 2)
    mask = (x - cx) ** 2 + (y - cy) ** 2 < (size / 4) ** 2 if kind == "disc" else abs(x - cx) < size / 8
    pixels = np.full((size, size, 3), 255, dtype=np.uint8)
    pixels[mask] = rng.integers(0, 200, 3)
    return Image.fromarray(pixels)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """`root/class/*.png`: 2 classes, 6 pictures each."""
    root = tmp_path / "pictures"
    for kind in ("bar", "disc"):
        (root / kind).mkdir(parents=True)
        for seed in range(6):
            draw(kind, seed).save(root / kind / f"{seed}.png")
    return root
