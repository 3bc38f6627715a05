"""Commands that train: `demo` and `train`, and the trained coder of `binarize`. No other file imports `training`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codelab.cli.options import add_port
from codelab.cli.share import serve
from codelab.core.command import AddCommand, Parser
from codelab.core.errors import UsageError
from codelab.core.shipped import shipped
from codelab.core.signals import if_stopped

if TYPE_CHECKING:
    from training.coder import HashCoder


def add_demo(command: AddCommand) -> None:
    """`codelab demo`."""
    what = "train a small encoder on OpenMoji, export, measure, report, explore"
    parser = command("demo", demo, what, "", "--no-serve")
    parser.add_argument("--out", default="runs/demo", help="the run folder (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="seed of weights, batches and crops (default: the config's)")
    parser.add_argument("--fresh", action="store_true", help="throw away an earlier run in the same folder")
    parser.add_argument("--no-serve", dest="serve", action="store_false", help="stop before the explorer is served")
    add_port(parser)


def demo(options: argparse.Namespace) -> None:
    """Train, measure, report and serve the demo; a run that was interrupted goes on."""
    from codelab.demo import measure
    from codelab.reporting.terminal import print_table
    from training.config import load_config
    from training.loop import fit

    if not options.out:
        raise UsageError("demo: --out is '', expected a folder; . is the current one")
    out = Path(options.out)
    config = load_config(shipped("configs/demo.yaml"), {"run": str(out), "seed": options.seed})
    fit(config, resume=True, fresh=options.fresh)
    with if_stopped(lambda: f"the trained run is kept in {out}; the same call goes on from there"):
        comparison = measure(out, seed=config.seed)
    print_table(comparison.HEADINGS, comparison.rows(), title=comparison.title())
    print(f"\n{out}/: encoder.safetensors, codes.parquet, results.json, report.html")
    if options.serve:
        serve([out / "codes.parquet"], options.port)


def add_train(command: AddCommand) -> None:
    """`codelab train`; its options are those of `python -m training`."""
    what = "train an encoder on images, without labels"
    command("train", train, what, "my.yaml", "my.yaml --beta 0.2 --run runs/b02").when_chosen = _add_train_options


def _add_train_options(parser: Parser) -> None:
    from training.__main__ import add_options

    add_options(parser)


def train(options: argparse.Namespace) -> None:
    """Train an encoder by a config."""
    from training.__main__ import train

    train(options)


def load_hash_coder(path: str) -> HashCoder:
    """The trained coder of features that a file holds."""
    from training.coder import HashCoder

    return HashCoder.load(path)


def fit_hash_coder(features: str, **options: Any) -> HashCoder:
    """A coder trained on the features of a file; options as `training.fit_coder`."""
    from training.coder import fit_coder

    return fit_coder(features, **options)
