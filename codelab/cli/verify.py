"""The command that checks files: `verify` reads them to their end, and says what it checked."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from codelab.core.command import AddCommand
from codelab.core.errors import CodelabError, DataError, UsageError, printable


def add_verify(command: AddCommand) -> None:
    """`codelab verify`."""
    parser = command(
        "verify",
        verify,
        "read files to their end, and compare them with the SHA-256 they keep",
        "codes.parquet",
        "runs/demo",
        "features.npy coder.npz",
    )
    text = "a file of codes, features or weights, a folder of parts, or a run folder"
    parser.add_argument("paths", nargs="+", metavar="PATH", help=text)


def verify(options: argparse.Namespace) -> None:
    """Check every file, a line each; those that cannot be used are counted at the end.

    Raises:
        UsageError: there is no such file, or no kind of file that is known.
        DataError: a file is damaged, or cannot be used.
    """
    files = [(path, check) for name in options.paths for path, check in _files(Path(name))]
    bad = []
    for path, check in files:
        try:
            print(printable(f"ok   {path}: {check(path)}"), flush=True)
        except CodelabError as error:
            bad.append(path)
            print(printable(f"BAD  {error}"), flush=True)
    if bad:
        raise DataError(f"verify: {len(bad)} of {len(files)} files cannot be used")


def _files(path: Path) -> Iterator[tuple[Path, Callable[[Path], str]]]:
    """The files that a path names, each with what checks it."""
    if path.is_dir():
        inside = sorted(one for one in path.iterdir() if one.suffix in _CHECKS and not one.name.startswith("."))
        if not inside:
            raise UsageError(f"{path}: a folder without files of codes, features or weights")
        yield from ((one, _CHECKS[one.suffix]) for one in inside)
    elif not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    elif path.suffix not in _CHECKS:
        raise UsageError(f"{path}: expected a name ending in {', '.join(_CHECKS)}, or a folder")
    else:
        yield path, _CHECKS[path.suffix]


def _parquet(path: Path) -> str:
    """Codes, or features of any origin."""
    from codelab.core.files import KEY, iter_codes
    from codelab.core.parquet import open_parquet
    from codelab.core.seal import check_seal

    schema = open_parquet(path).file.schema_arrow
    if KEY not in (schema.metadata or {}):
        return _features(path)
    rows = bits = 0
    for codes in iter_codes(path):
        rows, bits = rows + len(codes), codes.bits
    return f"{rows} codes of {bits} bits, {', '.join(schema.names)}; {check_seal(path, data=False)}"


def _features(path: Path) -> str:
    from codelab.features.sources import open_features

    features = open_features(path)
    for _ in features.blocks(8192):
        pass
    return f"features [{features.rows}, {features.dims}], all finite; no SHA-256"


def _npy(path: Path) -> str:
    """Features, or an array of labels or bits."""
    import numpy as np

    from codelab.core.numpy_files import read_npy

    array = read_npy(path, mapped=True)
    if array.ndim == 2 and array.dtype.kind == "f":
        return _features(path)
    return f"{array.dtype} {list(np.shape(array))}; no SHA-256"


def _npz(path: Path) -> str:
    """Codes, or a fitted binariser."""
    from codelab.core.files import load
    from codelab.core.numpy_files import read_npz
    from codelab.features.binariser import Binariser

    if "header" in read_npz(path, ())[1]:
        coder = Binariser.load(path)
        return f"a coder by {coder.method}, {coder.dims} features to {coder.bits} bits; CRC-32"
    codes = load(path)
    return f"{len(codes)} codes of {codes.bits} bits; CRC-32"


def _tensors(path: Path) -> str:
    """An encoder, a checkpoint or a trained coder."""
    from codelab.core.seal import check_seal
    from codelab.core.tensors import read_kind
    from codelab.images.encoder import Encoder

    kind, tensors = read_kind(path)
    if kind == "encoder":
        Encoder.load(path)
    return f"{kind} of {len(tensors)} tensors; {check_seal(path)}"


_CHECKS = {".parquet": _parquet, ".npy": _npy, ".npz": _npz, ".safetensors": _tensors}
