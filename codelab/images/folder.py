"""What a folder of images holds: every image once, and a line for everything that may be one and is not read."""

from __future__ import annotations

import mimetypes
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from codelab.core.errors import DataError, few, printable
from codelab.images.picture import open_picture

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".avif", ".avifs"),
)
"""Endings of the formats that `open_picture` reads."""

OTHER_PICTURES = (
    *(".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".jxl", ".heic", ".heif", ".hif", ".tga", ".icb", ".vda"),
    *(".vst", ".ico", ".cur", ".icns", ".dib", ".dds", ".pcx", ".sgi", ".qoi", ".psd", ".psb", ".xcf", ".svg"),
    *(".svgz", ".eps", ".ps", ".ai", ".exr", ".hdr", ".fits", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf"),
    *(".rw2", ".raf", ".pef", ".srw"),
)
"""Endings of pictures that are not read."""

_HEAD = 1 << 16
_PART = re.compile(r"part-[0-9]+\.parquet")
_NOT_UTF8 = "its name is not UTF-8"


@dataclass
class Found:
    """The files below a folder, in order of their paths.

    Args:
        images: to read.
        tables: `.parquet` files, but for the unfinished parts of an export.
        left_out: path -> reason, of what may be an image and is not read.
    """

    images: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def find_files(root: Path) -> Found:
    """Walk a folder; links are followed, and no folder is read twice.

    Hidden files and folders, and files that are plainly no pictures, count for nothing. A file of an unknown ending is
    looked into: an image that would be missed is left out with a reason.

    Raises:
        DataError: the name of `root` is not UTF-8, which the ids and paths of codes are.
    """
    if not _is_utf8(root):
        raise DataError(f"{root}: its name is not UTF-8")
    found = Found()
    names_of = {_key(root): str(root)}

    def unreadable(error: OSError) -> None:
        found.left_out[str(error.filename)] = error.strerror or str(error)

    def is_new(folder: Path) -> bool:
        if not _is_utf8(folder):
            found.left_out[printable(str(folder))] = _NOT_UTF8
            return False
        try:
            key = _key(folder)
        except OSError as error:
            unreadable(error)
            return False
        if key not in names_of:
            names_of[key] = str(folder)
            return True
        if folder.resolve() not in folder.parent.resolve().parents and folder.resolve() != folder.parent.resolve():
            found.left_out[str(folder)] = f"the same folder as {names_of[key]}"
        return False  # a link back to a folder above leaves nothing out

    for folder, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        here = Path(folder)
        folders[:] = [name for name in sorted(folders) if not name.startswith(".") and is_new(here / name)]
        for name in sorted(names):
            if not name.startswith("."):
                _sort_in(here / name, found)
    found.tables.sort()
    return found


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _key(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _sort_in(file: Path, found: Found) -> None:
    ending = file.suffix.lower()
    if ending in (*SUFFIXES, ".parquet") and not _is_utf8(file):
        found.left_out[printable(str(file))] = _NOT_UTF8
    elif ending in SUFFIXES:
        found.images.append(file)
    elif ending == ".parquet":
        if not (file.parent.suffix == ".parts" and _PART.fullmatch(file.name)):
            found.tables.append(file)
    elif ending in OTHER_PICTURES or _type(ending).startswith("image/"):
        found.left_out[str(file)] = f"{ending} is not read"
    elif file.is_symlink() and not file.exists():
        found.left_out[str(file)] = "a link to nothing"
    elif not _type(ending) and file.is_file():
        try:
            with file.open("rb") as opened:
                head = opened.read(_HEAD)
        except OSError as error:
            found.left_out[str(file)] = error.strerror or str(error)
            return
        if _is_picture(head):
            found.left_out[str(file)] = f"a picture whose name ends in {ending or 'nothing'}"


@lru_cache(maxsize=1024)
def _type(ending: str) -> str:
    """The media type that Python's own table has for an ending, empty where it has none."""
    kind, packed = mimetypes.MimeTypes(filenames=()).guess_type(f"x{ending}")
    return kind or packed or ""


def _is_picture(head: bytes) -> bool:
    try:
        open_picture(head)
    except Exception:  # decoders raise anything on what is no picture
        return False
    return True


def words(left_out: dict[str, str]) -> str:
    """How many are left out, and why.

    Example:
        >>> words({"a/1.heic": ".heic is not read", "a/2.heic": ".heic is not read", "b": "Permission denied"})
        '3 files or folders left out: 2 (.heic is not read): a/1.heic, a/2.heic; 1 (Permission denied): b'
    """
    reasons = Counter(left_out.values())
    texts = []
    for reason, n in reasons.most_common():
        texts.append(f"{n} ({reason}): {few([path for path, why in left_out.items() if why == reason], 2)}")
    what = "1 file or folder" if len(left_out) == 1 else f"{len(left_out)} files or folders"
    return f"{what} left out: {'; '.join(texts)}"
