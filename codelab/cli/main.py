"""The `codelab` command: results to stdout, progress and warnings to stderr; 0 done, 1 failed, 2 the call is wrong."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codelab import __version__
from codelab.core.command import RANK, Parser, run, subcommands, timm_options, whole_number
from codelab.core.errors import DataError, UsageError
from codelab.core.shipped import shipped

if TYPE_CHECKING:
    from codelab.core.codes import Codes
    from codelab.features.binariser import Binariser
    from codelab.images.encoder import Encoder
    from training.coder import HashCoder

EXPLORER_SCRIPT = shipped("app/main.py")
_positive = whole_number(1)
DEMO_CONFIG = shipped("configs/demo.yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(train_flags=words[:1] == ["train"]).parse_args(words)
    return run(lambda: options.command(options), name="codelab")


# -- commands ---------------------------------------------------------------------------------------------------------


def _demo(options: argparse.Namespace) -> None:
    from codelab import demo
    from codelab.reporting.terminal import print_table
    from training.config import load_config
    from training.loop import fit

    out = Path(options.out)
    config = load_config(DEMO_CONFIG, {"run": str(out), "seed": options.seed})
    fit(config, resume=True, fresh=options.fresh)
    comparison = demo.measure(out, seed=config.seed)
    print_table(comparison.HEADINGS, comparison.rows(), title=comparison.title())
    print(f"\n{out}/: encoder.safetensors, codes.parquet, results.json, report.html")
    if options.serve:
        _serve(out / "codes.parquet", options.port)


def _train(options: argparse.Namespace) -> None:
    from training.config import flags_given, load_config
    from training.loop import fit
    from training.start import at_own_size, size_words

    flags = flags_given(options)
    written = load_config(options.config, flags)
    config = at_own_size(written, flags)
    if (taken_over := size_words(written, config)) and not RANK:
        print(taken_over, file=sys.stderr)
    folder = fit(config, resume=options.resume, fresh=options.fresh)
    if not RANK:
        print(folder)


def _export(options: argparse.Namespace) -> None:
    from codelab.images.export import export
    from codelab.images.sources import open_images

    encoder = _encoder(options, options.ckpt)
    images = open_images(options.data, labels_csv=options.labels, split=options.split)
    done = export(
        encoder,
        images,
        options.out,
        logits=options.logits,
        features=options.features,
        thumbnails=options.thumbnails,
        skip_bad=options.skip_bad,
        workers=options.workers,
        device=options.device,
        checkpoint=None if options.ckpt.startswith("timm:") else options.ckpt,
    )
    for line in done.bad:
        print(f"  skipped {line}", file=sys.stderr)
    skipped = f", {len(done.bad)} skipped" if done.bad else ""
    print(f"{done.path}: {done.rows} codes of {encoder.config.bits} bits{skipped}")


def _analyze(options: argparse.Namespace) -> None:
    from codelab.analysis import analyze, analyze_parts
    from codelab.core.files import iter_codes
    from codelab.core.io import atomic_path, check_output
    from codelab.measures.channel import channel_of_views, view_channels

    if options.out:
        check_output(options.out)
    chance = {"permutations": options.permutations, "seed": options.seed}
    if options.stream:
        if options.by or options.split or options.views:
            raise UsageError("analyze: --stream reads a file block by block, without --by, --split and --views")
        about, results = (
            f"{options.codes}, block by block",
            analyze_parts(iter_codes(options.codes, columns=[]), **chance),
        )
    else:
        codes = _codes(options)
        if options.views == 1 or (options.views and not options.data):
            raise UsageError("analyze: --views takes 2 or more, and the images the codes were made from as --data")
        views, changed = _views(options, codes) if options.views else ([], {})
        about = str(codes)
        results = analyze(codes, features=views[0].features if views else None, **chance)
        if views:
            results["channel"] = channel_of_views(views, seed=options.seed)
            results["view_channels"] = view_channels(codes, changed)
    report = {name: result.to_dict() for name, result in results.items()}
    text = json.dumps(report, indent=1, allow_nan=False)
    if options.out:
        with atomic_path(options.out) as part:
            part.write_text(text + "\n")
    if options.json:
        print(text)
        return
    from codelab.reporting.terminal import print_analysis

    print(about)
    print_analysis(results)


def _views(options: argparse.Namespace, codes: Codes) -> tuple[list[Codes], dict[str, Codes]]:
    """Codes of K views of the images with all augmentations, and of one view for each augmentation alone."""
    from codelab.images.augment import CHANGES, view_of
    from codelab.images.export import encode_images
    from codelab.images.sources import open_images

    encoder = _own_encoder(options, codes)
    images = open_images(options.data, labels_csv=options.labels)
    row_of = {name: row for row, name in enumerate(images.items["id"].to_pylist())}
    ids = codes.items["id"].to_pylist()
    missing = next((name for name in ids if name not in row_of), None)
    if missing is not None:
        raise UsageError(f"{options.data}: has no image {missing!r}, which {options.codes} was made from")
    images = images.subset([row_of[name] for name in ids])
    views = [
        encode_images(
            encoder, view_of(images, seed=options.seed + k), features=True, label=f"view {k + 1} of {options.views}"
        )
        for k in range(options.views)
    ]
    changed = {
        name: encode_images(encoder, view_of(images, name, seed=options.seed), label=f"only {name}")
        for name in CHANGES
    }
    return views, changed


def _search(options: argparse.Namespace) -> None:
    from codelab.core.codes import Codes
    from codelab.images.imageset import decode
    from codelab.neighbours.search import search
    from codelab.reporting.terminal import print_table

    codes = _codes(options)
    if (options.query is None) == (options.id is None):
        raise UsageError("search: give one of --query IMAGE and --id ID")
    if options.id is not None:
        ids = codes.items["id"].to_pylist()
        if options.id not in ids:
            raise UsageError(f"search: no item has the id {options.id!r}")
        query = codes[[ids.index(options.id)]]
    else:
        image = Path(options.query)
        if not image.is_file():
            raise UsageError(f"{image}: no such file")
        encoder = _own_encoder(options, codes)
        _, logits = encoder.encode(encoder.transform(decode(image.read_bytes(), str(image)))[None])
        query = Codes.from_logits(logits)
    found = search(codes, query, k=min(options.k, len(codes)))
    rows = []
    for place, (distance, row) in enumerate(zip(found.distances[0].tolist(), found.indices[0].tolist(), strict=True)):
        label = "" if codes.multilabel or codes.labels[row] < 0 else codes.classes[codes.labels[row]]
        rows.append((place + 1, distance, codes.items["id"][row].as_py(), label, codes.code(row) ^ query.code(0)))
    if options.json:
        named = ("place", "distance", "id", "label")
        hits = [dict(zip(named, r[:4], strict=True)) | {"differing_bits": list(r[4].search(1))} for r in rows]
        print(json.dumps(hits))
        return
    shown = [(*map(str, r[:4]), " ".join(map(str, r[4].search(1))) or "none") for r in rows]
    print_table(("", "distance", "id", "label", "differing bits"), shown)


def _binarize(options: argparse.Namespace) -> None:
    from codelab.features.file import binarize_file, check_out

    check_out(Path(options.features), Path(options.out))  # before minutes of fitting
    coder = _feature_coder(options)
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
    print(f"{options.out}: {rows} codes of {coder.bits} bits by {coder.method}")


def _feature_coder(options: argparse.Namespace) -> Binariser | HashCoder:
    """The coder that a file holds, or one fitted on the features."""
    if options.coder:
        given = [f"--{name}" for name in ("method", "bits", "save_coder") if getattr(options, name) is not None]
        if given:
            raise UsageError(f"binarize: --coder says it all, found {given[0].replace('_', '-')} too")
        if Path(options.coder).suffix == ".safetensors":
            from training.coder import HashCoder

            return HashCoder.load(options.coder)
        from codelab.features.binariser import Binariser

        return Binariser.load(options.coder)
    method = options.method or "itq"
    ending = ".safetensors" if method == "hashcoder" else ".npz"
    if options.save_coder and Path(options.save_coder).suffix != ending:
        raise UsageError(f"{options.save_coder}: a coder of method {method} is saved under a name ending in {ending}")
    fitted: dict[str, Any] = {"bits": options.bits or 256, "seed": options.seed, "column": options.column}
    if method == "hashcoder":
        from training.coder import fit_coder

        return fit_coder(options.features, **fitted)
    from codelab.features.binariser import binarize

    return binarize(options.features, method=method, **fitted)


def _report(options: argparse.Namespace) -> None:
    from codelab.core.io import check_output
    from codelab.core.run_folder import codes_file
    from codelab.runs.readings import is_run

    runs = [path for path in options.paths if is_run(path)]
    other = next((path for path in options.paths if not is_run(path)), None)
    if other is not None:
        codes_file(other)  # a folder of nothing is refused before an option that is missing
    if other is not None and len(options.paths) > 1:
        raise UsageError(f"report: {other} is no run folder; expected one set of codes, or one or more runs")
    if runs and (options.split or options.by):
        raise UsageError(f"report: --split and --by go with codes, found the run folder {runs[0]}")
    out = options.out or (str(Path(runs[0], "training.html")) if len(runs) == 1 else None)
    if out is None:
        raise UsageError(f"report: --out is needed with {'several runs' if runs else 'codes'}, a name ending in .html")
    check_output(out)
    if runs:
        from codelab.runs.report import write_run_report

        write_run_report(runs, out, title=options.title)
    else:
        from codelab.reporting.report import write_report

        options.codes = options.paths[0]
        write_report(_codes(options), out, title=options.title or Path(options.codes).name)
    print(out)


def _explore(options: argparse.Namespace) -> None:
    _serve(Path(options.codes), options.port)


# -- shared by commands -----------------------------------------------------------------------------------------------


def _codes(options: argparse.Namespace) -> Codes:
    from codelab.core.files import load

    codes = load(options.codes)
    if options.split:
        codes = codes.split(options.split)
    return codes.label_by(options.by) if options.by else codes


def _encoder(options: argparse.Namespace, checkpoint: str) -> Encoder:
    from codelab.images.encoder import open_encoder

    return open_encoder(checkpoint, bits=options.bits, random_weights=options.random_weights)


def _own_encoder(options: argparse.Namespace, codes: Codes) -> Encoder:
    """The encoder that made these codes; another one would give answers that mean nothing."""
    from codelab.core.files import find_checkpoint

    checkpoint = options.ckpt or find_checkpoint(codes, options.codes)
    if checkpoint is None:
        raise UsageError(f"no checkpoint beside {options.codes}; name the one that made it with --ckpt")
    encoder = _encoder(options, str(checkpoint))
    if encoder.config.bits != codes.bits:
        raise DataError(f"{checkpoint}: gives {encoder.config.bits} bits, {options.codes} has {codes.bits}")
    if encoder.sha256 != (codes.meta.get("encoder") or {}).get("sha256", encoder.sha256):
        raise DataError(f"{checkpoint}: not the encoder that made {options.codes} (another SHA-256)")
    return encoder


def _serve(codes: Path, port: int) -> None:
    """Replace this process by Streamlit's server, so that Ctrl-C and signals reach it."""
    from importlib.util import find_spec

    from codelab.core.files import code_parts, load
    from codelab.core.run_folder import codes_file

    if find_spec("streamlit") is None:
        raise UsageError("the explorer needs streamlit: pip install 'codelab[app]'")
    codes = codes_file(codes)
    if codes.suffix in (".npy", ".npz"):
        load(codes)  # what cannot be opened is said here, not in a browser
    elif codes.exists():
        code_parts(codes)
    else:
        raise UsageError(f"{codes}: no such file or folder")
    command = [sys.executable, "-m", "streamlit", "run", str(EXPLORER_SCRIPT), "--server.port", str(port)]
    command += ["--browser.gatherUsageStats", "false", "--", "--codes", str(codes.resolve())]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606


