"""The objectives of the paper in the demo's recipe, and two control experiments on the head reset.

    python benchmarks/objectives.py --seeds 0 1 2                 # all objectives, on the demo
    python benchmarks/objectives.py fashion --seeds 0 1 2 3 4     # reset against fixed head, on Fashion-MNIST
    python benchmarks/objectives.py halves --seeds 0 1 2 3 4      # the same on the demo with its halves swapped

Within an experiment network, images, crops, steps and optimiser are the same; SimDINO and DINO have their published
beta, clip and min_lr. No objective but BITS was tuned here, so a small lead of BITS proves little.

objectives: scored on the half of the drawings that no run saw, as `codelab demo` scores; the mean over seeds and the
largest distance from it.

fashion, halves: the head fixed, and reset every n epochs with the EMA of the teacher's head restarted or plain. One
seed gives all variants the same initial weights, batches and crops, so differences are paired by seed; their 95 %
intervals are t intervals over seeds. Fashion-MNIST: test images against train images. Halves: the recipe was tuned on
the test half, so here it trains on the test half and is scored on the train half.

A run that was interrupted goes on, and a run or a score that is there already is not made again. Two calls with
different seeds can share the work; a last call with all seeds prints the tables. `--images` and `--epochs` make a
run shorter.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import ttest_rel

from codelab.core.io import atomic_path
from codelab.core.shipped import shipped
from codelab.demo import NEIGHBOURS, Comparison, Scores, score
from codelab.images.encoder import Encoder
from codelab.images.export import encode_images
from codelab.images.imageset import ImageSet
from codelab.images.sources import open_images
from codelab.measures.bit_usage import bit_usage
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.reporting.terminal import print_table
from codelab.retrieval.measures import knn_accuracy, retrieval_map
from training.config import load_config
from training.loop import fit

FIXED = "BITS, head fixed"
OBJECTIVES: dict[str, dict[str, object]] = {
    "BITS, head reset every 6 epochs, EMA restarted": {"reset_every": 6},
    "BITS, head reset every 6 epochs, EMA plain": {"reset_every": 6, "head_ema": "plain"},
    FIXED: {},
    "soft bits, tau 0.1": {"objective": "soft-bits"},
    "soft bits, tau 1": {"objective": "soft-bits", "tau": 1.0},
    "cosine on bits": {"objective": "cosine-bits"},
    "SimDINO": {"objective": "simdino"},
    "DINO, 1,024 prototypes": {"objective": "dino", "prototypes": 1024},
}
NUMBERS = [f.name for f in dataclasses.fields(Scores) if f.name != "name"]
UNTRAINED = "untrained"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Runs that differ in one thing.

    Args:
        recipe: the config they start from.
        data, split: the images they train on.
        every: intervals of the head reset, in epochs, for the control experiments.
        measure: the scores of an encoder, given its name and the images it was trained on.
        title: what they are scored on.
    """

    recipe: str
    data: str
    split: str
    every: tuple[int, ...]
    measure: Callable[[Encoder, str, ImageSet], Scores]
    title: str


def on_drawings(split: str) -> Callable[[Encoder, str, ImageSet], Scores]:
    """Scores on one half of the demo's drawings."""
    return lambda encoder, name, _: score(
        name, encode_images(encoder, open_images("demo", split=split), features=True, label=name), 0
    )


def on_clothes(encoder: Encoder, name: str, seen: ImageSet) -> Scores:
    """Scores of Fashion-MNIST's test images, each of which ranks the images that were trained on."""
    test, train = (
        encode_images(encoder, images, features=True, label=name)
        for images in (open_images(FASHION, split="test"), seen)
    )
    figures: dict[str, float] = {}
    for by, short in (("codes", "code"), ("features", "feature")):
        # one resample: the interval is not shown
        ranking = retrieval_map(test, train, by=by, average="class", bootstrap=1)
        votes = knn_accuracy(test, train, k=NEIGHBOURS, by=by, average="class", bootstrap=1)
        figures |= {f"{short}_map": ranking.value, f"{short}_knn": votes.value}
    return Scores(name=name, entropy=bit_usage(test).value, dof=degrees_of_freedom(test).value, **figures)


