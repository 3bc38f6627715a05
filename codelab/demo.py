"""The demo's last steps: export the held-out half, compare it with an untrained network, write results and report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codelab.analysis import analyze
from codelab.core.codes import Codes
from codelab.core.files import load
from codelab.core.formats import number, text_rows
from codelab.core.io import atomic_path
from codelab.core.result import Result, Source
from codelab.images.encoder import Encoder
from codelab.images.export import export
from codelab.images.imageset import ImageSet
from codelab.images.sources import open_images
from codelab.measures.bit_usage import bit_usage
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.reporting.report import write_report
from codelab.retrieval.measures import knn_accuracy, retrieval_map

if TYPE_CHECKING:
    import pandas as pd

GROUPS = "emoji"
"""The column whose values are near copies: the skin tones of an emoji."""
PIXELS = 16
"""Side of the pictures of the baseline without a model."""
NEIGHBOURS = 10
_NEIGHBOURS = {f"{by}_knn": f"{by} {NEIGHBOURS}-NN" for by in ("code", "feature")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """One row of the comparison; NaN where there is no such figure (pixels have no bits)."""

    name: str
    code_map: float
    feature_map: float
    code_knn: float
    feature_knn: float
    entropy: float
    dof: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(Result):
    """Trained codes beside the same architecture untrained, and beside pixels, on the held-out half.

    The line quotes the mAP of the codes of each model.
    """

    scores: tuple[Scores, ...]
    n: int
    bits: int
    measure: str

    HEADINGS: ClassVar = (
        "",
        "code mAP",
        "feature mAP",
        f"code {NEIGHBOURS}-NN",
        f"feature {NEIGHBOURS}-NN",
        "bit entropy",
        "dof",
    )

    def headline(self) -> str:
        return "code mAP " + ", ".join(f"{row.name} {number(row.code_map)}" for row in self.scores)

    def to_frame(self) -> pd.DataFrame:
        """One row a model."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(row) for row in self.scores])

    def title(self) -> str:
        """What was measured, for the table's heading."""
        return (
            f"{self.n} held-out drawings, {self.bits} bits; mAP@ALL (expected ties) and k-NN averaged over classes; "
            "an emoji's own skin tones are left out of its ranking"
        )

    def rows(self) -> list[tuple[str, ...]]:
        """The table's cells as text."""
        return [tuple(row) for row in text_rows(self.to_frame())]


def measure(run: Path, *, seed: int = 0) -> Comparison:
    """Export, compare and report the `encoder.safetensors` and `untrained.safetensors` of a demo run.

    Writes `codes.parquet` (the held-out half, with logits, features and thumbnails), `results.json`, `report.html`.
    """
    images = open_images("demo", split="test")
    trained = _exported(run / "encoder.safetensors", images, run / "codes.parquet", thumbnails=True)
    untrained = _exported(run / "untrained.safetensors", images, run / "untrained.parquet")
    comparison = Comparison(
        scores=(
            score("trained", trained, seed),
            score("untrained", untrained, seed),
            score(
                f"{PIXELS}x{PIXELS} pixels", dataclasses.replace(trained, features=pixels(images)), seed, bits=False
            ),
        ),
        source=Source.of(trained),
        n=len(trained),
        bits=trained.bits,
        measure="mAP@ALL and k-NN over the held-out half, self and same emoji left out, class-averaged; mAP: exact "
        "expectation over ties, divided by relevant",
        seed=seed,
    )
    analysis = analyze(trained, groups=GROUPS, seed=seed)
    results = {
        "comparison": comparison.to_dict(),
        "analysis": {name: result.to_dict() for name, result in analysis.items()},
        "codes": {"sha256": trained.sha256, **trained.meta},
    }
    with atomic_path(run / "results.json") as part:
        part.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    write_report(
        trained,
        run / "report.html",
        results=analysis,
        groups=GROUPS,
        title="Codes of OpenMoji drawings",
        extra_tables={comparison.title(): comparison.to_frame().rename(columns=_NEIGHBOURS)},
    )
    return comparison


def pixels(images: ImageSet) -> np.ndarray:
    """The baseline without any model: each picture at 16x16, minus the mean picture of the set, `[N, 768]`."""
    from PIL import Image

    small = [np.asarray(images.image(i).resize((PIXELS, PIXELS), Image.Resampling.BOX)) for i in range(len(images))]
    flat = np.stack(small).reshape(len(images), -1).astype(np.float32) / 255
    return flat - flat.mean(axis=0)


def _exported(checkpoint: Path, images: ImageSet, out: Path, *, thumbnails: bool = False) -> Codes:
    encoder = Encoder.load(checkpoint)
    export(
        encoder, images, out, logits=True, features=True, thumbnails=thumbnails, overwrite=True, checkpoint=checkpoint
    )
    return load(out)


def score(name: str, codes: Codes, seed: int, *, bits: bool = True) -> Scores:
    """One row of the comparison: the codes and features of the demo's drawings; without `bits`, features alone."""

    def both(by: str) -> tuple[float, float]:
        if by == "codes" and not bits:
            return np.nan, np.nan
        # one resample: the interval is not shown
        ranking = retrieval_map(codes, groups=GROUPS, by=by, average="class", seed=seed, bootstrap=1)
        votes = knn_accuracy(codes, k=NEIGHBOURS, groups=GROUPS, by=by, average="class", seed=seed, bootstrap=1)
        return ranking.value, votes.value

    code_map, code_knn = both("codes")
    feature_map, feature_knn = both("features")
    return Scores(
        name=name,
        code_map=code_map,
        feature_map=feature_map,
        code_knn=code_knn,
        feature_knn=feature_knn,
        entropy=bit_usage(codes).value if bits else np.nan,
        dof=degrees_of_freedom(codes).value if bits else np.nan,
    )
