"""Adaptation: self-supervised training goes on on images of another kind, with a head drawn anew; before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codelab.core.errors import UsageError
from codelab.images.encoder import Encoder, open_encoder
from codelab.images.sources import open_images
from codelab.retrieval.measures import knn_accuracy, retrieval_map
from codelab.retrieval.summary import RetrievalResult
from codelab.statistics.intervals import Averages
from training import checkpoint
from training.config import TrainConfig, load_config
from training.evaluation.protocols import SPACES, Evaluation, about, against, both_averages, cells, columns
from training.evaluation.sets import Chosen, Sets, check_columns, choose, encode, has_label, part
from training.loop import fit
from training.parts import held_out_as, parts, splits_of
from training.process import find_device
from training.start import at_own_size

if TYPE_CHECKING:
    import pandas as pd

NEIGHBOURS = 20


@dataclass(frozen=True, kw_only=True)
class Change:
    """One measure before and after; `change` is of their difference on each test image."""

    on: str
    measure: str
    before: Averages
    after: Averages
    change: Averages


@dataclass(frozen=True, kw_only=True)
class Adaptation(Evaluation):
    """What adaptation changed. `run` is the run folder; `bits` and `sha256` are of the encoders before and after."""

    run: str
    epochs: int
    trained_on: int
    bits: tuple[int, int]
    sha256: tuple[str, str]
    changes: tuple[Change, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row a measure."""
        import pandas as pd

        return pd.DataFrame(
            [
                dict[str, Any](on=c.on, measure=c.measure)
                | columns(c.before, "before")
                | columns(c.after, "after")
                | columns(c.change, "change")
                for c in self.changes
            ]
        )

    def headings(self) -> tuple[str, ...]:
        return "", "measure", "average over", "before", "after", "change"

    def title(self) -> str:
        bits = " and ".join(str(b) for b in dict.fromkeys(self.bits))
        return (
            f"adaptation: {self.of} to {self.data}, {self.epochs} epochs on {self.trained_on:,} images; {bits} bits; "
            f"{against(self)}"
        )

    def rows(self) -> list[tuple[str, ...]]:
        return [
            (SPACES[c.on], c.measure, what, *three)
            for c in self.changes
            for what, *three in zip(
                ("images", "classes"), cells(c.before), cells(c.after), cells(c.change, "+.3f"), strict=True
            )
        ]


def adaptation_config(
    path: str | Path, start: str, flags: Mapping[str, Any], *, random_weights: bool = False
) -> tuple[TrainConfig, Encoder]:
    """The config of an adaptation, and the encoder it starts from.

    What the encoder is comes from the encoder, unless a flag says otherwise: the backbone and its weights, the size
    and normalisation of images, and of a checkpoint also the shape of the head. How to train comes from the file.

    Args:
        path: any training config.
        start: a checkpoint, a run folder, or timm:NAME.
        flags: config fields by name.
        random_weights: with timm:NAME, not the pretrained weights.

    Raises:
        UsageError: a config that cannot be, or a flag that says again where to start.
        DataError: the weights cannot be loaded.
    """
    for name in ("init", "pretrained"):
        if name in flags:
            raise UsageError(f"adapt: --ckpt names the weights to start from, found --{name} too")
    if start.startswith("timm:"):
        own: dict[str, Any] = {"backbone": start.removeprefix("timm:"), "pretrained": not random_weights}
        own |= {"init": "", "reset_at_start": False}
        encoder = open_encoder(start, bits=load_config(path, {**own, **flags}).bits, random_weights=random_weights)
        names: tuple[str, ...] = ("image_size", "mean", "std")
    else:
        encoder = open_encoder(start, random_weights=random_weights)
        own = {"backbone": "from-init", "pretrained": False, "init": start, "reset_at_start": True}
        names = ("bits", "hidden", "head_norm")
    own |= {name: getattr(encoder.config, name) for name in names}
    config = at_own_size(load_config(path, {**own, **flags}), flags)
    if config.local_views and config.local_size > config.image_size:
        raise UsageError(
            f"adapt: local_size is {config.local_size} and {start} sees {config.image_size} pixels; "
            "set a smaller --local-size, or --local-views 0"
        )
    return config, encoder


