"""`python -m training.evaluate`: evaluation of an encoder's codes and features, each protocol a command with a table.

knn and retrieval rank the train images for each test image; linear and mlp train a probe on frozen features and bits;
adapt goes on with self-supervised training on images of another kind and measures before and after.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from codelab.core.attributes import NO_GROUPS
from codelab.core.command import Parser, group_option, run, subcommands, timm_options, whole_number
from codelab.core.errors import UsageError
from codelab.core.shipped import shipped
from codelab.core.signals import end_on_signals, ignore_signals
from codelab.images.encoder import open_encoder
from codelab.images.picture import MOST_PIXELS
from codelab.reporting.terminal import print_table
from training.config import AUTO, add_flags, flags_given
from training.evaluation.adapt import adapt, adaptation_config
from training.evaluation.protocols import Evaluation, knn, probe, retrieval
from training.evaluation.sets import Chosen, Sets, encode, open_codes, open_pair
from training.parts import held_out_as
from training.process import find_device

PROGRAM = "python -m training.evaluate"
HELD_OUT = 5000
"""The most images held out where the data has no split for the test."""
ADAPT_CONFIG = shipped("configs/adapt.yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one protocol; returns the exit code: 0 done, 1 the work failed, 2 the call is wrong."""
    options = _parser().parse_args(arguments)
    options.group = None if options.group == NO_GROUPS else options.group
    return run(lambda: _show(options.command(options), as_json=options.json), name="evaluate")


def _show(table: Evaluation, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(table.to_dict(), indent=1, allow_nan=False))
        return
    print_table(table.headings(), table.rows(), title=table.title())
    print(table.how)
    for note in table.notes:
        print(note)


# -- commands ---------------------------------------------------------------------------------------------------------


def _knn(options: argparse.Namespace) -> Evaluation:
    return knn(_sets(options), ks=options.k, weighted=options.weighted, seed=options.seed)


def _retrieval(options: argparse.Namespace) -> Evaluation:
    return retrieval(_sets(options), ks=options.k, seed=options.seed)


def _linear(options: argparse.Namespace) -> Evaluation:
    return probe(_sets(options, apart=True), "linear", seed=options.seed, device=find_device(options.device))


def _mlp(options: argparse.Namespace) -> Evaluation:
    return probe(_sets(options, apart=True), "mlp", seed=options.seed, device=find_device(options.device))


def _adapt(options: argparse.Namespace) -> Evaluation:
    flags = flags_given(options)
    config, encoder = adaptation_config(options.config, options.ckpt, flags, random_weights=options.random_weights)
    split = None if config.split == AUTO else config.split
    chosen = Chosen(train_split=split, test_split=options.test_split, by=options.by, group=options.group)
    return adapt(
        config,
        encoder,
        chosen=chosen,
        of=options.ckpt,
        labels_csv=options.labels,
        resume=options.resume,
        fresh=options.fresh,
    )


def _sets(options: argparse.Namespace, *, apart: bool = False) -> Sets:
    """The codes to evaluate: read from files, or made now."""
    chosen = Chosen(
        train_split=options.train_split,
        test_split=options.test_split,
        by=options.by,
        group=options.group,
        apart=apart,
    )
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("ckpt", "data", "train_data", "labels", "bits", "random_weights", "skip_bad")
        if getattr(options, name)
    ]
    by_default = (options.seed, HELD_OUT, options.group or "") if apart else None
    if options.codes:
        if given:
            raise UsageError(f"--codes: codes are made already, found {given[0]} too")
        return open_codes(options.codes, replace(chosen, held_out=by_default))
    if not (options.ckpt and options.data):
        raise UsageError("expected --ckpt and --data, or --codes")
    encoder = open_encoder(options.ckpt, bits=options.bits, random_weights=options.random_weights)
    training = encoder.config.training
    same = bool(training) and Path(str(training.get("data"))).resolve() == Path(options.data).resolve()
    own = held_out_as(training) if same else None  # what its run held out of these images stays held out here
    chosen = replace(chosen, held_out=own or by_default)
    pair = open_pair(
        options.data,
        chosen,
        train_data=options.train_data,
        labels_csv=options.labels,
        skip_bad=options.skip_bad,
        most_pixels=options.most_pixels,
    )
    device = str(find_device(options.device))
    return encode(encoder, pair, of=options.ckpt, skip_bad=options.skip_bad, device=device)


# -- the parser -------------------------------------------------------------------------------------------------------


