"""The objectives of the paper in the demo's recipe: head reset, fixed head, soft bits, cosine, SimDINO, DINO.

    python benchmarks/objectives.py --seeds 0 1 2

Network, images, crops, steps and optimiser are the same; where an objective's own recipe differs, see `VARIANTS`.
Scored on the half of the drawings that no run saw, as `codelab demo` scores; the mean over seeds and the largest
distance from it. No objective but BITS was tuned here, so a small lead of BITS proves little.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np

from codelab.core.io import atomic_path
from codelab.demo import Comparison, Scores, score
from codelab.images.encoder import Encoder
from codelab.images.export import encode_images
from codelab.images.imageset import ImageSet
from codelab.images.sources import open_images
from codelab.reporting.terminal import print_table
from training.config import load_config
from training.loop import fit

RECIPE = Path(__file__).parents[1] / "configs" / "demo.yaml"
SIMDINO = {"beta": 1.0, "clip": 3.0, "min_lr": 1e-6}
VARIANTS: dict[str, dict[str, object]] = {
    "BITS, head reset every 6 epochs": {"reset_every": 6},
    "BITS, head fixed": {},
    "soft bits, tau 0.1": {"objective": "soft-bits"},
    "soft bits, tau 1": {"objective": "soft-bits", "tau": 1.0},
    "cosine on bits": {"objective": "cosine-bits"},
    "SimDINO": {"objective": "simdino", **SIMDINO},
    "DINO, 1,024 prototypes": {"objective": "dino", "prototypes": 1024, "clip": 3.0},
}
NUMBERS = [f.name for f in dataclasses.fields(Scores) if f.name != "name"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/objectives"))
    options = parser.parse_args()
    held = open_images("demo", split="test")
    found: dict[str, list[Scores]] = {"untrained": []}
    for name, changes in VARIANTS.items():
        runs = [_trained(name, changes, seed, options.out) for seed in options.seeds]
        if len(found) == 1:  # all start alike
            found["untrained"] = [_scores(run, "untrained", held) for run in runs]
        found[name] = [_scores(run, "encoder", held) for run in runs]
    seeds = ", ".join(map(str, options.seeds))
    title = f"{len(held)} held-out drawings, seeds {seeds}: mean ± largest distance from it"
    print_table(Comparison.HEADINGS, [(name, *_cells(scores)) for name, scores in found.items()], title=title)


def _trained(name: str, changes: dict[str, object], seed: int, out: Path) -> Path:
    """The run folder; a run that is done is not done again."""
    slug = "".join(c if c.isalnum() else "-" for c in name.lower())
    run = out / f"{slug}-{seed}"
    config = load_config(RECIPE, {**changes, "seed": seed, "run": str(run), "evaluate_every": 0})
    return run if (run / "encoder.safetensors").exists() else fit(config, resume=True)


def _scores(run: Path, which: str, held: ImageSet) -> Scores:
    kept = run / f"{which}.json"
    if not kept.exists():
        codes = encode_images(Encoder.load(run / f"{which}.safetensors"), held, features=True, label=run.name)
        with atomic_path(kept) as part:
            part.write_text(json.dumps(dataclasses.asdict(score(run.name, codes, 0))))
    return Scores(**json.loads(kept.read_text()))


def _cells(scores: list[Scores]) -> list[str]:
    values = np.array([[getattr(s, name) for name in NUMBERS] for s in scores])
    mean = values.mean(0)
    apart = np.abs(values - mean).max(0)
    return [f"{m:.3f} ± {a:.3f}" if m < 2 else f"{m:.1f} ± {a:.1f}" for m, a in zip(mean, apart, strict=True)]


if __name__ == "__main__":
    main()
