"""The training run: data, student and teacher, optimiser, loop, checkpoint; read it top to bottom."""

from __future__ import annotations

import copy
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from codelab.atomic import atomic_path
from codelab.encoder import FORMAT, Encoder, EncoderConfig, load_state, read_tensors, write_tensors
from codelab.errors import DataError, UsageError
from codelab.images import ImageSet, open_images
from training.config import TrainConfig
from training.crops import View, augment, uniforms
from training.data import batches, load_pixels
from training.display import Display
from training.health import Monitor, health_line, warning
from training.objective import bit_bce, coding_rate_max, is_reset_epoch, mean_rate, reset_head
from training.schedules import cosine, warmup_cosine

_FREE = ("run", "control", "device", "log_every", "save_every", "memory_gb")  # what a resumed run may change
_FILES = ("checkpoint.safetensors", "metrics.jsonl", "encoder.safetensors", "untrained.safetensors")


def fit(
    config: TrainConfig,
    *,
    images: ImageSet | None = None,
    resume: bool = False,
    fresh: bool = False,
    show: bool = True,
) -> Path:
    """Train an encoder; the teacher is the product.

    Args:
        config: what to do.
        images: train on these in place of `config.data`.
        resume: go on from the run's checkpoint where there is one.
        fresh: throw away an earlier run in the same folder.
        show: progress on stderr.

    Returns:
        The run folder: encoder.safetensors (the teacher), checkpoint.safetensors, metrics.jsonl, config.json, and
        untrained.safetensors where the config asks for a control.

    Raises:
        UsageError: the folder holds a run and neither `resume` nor `fresh` is set, or that run had another config.
        DataError: too few images, a checkpoint that cannot be used, or a loss that is not finite.
        KeyboardInterrupt: SIGINT or SIGTERM came; the checkpoint was saved first.

    Example (about a minute of training, so it is not run as a test):
        fit(load_config("configs/demo.yaml", {"run": "runs/mine"}), resume=True)
    """
    folder = Path(config.run)
    saved = folder / "checkpoint.safetensors"
    if fresh:
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
    elif saved.exists() and not resume:
        raise UsageError(f"{folder}: holds a run already; add --resume, or --fresh to throw it away, or change --run")
    images = open_images(config.data, split=config.split or None) if images is None else images
    run = Run(config, load_pixels(images, config, show=show))
    if saved.exists():
        run.load(saved)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "config.json") as part:
        part.write_text(json.dumps(config.to_dict(), indent=1))
    if config.control:
        Run(config, run.pixels).product({}).save(folder / "untrained.safetensors")
    run.train(folder, show=show)
    run.product(config.to_dict()).save(folder / "encoder.safetensors")
    return folder


