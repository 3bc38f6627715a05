"""Commands that make codes: `export` from images, `binarize` from features."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codelab.cli.options import add_most_pixels, named_encoder
from codelab.core.command import AddCommand, overwrite_option, timm_options, whole_number
from codelab.core.errors import UsageError, printable

if TYPE_CHECKING:
    from codelab.features.coder import FeatureCoder


def add_export(command: AddCommand) -> None:
    """`codelab export`."""
    parser = command(
        "export",
        export,
        "turn images into packed bit codes",
        "--ckpt runs/demo --data photos/ --out codes.parquet --thumbnails",
        "--ckpt timm:vit_small_patch14_dinov2 --bits 256 --data photos/ --labels labels.csv --out codes.parquet",
        "--ckpt runs/demo/best.safetensors --data demo --split test --logits --out codes.parquet",
    )
    add = parser.add_argument
    add("--ckpt", required=True, help="an encoder.safetensors, a run folder, or timm:NAME (its head is random)")
    add("--data", required=True, help="a folder of images, a .parquet data set, or 'demo'")
    add("--out", required=True, help="a name ending in .parquet, or a new folder for parts")
    add("--labels", metavar="CSV", help="columns path, label, optional split and attributes")
    add("--split", help="only the images of this split")
    add("--logits", action="store_true", help="keep the logits: how sure each bit is")
    add("--features", action="store_true", help="keep the backbone's features")
    add("--thumbnails", action="store_true", help="keep a small picture of each image")
    add("--statistics", action="store_true", help="keep brightness, hue, contrast and the like of each image")
    add("--skip-bad", action="store_true", help="leave unreadable images out instead of failing")
    add_most_pixels(parser)
    add("--workers", type=whole_number(1), default=4, help="threads that decode images (default: %(default)s)")
    add("--device", help="cpu, cuda, … (default: cuda when there is one)")
    overwrite_option(parser)
    timm_options(parser)


def export(options: argparse.Namespace) -> None:
    """Encode images and write their codes."""
    from codelab.images.export import export
    from codelab.images.export_parts import check_place
    from codelab.images.sources import open_images

    check_place(options.out)
    encoder = named_encoder(options, options.ckpt)
    images = open_images(
        options.data,
        labels_csv=options.labels,
        split=options.split,
        skip_bad=options.skip_bad,
        most_pixels=options.most_pixels,
    )
    done = export(
        encoder,
        images,
        options.out,
        logits=options.logits,
        features=options.features,
        thumbnails=options.thumbnails,
        statistics=options.statistics,
        skip_bad=options.skip_bad,
        overwrite=options.overwrite,
        workers=options.workers,
        device=options.device,
        checkpoint=None if options.ckpt.startswith("timm:") else options.ckpt,
    )
    if done.already:
        print(f"{done.path}: already made by the same call, and whole; left as it is", file=sys.stderr)
    for line in done.bad:
        print(printable(f"  skipped {line}"), file=sys.stderr)
    skipped = f", {len(done.bad)} skipped" if done.bad else ""
    print(printable(f"{done.path}: {done.rows} codes of {encoder.config.bits} bits{skipped}"))


def add_binarize(command: AddCommand) -> None:
    """`codelab binarize`."""
    parser = command(
        "binarize",
        binarize,
        "turn features anyone already has into packed bit codes",
        "features.npy --bits 256 --out codes.parquet --labels labels.npy",
        "embeddings.parquet --column emb --method hashcoder --out codes.parquet --save-coder coder.safetensors",
        "features.npy --method itq --out codes.parquet --save-coder itq.npz",
        "queries.npy --coder itq.npz --out queries.parquet",
    )
    add = parser.add_argument
    add("features", help="a .npy file [N, d], a .parquet file with a column of lists, or a folder")
    add("--out", required=True, help="a name ending in .parquet")
    add("--method", help="sign, median, lsh, pca-rotation, itq or hashcoder (default: itq)")
    add("--bits", type=whole_number(1), help="length of the code (default: 256)")
    add("--seed", type=int, default=0, help="seed of all chance (default: %(default)s)")
    add("--column", help="column of the Parquet file (default: features, or the only column of lists)")
    add("--labels", metavar="NPY", help="class numbers or names [N], or bool [N, C]")
    add("--logits", action="store_true", help="keep the margins: how sure each bit is")
    add("--features", dest="keep_features", action="store_true", help="keep the features")
    add("--save-coder", metavar="PATH", help="also save the fitted coder (.npz; hashcoder: .safetensors)")
    add("--coder", metavar="PATH", help="code with this saved coder; nothing is fitted")
    overwrite_option(parser)


def binarize(options: argparse.Namespace) -> None:
    """Code features with a coder, and write the codes."""
    from codelab.core.io import check_output
    from codelab.core.lock import output_lock
    from codelab.features.file import binarize_file, check_out

    check_out(Path(options.features), Path(options.out))  # before minutes of fitting
    outputs = [options.out, *([] if options.save_coder is None else [options.save_coder])]
    with ExitStack() as held:
        for out in outputs:
            check_output(out)
            held.enter_context(output_lock(Path(out)))
            check_output(out, overwrite=options.overwrite)
        coder = _saved_coder(options) if options.coder else _fitted_coder(options)
        rows = binarize_file(
            options.features,
            coder,
            options.out,
            labels=options.labels,
            column=options.column,
            logits=options.logits,
            features=options.keep_features,
        )
        if options.save_coder:
            coder.save(options.save_coder)
    print(printable(f"{options.out}: {rows} codes of {coder.bits} bits by {coder.method}"))


def _saved_coder(options: argparse.Namespace) -> FeatureCoder:
    for name in ("method", "bits", "save_coder"):
        if getattr(options, name) is not None:
            flag = name.replace("_", "-")
            raise UsageError(f"binarize: --coder names a coder that is fitted already, found --{flag} too")
    if Path(options.coder).suffix == ".safetensors":
        from codelab.cli.train import load_hash_coder

        return load_hash_coder(options.coder)
    from codelab.features.binariser import Binariser

    return Binariser.load(options.coder)


def _fitted_coder(options: argparse.Namespace) -> FeatureCoder:
    method = options.method or "itq"
    ending = ".safetensors" if method == "hashcoder" else ".npz"
    if options.save_coder and Path(options.save_coder).suffix != ending:
        raise UsageError(f"{options.save_coder}: a coder of method {method} is saved under a name ending in {ending}")
    given: dict[str, Any] = {"bits": options.bits or 256, "seed": options.seed, "column": options.column}
    if method == "hashcoder":
        from codelab.cli.train import fit_hash_coder

        return fit_hash_coder(options.features, **given)
    from codelab.features.binariser import binarize

    return binarize(options.features, method=method, **given)
