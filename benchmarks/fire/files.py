"""Damaged files against the readers: each must give the same content, or one line that says what is wrong.

    python -m benchmarks.fire.files --minutes 10               # every kind of file, changed at random
    python -m benchmarks.fire.files --kind codes.parquet --flips       # every bit of the file, one at a time
    python -m benchmarks.fire.files --kind encoder.safetensors --flips 300

A case that ends otherwise is written to tests/corpus, where the suite reads it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import codelab
from codelab import Codes
from codelab.core.errors import CodelabError

CORPUS = Path(__file__).parents[2] / "tests" / "corpus"
MEMORY = 1 << 20
"""A case may raise the largest memory of the process by so many kB."""
META = {"created": "2026-01-01T00:00:00+00:00", "encoder": {"name": "conv", "sha256": "0" * 64}}
YAML = "data: demo\nrun: runs/x\nbits: 64\nlr: 5.0e-4\nmean: [0.5, 0.5, 0.5]\nblend: on\nbatch: 32\nskip_bad: true\n"


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        name: of the kind and of its file.
        make: writes one.
        read: what it holds, as a text to compare.
        whole: other content is a fault; a text for people, and NumPy files of others, have no check of themselves.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], str]
    whole: bool = True


def some_codes(*, multilabel: bool = False) -> Codes:
    """Sixty codes with everything that a file can hold."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 13)).astype(np.float16)
    labels = rng.random((60, 3)) > 0.5 if multilabel else rng.integers(-1, 3, 60)
    items = {"id": [f"x{i}" for i in range(60)], "tone": rng.choice(["dark", "light"], 60), "age": rng.random(60)}
    return Codes.from_bits(logits > 0, labels=labels, classes=["a", "b", "c"], items=items, logits=logits, meta=META)


