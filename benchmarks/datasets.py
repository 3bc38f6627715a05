"""Two image data sets as Parquet files that `codelab train` and `codelab export` read.

    python benchmarks/datasets.py fashion --out runs/data/fashion.parquet
    python benchmarks/datasets.py emoji5v emoji5v.npz --out runs/data/emoji5v.parquet

Fashion-MNIST (70,000 grey images of 28 pixels, MIT) is read from the IDX files that Debian's package
`dataset-fashion-mnist` installs; `--folder` names another place. emoji5v is an array file of 17,621 drawings of 64
pixels of the same emoji by five vendors; its halves are split by emoji, and exact duplicates are dropped.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from codelab.core.errors import UsageError
from codelab.core.io import atomic_path
from codelab.core.progress import counter

CLOTHES = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"]
FASHION = Path("/usr/share/datasets/fashion-mnist")
ROWS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True)
    fashion = commands.add_parser("fashion", allow_abbrev=False)
    fashion.add_argument("--folder", type=Path, default=FASHION)
    fashion.set_defaults(read=lambda options: fashion_mnist(options.folder))
    emoji = commands.add_parser("emoji5v", allow_abbrev=False)
    emoji.add_argument("arrays", type=Path)
    emoji.set_defaults(read=lambda options: emoji5v(options.arrays))
    for sub in (fashion, emoji):
        sub.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pixels, columns = options.read(options)
    write(options.out, pixels, columns)
    print(f"{options.out}: {len(pixels)} images")


def fashion_mnist(folder: Path) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Pixels `[N, 28, 28]` and the columns label and split."""
    parts = {"train": "train", "test": "t10k"}
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; install Debian's dataset-fashion-mnist, or name it by --folder")
    pixels = [_idx(folder, f"{name}-images-idx3-ubyte", 16).reshape(-1, 28, 28) for name in parts.values()]
    labels = [_idx(folder, f"{name}-labels-idx1-ubyte", 8) for name in parts.values()]
    split = [name for name, part in zip(parts, pixels, strict=True) for _ in part]
    return np.concatenate(pixels), {"label": [CLOTHES[i] for i in np.concatenate(labels)], "split": split}


def _idx(folder: Path, name: str, header: int) -> np.ndarray:
    packed = folder / f"{name}.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    return np.frombuffer(data, np.uint8, offset=header)


def emoji5v(path: Path) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Pixels `[N, 64, 64, 3]` and the columns label (category), split, emoji, and the attributes."""
    with np.load(path, allow_pickle=False) as arrays:
        a = {name: arrays[name] for name in arrays.files}
    seen: dict[bytes, int] = {}
    for i, image in enumerate(a["X"]):
        seen.setdefault(hashlib.sha256(image.tobytes()).digest(), i)
    rows = np.array(sorted(seen.values()))
    names = json.loads(str(a["attr_names"]))
    # an emoji without its skin tone: all tones and vendors of one emoji fall into the same half
    emoji = ["-".join(p for p in code.split("-") if not "1F3FB" <= p <= "1F3FF") for code in a["uni"][rows]]
    columns = {
        "label": [names["category"][v] for v in a["attr_category"][rows]],
        "split": ["test" if hashlib.sha256(e.encode()).digest()[0] < 128 else "train" for e in emoji],
        "emoji": emoji,
        "name": a["name"][rows].tolist(),
        "subcategory": a["classes"][a["y"][rows]].tolist(),
    }
    for key in ("vendor", "tone", "gender", "colour"):
        columns[key] = [names[key][v] for v in a[f"attr_{key}"][rows]]
    return a["X"][rows], columns


def write(path: Path, pixels: np.ndarray, columns: dict[str, list[str]]) -> None:
    """One Parquet file with the images as PNG, a thousand a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([("image", pa.binary()), *((name, pa.string()) for name in columns)])
    with atomic_path(path) as part, pq.ParquetWriter(part, schema) as writer:
        for images, rows in _blocks(pixels):
            writer.write_table(
                pa.table([images, *(values[rows] for values in columns.values())], schema=schema), row_group_size=ROWS
            )


def _blocks(pixels: np.ndarray) -> Iterator[tuple[list[bytes], slice]]:
    with counter("writing images", len(pixels), show=True) as advance:
        for start in range(0, len(pixels), ROWS):
            rows = slice(start, start + ROWS)
            images = []
            for image in pixels[rows]:
                out = io.BytesIO()
                Image.fromarray(image).save(out, "PNG")
                images.append(out.getvalue())
            yield images, rows
            advance(len(images))


if __name__ == "__main__":
    main()
