"""Options that several commands share, and the codes and encoders they name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codelab.core.command import Parser, timm_options, whole_number
from codelab.core.errors import DataError, UsageError
from codelab.core.packings import PACKINGS
from codelab.images.picture import MOST_PIXELS

if TYPE_CHECKING:
    from codelab.core.codes import Codes
    from codelab.images.encoder import Encoder
    from codelab.images.imageset import ImageSet

LARGEST_PORT = 65535
COUNTED_ONCE = "p-values and intervals count them as one"
"""What the analysis does with near copies."""


def add_codes(parser: Parser) -> None:
    """The codes to work on; `open_codes` opens them."""
    parser.add_argument("codes", help="a codes file (.parquet, .npy, .npz), a folder of parts, or a run folder")
    parser.add_argument("--split", help="only the items of this split")
    parser.add_argument("--by", metavar="ATTRIBUTE", help="use this item column as the label")
    add_packing(parser)


def add_packing(parser: Parser) -> None:
    """How other programs packed their codes; `open_codes` and `open_each` read them."""
    from_others = "how another program packed the bits (.npy, .npz, FAISS IndexBinaryFlat, lines of 0 and 1)"
    parser.add_argument("--packing", choices=tuple(PACKINGS), help=from_others)
    parser.add_argument(
        "--code-bits", type=whole_number(1), metavar="B", help="bits of such codes, if fewer than 8 a byte"
    )


def add_encoder(parser: Parser, *, when: str = "") -> None:
    """Which encoder made the codes; `own_encoder` opens it.

    Args:
        when: what the option goes with, put before its help.
    """
    parser.add_argument("--ckpt", help=f"{when}the checkpoint, where it is no longer where the codes name it")
    timm_options(parser)


def add_most_pixels(parser: Parser, *, when: str = "") -> None:
    """The largest image that is decoded; `when` as in `add_encoder`."""
    text = f"{when}width times height of an image, at most (default: %(default)s)"
    parser.add_argument("--most-pixels", type=whole_number(1), default=MOST_PIXELS, metavar="N", help=text)


def add_port(parser: Parser) -> None:
    """The port of the explorer."""
    parser.add_argument("--port", type=_port, default=8501, help="port of the explorer (default: %(default)s)")


def _port(text: str) -> int:
    value = whole_number(1)(text)
    if value > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to {LARGEST_PORT}, found {text!r}")
    return value


def open_codes(options: argparse.Namespace) -> Codes:
    """The codes that `--split` and `--by` select from the file."""
    from codelab.core.files import load

    codes = load(options.codes, bits=getattr(options, "code_bits", None), packing=getattr(options, "packing", None))
    if options.split:
        codes = codes.split(options.split)
    return codes.label_by(options.by) if options.by else codes


def open_each(options: argparse.Namespace, paths: Sequence[str]) -> list[Codes]:
    """The codes of several files; `--packing` is for those of other programs among them."""
    if options.packing and all(_own(path) for path in paths):
        raise UsageError(f"--packing {options.packing} is for files of other programs, these are codelab's own codes")
    return [open_beside(options, path) for path in paths]


def open_beside(options: argparse.Namespace, path: str) -> Codes:
    """The codes of one of several files."""
    packing = None if _own(path) else options.packing
    return open_codes(argparse.Namespace(**{**vars(options), "codes": path, "packing": packing}))


def _own(path: str) -> bool:
    return Path(path).is_dir() or Path(path).suffix == ".parquet"


def named_encoder(options: argparse.Namespace, checkpoint: str) -> Encoder:
    """The encoder of a checkpoint, a run folder or timm:NAME."""
    from codelab.images.encoder import open_encoder

    return open_encoder(checkpoint, bits=options.bits, random_weights=options.random_weights)


def images_of(options: argparse.Namespace, codes: Codes, named: str) -> ImageSet:
    """The images of `--data` from which codes were made, row by row.

    Args:
        named: the codes, as the message names them.

    Raises:
        UsageError: an image of the codes is not there.
    """
    from codelab.images.sources import open_images

    # ids say which are needed, so that others may be bad
    images = open_images(options.data, labels_csv=options.labels, skip_bad=True, most_pixels=options.most_pixels)
    row_of = {name: row for row, name in enumerate(images.items["id"].to_pylist())}
    ids = codes.items["id"].to_pylist()
    missing = next((name for name in ids if name not in row_of), None)
    if missing is not None:
        raise UsageError(f"{options.data}: has no image {missing!r}, which {named} was made from")
    return images.subset([row_of[name] for name in ids])


def own_encoder(options: argparse.Namespace, codes: Codes) -> Encoder:
    """The encoder that made these codes; codes of another encoder cannot be compared with them.

    Raises:
        UsageError: no checkpoint is named, and there is none where the codes name it.
        DataError: the checkpoint is not the one that made the codes.
    """
    from codelab.core.files import find_checkpoint

    checkpoint = options.ckpt or find_checkpoint(codes, options.codes)
    if checkpoint is None:
        raise UsageError(f"no checkpoint beside {options.codes}; name the one that made it with --ckpt")
    encoder = named_encoder(options, str(checkpoint))
    if encoder.config.bits != codes.bits:
        raise DataError(f"{checkpoint}: gives {encoder.config.bits} bits, {options.codes} has {codes.bits}")
    made_by = codes.meta.get("encoder")
    if isinstance(made_by, dict) and encoder.sha256 != made_by.get("sha256", encoder.sha256):
        raise DataError(f"{checkpoint}: not the encoder that made {options.codes} (another SHA-256)")
    return encoder
