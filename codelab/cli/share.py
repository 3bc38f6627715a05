"""Commands that show codes to people: `report` writes one HTML file, `explore` opens the explorer."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codelab.cli.options import COUNTED_ONCE, add_port, open_codes
from codelab.core.command import AddCommand, group_option, overwrite_option
from codelab.core.errors import UsageError
from codelab.core.shipped import shipped

if TYPE_CHECKING:
    from codelab.core.codes import Codes


def add_report(command: AddCommand) -> None:
    """`codelab report`."""
    parser = command(
        "report",
        report,
        "one static HTML file to share: what codes hold, or how runs of codelab train went",
        "runs/demo/codes.parquet --group emoji --out report.html",
        "runs/demo",
        "runs/a runs/b --out compare.html",
    )
    parser.add_argument("paths", nargs="+", metavar="CODES|RUN", help="a codes file or folder; or run folders")
    parser.add_argument("--split", help="with codes: only the items of this split")
    parser.add_argument("--by", metavar="ATTRIBUTE", help="with codes: use this item column as the label")
    group_option(parser, COUNTED_ONCE, when="with codes: ")
    parser.add_argument("--out", help="the HTML file (default for one run: training.html in its folder)")
    overwrite_option(parser)
    parser.add_argument("--title", help="its heading (default: from the name of the file or folder)")
    _pictures_option(parser, when="with codes: ")
    parser.add_argument(
        "--brief", action="store_true", help="with codes: leave out what bits mean, which takes longest"
    )


def report(options: argparse.Namespace) -> None:
    """Write the report of codes or of runs."""
    from codelab.core.io import check_output
    from codelab.core.run_folder import codes_file
    from codelab.runs.readings import is_run

    runs = [path for path in options.paths if is_run(path)]
    other = next((path for path in options.paths if not is_run(path)), None)
    if other is not None:
        codes_file(other)  # an empty folder is refused before an option that is missing
    if other is not None and len(options.paths) > 1:
        raise UsageError(f"report: {other} is no run folder; expected one set of codes, or one or more runs")
    if runs and (options.split or options.by or options.group):
        raise UsageError(f"report: --split, --by and --group go with codes, found the run folder {runs[0]}")
    own = str(Path(runs[0], "training.html")) if len(runs) == 1 else None  # made anew as the run goes on
    out = own if options.out is None else options.out
    if out is None:
        raise UsageError(f"report: --out is needed with {'several runs' if runs else 'codes'}, a name ending in .html")
    check_output(out, overwrite=options.overwrite or options.out is None)
    if runs:
        from codelab.runs.report import write_run_report

        write_run_report(runs, out, title=options.title)
    else:
        from codelab.reporting.report import write_report

        options.codes = options.paths[0]
        title = options.title or Path(options.codes).name
        folder = pictures_folder(options.codes, options.pictures)
        codes = open_codes(options)
        _say_if_outside(codes, folder)
        meaning = not options.brief
        write_report(codes, out, title=title, groups=options.group, pictures=folder, meaning=meaning)
    print(out)


def _say_if_outside(codes: Codes, folder: Path) -> None:
    """One warning where the first image is a file that is not shown, as it lies elsewhere."""
    from codelab.images.cards import picture_file
    from codelab.images.folder import SUFFIXES

    if "thumbnail" in codes.items.column_names or "path" not in codes.items.column_names or not len(codes):
        return
    first = str(codes.items["path"][0].as_py())
    if first.lower().endswith(SUFFIXES) and picture_file(first, folder) is None:
        warnings.warn(f"{first!r}: not in {folder}, so not shown; --pictures names another folder", stacklevel=2)


def add_explore(command: AddCommand) -> None:
    """`codelab explore`."""
    parser = command(
        "explore",
        explore,
        "open the explorer in a browser, for this machine alone",
        "runs/demo --port 8600",
        "runs/demo --root runs",
        "runs/demo/codes.parquet runs/demo/untrained.parquet",
    )
    parser.add_argument(
        "codes",
        nargs="+",
        help="a codes file (.parquet, .npy, .npz), a folder of parts, or a run folder; more of them to compare with",
    )
    parser.add_argument(
        "--root", help="the folder whose codes the explorer opens (default: the folder that holds the codes)"
    )
    _pictures_option(parser)
    add_port(parser)


def _pictures_option(parser: argparse.ArgumentParser, *, when: str = "") -> None:
    parser.add_argument(
        "--pictures",
        metavar="FOLDER",
        help=f"{when}where items have no thumbnail, show their files from this folder alone, links resolved "
        "(default: the folder of the codes)",
    )


def pictures_folder(codes: str | Path, named: str | None) -> Path:
    """The only folder whose image files are shown: the one that is named, else that of the codes.

    Raises:
        UsageError: no such folder.
    """
    from codelab.core.run_folder import codes_file

    if named is None:
        return codes_file(codes).resolve().parent
    if not named or not Path(named).is_dir():
        raise UsageError(f"--pictures: found {named!r}, expected a folder")
    return Path(named).resolve()


def explore(options: argparse.Namespace) -> None:
    """Serve the explorer on codes."""
    serve([Path(path) for path in options.codes], options.port, root=options.root, pictures=options.pictures)


def serve(codes: Sequence[Path], port: int, *, root: str | None = None, pictures: str | None = None) -> None:
    """Replace this process by Streamlit's server, so that Ctrl-C and signals reach it.

    It answers this machine alone; what else it keeps to stands in app/.streamlit/config.toml.

    Args:
        codes: what is shown first, and what it can be compared with.
        port: where it listens.
        root: the folder whose codes can be opened in the browser. Default: the folder that holds all of `codes`.
        pictures: the folder whose image files are shown where there is no thumbnail. Default: that of the codes shown.

    Raises:
        UsageError: Streamlit is not installed, there are no such codes, or they lie outside `root`.
        DataError: the codes cannot be opened.
    """
    from importlib.util import find_spec

    from codelab.core.inside import inside

    if find_spec("streamlit") is None:
        raise UsageError("the explorer needs streamlit: pip install 'codelab[app]'")
    files = [_opens(path) for path in codes]
    folder = Path(root or os.path.commonpath([path.resolve().parent for path in files])).resolve()
    for path in files:
        if inside(path.resolve(), folder) is None:
            raise UsageError(f"{path}: not in the folder {folder} that --root names")
    command = [sys.executable, "-m", "streamlit", "run", str(shipped("app/main.py")), "--server.port", str(port)]
    command += ["--server.address", "127.0.0.1", "--browser.gatherUsageStats", "false", "--"]
    if pictures is not None:
        command += ["--pictures", str(pictures_folder(files[0], pictures))]
    command += ["--root", str(folder)]
    for path in files:
        command += ["--codes", str(path.resolve())]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606


def _opens(path: Path) -> Path:
    """The codes that a path stands for; those that cannot be opened are refused here, not in a browser."""
    from codelab.core.files import code_parts, load
    from codelab.core.run_folder import codes_file

    path = codes_file(path)
    if path.suffix in (".npy", ".npz"):
        load(path)
    elif path.exists():
        code_parts(path)
    else:
        raise UsageError(f"{path}: no such file or folder")
    return path
