"""Named tensors and a JSON header in one safetensors file: written atomically, read without executing code.

The header is JSON under the metadata key `codelab`. Its `format` is the version of the file, its `kind` says what the
tensors are (an encoder, a checkpoint), and other entries belong to the caller.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from codelab.core.errors import DataError, UsageError, few, first_line
from codelab.core.io import atomic_path

FORMAT = 1
"""Version of the file; another version is refused."""


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors, of any device, and their header.

    Args:
        path: the file; an old one is replaced.
        tensors: by name, of any shape and dtype.
        header: JSON values, among them `format` and `kind`.

    Raises:
        DataError: the file cannot be written; the disk may be full.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_path(path) as part:
            save_file(plain, part, metadata={"codelab": json.dumps(header)})
    except SafetensorError as error:  # a full disk
        raise DataError(f"{path}: cannot be written ({first_line(error)})") from None


def read_tensors(path: str | Path, *, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors, on the CPU, of a file that `write_tensors` wrote.

    Args:
        path: the file.
        kind: the `kind` its header must have.

    Raises:
        UsageError: there is no such file.
        DataError: the file is not safetensors, is truncated, or has another format version or kind.

    Example:
        >>> write_tensors("/tmp/weights.safetensors", {"w": torch.ones(2)}, {"format": FORMAT, "kind": "weights"})
        >>> header, tensors = read_tensors("/tmp/weights.safetensors", kind="weights")
        >>> tensors["w"].tolist()
        [1.0, 1.0]
    """
    with _opened(path, kind) as (header, file):
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)


@contextmanager
def _opened(path: str | Path, kind: str) -> Iterator[tuple[dict[str, Any], Any]]:
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("codelab", "null"))
            if not isinstance(header, dict):
                raise DataError(f"{path}: a safetensors file, but not one of codelab")
            if header.get("format") != FORMAT:
                raise DataError(f"{path}: checkpoint format {header.get('format')}, expected {FORMAT}")
            if header.get("kind") != kind:
                raise DataError(f"{path}: holds {header.get('kind')!r}, expected {kind!r}")
            yield header, file
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise DataError(f"{path}: not a whole safetensors file ({first_line(error)})") from None


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Copy tensors into a module with exactly these names and shapes.

    Args:
        module: any module.
        tensors: its state by name, all values finite.
        path: the file they come from, for messages.

    Raises:
        DataError: tensors are missing, left over, of another shape or not finite; the message names them.
    """
    wanted = module.state_dict()
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "unexpected": [name for name in tensors if name not in wanted],
        "misshapen": [
            f"{name} {list(tensors[name].shape)} for {list(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in tensors and tensors[name].shape != tensor.shape
        ],
    }
    texts = [f"{kind} {few(names)}" for kind, names in problems.items() if names]
    if texts:
        raise DataError(f"{path}: the tensors do not fit: {'; '.join(texts)}")
    for name in wanted:
        if not torch.isfinite(tensors[name]).all():
            raise DataError(f"{path}: tensor {name} has values that are not finite")
    module.load_state_dict(dict(tensors))
