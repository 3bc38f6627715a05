"""The training config: typed fields, each with its documentation under it, from a YAML file and from flags."""

from __future__ import annotations

import argparse
import ast
import inspect
from collections.abc import Collection, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from codelab.core.errors import UsageError
from codelab.core.shipped import recipe
from codelab.images.picture import MOST_PIXELS
from training.fields import LONGEST_NAME, coerce, edit_distance, text_of, type_name
from training.yaml_files import read_yaml

AUTO = "auto"
WHOLE_BATCH = "has a BatchNorm, which takes its statistics from the whole batch"
"""Why a step of some networks cannot be computed in parts."""

ObjectiveName = Literal["bits", "soft-bits", "cosine-bits", "simdino", "dino", "hashcoder"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Switch = Literal["auto", "on", "off"]
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "simdino": {"beta": 1.0, "clip": 3.0, "min_lr": 1e-6, "reset_every": 0},
    "dino": {"clip": 3.0, "min_lr": 1e-6, "reset_every": 0},
}
"""What other objectives publish beside their loss, where it differs from BITS (arXiv 2502.10385, 2104.14294)."""
BestBy = Literal[
    "",
    "entropy",
    "dof",
    "block_entropy",
    "agreement",
    "kappa",
    "code_map",
    "feature_map",
    "code_knn",
    "feature_knn",
    "d_eff",
    "r_eff",
]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything a training run depends on; the defaults are the recipe of the paper for ViT-B/16 on ImageNet.

    `load_config` puts the published values of another objective in their place.
    """

    data: str = "demo"
    """Images to train on: demo, a folder, or a Parquet file or folder. Labels are not used."""
    split: str = AUTO
    """Train on this split of the data; auto: train where there is one, else all that is not held out; '': all."""
    run: str = "runs/train"
    """Folder of the run: checkpoint, metrics, encoder."""
    control: bool = False
    """Also write untrained.safetensors: the network before its first step."""

    backbone: str = "vit_base_patch16_224"
    """conv (a small network for small images), any timm model, or from-init: the one of `init`."""
    pretrained: bool = False
    """Start from timm's weights."""
    init: str = ""
    """Start from the weights of this encoder, a .safetensors file or a run folder."""
    reset_at_start: bool = False
    """With `init`: keep the backbone only and draw a new head; with `pretrained` the head is new in any case."""
    drop_path: float = 0.1
    """Stochastic depth of the student: share of residual branches left out in the last block; not for conv."""
    width: int = 32
    """Channels of the first block of the conv backbone."""
    bits: int = 256
    """B, the length of the code."""
    hidden: int = 2048
    """Width of the head's hidden layers."""
    head_norm: Literal["none", "batch"] = "none"
    """batch: a BatchNorm at the end of the head, which helps with small data and batches."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Normalisation: mean of R, G, B."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Normalisation: standard deviation of R, G, B."""

    image_size: int = 224
    """Side of the global views and of the images the encoder codes, in pixels."""
    store_size: int = 432
    """Images of more than so many pixels squared are reduced to that area, whole. No crop is enlarged on account of it
    where it is image_size / sqrt(global_scale[0]) and local_size / sqrt(local_scale[0]) or more."""
    store: Literal["auto", "memory", "stream"] = "auto"
    """Where images are kept: memory (each decoded once), stream (decoded in each epoch), auto (memory if they fit)."""
    memory_gb: float = 8.0
    """Most memory that the images of a process may take, in GB."""
    workers: int = 0
    """Threads (beside a GPU: processes) that decode and resize images; 0: one on each core."""
    threads: int = 0
    """Threads that compute, on a CPU; 0: one for a small network, else one on each core, or OMP_NUM_THREADS."""
    skip_bad: bool = False
    """Leave out images that cannot be read; they are counted and listed in unreadable.txt."""
    most_pixels: int = MOST_PIXELS
    """Width times height of an image, at most: a larger one cannot be read."""
    global_scale: tuple[float, float] = (0.4, 1.0)
    """Share of the image's area in the two global views: smallest, largest."""
    local_views: int = 8
    """Local views an image, seen by the student alone."""
    local_size: int = 96
    """Side of the local views in pixels."""
    local_scale: tuple[float, float] = (0.05, 0.4)
    """Share of the image's area in the local views: smallest, largest."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    """Strength of the colour jitter: brightness, contrast, saturation, hue."""
    jitter_p: float = 0.8
    """Probability of the colour jitter."""
    grey: float = 0.2
    """Probability of greyscale."""
    blur: tuple[float, float, float] = (1.0, 0.1, 0.5)
    """Probability of blur: first global view, second global view, local views."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Sigma of the blur in pixels of the view: smallest, largest."""
    solarise: float = 0.2
    """Probability of solarisation of the second global view."""

    objective: ObjectiveName = "bits"
    """Loss to train with; a bit is the sign of an output of the head in all of them. simdino and dino bring their
    published beta, clip, min_lr and reset_every, unless these are set beside them."""
    beta: float = 0.1
    """Weight of the coding rate: times 1/B (Eq. 10), for simdino and hashcoder times 1/B + 1/n."""
    tau: float = 0.1
    """Temperature of the teacher's soft bits (soft-bits)."""
    prototypes: int = 65536
    """K, the number of prototypes (dino)."""
    student_temperature: float = 0.1
    """Temperature of the student's softmax (dino)."""
    teacher_temperature: float = 0.04
    """Temperature of the teacher's softmax (dino)."""
    centre_momentum: float = 0.9
    """Momentum of the centre taken from the teacher's outputs (dino)."""
    freeze_epochs: int = 1
    """Epochs at the start in which the prototypes do not move (dino)."""
    eps2: float = 0.05
    """Squared precision of the coding rate (Eq. 9): it divides B; tune it together with beta."""
    centred: bool = False
    """Use the covariance instead of the second moment in the coding rate."""
    rate_views: Literal["global", "all"] = "global"
    """Student views whose coding rate is computed."""
    blend: Switch = "auto"
    """Compute the rate of the mean of student and teacher outputs; auto: with simdino alone."""
    reset_every: int = 10
    """Re-draw the head every n epochs, never in the last n; 0: never."""
    head_ema: Literal["restart", "plain"] = "restart"
    """How the teacher's head follows after a reset: restart, as the mean of the student's heads since, later over some
    50 steps; plain, by the momentum alone, which towards the end leaves it near the random head it was reset to."""

    epochs: int = 100
    """Passes over the data."""
    batch: int = 256
    """Images a step, over all processes."""
    accumulate: int = 1
    """Compute a step in this many parts to save memory: the same gradient; not with a BatchNorm, which needs all."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass to save memory; timm models only."""
    compile: Switch = "auto"
    """Compile the networks with torch.compile; auto: on a GPU."""
    lr: float = 5e-4
    """Peak learning rate for a batch of 256; other batches scale it."""
    min_lr: float = 5e-5
    """Learning rate at the end of the cosine."""
    warmup_epochs: float = 10.0
    """Epochs of linear warm-up."""
    weight_decay: float = 0.04
    """Weight decay at the start of its cosine; none on biases and other 1-D parameters."""
    weight_decay_end: float = 0.4
    """Weight decay at the end of its cosine."""
    clip: float = 1.0
    """Largest norm of a gradient; 0: no limit."""
    clip_by: Literal["tensor", "global"] = "tensor"
    """Which norm is limited: that of each parameter (tensor), or of all together (global)."""
    ema: float = 0.996
    """Momentum of the teacher at the start of its cosine."""
    ema_end: float = 1.0
    """Momentum of the teacher at the end."""

    seed: int = 0
    """Seed of weights, batches and crops."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on; auto: cuda if there is one."""
    precision: Precision = "auto"
    """Number type of matrix products; auto: bf16 where the hardware has it, else fp16 on a GPU and fp32 on a CPU. The
    run records what was taken."""
    log_every: int = 10
    """Steps between two readings of the metrics."""
    save_every: int = 1
    """Epochs between two checkpoints."""
    keep_last: int = 1
    """Checkpoints kept; the newest is checkpoint.safetensors, the others carry their step."""
    keep_resets: bool = False
    """Keep the teacher before each head reset as an encoder, before-reset-STEP.safetensors; of the codes exported from
    it and of later ones, codelab compare --decodable says which bits are still there."""
    evaluate_every: int = 10
    """Epochs between two evaluations of the teacher; 0: never."""
    evaluate_data: str = ""
    """Images the teacher is evaluated on; empty for the training data."""
    evaluate_split: str = AUTO
    """Split of those images; auto: validation or test where there is one, else a fifth of the training images, held
    out by evaluate_group or by chance and not trained on; '': the training images."""
    evaluate_images: int = 5000
    """Evaluate on an even sample of at most so many."""
    evaluate_group: str = AUTO
    """Item column whose equal values mark near copies: these are left out of each other's ranking, and stay on one
    side where images are held out; auto: the column group or emoji where there is one; '': none."""
    best_by: BestBy = "code_map"
    """Figure of the evaluation by which the best teacher is kept as best.safetensors; '': none is kept."""
    tensorboard: bool = False
    """Also write the curves for TensorBoard."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(TrainConfig).items():
            value = getattr(self, name)
            if isinstance(value, bool) and kind is Switch:  # YAML reads on and off as true and false
                value = "on" if value else "off"
            object.__setattr__(self, name, coerce(name, kind, value))
            if get_origin(kind) is Literal:
                choices = get_args(kind)
                self._require(name, getattr(self, name) in choices, " or ".join(choice or "''" for choice in choices))
        at_least = {
            0: (
                *("local_views", "reset_every", "lr", "min_lr", "warmup_epochs", "weight_decay", "weight_decay_end"),
                *("workers", "threads", "freeze_epochs", "evaluate_every", "beta", "clip", "seed"),
            ),
            1: (
                *("bits", "hidden", "width", "epochs", "log_every", "save_every", "keep_last", "accumulate"),
                *("most_pixels",),
            ),
            2: ("batch", "image_size", "store_size", "local_size", "prototypes", "evaluate_images"),
        }
        for least, names in at_least.items():
            for name in names:
                self._require(name, getattr(self, name) >= least, f"{least} or more")
        for name in ("eps2", "memory_gb", "tau", "student_temperature", "teacher_temperature"):
            self._require(name, getattr(self, name) > 0, "more than 0")
        for name in ("flip", "jitter_p", "grey", "solarise", "ema", "ema_end", "centre_momentum"):
            self._require(name, 0 <= getattr(self, name) <= 1, "a number from 0 to 1")
        self._require("blur", all(0 <= p <= 1 for p in self.blur), "numbers from 0 to 1")
        self._require("jitter", all(0 <= s <= 1 for s in self.jitter) and self.jitter[3] <= 0.5, "0 to 1, hue to 0.5")
        self._require("run", bool(self.run), "a folder; . is the current one")
        self._require("seed", self.seed < 1 << 31, "a number below 2^31")
        self._require("std", min(self.std) > 0, "numbers above 0")
        self._require("blur_sigma", 0 <= self.blur_sigma[0] <= self.blur_sigma[1], "smallest, largest, in pixels")
        for name in ("global_scale", "local_scale"):
            low, high = getattr(self, name)
            self._require(name, 0 < low <= high <= 1, "smallest, largest, above 0 and at most 1")
        self._require("drop_path", 0 <= self.drop_path < 1, "a number from 0 to below 1")
        self._require("accumulate", self.batch % self.accumulate == 0, f"a divisor of batch {self.batch}")
        normed = "head_norm batch" if self.head_norm == "batch" else "the backbone conv" * (self.backbone == "conv")
        self._require("accumulate", self.accumulate == 1 or not normed, f"1, as {normed} {WHOLE_BATCH}")
        self._require("epochs", self.epochs >= self.warmup_epochs, f"warmup_epochs {self.warmup_epochs:g} or more")
        self._require("init", bool(self.init) or self.backbone != "from-init", "an encoder, as backbone is from-init")
        started = bool(self.init) or self.pretrained
        self._require("init", started or not self.reset_at_start, "an encoder, as reset_at_start is true")
        self._require("pretrained", not (self.pretrained and self.init), "false, as init gives the weights")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise UsageError(f"config: {name} is {text_of(getattr(self, name))}, expected {expected}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and YAML."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def load_config(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """A config from a YAML file, with some of its values replaced.

    An objective brings its published values (`PUBLISHED`) where the file or `overrides` set none. Where `overrides`
    name another objective than the file, the file's values of these fields were meant for that one and are left out.

    Args:
        path: the file, or None for the defaults alone.
        overrides: values by name, as text or typed; None values are left out.

    Raises:
        UsageError: no such file, no mapping in it, an unknown key (the nearest is named), an ill-typed value.
    """
    written: dict[str, Any] = {}
    if path is not None:
        path = recipe(path)
        loaded, twice = read_yaml(path)
        if loaded is not None and not isinstance(loaded, dict):
            raise UsageError(f"{path}: expected a mapping of config keys, found {type(loaded).__name__}")
        if not loaded:
            raise UsageError(f"{path}: an empty file, expected config keys")
        if twice is not None:
            raise UsageError(f"{path}: the key {twice!r} is there twice")
        written = _known(loaded, str(path))
    given = _known({k: v for k, v in (overrides or {}).items() if v is not None}, "config")
    then = str(written.get("objective", TrainConfig.objective))
    now = str(given.get("objective", then))
    published = PUBLISHED.get(now, {})
    if now != then:
        others = {*published, *PUBLISHED.get(then, {})}
        written = {name: value for name, value in written.items() if name not in others}
    return TrainConfig(**{**published, **written, **given})


def published_words(config: TrainConfig, given: Collection[str]) -> str:
    """Which published values a flag for the objective has brought, in one line; empty where it has brought none.

    Args:
        given: names of the fields that were set by flags.
    """
    published = PUBLISHED.get(config.objective, {}) if "objective" in given else {}
    brought = [name for name, value in published.items() if name not in given and getattr(config, name) == value]
    values = ", ".join(f"{name} {published[name]:g}" for name in brought)
    return f"objective {config.objective}: {values}, as published" if brought else ""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each field, `--local-views` for `local_views`, documented by the string under the field.

    Their values are text, or None where the flag was not given: hand them to `load_config` as overrides.
    """
    group = parser.add_argument_group("config fields (they override the file)")
    for name, (kind, default) in _schema().items():
        text = f"{field_docs()[name]} [{text_of(default)}]".replace("%", "%%")
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if kind is bool else {}  # --skip-bad alone is yes
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, dest=name, metavar=type_name(kind), help=text, **bare)


def flags_given(arguments: argparse.Namespace) -> dict[str, str]:
    """The config fields set by flags that `add_flags` made."""
    return {name: value for name in _schema() if (value := getattr(arguments, name, None)) is not None}


@cache
def field_docs() -> dict[str, str]:
    """The documentation of each field: the string under it in the source."""
    docs = {}
    for body in (
        node.body for node in ast.parse(inspect.getsource(TrainConfig)).body if isinstance(node, ast.ClassDef)
    ):
        for pair in pairwise(body):
            match pair:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docs[name] = " ".join(text.split())
    return docs


def _schema() -> dict[str, tuple[Any, Any]]:
    hints = get_type_hints(TrainConfig)
    return {f.name: (hints[f.name], None if f.default is MISSING else f.default) for f in fields(TrainConfig)}


def _known(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    schema = _schema()
    known = {}
    for key, value in values.items():
        name = key.replace("-", "_") if isinstance(key, str) else text_of(key)
        if name not in schema:
            near = min(schema, key=lambda other: edit_distance(name[:LONGEST_NAME], other))
            raise UsageError(f"{where}: unknown key {text_of(key)!r}; the nearest is {near!r}")
        known[name] = value
    return known
