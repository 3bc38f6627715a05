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

from codelab.core.errors import CodelabError, DataError, UsageError, few, first_line, unreadable
from codelab.core.io import atomic_path
from codelab.core.seal import ENTRY, check_seal, seal

FORMAT = 1
"""Version of the file; another version is refused."""
_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""Types of numbers that are converted into each other."""


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
            save_file(plain, part, metadata={"codelab": json.dumps({**ENTRY, **header, **ENTRY})})
            seal(part)
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
        check_seal(path)
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)


def read_shapes(path: str | Path, *, kind: str) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The header, and the shape of each tensor, which is not read; errors as `read_tensors`."""
    with _opened(path, kind) as (header, file):
        return header, {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118


def read_kind(path: str | Path) -> tuple[Any, dict[str, Tensor]]:
    """The kind of a file that `write_tensors` wrote, and its tensors; errors as `read_tensors`."""
    with _opened(path, None) as (header, file):
        check_seal(path)
        return header.get("kind"), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _opened(path: str | Path, kind: str | None) -> Iterator[tuple[dict[str, Any], Any]]:
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such file")
    try:
        check_seal(path, data=False)
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("codelab", "null"))
            if not isinstance(header, dict):
                raise DataError(f"{path}: a safetensors file, but not one of codelab")
            if header.get("format") != FORMAT:
                raise DataError(f"{path}: checkpoint format {header.get('format')}, expected {FORMAT}")
            if kind is not None and header.get("kind") != kind:
                raise DataError(f"{path}: holds {header.get('kind')!r}, expected {kind!r}")
            header.pop("seal", None)
            yield header, file
    except CodelabError:
        raise
    except (SafetensorError, ValueError, RecursionError, MemoryError, OSError) as error:
        raise unreadable(path, "not a whole safetensors file", error) from None


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Copy tensors into a module with exactly these names and shapes.

    Args:
        module: any module.
        tensors: its state by name, all values finite.
        path: the file they come from, for messages.

    Raises:
        DataError: tensors are missing, left over, of another shape or type, or not finite; the message names them.
    """
    check_shapes(module, {name: list(tensor.shape) for name, tensor in tensors.items()}, path)
    for name, tensor in module.state_dict().items():
        given = tensors[name].dtype
        if given != tensor.dtype and not {given, tensor.dtype} <= _FLOATS:
            raise DataError(f"{path}: tensor {name} is {given}, expected {tensor.dtype}")
        if not torch.isfinite(tensors[name]).all():
            raise DataError(f"{path}: tensor {name} has values that are not finite")
    module.load_state_dict(dict(tensors))


def check_shapes(module: nn.Module, shapes: Mapping[str, list[int]], path: str | Path) -> None:
    """Refuse tensors that are not those of a module, which may be on the device `meta`, where it takes no memory.

    Raises:
        DataError: tensors are missing, left over or of another shape; the message names them.
    """
    wanted = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
    problems = {
        "missing": [name for name in wanted if name not in shapes],
        "unexpected": [name for name in shapes if name not in wanted],
        "misshapen": [
            f"{name} {shapes[name]} for {shape}"
            for name, shape in wanted.items()
            if name in shapes and shapes[name] != shape
        ],
    }
    texts = [f"{kind} {few(names)}" for kind, names in problems.items() if names]
    if texts:
        raise DataError(f"{path}: the tensors do not fit: {'; '.join(texts)}")
