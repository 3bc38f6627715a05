"""What all pages share: the opened codes, what was measured on them, and how one gets from page to page."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from codelab.core.arrays import even_rows
from codelab.core.attributes import NO_GROUPS, attribute_names
from codelab.core.codes import Codes
from codelab.core.disk_cache import is_on_disk, on_disk
from codelab.core.errors import CodelabError
from codelab.core.files import load
from codelab.core.inside import inside
from codelab.core.result import Result
from codelab.core.run_folder import codes_file
from codelab.core.seal import file_sha256

if TYPE_CHECKING:  # what measures is imported beside the reading of the codes: see `app/ahead.py`
    from codelab.analysis.given import Given
    from codelab.analysis.section import Section
    from codelab.images.encoder import Encoder

FILE_LABELS = "the file's own"
NO_LABELS = "none"
MOST_CLASSES = 2000
T = TypeVar("T")
MANY = 100_000
"""Images above which the explorer asks before it measures what takes minutes, and measures on a sample."""
_measured_before: set[Hashable] = set()
"""What was measured since the start."""


@dataclass(frozen=True)
class View:
    """The codes as the sidebar asks for them.

    Args:
        path: where they were opened.
        key: changes whenever the file or the choice of labels does; what caches in memory go by.
        content: a hash of what the file holds; what the cache on disk goes by.
        codes: with the chosen labels.
        label: what the labels are, in a word.
        group: the attribute whose values count as one thing, in every measure too; None where all images differ.
        root: the only folder in which files that the codes name are opened.
        pictures: the only folder whose image files are shown.
    """

    path: Path
    key: Hashable
    content: str
    codes: Codes
    label: str
    group: str | None
    root: Path
    pictures: Path

    def results(self, sections: Iterable[Section]) -> dict[str, Result]:
        """Sections of `analyze`, each measured when a page first asks."""
        wanted = list(sections)
        new = [section for section in wanted if not self.is_measured("section", section.name)]
        bar = st.progress(0.0) if new else None
        found = {}
        for section in wanted:
            if bar is not None and section in new:
                bar.progress(new.index(section) / len(new), f"Measuring {section.words} …")
            found[section.name] = self.measured("section", section.name, make=partial(self._measure, section))
        if bar is not None:
            bar.empty()
        return found

    def _measure(self, section: Section) -> Result:
        from codelab.analysis.analyze import measured

        return measured(section, _given(self.key, self.group, self.codes))

    def kept(self, name: str, *arguments: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made once for all sessions; nobody may change it.

        Args:
            name, arguments: with the codes, the labels and the group of the view, all that `make` depends on.
        """
        return _kept(self.key, self.group, name, arguments, make)

    def measured(self, name: str, *arguments: Hashable, make: Callable[[], T]) -> T:
        """As `kept`, and on disk too: what takes long is there when the explorer starts again.

        Args:
            name, arguments: as JSON takes them.
            make: gives numbers, arrays or results of codelab.
        """
        found = self.kept(name, *arguments, make=lambda: on_disk(self._made_from(name, *arguments), make))
        _measured_before.add((self.key, self.group, name, *arguments))
        return found

    def is_measured(self, name: str, *arguments: Hashable) -> bool:
        """Whether `measured` need not measure it."""
        which = (self.key, self.group, name, *arguments)
        return which in _measured_before or is_on_disk(self._made_from(name, *arguments))

    def _made_from(self, *what: Hashable) -> dict[str, Any]:
        return {"codes": self.content, "labels": self.label, "group": self.group, "what": what}

    def lines(self) -> str:
        """The Python lines that open these codes with their labels."""
        lines = f"import codelab\nimport numpy as np\n\ncodes = codelab.load({str(self.path)!r})"
        if self.label == NO_LABELS:
            return f"from dataclasses import replace\n\n{lines}\ncodes = replace(codes, labels=None, classes=())"
        return lines if self.label == FILE_LABELS else f"{lines}\ncodes = codes.label_by({self.label!r})"

    def unnamed_copies(self) -> str:
        """Why these codes look as if they held near copies that nobody has named; empty where they do not."""
        from codelab.analysis.near_copies import unnamed_copies

        return "" if self.group else self.measured("copies", make=lambda: unnamed_copies(self.codes))

    @property
    def attributes(self) -> list[str]:
        """As `attribute_names` finds them, which reads every item column."""
        return self.kept("attributes", make=lambda: attribute_names(self.codes))

    @property
    def large(self) -> bool:
        """Whether what compares all images with each other or with many questions takes minutes."""
        return len(self.codes) > MANY

    @property
    def sample(self) -> Codes:
        """All codes, or an even sample of `MANY` of them."""
        if not self.large:
            return self.codes
        return self.kept("sample", make=lambda: without_pictures(self.codes)[self.sample_rows])

    @property
    def sample_rows(self) -> np.ndarray:
        return even_rows(len(self.codes), MANY)

    @property
    def sampled(self) -> str:
        """What to say of a result that `sample` gave."""
        return f"On an even sample of {MANY:,} images." if self.large else ""

    def encoder(self) -> Encoder | str:
        """The encoder that made these codes, or why there is none."""
        from codelab.core.files import find_checkpoint

        path = find_checkpoint(self.codes, self.path, root=self.root)
        if path is None:
            return (
                "Uploading needs the encoder that made these codes: put its checkpoint beside them "
                "as `encoder.safetensors`."
            )
        try:
            encoder = _encoder(str(path), path.stat().st_mtime_ns)
        except CodelabError as error:
            return f"Uploading needs the encoder that made these codes. {error}"
        except ModuleNotFoundError as error:
            return f"Uploading needs {error.name}: `pip install 'codelab[models]'`."
        if encoder.config.bits != self.codes.bits:
            return f"{path} gives {encoder.config.bits} bits; these codes have {self.codes.bits}."
        made_by = self.codes.meta.get("encoder")
        if isinstance(made_by, dict) and made_by.get("sha256", encoder.sha256) != encoder.sha256:
            return f"{path} is not the encoder that made these codes: its SHA-256 is another."
        return encoder


