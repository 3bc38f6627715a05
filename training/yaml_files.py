"""YAML files from strangers: small, without aliases, and refused in one line where they cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from codelab.core.errors import UsageError, shortened

LARGEST = 1 << 16
"""Bytes of a config file; every field with its documentation takes 10 kB."""
_ERRORS = (
    *(yaml.YAMLError, UnicodeDecodeError, RecursionError, MemoryError),
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError),  # dates, numbers and tags that are none
)


class _Loader(yaml.SafeLoader):
    """Refuses aliases, with which a line can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.YAMLError(f"an alias in line {mark.line + 1}, expected the value itself")
        return super().compose_node(parent, index)


def read_yaml(path: str | Path) -> tuple[Any, str | None]:
    """What a file holds, and a key that its outermost mapping has twice: YAML silently takes the last one.

    Raises:
        UsageError: the file cannot be read, is too large, or is not YAML of plain values without aliases.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > LARGEST:
        raise UsageError(f"{path}: more than {LARGEST} bytes, expected a config file")
    try:
        loader = _Loader(data.decode())
        node = loader.get_single_node()
        loaded = None if node is None else loader.construct_document(node)
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        keys = [str(key.value).replace("-", "_") for key, _ in pairs]
    except _ERRORS as error:
        words = shortened(" ".join(str(error).split()), 300) or type(error).__name__
        raise UsageError(f"{path}: not YAML ({words})") from None
    return loaded, next((key for i, key in enumerate(keys) if key in keys[:i]), None)