def adapt(
    config: TrainConfig,
    encoder: Encoder,
    *,
    chosen: Chosen,
    of: str,
    labels_csv: str | None = None,
    resume: bool = False,
    fresh: bool = False,
    show: bool = True,
) -> Adaptation:
    """Measure an encoder, train it on the train split of `config.data`, and measure it again.

    Test images are ranked against the train images, or against each other where those have no labels. Labels are
    used in measuring alone.

    Args:
        config: the training; see `adaptation_config`.
        encoder: what it starts from.
        chosen: which images are meant; the train split is None for `train`, or for all that is not held out where
            there is none; empty for everything there is.
        of: what the user called the encoder.
        labels_csv: labels and splits of a folder of images.
        resume, fresh, show: as `training.fit`.

    Raises:
        UsageError, DataError: as `training.fit`, `choose` and `encode`.
    """
    run = Path(config.run)
    if (run / checkpoint.NEWEST).exists() and not (resume or fresh):  # before the images are encoded, not after
        raise UsageError(f"{run}: holds a run already; add --resume, or --fresh to throw it away, or change --run")
    images = open_images(config.data, labels_csv=labels_csv, skip_bad=config.skip_bad, most_pixels=config.most_pixels)
    check_columns(images, chosen, config.data)
    split, test = chosen.train_split, chosen.test_split
    notes = []
    if split is None and "train" not in splits_of(images):
        # to hold images out is to evaluate on them, at the end at the least
        config = replace(config, evaluate_every=config.evaluate_every or config.epochs)
        found = parts(config, images)
        held_out = held_out_as(found.config.to_dict())
        if test is not None or held_out is None:
            there = ", ".join(splits_of(images)) or "no splits"
            raise UsageError(
                f"{config.data}: no split 'train'; found {there}; name one with --split, '' for every image"
            )
        itself = not has_label(found.train, chosen.by).any()
        chosen = replace(chosen, held_out=held_out)
        pair = choose(images, images, chosen, name=config.data, others_name=config.data)
    else:
        split = "train" if split is None else split
        test = ("test" if splits_of(images) else "") if test is None else test
        train = part(images, split, config.data)
        if split in ("", test):
            notes.append("the test images were trained on too, without their labels")
        itself = split in ("", test) or not has_label(train, chosen.by).any()
        chosen = replace(chosen, train_split=test if itself else split, test_split=test)
        pair = choose(images, images, chosen, name=config.data, others_name=config.data)
        config = replace(config, split=split)
        found = parts(config, images)
    how: dict[str, Any] = {"skip_bad": config.skip_bad, "device": str(find_device(config.device)), "of": of}
    before = _measures(encode(encoder, pair, **how), config.seed)
    fit(config, images=images, resume=resume, fresh=fresh, show=show)
    adapted = Encoder.load(run / "encoder.safetensors")
    after = encode(adapted, pair, **how)
    changes = tuple(
        Change(
            on=new.by,
            measure=new.measure,
            before=both_averages(old, after, old.per_query),
            after=both_averages(new, after, new.per_query),
            change=both_averages(new, after, new.per_query - old.per_query),
        )
        for old, new in zip(before, _measures(after, config.seed), strict=True)
    )
    words = f"mAP expected over the order of ties, divided by all relevant items; {changes[0].change.how}"
    return Adaptation(
        **about(replace(after, notes=(*after.notes, *notes)), words, config.seed),
        run=str(run),
        epochs=config.epochs,
        trained_on=len(found.train),
        bits=(encoder.config.bits, adapted.config.bits),
        sha256=(encoder.sha256, adapted.sha256),
        changes=changes,
    )


def _measures(sets: Sets, seed: int) -> list[RetrievalResult]:
    k = min(NEIGHBOURS, len(sets.test if sets.train is None else sets.train))
    return [
        measure(sets.test, sets.train, by=by, groups=sets.group, seed=seed)
        for by in SPACES
        for measure in (retrieval_map, partial(knn_accuracy, k=k))
    ]
