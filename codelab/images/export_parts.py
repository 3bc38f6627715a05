"""The parts of an export on disk: which are finished, which may be removed, and how they become the output."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from codelab import __version__
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.files import EXPORT_KEY, KEY, PART_KEY, merge, write
from codelab.core.io import check_output, check_parent, remove_unfinished
from codelab.core.seal import SEALED, check_seal
from codelab.images.imageset import ImageSet
from codelab.images.statistics import NAMES

_NAME = re.compile(r"part-[0-9]{5,}\.parquet|\.part-[0-9]{5,}\.parquet\.codelab-.*\.tmp")
_UNREADABLE = (OSError, ValueError, pa.ArrowException)


@dataclass
class Parts:
    """The parts of one export, in the folder `OUT.parts`.

    Args:
        out: the output, a `.parquet` file or a folder.
        about: its provenance.
        rows: the rows of each part.
        keys: a hash of everything each part is made from.
        columns: names that each part must have.
    """

    out: Path
    about: dict[str, Any]
    rows: list[range]
    keys: list[str]
    columns: set[str]
    kept: int = 0

    @classmethod
    def of(
        cls, images: ImageSet, out: Path, about: dict[str, Any], options: dict[str, Any], encoder: str, size: int
    ) -> Parts:
        """The parts of `size` images each, for an encoder's SHA-256 and the options of an export."""
        rows = [range(start, min(start + size, len(images))) for start in range(0, len(images), size)]
        columns = {*images.items.column_names, "label", "code"}
        columns |= {name for name in ("logits", "features") if options[name]}
        columns |= {"thumbnail"} if options["thumbnails"] else set()
        columns |= {*NAMES} if options["statistics"] else set()
        return cls(out, about, rows, [_part_key(encoder, images, block, options) for block in rows], columns)

    @property
    def folder(self) -> Path:
        return self.out.with_name(self.out.name + ".parts")

    @property
    def paths(self) -> list[Path]:
        return self._in(self.folder)

    def _in(self, folder: Path) -> list[Path]:
        return [folder / f"part-{number:05d}.parquet" for number in range(len(self.rows))]

    def words(self) -> str:
        """What is kept where the export is stopped."""
        return f"{self.kept} of {len(self.rows)} parts are kept in {self.folder}; the same call goes on from there"

    def already(self) -> list[str] | None:
        """The unreadable images of an output that is finished and whole; None where it is not, or is another."""
        if self.out.suffix == ".parquet":
            head = _whole(self.out)
            return head.get("skipped") if head.get(EXPORT_KEY) == self._key() else None
        if not self.out.is_dir() or {*self.out.iterdir()} != {*self._in(self.out)}:
            return None
        found = [self._unread(number, part) for number, part in enumerate(self._in(self.out))]
        return None if None in found else [line for lines in found for line in lines or ()]

    def take_folder(self) -> None:
        """Make the folder of parts, or check that it is ours and empty it of other exports.

        Raises:
            UsageError: it holds something that is no part of an export.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        there = sorted(self.folder.iterdir())
        if foreign := _foreign(there):
            raise UsageError(f"{self.folder}: holds {foreign}, which is no part of an export; move it away")
        for file in set(there) - set(self.paths):
            file.unlink()

    def finished(self, number: int) -> list[str] | None:
        """The unreadable images of a part that an earlier call finished; None where there is no such part, whole."""
        found = self._unread(number, self.paths[number])
        self.kept += found is not None
        return found

    def _unread(self, number: int, part: Path) -> list[str] | None:
        head = _whole(part, self.columns)
        bad = head.get("bad")
        if head.get(PART_KEY) != self.keys[number] or not isinstance(bad, list):
            return None
        return bad if head["rows"] + len(bad) == len(self.rows[number]) else None

    def write(self, number: int, codes: Codes) -> None:
        """Write a part."""
        codes.meta[PART_KEY] = self.keys[number]
        write(codes, self.paths[number])
        self.kept += 1

    def finish(self, more: dict[str, Any]) -> None:
        """Turn the parts into the output, with `more` provenance, and remove their folder."""
        if self.out.suffix == ".parquet":
            merge(self.paths, self.out, {**self.about, **more, EXPORT_KEY: self._key()}, keys=self.keys)
            self.remove()
            return
        if self.out.is_dir():
            _remove(self.out, list(self.out.iterdir()))  # parts of an earlier export, as `check_free` saw
        remove_unfinished(self.folder)
        self.folder.rename(self.out)

    def remove(self) -> None:
        """Remove the parts."""
        _remove(self.folder, self.paths)

    def _key(self) -> str:
        return hashlib.sha256(json.dumps([self.keys, self.about]).encode()).hexdigest()


def check_place(out: str | Path) -> None:
    """Refuse, before any work is done, an output that cannot be.

    Raises:
        UsageError: its name, or its folder, will not do.
    """
    path = Path(out)
    if not str(out) or path.suffix == ".parquet":
        check_output(out)
    elif path.suffix or path.is_file():
        raise UsageError(f"{out}: expected a file ending in .parquet, or a new folder without a dot in its name")
    else:
        if path.is_dir() and (foreign := _foreign(sorted(path.iterdir()))):
            raise UsageError(f"{out}: a folder that is not empty, it holds {foreign}; name a new one")
        check_parent(path)


def check_free(out: Path, *, overwrite: bool) -> None:
    """Refuse an output that is there already and may not be replaced.

    Raises:
        UsageError: it is.
    """
    if not overwrite and (any(out.iterdir()) if out.is_dir() else out.exists()):
        raise UsageError(f"{out}: is there already, made from something else; --overwrite replaces it")


def _foreign(files: list[Path]) -> str | None:
    """The first of these that is no part of an export, nor a temporary file of one."""
    return next((file.name for file in files if not _is_part(file)), None)


def _is_part(file: Path) -> bool:
    if not _NAME.fullmatch(file.name) or file.is_symlink() or not file.is_file():
        return False
    try:
        raw = (pq.read_schema(file).metadata or {}).get(KEY)
        return raw is not None and PART_KEY in json.loads(raw)
    except _UNREADABLE:
        return True  # a damaged one of ours: it has our name, in our folder, and cannot be read


def _remove(folder: Path, parts: list[Path]) -> None:
    """Remove these parts, and their folder where nothing else is in it."""
    for part in parts:
        part.unlink(missing_ok=True)
    remove_unfinished(folder)
    with suppress(OSError):
        folder.rmdir()


def _whole(path: Path, columns: set[str] | None = None) -> dict[str, Any]:
    """The provenance of a codes file that is read to its end, and its number of `rows`; empty where it cannot be."""
    try:
        sealed = check_seal(path) == SEALED  # then all of it was read
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            head = json.loads((file.schema_arrow.metadata or {})[KEY])
            if columns is None or set(file.schema_arrow.names) == columns:
                rows = file.metadata.num_rows if sealed else sum(b.num_rows for b in file.iter_batches())
                return {**head, "rows": rows}
    except (KeyError, TypeError, DataError, *_UNREADABLE):
        pass
    return {}


def _part_key(encoder_sha256: str, images: ImageSet, rows: range, options: dict[str, Any]) -> str:
    """A hash of everything a part is made from; a file whose size or time has changed gives another key."""
    digest = hashlib.sha256(json.dumps([__version__, encoder_sha256, options, images.classes]).encode())
    digest.update(repr([(str(table), _version(table)) for table in images.tables]).encode())
    items = images.items.slice(rows.start, len(rows))
    for record, label in zip(items.to_pylist(), images.labels[rows.start : rows.stop].tolist(), strict=True):
        digest.update(repr((record, label, _version(Path(record["path"])))).encode())
    return digest.hexdigest()


def _version(file: Path) -> tuple[int, int] | None:
    """Size and time of a file, None where there is none."""
    if not file.is_file():
        return None
    status = file.stat()
    return status.st_size, status.st_mtime_ns