EXAMPLES = {
    "knn": (
        "--ckpt runs/demo --data demo --group emoji",
        "--ckpt timm:vit_small_patch14_dinov2 --data imagenet/val --train-data imagenet/train -k 20 --weighted",
        "--codes train.parquet test.parquet --json",
    ),
    "retrieval": (
        "--ckpt runs/demo --data demo --group emoji",
        "--ckpt runs/demo --data demo --train-split test --group emoji",
        "--codes codes.parquet --by tone",
    ),
    "linear": (
        "--ckpt runs/demo --data demo --group emoji",
        "--ckpt runs/vitb16 --data food101.parquet --device cuda",
        "--codes train.parquet test.parquet --by colour",
    ),
    "mlp": (
        "--ckpt runs/demo --data demo --group emoji",
        "--codes train.parquet test.parquet --seed 1",
    ),
    "adapt": (
        "--ckpt runs/vitb16 --data birds.parquet --config configs/adapt.yaml --run runs/birds",
        "--ckpt runs/demo --data photos/ --labels labels.csv --config configs/demo.yaml --epochs 10 --run runs/photos",
        "--ckpt timm:vit_small_patch16_224 --data birds.parquet --epochs 5 --run runs/birds",
    ),
}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROGRAM,
        description="What an encoder's codes and features are worth on labelled images.",
        epilog=f"example: {PROGRAM} knn --ckpt runs/demo --data demo --group emoji",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added = subcommands(parser)

    def command(name: str, run: Callable[[argparse.Namespace], Evaluation], what: str) -> argparse.ArgumentParser:
        sub = added(name, run, what, *EXAMPLES[name])
        sub.add_argument("--json", action="store_true", help="JSON on stdout")
        return sub

    sub = command("knn", _knn, "accuracy of the k nearest neighbours, by codes and by features")
    _sources(sub)
    _neighbours(sub)
    sub.add_argument("--weighted", action="store_true", help="a vote weighs exp(cosine / 0.07), as DINO's")
    what = "mean average precision, and precision among the nearest, by codes and by features"
    sub = command("retrieval", _retrieval, what)
    _sources(sub)
    _neighbours(sub)
    _sources(command("linear", _linear, "a linear probe on frozen features, and on the bits"))
    _sources(command("mlp", _mlp, "a probe with one hidden layer on frozen features, and on the bits"))
    what = "train on without labels on a target domain with a new head, and measure before and after"
    _adaptation(command("adapt", _adapt, what))
    return parser


def _adaptation(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--ckpt", required=True, help="what to start from: a checkpoint, a run folder, or timm:NAME")
    sub.add_argument(
        "--config",
        default=ADAPT_CONFIG,
        help="how to train, a YAML file (default: configs/adapt.yaml); backbone, image size, normalisation and "
        "the shape of the head are those of --ckpt, unless a flag says otherwise",
    )
    sub.add_argument("--test-split", help="split that is measured (default: test); --split is the one to train on")
    _labels(sub)
    sub.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    sub.add_argument("--fresh", action="store_true", help="throw away an earlier run in the same folder")
    sub.add_argument("--random-weights", action="store_true", help="with timm:NAME, do not load pretrained weights")
    add_flags(sub)


def _sources(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--ckpt", help="an encoder.safetensors, a run folder, or timm:NAME (its head is random)")
    sub.add_argument("--data", help="a folder of images, a .parquet data set, or 'demo'")
    sub.add_argument("--train-data", metavar="DATA", help="where the train images are (default: in --data)")
    sub.add_argument(
        "--codes",
        nargs="+",
        metavar="FILE",
        help="in place of --ckpt and --data: codes files with features, of train and of test, or one of both",
    )
    sub.add_argument(
        "--train-split",
        metavar="SPLIT",
        help="default: train, or all that is not held out; the test split: test against itself",
    )
    sub.add_argument(
        "--test-split",
        metavar="SPLIT",
        help="default: test; without splits what the run of --ckpt held out, a fifth for probes, else all images",
    )
    _labels(sub)
    sub.add_argument("--skip-bad", action="store_true", help="leave unreadable images out instead of failing")
    sub.add_argument(
        "--most-pixels",
        type=whole_number(1),
        default=MOST_PIXELS,
        metavar="N",
        help="width times height of an image, at most (default: %(default)s)",
    )
    sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if there is one")
    sub.add_argument("--seed", type=whole_number(0), default=0, help="of all chance (default: %(default)s)")
    timm_options(sub)


def _labels(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--labels", metavar="CSV", help="columns path, label, optional split and attributes")
    sub.add_argument("--by", metavar="ATTRIBUTE", help="use this item column as the label")
    group_option(sub, "are left out of rankings")


def _neighbours(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "-k",
        type=whole_number(1),
        nargs="+",
        metavar="K",
        help="how many neighbours (default: 1 5 10 20, where they fit)",
    )


if __name__ == "__main__":
    end_on_signals("evaluate")
    code = main()
    ignore_signals()
    sys.exit(code)
