"""Commands that measure codes: `analyze`, `compare` and `search`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codelab.cli.options import (
    COUNTED_ONCE,
    add_codes,
    add_encoder,
    add_most_pixels,
    add_packing,
    images_of,
    open_codes,
    open_each,
    own_encoder,
)
from codelab.core.command import AddCommand, group_option, overwrite_option, whole_number
from codelab.core.errors import UsageError, printable

if TYPE_CHECKING:
    from codelab.analysis import Analysis
    from codelab.core.codes import Codes


def add_analyze(command: AddCommand) -> None:
    """`codelab analyze`."""
    parser = command(
        "analyze",
        analyze,
        "measure codes: usage, entropy, information, reuse, geometry",
        "runs/demo --group emoji",
        "runs/demo --group emoji --by tone --json",
        "runs/demo --group emoji --views 4 --data demo",
    )
    add_codes(parser)
    group_option(parser, COUNTED_ONCE)
    add = parser.add_argument
    add("--stream", action="store_true", help="hold one block of the file at a time; measures that count alone")
    add("--views", type=whole_number(1), metavar="K", help="encode K augmented views: which bits survive")
    add("--data", help="with --views, the images the codes were made from, as in codelab export")
    add("--labels", metavar="CSV", help="with --views, the CSV given to codelab export")
    add_most_pixels(parser, when="with --views, ")
    add_encoder(parser, when="with --views, ")
    add("--permutations", type=whole_number(1), default=200, help="behind every p-value (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of all chance (default: %(default)s)")
    add("--json", action="store_true", help="all results as JSON on stdout")
    add("--out", metavar="JSON", help="also write all results to this file")
    overwrite_option(parser)


def analyze(options: argparse.Namespace) -> None:
    """Run the sections of the analysis, and print or write them."""
    from codelab.core.io import atomic_path, check_output

    if options.out is not None:
        check_output(options.out, overwrite=options.overwrite)
    about, results = _in_blocks(options) if options.stream else _in_memory(options)
    report = {name: result.to_dict() for name, result in results.items()}
    text = json.dumps(report, indent=1, allow_nan=False)
    if options.out:
        with atomic_path(options.out) as part:
            part.write_text(text + "\n")
    if options.json:
        print(text)
        return
    from codelab.reporting.terminal import print_analysis

    print(printable(about))
    print_analysis(results)


def _in_blocks(options: argparse.Namespace) -> tuple[str, Analysis]:
    """What was measured, in words, and the results."""
    from codelab.analysis import analyze_parts
    from codelab.core.attributes import NO_GROUPS, SAME_THING
    from codelab.core.files import iter_codes
    from codelab.reporting.terminal import as_it_finishes

    if options.by or options.split or options.views or options.packing or options.group not in (None, NO_GROUPS):
        raise UsageError(
            "analyze: --stream reads a file block by block, "
            "without --by, --split, --views, --packing and the column of --group"
        )
    blocks = iter_codes(options.codes, columns=SAME_THING)  # a column of such a name is warned of
    given = {"groups": options.group, "permutations": options.permutations, "seed": options.seed}
    results = analyze_parts(blocks, **given, each=as_it_finishes())
    about = f"{options.codes}, block by block; controls (shuffled codes, random directions) need the codes in memory"
    return about, results


def _in_memory(options: argparse.Namespace) -> tuple[str, Analysis]:
    """What was measured, in words, and the results."""
    from codelab.analysis import analyze
    from codelab.core.attributes import check_groups, group_column
    from codelab.measures.channel import channel_of_views, view_channels
    from codelab.reporting.terminal import as_it_finishes

    given = {"groups": options.group, "permutations": options.permutations, "seed": options.seed}
    given["each"] = as_it_finishes()
    codes = open_codes(options)
    named = check_groups(codes, options.group)
    about = str(codes) if named is None else f"{codes}, near copies share one {named}"
    if not options.views:
        return about, analyze(codes, **given)
    if options.views == 1 or not options.data:
        raise UsageError("analyze: --views takes 2 or more, and the images the codes were made from as --data")
    views, changed = _views(options, codes)
    results = analyze(codes, features=views[0].features, **given)
    groups = None if named is None else group_column(codes, named)  # the images need not have the column
    results["channel"] = channel_of_views(views, groups=groups, seed=options.seed)
    results["view_channels"] = view_channels(codes, changed, groups=groups)
    return about, results


def _views(options: argparse.Namespace, codes: Codes) -> tuple[list[Codes], dict[str, Codes]]:
    """Codes of K views of the images with all augmentations, and of one view for each augmentation alone."""
    from codelab.images.augment import CHANGES, view_of
    from codelab.images.export import encode_images

    encoder = own_encoder(options, codes)
    images = images_of(options, codes, options.codes)
    views = []
    for k in range(options.views):
        view, label = view_of(images, seed=options.seed + k), f"view {k + 1} of {options.views}"
        views.append(encode_images(encoder, view, features=True, label=label))
    changed = {
        name: encode_images(encoder, view_of(images, name, seed=options.seed), label=f"only {name}")
        for name in CHANGES
    }
    return views, changed


def add_compare(command: AddCommand) -> None:
    """`codelab compare`."""
    parser = command(
        "compare",
        compare,
        "two codes of the same images side by side: figures with paired tests, and their bits matched",
        "runs/demo/codes.parquet runs/demo/untrained.parquet --group emoji",
        "runs/seed0 runs/seed1 --group emoji --json",
        "before.parquet after.parquet --decodable",
    )
    parser.add_argument("a", help="codes: a file, a folder of parts, or a run folder")
    parser.add_argument("b", help="codes of the same images in the same order")
    parser.add_argument("--split", help="only the items of this split")
    parser.add_argument("--by", metavar="ATTRIBUTE", help="use this item column as the label")
    add_packing(parser)
    group_option(parser, COUNTED_ONCE)
    parser.add_argument(
        "--decodable", action="store_true", help="also which bits of A can be read from B, as after a head reset"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of all chance (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def compare(options: argparse.Namespace) -> None:
    """Measure two codes side by side, and match their bits."""
    from codelab.analysis.comparison import compare_codes
    from codelab.core.attributes import check_groups
    from codelab.reporting.terminal import TOP, print_table

    a, b = open_each(options, (options.a, options.b))
    found = compare_codes(a, b, groups=check_groups(a, options.group), decodable=options.decodable, seed=options.seed)
    if options.json:
        print(json.dumps(found.to_dict(), indent=1, allow_nan=False))
        return
    names = f"a: {options.a} ({a.bits} bits), b: {options.b} ({b.bits} bits), {len(a):,} images"
    print_table(("figure", "a", "b", "a minus b"), found.table(), names)
    if found.note:
        print(found.note)
    print(found.matching.headline())
    if found.decodable is not None:
        print(f"a from b: {found.decodable.headline()}")
    best = [
        (str(x), str(y), f"{phi:+.3f}") for x, y, phi, _ in found.matching.to_frame().head(TOP).itertuples(index=False)
    ]
    print_table(("bit of a", "bit of b", "phi"), best, f"The {len(best)} best matched bits; below 0, its complement")


def add_search(command: AddCommand) -> None:
    """`codelab search`."""
    parser = command(
        "search",
        search,
        "nearest codes to an image, and the bits that differ",
        "runs/demo --query cat.png",
        "runs/demo --id 1F605 -k 20 --json",
        "runs/demo --id 1F605 --rescore features --oversample 4",
    )
    add_codes(parser)
    parser.add_argument("--query", metavar="IMAGE", help="an image file; the encoder that made the codes encodes it")
    parser.add_argument("--id", help="an item of the codes, as the query")
    parser.add_argument("-k", type=whole_number(1), default=10, help="how many (default: %(default)s)")
    parser.add_argument("--asymmetric", action="store_true", help="weigh bits by the query's logits")
    kinds = ("logits", "features")
    parser.add_argument("--rescore", choices=kinds, help="order the codes found by cosine of these")
    parser.add_argument("--oversample", type=float, help="with --rescore, codes found for each one shown (default: 4)")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    add_encoder(parser)


def search(options: argparse.Namespace) -> None:
    """Find the nearest codes to a query, and print them."""
    from codelab.neighbours.search import search
    from codelab.reporting.terminal import print_table

    codes = open_codes(options)
    if options.oversample is not None and options.rescore is None:
        raise UsageError("search: --oversample goes with --rescore")
    how = {"asymmetric": options.asymmetric, "rescore": options.rescore}
    if options.oversample is not None:
        how["oversample"] = options.oversample
    found = search(codes, query := _query(options, codes), k=min(options.k, len(codes)), **how)
    hits: list[dict[str, Any]] = []
    for place, (distance, row) in enumerate(zip(found.distances[0].tolist(), found.indices[0].tolist(), strict=True)):
        hits.append(
            {
                "place": place + 1,
                "distance": distance,
                **({} if found.rescored is None else {"rescored": float(found.rescored[0, place])}),
                "id": codes.items["id"][row].as_py(),
                "label": "" if codes.multilabel or codes.labels[row] < 0 else codes.classes[codes.labels[row]],
                "differing_bits": list((codes.code(row) ^ query.code(0)).search(1)),
            }
        )
    if options.json:
        print(json.dumps(hits))
        return
    shown = []
    for *cells, bits in (hit.values() for hit in hits):
        texts = (f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells)
        shown.append((*texts, " ".join(map(str, bits)) or "none"))
    second = () if found.rescored is None else (f"1 - cosine of {options.rescore}",)
    print_table(("", "distance", *second, "id", "label", "differing bits"), shown)


def _query(options: argparse.Namespace, codes: Codes) -> Codes:
    """The code to search with: that of an item, or of an image file."""
    from codelab.core.codes import Codes
    from codelab.images.imageset import decode

    if (options.query is None) == (options.id is None):
        raise UsageError("search: give one of --query IMAGE and --id ID")
    if options.id is not None:
        ids = codes.items["id"].to_pylist()
        if options.id not in ids:
            raise UsageError(f"search: no item has the id {options.id!r}")
        return codes[[ids.index(options.id)]]
    image = Path(options.query)
    if not image.is_file():
        raise UsageError(f"{image}: no such file")
    encoder = own_encoder(options, codes)
    features, logits = encoder.encode(encoder.transform(decode(image.read_bytes(), str(image)))[None])
    return Codes.from_logits(logits, features=features)