def _hash(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(b"-" if array is None else f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def codes_text(codes: Codes) -> str:
    """Everything codes hold."""
    arrays = _hash(codes.packed, codes.labels, codes.logits, codes.features)
    return f"{codes.sha256} {arrays} {codes.items.to_pydict()} {codes.meta}"


def _read_codes(path: Path) -> str:
    return codes_text(codelab.load(path))


def _make_npz(path: Path) -> None:
    codes = some_codes()
    classes, ids = np.array(codes.classes), np.array(codes.items["id"].to_pylist())
    np.savez_compressed(path, bits=codes.to_bits(), labels=codes.labels, classes=classes, ids=ids, logits=codes.logits)


def _read_numpy(path: Path) -> str:
    codes = codelab.load(path)
    return f"{codes.sha256} {codes.items['id'].to_pylist()} {_hash(codes.logits)}"


def _make_encoder(path: Path) -> None:
    from codelab.images.encoder import Encoder, EncoderConfig

    Encoder(EncoderConfig(bits=8, image_size=16, width=2, hidden=8)).save(path)


def _read_encoder(path: Path) -> str:
    from codelab.images.encoder import Encoder

    encoder = Encoder.load(path)
    return f"{encoder.sha256} {encoder.config}"


def _make_binariser(path: Path) -> None:
    from codelab.features.binariser import binarize

    binarize(np.random.default_rng(0).normal(size=(64, 6)), 4, method="itq", progress=False).save(path)


def _read_binariser(path: Path) -> str:
    from codelab.features.binariser import Binariser

    return Binariser.load(path).sha256


def _read_yaml(path: Path) -> str:
    from training.config import load_config

    return json.dumps(asdict(load_config(path)))


KINDS = {
    kind.name: kind
    for kind in (
        Kind("codes.parquet", lambda path: some_codes().save(path), lambda path: codes_text(codelab.load(path))),
        Kind(
            "multi.parquet",
            lambda path: some_codes(multilabel=True).save(path),
            lambda path: codes_text(codelab.load(path)),
        ),
        Kind("codes.npz", _make_npz, _read_numpy, whole=False),
        Kind("codes.npy", lambda path: np.save(path, some_codes().to_bits()), _read_numpy, whole=False),
        Kind("encoder.safetensors", _make_encoder, _read_encoder),
        Kind("binariser.npz", _make_binariser, _read_binariser),
        Kind("config.yaml", lambda path: path.write_text(YAML) and None, _read_yaml, whole=False),
    )
}


def outcome(kind: Kind, data: bytes, folder: Path, expected: str) -> str:
    """`same`, `refused` or `other`; anything else that is raised is a fault and passes."""
    path = folder / kind.name
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = kind.read(path)
    except CodelabError as error:
        if len(f"{error}".splitlines()) != 1:
            raise AssertionError(f"not one line: {error}") from None
        return "refused"
    return "same" if found == expected else "other"


def original(kind: Kind, folder: Path) -> tuple[bytes, str]:
    """A file of the kind, and what it holds."""
    path = folder / kind.name
    kind.make(path)
    return path.read_bytes(), kind.read(path)


def flipped(data: bytes, bit: int) -> bytes:
    """The data with one bit changed."""
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """The data with one to four changes: bytes overwritten, numbers made extreme, pieces cut out, doubled or moved."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not out:
            break
        at, length = int(rng.integers(len(out))), int(rng.integers(1, 33))
        piece = bytes(out[at : at + length])
        match int(rng.integers(7)):
            case 0:
                out[at] ^= 1 << int(rng.integers(8))
            case 1:
                out[at : at + length] = rng.bytes(len(piece))
            case 2:
                extreme = (b"\x00", b"\xff", b"\x7f", b"\x80", b"9", b"[", b"-")[int(rng.integers(7))]
                out[at : at + length] = extreme * len(piece)
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = piece * int(rng.integers(1, 50))
            case 5:
                other = int(rng.integers(len(out)))
                out[other : other + length] = piece
            case 6:
                del out[at:]
    return bytes(out)


def cases(data: bytes, flips: int | None, seed: int) -> Iterator[bytes]:
    """The data with every bit flipped (`flips` 0), with so many flipped one by one, or changed at random for ever."""
    rng = np.random.default_rng(seed)
    if flips is None:
        while True:
            yield changed(data, rng)
    bits = range(8 * len(data)) if flips == 0 else rng.choice(8 * len(data), min(flips, 8 * len(data)), replace=False)
    for bit in bits:
        yield flipped(data, int(bit))


def fire(kind: Kind, *, seconds: float, flips: int | None, seed: int) -> Counter[str]:
    """How the cases ended; those that ended wrongly are kept in the corpus."""
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        data, expected = original(kind, Path(name))
        start, most = time.process_time(), 0
        for case in cases(data, flips, seed):
            if time.process_time() - start > seconds:
                break
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            try:
                end = outcome(kind, case, Path(name), expected)
            except Exception:  # whatever is raised is what is looked for
                traceback.print_exc()
                end = "traceback"
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            end = "memory" if most > MEMORY else end
            ends[end] += 1
            if end in ("traceback", "memory") or (end == "other" and kind.whole):
                CORPUS.mkdir(exist_ok=True)
                found = f"{Path(kind.name).stem}-{hashlib.sha256(case).hexdigest()[:12]}{Path(kind.name).suffix}"
                (CORPUS / found).write_bytes(case)
                print(f"  {end}: {CORPUS / found}", file=sys.stderr)
    return ends


def main() -> None:
    """Print a line of counts for each kind of file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--minutes", type=float, default=1.0, help="of the processor, for all kinds together")
    parser.add_argument("--flips", type=int, nargs="?", const=0, help="single bits: so many, or without a number all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kinds = [kind for name, kind in KINDS.items() if options.kind in (name, "all")]
    for kind in kinds:
        seconds = 60 * options.minutes / len(kinds) if options.flips is None else float("inf")
        ends = fire(kind, seconds=seconds, flips=options.flips, seed=options.seed)
        counts = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
        print(f"{kind.name}: {sum(ends.values())} cases: {counts}", flush=True)


if __name__ == "__main__":
    main()