class Run:
    """Student, teacher and optimiser at some step of a config.

    Args:
        config: what to do.
        pixels: uint8 `[N, 3, S, S]`, the training images.
    """

    def __init__(self, config: TrainConfig, pixels: Tensor) -> None:
        self.config = config
        self.device = _device(config.device)
        self.precision = _precision(config.precision, self.device)
        self.pixels = pixels.to(self.device)
        self.steps_per_epoch = len(pixels) // config.batch
        self.steps = self.steps_per_epoch * config.epochs
        self.warmup = round(config.warmup_epochs * self.steps_per_epoch)
        self.step = 0
        self.views = views(config)

        architecture = EncoderConfig(
            backbone=config.backbone,
            bits=config.bits,
            image_size=config.image_size,
            width=config.width,
            hidden=config.hidden,
            head_norm=config.head_norm,
            mean=config.mean,
            std=config.std,
            interpolation="bilinear",  # the filter of the training crops
        )
        torch.manual_seed(config.seed)  # for backbones with dropout; all else draws by its own key
        self.student = Encoder(architecture, seed=config.seed, pretrained=config.pretrained).to(self.device)
        if self.pixels.is_cuda or config.backbone == "conv":
            self.student = self.student.to(memory_format=torch.channels_last)
        # The teacher stays in training mode: its BatchNorm takes the statistics of its own batch, as the student's.
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        decayed = [p for p in self.student.parameters() if p.ndim > 1]
        others = [p for p in self.student.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "decays": True}, {"params": others, "decays": False}]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=0.0, fused=True)
        self.monitor = Monitor(coding_rate_max(config.batch, config.bits, config.eps2))

    # -- the loop ---------------------------------------------------------------------------------------------------

    def train(self, folder: Path, *, show: bool) -> None:
        """Every step that is left, with metrics and checkpoints in `folder`."""
        config, log = self.config, Log(folder / "metrics.jsonl", self.step)
        since_reset, alarmed = 0, False
        order: Tensor | None = None
        clock, clock_step = time.perf_counter(), self.step
        with Display(self.step, self.steps, show=show) as display, _stop_signals() as stopped:
            while self.step < self.steps:
                epoch, place = divmod(self.step, self.steps_per_epoch)
                if place == 0 and is_reset_epoch(epoch, config.epochs, config.reset_every):
                    reset_head(self.student.head, self.teacher.head, self.optimizer, config.seed + 1000 * epoch)
                    self.monitor.forget_codes()
                    since_reset = 0
                if place == 0 or order is None:
                    order = batches(len(self.pixels), config.batch, config.seed, epoch)
                self.train_step(epoch, order[place].to(self.device))
                self.step += 1
                since_reset += 1

                epoch_done = self.step % self.steps_per_epoch == 0
                save = stopped() or (epoch_done and (epoch + 1) % config.save_every == 0) or self.step == self.steps
                if save or self.step % config.log_every == 0:
                    values = self.monitor.read()
                    now = time.perf_counter()
                    speed = (self.step - clock_step) * config.batch / (now - clock)
                    clock, clock_step = now, self.step
                    settled = since_reset >= max(50, 2 * self.steps_per_epoch) and self.step > 2 * self.warmup
                    alarm = warning(values) if settled else None
                    if alarm and not alarmed:
                        display.warn(f"step {self.step}: {alarm}")
                    alarmed = alarm is not None
                    log.write(
                        {
                            "step": self.step,
                            "epoch": self.step / self.steps_per_epoch,
                            **values,
                            "images_per_second": speed,
                            "warning": alarm,
                        }
                    )
                    display.update(self.step, f"{epoch + 1}/{config.epochs}", health_line(values, speed))
                    if not math.isfinite(values["loss"]):
                        raise DataError(
                            f"{folder}: the loss is {values['loss']} at step {self.step}; lower lr or raise eps2"
                        )
                if save:
                    self.save(folder / "checkpoint.safetensors")
                if stopped():
                    raise KeyboardInterrupt(f"saved at step {self.step} of {self.steps}; go on with --resume")

    def train_step(self, epoch: int, index: Tensor) -> None:
        """One step of the student on the images `index`, and of the teacher after it."""
        config = self.config
        n, bits = len(index), config.bits
        pixels = self.pixels[index]
        crops = [augment(pixels, view, uniforms(config.seed, epoch, index, v)) for v, view in enumerate(self.views)]
        wide, local = self.inputs(crops[:2]), self.inputs(crops[2:])

        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            with torch.no_grad():
                _, sent = self.teacher(wide)
            features = [self.student.backbone(part) for part in (wide, local) if part is not None]
            heard = self.student.head(torch.cat(features))
        sent, heard = sent.float().view(2, n, bits), heard.float().view(-1, n, bits)

        bce, rate = bit_bce(heard, sent), mean_rate(heard[:2], config.eps2, config.centred)
        loss = bce - config.beta / bits * rate
        loss.backward()
        self.monitor.record(loss, bce, rate, heard, sent)

        peak = config.lr * config.batch / 256
        lr = warmup_cosine(self.step, self.steps, warmup=self.warmup, peak=peak, end=config.min_lr)
        decay = cosine(self.step, self.steps, config.weight_decay, config.weight_decay_end)
        for group in self.optimizer.param_groups:
            group["lr"], group["weight_decay"] = lr, decay if group["decays"] else 0.0
        clip_gradients(list(self.student.parameters()), config.clip, by=config.clip_by)
        self.optimizer.step()
        self.optimizer.zero_grad()

        momentum = cosine(self.step, self.steps, config.ema, config.ema_end)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.teacher.parameters()), list(self.student.parameters()), 1 - momentum)

    def inputs(self, views: Sequence[Tensor]) -> Tensor | None:
        """Views of one size as one normalised batch."""
        if not views:
            return None
        return self.student.normalise(torch.cat(list(views))).contiguous(memory_format=torch.channels_last)

    # -- what is kept -----------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """The whole state in one file, atomically: kill the process when you like."""
        tensors = {f"student.{k}": v for k, v in self.student.state_dict().items()}
        tensors |= {f"teacher.{k}": v for k, v in self.teacher.state_dict().items()}
        for name, parameter in self.student.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = value
        tensors["rng"] = torch.cuda.get_rng_state() if self.device.type == "cuda" else torch.get_rng_state()
        header = {"format": FORMAT, "kind": "checkpoint", "step": self.step, "config": self.config.to_dict()}
        write_tensors(path, tensors, header)

    def load(self, path: Path) -> None:
        """Go back to what `save` kept.

        Raises:
            UsageError: the checkpoint is of another config.
            DataError: the file cannot be used.
        """
        header, tensors = read_tensors(path, kind="checkpoint")
        then, now = header.get("config", {}), self.config.to_dict()
        changed = [f"{k} {then.get(k)} to {v}" for k, v in now.items() if k not in _FREE and then.get(k) != v]
        if changed:
            raise UsageError(f"{path}: the run's config has changed, so it cannot be resumed: {', '.join(changed)}")
        parts: dict[str, dict[str, Tensor]] = {"student": {}, "teacher": {}, "optimizer": {}, "rng": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            parts.setdefault(kind, {})[rest] = tensor
        load_state(self.student, parts["student"], path)
        load_state(self.teacher, parts["teacher"], path)
        for name, parameter in self.student.named_parameters():
            keys = ("step", "exp_avg", "exp_avg_sq")
            state = {k: parts["optimizer"][f"{k}.{name}"] for k in keys if f"{k}.{name}" in parts["optimizer"]}
            if state:
                # The fused step reads moments and weights in the order of memory: they must lie alike.
                self.optimizer.state[parameter] = {
                    k: v.to(self.device) if k == "step" else torch.empty_like(parameter).detach().copy_(v)
                    for k, v in state.items()
                }
        (torch.cuda.set_rng_state if self.device.type == "cuda" else torch.set_rng_state)(parts["rng"][""])
        self.step = int(header["step"])

    def product(self, training: dict[str, Any]) -> Encoder:
        """The teacher as an encoder of its own, its BatchNorm statistics taken on the images as they are."""
        encoder = copy.deepcopy(self.teacher)
        encoder.config = replace(encoder.config, training=training)
        calibrate(encoder, self.pixels)
        return encoder.eval()


def views(config: TrainConfig) -> list[View]:
    """Two global views and the local ones."""
    common: dict[str, Any] = {
        "flip": config.flip,
        "jitter": config.jitter,
        "jitter_p": config.jitter_p,
        "grey_p": config.grey,
        "blur_sigma": config.blur_sigma,
    }
    wide = View(size=config.image_size, scale=config.global_scale, blur_p=config.blur[0], **common)
    local = View(size=config.local_size, scale=config.local_scale, blur_p=config.blur[2], **common)
    return [wide, replace(wide, blur_p=config.blur[1], solarise_p=config.solarise), *[local] * config.local_views]


def clip_gradients(parameters: Sequence[nn.Parameter], limit: float, *, by: str) -> None:
    """Scale gradients whose norm is above `limit`, each tensor apart or all together; the device is not waited for."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if limit <= 0 or not gradients:
        return
    norms = list(torch._foreach_norm(gradients))
    if by == "global":
        norms = [torch.stack(norms).norm()] * len(gradients)
    torch._foreach_mul_(gradients, [(limit / (norm + 1e-6)).clamp(max=1) for norm in norms])


@torch.no_grad()
def calibrate(encoder: Encoder, pixels: Tensor, *, most: int = 4096) -> None:
    """Take BatchNorm statistics anew on images as they will be coded: in training they were those of crops."""
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    encoder.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    size = encoder.config.image_size
    whole = View(size=size, scale=(1, 1), ratio=1, flip=0, jitter_p=0, grey_p=0)
    for part in pixels[torch.linspace(0, len(pixels) - 1, min(most, len(pixels))).long()].split(256):
        image = augment(part, whole, torch.full((len(part), 16), 0.5, device=part.device))
        encoder(encoder.normalise(image))
    for norm in norms:
        norm.momentum = 0.1


class Log:
    """metrics.jsonl: one JSON object a reading; rows past the step a run resumes from are dropped first."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        rows = path.read_text().splitlines() if path.exists() else []
        kept = [row for row in rows if row.endswith("}") and json.loads(row)["step"] <= step]
        with atomic_path(path) as part:
            part.write_text("".join(f"{row}\n" for row in kept))

    def write(self, values: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")


@contextmanager
def _stop_signals() -> Iterator[Any]:
    """Yields a function that tells whether SIGINT or SIGTERM came; the step in progress is finished first.

    A second signal stops at once: the last checkpoint stands.
    """
    came = threading.Event()

    def note(*_: object) -> None:
        if came.is_set():
            raise KeyboardInterrupt("at once; go on from the last checkpoint with --resume")
        came.set()
        print("stopping after this step; once more to stop at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield came.is_set
        return
    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("config: device is cuda, and there is none; expected auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _precision(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        # On a CPU without bf16 instructions bf16 is emulated, and slower than fp32.
        fast = device.type == "cuda" or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if name == "bf16" else torch.float32