def without_pictures(codes: Codes) -> Codes:
    """The codes without their pictures: a copy of some rows is then quick and small."""
    names = [name for name in codes.items.column_names if name != "thumbnail"]
    return replace(codes, items=codes.items.select(names))


def codes_in(root: Path, named: str) -> Path | None:
    """The file or folder of codes that a name typed in a browser means; None where it or a link leads out of `root`.

    Raises:
        UsageError: a folder in `root` without codes.
    """
    path = inside(named, root)
    if path is None:
        return None
    path = codes_file(path)
    parts = path.glob("*.parquet") if path.is_dir() else [path]
    return path if all(inside(part.absolute(), root) for part in parts) else None


def stamp(path: Path) -> Hashable:
    """Changes when the file, or a file of the folder, is written anew, also where its size and time are kept."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return (
        str(path.resolve()),
        *(
            (f.name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
            for f in files
            if f.exists() and (s := f.stat())
        ),
    )


@st.cache_resource(show_spinner=False, max_entries=16)
def content_of(_path: Path, key: Hashable) -> str:
    """A hash of what a file or the files of a folder hold."""
    files = sorted(_path.glob("*.parquet")) if _path.is_dir() else [_path]
    return hashlib.sha256(" ".join(map(file_sha256, files)).encode()).hexdigest()


@st.cache_resource(show_spinner="Opening the codes …", max_entries=4)
def open_codes(_path: Path, key: Hashable) -> Codes:
    """The codes in a file; kept until the file changes.

    Raises:
        UsageError, DataError: as `codelab.load`.
    """
    return load(_path)


@st.cache_resource(show_spinner=False, max_entries=16)
def relabelled(_codes: Codes, key: Hashable, choice: str) -> Codes:
    """The codes with the labels chosen in the sidebar."""
    if choice == FILE_LABELS:
        return _codes
    if choice == NO_LABELS:
        return replace(_codes, labels=np.full(len(_codes), -1, dtype=np.int32), classes=())
    return _codes.label_by(choice)


@st.cache_resource(show_spinner=False, max_entries=16)
def label_choices(_codes: Codes, key: Hashable) -> list[str]:
    """What the sidebar offers as labels: the file's own, and attributes with few enough values to be classes."""
    choices = [FILE_LABELS] if _codes.labelled else []
    for name in _codes.attributes:
        if 2 <= _values(pc.drop_null(_codes.items[name])) <= min(MOST_CLASSES, max(2, len(_codes) // 2)):
            choices.append(name)
    return [*choices, NO_LABELS]


def _values(column: pa.ChunkedArray) -> int:
    """How many different values a column has; none where they are lists."""
    try:
        return len(pc.unique(column))
    except NotImplementedError:
        return 0


@st.cache_resource(show_spinner=False, max_entries=16)
def group_choices(_codes: Codes, key: Hashable) -> list[str]:
    """What the sidebar offers as groups of near copies: none, and the columns that tell some images apart."""
    return [NO_GROUPS, *(name for name in _codes.attributes if _values(_codes.items[name]) > 1)]


@st.cache_resource(show_spinner=False, max_entries=4)
def _given(key: Hashable, group: str | None, _codes: Codes) -> Given:
    """What is counted for one section serves the others."""
    from codelab.analysis.given import Given

    return Given.of(_codes, groups=group)


@st.cache_resource(show_spinner=False, max_entries=1000)
def _kept(key: Hashable, group: str | None, name: str, arguments: tuple[Hashable, ...], _make: Callable[[], T]) -> T:
    return _make()


@lru_cache
def command_line(*given: str) -> argparse.Namespace:
    """The options with which the explorer was started."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--codes", action="append")
    for name in ("--root", "--pictures"):
        parser.add_argument(name)
    return parser.parse_known_args(given)[0]


@st.cache_resource(show_spinner="Loading the encoder …", max_entries=2)
def _encoder(path: str, changed: int) -> Encoder:
    from codelab.images.encoder import Encoder

    return Encoder.load(path)
