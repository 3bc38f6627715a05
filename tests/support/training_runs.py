"""Small training runs for the tests: a config of seconds, drawings to train on, and what a run wrote."""

import dataclasses
import io
import json

import numpy as np
import pyarrow as pa
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file

from codelab.images.imageset import ImageSet
from training.config import TrainConfig
from training.data import Data

TINY = TrainConfig(
    backbone="conv", width=4, bits=16, hidden=32, head_norm="batch", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    image_size=16, store_size=16, local_views=1, local_size=8, local_scale=(0.3, 0.5), blur=(0.1, 0.1, 0), eps2=0.5,
    beta=0.2, reset_every=3, epochs=8, batch=16, lr=0.05, warmup_epochs=1, ema=0.9, log_every=4, device="cpu",
    precision="fp32", split="",
)  # fmt: skip


def drawing(i):
    """A shape of random kind, colour and place."""
    rng = np.random.default_rng(i)
    image = Image.new("RGB", (20, 20), "white")
    draw = ImageDraw.Draw(image)
    x, y, size = *rng.integers(1, 7, 2), rng.integers(8, 12)
    shape = (draw.ellipse, draw.rectangle)[rng.integers(2)]
    shape((x, y, x + size, y + size), fill=tuple(int(v) for v in rng.integers(0, 200, 3)))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def data_of(pixels, config=None):
    """Pixels `[n, 3, S, S]` as training data."""
    config = config or TINY

    def png(i):
        out = io.BytesIO()
        Image.fromarray(pixels[i].permute(1, 2, 0).numpy()).save(out, "PNG")
        return out.getvalue()

    return Data(dataclasses.replace(image_set(len(pixels)), read=png), config, torch.device("cpu"), show=False)


def image_set(n):
    """n drawings without labels."""
    items = pa.table({"id": [str(i) for i in range(n)], "path": [f"drawing {i}" for i in range(n)]})
    return ImageSet("drawings", items, np.full(n, -1, np.int32), (), drawing)


def broken(n, *bad):
    """n drawings, of which some cannot be read."""
    return dataclasses.replace(image_set(n), read=lambda i: b"" if i in bad else drawing(i))


def rows(run):
    """The readings of a run."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def values(rows, *names):
    """Some numbers of each reading."""
    return [[row[name] for name in names] for row in rows]


def same_tensors(a, b):
    """Two safetensors files must hold the same tensors, bit for bit."""
    a, b = load_file(a), load_file(b)
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name
