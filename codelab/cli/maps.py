"""`map`: codes laid out in two or three dimensions, as a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from codelab.cli.options import add_codes, open_codes
from codelab.core.command import AddCommand, group_option, overwrite_option, whole_number
from codelab.core.errors import UsageError, printable

SUFFIXES = (".parquet", ".html")


def add_map(command: AddCommand) -> None:
    """`codelab map`."""
    parser = command(
        "map",
        draw_map,
        "lay codes out in two or three dimensions, beside the same map of shuffled bits",
        "runs/demo --group emoji --out map.parquet",
        "runs/demo --group emoji --method tsne --seed 1 --out map.html",
        "codes.parquet --dims 3 --out map.html",
    )
    add_codes(parser)
    add = parser.add_argument
    add("--out", required=True, help="a name ending in .parquet (Embedding Atlas opens it) or .html (a figure)")
    add("--method", choices=("umap", "tsne"), default="umap", help="the layout (default: %(default)s)")
    add("--dims", type=int, choices=(2, 3), default=2, help="dimensions of the map (default: %(default)s)")
    add("-k", type=whole_number(2), default=15, help="neighbours of each code (default: %(default)s)")
    add("--seed", type=whole_number(0), default=0, help="seed of layout and shuffle (default: %(default)s)")
    group_option(parser, "their bits are shuffled together")
    add("--json", action="store_true", help="the figures of the map as JSON on stdout")
    overwrite_option(parser)


def draw_map(options: argparse.Namespace) -> None:
    """Lay codes out and write the map."""
    from codelab.analysis.near_copies import unnamed_copies, warn_of_copies
    from codelab.core.attributes import NO_GROUPS, check_groups
    from codelab.core.io import atomic_path, check_output
    from codelab.neighbours.atlas import atlas_command, figures, write_atlas
    from codelab.neighbours.projection import project

    if Path(options.out).suffix not in SUFFIXES:
        raise UsageError(f"{options.out}: expected a name ending in {' or '.join(SUFFIXES)}")
    check_output(options.out, overwrite=options.overwrite)
    codes = open_codes(options)
    named = check_groups(codes, options.group)
    groups = NO_GROUPS if named is None else named
    if options.group is None:
        warn_of_copies(unnamed_copies(codes), stacklevel=1)
    found = project(codes, method=options.method, dims=options.dims, k=options.k, groups=groups, seed=options.seed)
    if options.out.endswith(".html"):
        plain = codes.labelled and not codes.multilabel
        figure = found.plot(codes.labels if plain else None, codes.classes)
        with atomic_path(options.out) as part:
            part.write_text(figure.to_html(include_plotlyjs=True), encoding="utf-8")
    else:
        write_atlas(codes, found, options.out)
    if options.json:
        print(json.dumps(figures(found), allow_nan=False))
        return
    print(printable(f"{options.out}: {found.headline()}"))
    if not options.out.endswith(".html"):
        print(printable(f"open it: {atlas_command(codes, options.out)}"))