# -- the parser -------------------------------------------------------------------------------------------------------


def _parser(*, train_flags: bool) -> argparse.ArgumentParser:
    parser = Parser(
        prog="codelab",
        description="Turn images into packed bit codes, and see what every bit means, carries and retrieves.",
        epilog="example: codelab demo --no-serve",
    )
    parser.add_argument("--version", action="version", version=f"codelab {__version__}")
    command = subcommands(parser)

    sub = command(
        "demo", _demo, "train a small encoder on OpenMoji, export, measure, report, explore", "", "--no-serve"
    )
    sub.add_argument("--out", default="runs/demo", help="the run folder (default: %(default)s)")
    sub.add_argument("--seed", type=int, help="of weights, batches and crops (default: the config's)")
    sub.add_argument("--fresh", action="store_true", help="throw away an earlier run in the same folder")
    sub.add_argument("--no-serve", dest="serve", action="store_false", help="stop before the explorer is served")
    _port(sub)

    sub = command(
        "train", _train, "train an encoder on images, without labels", "my.yaml", "my.yaml --beta 0.2 --run runs/b02"
    )
    sub.add_argument("config", help="a YAML file; every key of it is also a flag")
    sub.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    sub.add_argument("--fresh", action="store_true", help="throw away an earlier run in the same folder")
    if train_flags:  # only then is it worth importing what describes them
        from training.config import add_flags

        add_flags(sub)

    sub = command(
        "export",
        _export,
        "turn images into packed bit codes",
        "--ckpt runs/demo --data photos/ --out codes.parquet --thumbnails",
        "--ckpt timm:vit_small_patch14_dinov2 --bits 256 --data photos/ --labels labels.csv --out codes.parquet",
        "--ckpt runs/demo/best.safetensors --data demo --split test --logits --out codes.parquet",
    )
    sub.add_argument(
        "--ckpt", required=True, help="an encoder.safetensors, a run folder, or timm:NAME (its head is random)"
    )
    sub.add_argument("--data", required=True, help="a folder of images, a .parquet data set, or 'demo'")
    sub.add_argument("--out", required=True, help="a name ending in .parquet, or a new folder for parts")
    sub.add_argument("--labels", metavar="CSV", help="columns path, label, optional split and attributes")
    sub.add_argument("--split", help="only the images of this split")
    sub.add_argument("--logits", action="store_true", help="keep the logits: how sure each bit is")
    sub.add_argument("--features", action="store_true", help="keep the backbone's features")
    sub.add_argument("--thumbnails", action="store_true", help="keep a small picture of each image")
    sub.add_argument("--skip-bad", action="store_true", help="leave unreadable images out instead of failing")
    sub.add_argument("--workers", type=_positive, default=4, help="threads that decode images (default: %(default)s)")
    sub.add_argument("--device", help="cpu, cuda, … (default: cuda when there is one)")
    timm_options(sub)

    sub = command(
        "binarize",
        _binarize,
        "turn features anyone already has into packed bit codes",
        "features.npy --bits 256 --out codes.parquet --labels labels.npy",
        "embeddings.parquet --column emb --method hashcoder --out codes.parquet --save-coder coder.safetensors",
        "features.npy --method itq --out codes.parquet --save-coder itq.npz",
        "queries.npy --coder itq.npz --out queries.parquet",
    )
    sub.add_argument("features", help="a .npy file [N, d], a .parquet file with a column of lists, or a folder")
    sub.add_argument("--out", required=True, help="a name ending in .parquet")
    sub.add_argument("--method", help="sign, median, lsh, pca-rotation, itq or hashcoder (default: itq)")
    sub.add_argument("--bits", type=_positive, help="length of the code (default: 256)")
    sub.add_argument("--seed", type=int, default=0, help="of all chance (default: %(default)s)")
    sub.add_argument("--column", help="of the Parquet file (default: features, or the only column of lists)")
    sub.add_argument("--labels", metavar="NPY", help="class numbers or names [N], or bool [N, C]")
    sub.add_argument("--logits", action="store_true", help="keep the margins: how sure each bit is")
    sub.add_argument("--features", dest="keep_features", action="store_true", help="keep the features")
    sub.add_argument("--save-coder", metavar="PATH", help="also save what was fitted (.npz; hashcoder: .safetensors)")
    sub.add_argument("--coder", metavar="PATH", help="code with this saved coder; nothing is fitted")

    sub = command(
        "analyze",
        _analyze,
        "measure codes: usage, entropy, information, reuse, geometry",
        "runs/demo",
        "runs/demo --by tone --json",
        "runs/demo --views 4 --data demo",
    )
    _codes_options(sub)
    sub.add_argument(
        "--stream", action="store_true", help="hold one block of the file at a time: what counts can tell"
    )
    sub.add_argument("--views", type=_positive, metavar="K", help="encode K augmented views: what survives")
    sub.add_argument("--data", help="with --views, the images the codes were made from, as in codelab export")
    sub.add_argument("--labels", metavar="CSV", help="with --views, the CSV given to codelab export")
    sub.add_argument("--ckpt", help="with --views, the checkpoint, where it no longer lies where the codes say")
    timm_options(sub)
    sub.add_argument("--permutations", type=_positive, default=200, help="behind every p-value (default: %(default)s)")
    sub.add_argument("--seed", type=int, default=0, help="of all chance (default: %(default)s)")
    sub.add_argument("--json", action="store_true", help="all results as JSON on stdout")
    sub.add_argument("--out", metavar="JSON", help="also write all results to this file")

    sub = command(
        "search",
        _search,
        "nearest codes to an image, and the bits that differ",
        "runs/demo --query cat.png",
        "runs/demo --id 1F600 -k 20 --json",
    )
    _codes_options(sub)
    sub.add_argument("--query", metavar="IMAGE", help="an image file; it is encoded by the codes' own checkpoint")
    sub.add_argument("--id", help="an item of the codes, as the query")
    sub.add_argument("-k", type=_positive, default=10, help="how many (default: %(default)s)")
    sub.add_argument("--ckpt", help="the checkpoint, where it no longer lies where the codes say")
    sub.add_argument("--json", action="store_true", help="JSON on stdout")
    timm_options(sub)

    sub = command(
        "report",
        _report,
        "one static HTML file that shares it all: codes, or how runs of codelab train went",
        "runs/demo/codes.parquet --out report.html",
        "runs/demo",
        "runs/a runs/b --out compare.html",
    )
    sub.add_argument("paths", nargs="+", metavar="CODES|RUN", help="a codes file or folder; or run folders")
    sub.add_argument("--split", help="of codes: only the items of this split")
    sub.add_argument("--by", metavar="ATTRIBUTE", help="of codes: use this item column as the label")
    sub.add_argument("--out", help="the HTML file (default for one run: training.html in its folder)")
    sub.add_argument("--title", help="its heading (default: from the name of the file or folder)")

    sub = command("explore", _explore, "open the explorer in a browser", "runs/demo --port 8600")
    sub.add_argument("codes", help="a codes file (.parquet, .npy, .npz), a folder of parts, or a run folder")
    _port(sub)
    return parser


def _codes_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("codes", help="a codes file (.parquet, .npy, .npz), a folder of parts, or a run folder")
    sub.add_argument("--split", help="only the items of this split")
    sub.add_argument("--by", metavar="ATTRIBUTE", help="use this item column as the label")


def _port(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--port", type=_port_number, default=8501, help="of the explorer (default: %(default)s)")


def _port_number(text: str) -> int:
    value = _positive(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, found {text!r}")
    return value
