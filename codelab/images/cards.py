"""One image as a person meets it, in the explorer and in the report: a small picture, a caption, the details."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from codelab.core.codes import RESERVED, Codes
from codelab.core.errors import DataError
from codelab.images.imageset import decode
from codelab.images.picture import open_picture

LARGEST = 160
"""Longest side in pixels of a picture that is shown; a larger one is made smaller first."""

_KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
"""Formats that every browser shows."""


@dataclass(frozen=True)
class Card:
    """An image to show.

    Args:
        row: its row among the codes.
        id: its id.
        picture: a data URI, or empty where there is no picture.
        caption: its `name` attribute where there is one, else its id.
        label: its class, or its classes; empty where it has none.
        details: class and attributes, one a line.
        missing: why there is no picture.
    """

    row: int
    id: str
    picture: str
    caption: str
    label: str
    details: str
    missing: str = ""


def card(codes: Codes, row: int) -> Card:
    """The card of one item; its picture is the thumbnail kept with the codes, else the file its `path` names."""
    item = {
        name: codes.items[name][row].as_py() for name in codes.items.column_names if name not in ("thumbnail", "split")
    }
    label = label_text(codes, row)
    lines = [str(item["id"]), *([f"class: {label}"] if label else [])]
    lines += [f"{name}: {value}" for name, value in item.items() if name not in RESERVED and value not in (None, "")]
    picture, missing = _picture(codes, row, item.get("path"))
    caption = str(item.get("name") or item["id"])
    return Card(row, str(item["id"]), picture, caption, label, "\n".join(lines), missing)


def label_text(codes: Codes, row: int) -> str:
    """The class of an item in words; several are joined by commas."""
    if codes.multilabel:
        return ", ".join(name for name, has in zip(codes.classes, codes.labels[row], strict=True) if has)
    return codes.classes[codes.labels[row]] if codes.labels[row] >= 0 else ""


def picture_uri(data: bytes, name: str) -> str:
    """Encoded image bytes as a data URI that a browser shows, at most `LARGEST` pixels a side.

    Raises:
        DataError: the bytes are not a whole image.
    """
    image = decode(data, name)
    with open_picture(data) as file:
        kind = _KINDS.get(file.format or "")
    if kind is None or max(image.size) > LARGEST:
        image.thumbnail((LARGEST, LARGEST))
        out = io.BytesIO()
        image.save(out, "WEBP", quality=85)
        data, kind = out.getvalue(), "image/webp"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _picture(codes: Codes, row: int, path: str | None) -> tuple[str, str]:
    """The picture, or why there is none."""
    data = codes.items["thumbnail"][row].as_py() if "thumbnail" in codes.items.column_names else None
    try:
        if data:
            return picture_uri(data, f"thumbnail of row {row}"), ""
        if path and Path(path).is_file():
            return _file_uri(str(path), Path(path).stat().st_mtime_ns), ""
    except (DataError, OSError):
        return "", "picture cannot be read"
    return "", "no picture kept"


@lru_cache(maxsize=2048)
def _file_uri(path: str, changed: int) -> str:
    """The picture of a file; a photograph takes long to decode, so it is kept until the file changes."""
    return picture_uri(Path(path).read_bytes(), path)