FASHION = "runs/data/fashion.parquet"
EXPERIMENTS = {
    "objectives": Experiment("demo.yaml", "demo", "train", (), on_drawings("test"), "held-out drawings"),
    "fashion": Experiment(
        "fashion-cpu.yaml", FASHION, "train", (1,), on_clothes, "Fashion-MNIST, test images against train images"
    ),
    "halves": Experiment(
        "demo.yaml", "demo", "test", (6,), on_drawings("train"), "drawings of the train half, trained on the test half"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("what", nargs="?", choices=EXPERIMENTS, default="objectives")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--every", type=int, nargs="+", help="fashion, halves: epochs between two resets [1 and 6]")
    parser.add_argument("--epochs", type=int, help="of a run, for a shorter or a longer experiment [the recipe's]")
    parser.add_argument("--images", type=int, help="train on an even sample of so many [all]")
    parser.add_argument("--out", type=Path, help="where runs are kept [runs/objectives, runs/fashion-resets, ...]")
    options = parser.parse_args()
    experiment = EXPERIMENTS[options.what]
    variants = resets(options.every or experiment.every) if experiment.every else OBJECTIVES
    out = options.out or Path("runs", options.what + "-resets" * bool(experiment.every))
    images = open_images(experiment.data, split=experiment.split)
    if options.images:
        images = images.subset(np.linspace(0, len(images) - 1, options.images).astype(np.int64))
        out = out / f"{options.images}-images"
    found: dict[str, list[Scores]] = {}
    for seed in options.seeds:  # one seed after the other: an interrupted call leaves whole pairs
        for name, changes in variants.items():
            run = trained(experiment, name, {**changes, "seed": seed, "epochs": options.epochs}, images, out)
            found.setdefault(name, []).append(scores(run, "encoder", experiment, images))
            if name == FIXED:  # all start alike
                found.setdefault(UNTRAINED, []).append(scores(run, UNTRAINED, experiment, images))
    seeds = ", ".join(map(str, options.seeds))
    print_table(
        Comparison.HEADINGS,
        [(name, *cells(values)) for name, values in found.items()],
        title=f"{experiment.title}, seeds {seeds}: mean ± largest distance from it",
    )
    if experiment.every and len(options.seeds) > 1:
        rows = [(f"{a} minus {b}", *differences(found[a], found[b])) for a, b in pairs(list(variants))]
        print_table(Comparison.HEADINGS, rows, title=f"paired differences, seeds {seeds}: mean and 95 % t interval")


def resets(every: Sequence[int]) -> dict[str, dict[str, object]]:
    """The fixed head, and for each interval the restarted and the plain EMA of the teacher's head."""
    variants: dict[str, dict[str, object]] = {FIXED: {"reset_every": 0}}
    for n in every:
        for how in ("restart", "plain"):
            variants[f"reset every {n}, {how}"] = {"reset_every": n, "head_ema": how}
    return variants


def pairs(variants: Sequence[str]) -> list[tuple[str, str]]:
    """Each reset minus the fixed head, and of each interval restart minus plain."""
    fixed, *others = variants
    return [(name, fixed) for name in others] + list(zip(others[::2], others[1::2], strict=True))


def trained(experiment: Experiment, name: str, changes: dict[str, object], images: ImageSet, out: Path) -> Path:
    """The run folder; a run that is done is not done again."""
    slug = "".join(c if c.isalnum() else "-" for c in name.lower())
    length = f"-{changes['epochs']}-epochs" if changes["epochs"] else ""
    run = out / f"{slug}{length}-{changes['seed']}"
    changes = {**changes, "data": experiment.data, "split": experiment.split, "run": str(run), "evaluate_every": 0}
    return fit(load_config(shipped(f"configs/{experiment.recipe}"), changes), images=images, resume=True)


def scores(run: Path, which: str, experiment: Experiment, images: ImageSet) -> Scores:
    """The scores of an encoder in a run folder, kept beside it."""
    kept = run / f"{which}.json"
    if not kept.exists():
        made = experiment.measure(Encoder.load(run / f"{which}.safetensors"), run.name, images)
        with atomic_path(kept) as part:
            part.write_text(json.dumps(dataclasses.asdict(made)))
    return Scores(**json.loads(kept.read_text()))


def table(of: Sequence[Scores]) -> np.ndarray:
    """One row a seed, one column a figure."""
    return np.array([[getattr(one, name) for name in NUMBERS] for one in of])


def cells(of: Sequence[Scores]) -> list[str]:
    values = table(of)
    mean = values.mean(0)
    apart = np.abs(values - mean).max(0)
    return [f"{m:.3f} ± {a:.3f}" if m < 2 else f"{m:.1f} ± {a:.1f}" for m, a in zip(mean, apart, strict=True)]


def differences(a: Sequence[Scores], b: Sequence[Scores]) -> list[str]:
    """Mean of a minus b over seeds, with its 95 % t interval."""
    one, two = table(a), table(b)
    low, high = ttest_rel(one, two).confidence_interval(0.95)
    mean = (one - two).mean(0)
    return [f"{m:+.4f} [{x:+.4f}, {y:+.4f}]" for m, x, y in zip(mean, low, high, strict=True)]


if __name__ == "__main__":
    main()
