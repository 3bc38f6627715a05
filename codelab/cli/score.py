"""The command `score`: codes beside their controls, as a table to print in a paper."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codelab.cli.options import (
    COUNTED_ONCE,
    add_most_pixels,
    add_packing,
    images_of,
    named_encoder,
    open_beside,
    open_each,
)
from codelab.core.command import AddCommand, group_option, overwrite_option, timm_options, whole_number
from codelab.core.errors import UsageError, printable
from codelab.core.io import bytes_sha256

if TYPE_CHECKING:
    from codelab.core.codes import Codes
    from codelab.scoring.filed import Filed

UNTRAINED = "untrained.parquet"
"""In the folder of the codes: `codelab demo` writes it."""


def add_score(command: AddCommand) -> None:
    """`codelab score`."""
    parser = command(
        "score",
        score,
        "codes beside their controls in every measure, as a table to print",
        "runs/demo --group emoji --out scorecard.html",
        "bits=runs/s0 bits=runs/s1 bits=runs/s2 itq=itq.parquet --group emoji --out scorecard.md",
        "runs/a --untrained runs/a/untrained.safetensors --data photos/ --out scorecard.tex",
    )
    add = parser.add_argument
    add(
        "codes",
        nargs="+",
        metavar="CODES",
        help="codes of the same images: a file, a folder of parts, a run folder, or NAME=PATH; files of one NAME are "
        "seeds of one method",
    )
    add("--out", required=True, help="a name ending in .html, .md, .csv, .tex or .json; the JSON is written beside it")
    add("--untrained", metavar="PATH", help="codes of the encoder before training, or with --data its checkpoint")
    add("--data", help="with a checkpoint as --untrained, the images the codes were made from, as in codelab export")
    add("--labels", metavar="CSV", help="with --data, the CSV given to codelab export")
    add_most_pixels(parser, when="with --data, ")
    timm_options(parser)
    add("--stream", action="store_true", help="hold one block of the files at a time; columns without rankings")
    add("--split", help="only the items of this split")
    add("--by", metavar="ATTRIBUTE", help="use this item column as the label")
    add_packing(parser)
    group_option(parser, COUNTED_ONCE)
    add("--attributes", metavar="NAMES", help="columns to score beside the class, with commas (default: all)")
    add(
        "--images",
        type=whole_number(8),
        default=10_000,
        help="most images that are fitted or paired (default: %(default)s)",
    )
    add("--seed", type=whole_number(0), default=0, help="seed of all chance (default: %(default)s)")
    add("--title", default="Scorecard", help="heading of the page (default: %(default)s)")
    overwrite_option(parser)


def score(options: argparse.Namespace) -> None:
    """Measure codes and controls, and write the scorecard."""
    from codelab.core.io import check_output
    from codelab.core.lock import output_lock
    from codelab.reporting.scorecard_files import check_scorecard_path, write_scorecard
    from codelab.scoring.card import scorecard

    out = check_scorecard_path(options.out)
    for path in dict.fromkeys([out, out.with_suffix(".json")]):
        check_output(path, overwrite=options.overwrite)
    if options.labels and not options.data:
        raise UsageError("score: --labels goes with --data")
    named = [_named(text) for text in options.codes]
    files = [path for _, path in named]
    codes, untrained, from_file = _in_files(options, files) if options.stream else _in_memory(options, files)
    inputs = [*files, *([] if from_file is None else [from_file])]
    with output_lock(out):
        card = scorecard(
            *codes,
            names=_names(named),
            untrained=untrained,
            groups=options.group,
            attributes=None if options.attributes is None else options.attributes.split(","),
            images=options.images,
            seed=options.seed,
            cache=True,
        )
        about = {
            **card.provenance,
            "command": shlex.join(["codelab", *sys.argv[1:]]),
            "inputs": [
                *(one for path in inputs for one in _hashes(path)),
                *(_hash_of_images(path) for path in (options.data, options.labels) if path and Path(path).exists()),
            ],
        }
        card = dataclasses.replace(card, provenance=about)
        written = write_scorecard(card, out, title=options.title)
    for line in card.sentences():
        print(printable(line))
    for path in written:
        print(printable(str(path)))


def _in_memory(options: argparse.Namespace, files: list[str]) -> tuple[list[Codes], Codes | None, str | None]:
    """The codes, those of the untrained encoder and the file they are from."""
    codes = open_each(options, files)
    return codes, *_untrained(options, files[0], codes[0])


def _in_files(options: argparse.Namespace, files: list[str]) -> tuple[list[Filed], Filed | None, str | None]:
    """The same, of codes that stay in their files."""
    from codelab.scoring.filed import Filed

    if options.by or options.split or options.packing or options.code_bits or options.data:
        without = "--by, --split, --packing, --code-bits and --data"
        raise UsageError(f"score: --stream reads files block by block, without {without}")
    untrained = options.untrained or _beside(files[0])
    return [Filed.open(path) for path in files], None if untrained is None else Filed.open(untrained), untrained


def _named(text: str) -> tuple[str | None, str]:
    """The method and the path of NAME=PATH, or None and the path."""
    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        return None, text
    if not name or not path:
        raise UsageError(f"score: {text!r}: expected NAME=PATH")
    return name, path


def _names(named: list[tuple[str | None, str]]) -> list[str]:
    """A name for each file: its own, that of a run folder, else that of the file, with the folder where two agree."""
    short = [name or _short(path) for name, path in named]
    found = []
    for (name, path), text in zip(named, short, strict=True):
        found.append(text if name or short.count(text) == 1 else path)
    unnamed = [text for (name, _), text in zip(named, found, strict=True) if not name]
    twice = next((text for text in unnamed if found.count(text) > 1), None)
    if twice is not None:
        raise UsageError(f"score: {twice} is named twice, expected other codes, or NAME=PATH")
    return found


def _short(path: str) -> str:
    return Path(path).resolve().stem if Path(path).is_file() else Path(path).resolve().name


def _untrained(options: argparse.Namespace, first: str, codes: Codes) -> tuple[Codes | None, str | None]:
    """The codes of the untrained encoder, and the file they are from; None where there is none."""
    if options.untrained is None:
        if options.data:
            raise UsageError("score: --data goes with a checkpoint as --untrained")
        beside = _beside(first)
        return (None, None) if beside is None else (open_beside(options, beside), beside)
    if Path(options.untrained).suffix != ".safetensors" and not options.untrained.startswith("timm:"):
        if options.data:
            raise UsageError(
                "score: --data goes with a checkpoint (.safetensors or timm:NAME) as --untrained, "
                f"found {options.untrained}"
            )
        return open_beside(options, options.untrained), options.untrained
    if not options.data:
        raise UsageError(f"score: --untrained {options.untrained} is a checkpoint, which needs the images as --data")
    from codelab.images.export import encode_images

    images = images_of(options, codes, first)
    encoded = encode_images(named_encoder(options, options.untrained), images, label="untrained encoder")
    made = dataclasses.replace(
        codes, packed=encoded.packed, bits=encoded.bits, logits=None, features=None, meta=encoded.meta
    )
    return made, None if options.untrained.startswith("timm:") else options.untrained


def _beside(first: str) -> str | None:
    """The untrained encoder's codes beside the first codes; where only its checkpoint is there, a line says so."""
    from codelab.core.run_folder import codes_file

    codes = codes_file(first).parent / UNTRAINED
    checkpoint = codes.with_suffix(".safetensors")
    if codes.is_file():
        return str(codes)
    if checkpoint.is_file():
        line = f"score: no row of {checkpoint}, which needs the images: --untrained {checkpoint} --data IMAGES"
        print(printable(line), file=sys.stderr)
    return None


def _hash_of_images(path: str) -> dict[str, Any]:
    """Name and SHA-256 of a file, or of the names and SHA-256s of all files in a folder, one a line and sorted."""
    place = Path(path)
    if not place.is_dir():
        return {"file": path, "sha256": bytes_sha256(place)}
    names = sorted(one.relative_to(place).as_posix() for one in place.rglob("*") if one.is_file())
    lines = "".join(f"{bytes_sha256(place / name)}  {name}\n" for name in names)
    return {"folder": path, "files": len(names), "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def _hashes(path: str) -> list[dict[str, Any]]:
    """Name and SHA-256 of a file, or of each part in a folder."""
    from codelab.core.run_folder import codes_file

    place = codes_file(path) if Path(path).suffix != ".safetensors" else Path(path)
    parts = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    return [{"file": str(part), "sha256": bytes_sha256(part)} for part in parts]
