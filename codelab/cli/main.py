"""The `codelab` command: results to stdout, progress and warnings to stderr; 0 done, 1 failed, 2 the call is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from codelab import __version__
from codelab.core.command import Parser, run, subcommands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = command_line().parse_args(arguments)
    return run(lambda: options.command(options), name="codelab")


def command_line() -> Parser:
    """The parser of all commands. Each command imports what it works with when it runs, so that `--help` is fast."""
    from codelab.cli import codes, maps, measure, score, share, train, verify

    parser = Parser(
        prog="codelab",
        description="Turn images into packed bit codes, and see what every bit means, carries and retrieves.",
        epilog="example: codelab demo --no-serve",
    )
    parser.add_argument("--version", action="version", version=f"codelab {__version__}")
    command = subcommands(parser)
    for add in (
        train.add_demo,
        train.add_train,
        codes.add_export,
        codes.add_binarize,
        measure.add_analyze,
        measure.add_compare,
        measure.add_search,
        score.add_score,
        maps.add_map,
        share.add_report,
        share.add_explore,
        verify.add_verify,
    ):
        add(command)
    return parser
