"""One image as a person meets it, in the explorer and in the report: a small picture, a caption, the details."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from codelab.core.codes import RESERVED, Codes
from codelab.core.errors import DataError
from codelab.core.inside import inside
from codelab.images.imageset import decode
from codelab.images.picture import MOST_PIXELS, THUMBNAIL_BYTES, THUMBNAIL_PIXELS, TooManyPixelsError

LARGEST = 160
"""Longest side in pixels of a picture that is shown; a larger one is made smaller first."""

MOST_BYTES = 1 << 16
"""Encoded bytes of a picture that is shown as it is, at most: a short film of small frames has more."""

_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}
"""Formats that every browser shows, by their first bytes."""


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


def card(codes: Codes, row: int, pictures: Path | None = None) -> Card:
    """The card of one item; its picture is the thumbnail kept with the codes, else the file its `path` names.

    A codes file from a stranger may name any file as a picture, so only files in the folder `pictures` are opened,
    with links resolved; where it is None, none is.
    """
    item = {
        name: codes.items[name][row].as_py() for name in codes.items.column_names if name not in ("thumbnail", "split")
    }
    label = label_text(codes, row)
    lines = [str(item["id"]), *([f"class: {label}"] if label else [])]
    lines += [f"{name}: {value}" for name, value in item.items() if name not in RESERVED and value not in (None, "")]
    picture, missing = _picture(codes, row, item.get("path"), pictures)
    caption = str(item.get("name") or item["id"])
    return Card(row, str(item["id"]), picture, caption, label, "\n".join(lines), missing)


def label_text(codes: Codes, row: int) -> str:
    """The class of an item in words; several are joined by commas."""
    if codes.multilabel:
        return ", ".join(name for name, has in zip(codes.classes, codes.labels[row], strict=True) if has)
    return codes.classes[codes.labels[row]] if codes.labels[row] >= 0 else ""


def attribution(codes: Codes) -> str:
    """Whom to credit where the images are shown, on one line; empty where the codes name nobody."""
    data = codes.meta.get("data")
    named = data.get("attribution") if isinstance(data, dict) else None
    return " ".join(str(named or "").split())


def picture_uri(data: bytes, name: str, *, most_pixels: int = MOST_PIXELS) -> str:
    """Encoded image bytes as a data URI that a browser shows, at most `LARGEST` pixels a side.

    Raises:
        DataError: the bytes are not a whole image, or it has more than `most_pixels` pixels.
    """
    image = decode(data, name, most_pixels=most_pixels, shown=2 * LARGEST)  # so a larger one stays larger
    kind = next((kind for head, kind in _KINDS.items() if data.startswith(head)), None)
    if kind is None or max(image.size) > LARGEST or len(data) > MOST_BYTES:
        image.thumbnail((LARGEST, LARGEST))
        out = io.BytesIO()
        image.save(out, "WEBP", quality=85)
        data, kind = out.getvalue(), "image/webp"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _picture(codes: Codes, row: int, path: str | None, pictures: Path | None) -> tuple[str, str]:
    """The picture, or why there is none."""
    data = codes.items["thumbnail"][row].as_py() if "thumbnail" in codes.items.column_names else None
    try:
        if data and len(data) > THUMBNAIL_BYTES:
            return "", "picture too large to show"
        if data:
            made = _thumbnail_uri if len(data) <= MOST_BYTES else _thumbnail_uri.__wrapped__
            return made(data), ""
        file = picture_file(path, pictures) if path and pictures else None
        if file is not None:
            return _file_uri(str(file), file.stat().st_mtime_ns), ""
    except TooManyPixelsError:
        return "", "picture too large to show"
    except (DataError, OSError):
        return "", "picture cannot be read"
    return "", "no picture kept"


def picture_file(path: str, pictures: Path) -> Path | None:
    """The file that an item's `path` names, seen from `pictures` or the working directory; None outside `pictures`."""
    file = inside(path, pictures) or inside(Path.cwd() / path, pictures)
    return file if file is not None and file.is_file() else None


@lru_cache(maxsize=2048)
def _thumbnail_uri(data: bytes) -> str:
    return picture_uri(data, "thumbnail", most_pixels=THUMBNAIL_PIXELS)


@lru_cache(maxsize=2048)
def _file_uri(path: str, changed: int) -> str:
    """The picture of a file; a photograph takes long to decode, so it is kept until the file changes."""
    return picture_uri(Path(path).read_bytes(), path)
