"""`python -m training CONFIG`, the command that `codelab train` calls too; under `torchrun` with two dashes:

    torchrun --nproc-per-node 8 -m -- training CONFIG

The dashes keep `torchrun` from taking --run for an option of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from codelab.core.command import RANK, Parser, run
from codelab.core.signals import end_on_signals, ignore_signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 the work failed, 2 the call is wrong."""
    parser = Parser(
        prog="python -m training",
        description="Train an encoder on images, without labels.",
        epilog="example: python -m training configs/demo.yaml --beta 0.2 --run runs/b02",
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    return run(lambda: train(options), name="training")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The config file, how an earlier run is treated, and a flag for each field of the config."""
    from training.config import add_flags

    parser.add_argument("config", help="a YAML file; every key of it is also a flag")
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    parser.add_argument("--fresh", action="store_true", help="throw away an earlier run in the same folder")
    add_flags(parser)


def train(options: argparse.Namespace) -> None:
    """Train by parsed options, and print the run folder; under `torchrun` the first process alone prints."""
    from training.config import flags_given, load_config, published_words
    from training.loop import fit
    from training.start import at_own_size, size_words

    flags = flags_given(options)
    written = load_config(options.config, flags)
    config = at_own_size(written, flags)
    for words in (published_words(config, flags), size_words(written, config)):
        if words and not RANK:
            print(words, file=sys.stderr)
    folder = fit(config, resume=options.resume, fresh=options.fresh)
    if not RANK:
        print(folder)


if __name__ == "__main__":
    end_on_signals("training")
    code = main()
    ignore_signals()
    sys.exit(code)
