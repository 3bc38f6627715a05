"""Student, teacher and optimiser of a run, and one training step: schedules, loss, gradient, update, teacher."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from codelab.core.errors import UsageError
from codelab.images.encoder import Encoder
from training import checkpoint, distributed
from training.config import WHOLE_BATCH, TrainConfig
from training.crops import multi_crop, uniforms, views
from training.data import Batch, Data
from training.losses import coding_rate_max
from training.monitor import TOLERATED, Monitor
from training.network import (
    DropPath,
    Network,
    calibrate,
    compile_in_place,
    draw,
    half_residuals,
    has_batch_norm,
    plain_attention,
    starting_encoder,
    take_over,
)
from training.objective import Objective, Terms, reset_head
from training.process import PRECISIONS, find_precision
from training.schedules import cosine, draw_weight, head_weight, last_reset, warmup_cosine

HALVINGS = 16
"""A GradScaler starts at 2^16 and halves its scale after each overflow: as many more are tolerated in a row."""


class Outputs(NamedTuple):
    """Logits `[V, n, B]` and what the objective compares, `[V, n, D]`; the teacher has the T global views alone."""

    student_logits: Tensor
    student_output: Tensor
    teacher_logits: Tensor
    teacher_output: Tensor


@dataclass(frozen=True)
class StepResult:
    """What a step was taken on: the terms of its loss, and logits `[2, n, B]` of the global views."""

    terms: Terms
    student_logits: Tensor
    teacher_logits: Tensor

    @classmethod
    def of(cls, terms: Terms, outputs: Outputs) -> StepResult:
        return cls(terms, outputs.student_logits[:2].detach(), outputs.teacher_logits)


class Run:
    """Student, teacher and optimiser at some step of a config.

    Args:
        config: what to do.
        data: the training images.

    Raises:
        UsageError: the batch cannot be shared, or the config's parts do not fit.
        DataError: the weights to start from cannot be used.
    """

    def __init__(self, config: TrainConfig, data: Data) -> None:
        self.config, self.data, self.device = config, data, data.device
        share = config.batch // distributed.world()
        if share * distributed.world() != config.batch or share % config.accumulate:
            raise UsageError(
                f"config: batch is {config.batch}, expected a multiple of {distributed.world()} processes "
                f"times accumulate {config.accumulate}"
            )
        self.precision = PRECISIONS[find_precision(config.precision, self.device)]
        self.steps_per_epoch = data.steps_per_epoch
        self.steps = self.steps_per_epoch * config.epochs
        self.warmup = round(config.warmup_epochs * self.steps_per_epoch)
        self.step = 0
        self.resets: list[int] = []
        self.head_drawn = last_reset(config, self.steps_per_epoch, 0)
        """The step before which the head was last drawn anew on a trained backbone; None where it never was."""
        self.draw_weight = 1.0
        """The weight of the head's last random draw in the teacher's head."""
        self.best: float | None = None
        self.views = views(config)

        channels_last = self.device.type == "cuda" or config.backbone == "conv"
        layout = torch.channels_last if channels_last else torch.preserve_format
        self.student = Network(starting_encoder(config), config).to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.normed = has_batch_norm(self.student)
        if self.normed and config.accumulate > 1:
            raise UsageError(
                f"config: accumulate is {config.accumulate}, expected 1, as the backbone "
                f"{self.student.encoder.config.backbone} {WHOLE_BATCH}"
            )
        distributed.share_norms(self.student)
        if self.device.type == "cpu":
            plain_attention(self.student)
        elif self.precision == torch.bfloat16:
            half_residuals(self.student)
        self.paths: list[DropPath] = take_over(self.student) if config.drop_path else []
        # The teacher stays in training mode: its BatchNorm takes the statistics of its own batch, as the student's.
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        for path in self.teacher.modules():
            if isinstance(path, DropPath):
                path.p = 0.0
        self.objective = Objective(config).to(self.device)
        decayed = [p for p in self.student.parameters() if p.ndim > 1]
        others = [p for p in self.student.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "decays": True}, {"params": others, "decays": False}]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=0.0, fused=True)
        scaled = self.precision == torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)  # fp16 has no room for small gradients
        tolerated = TOLERATED + (HALVINGS if scaled else 0)
        self.monitor = Monitor(coding_rate_max(config.batch, config.bits, config.eps2), tolerated)
        self.model: nn.Module = self.student  # the module that averages gradients over processes

    def prepare(self) -> None:
        """Share gradients with the other processes, and compile the networks where the config asks for it."""
        config = self.config
        if distributed.world() > 1:
            self.model = DistributedDataParallel(self.student)
        if config.compile == "on" or (config.compile == "auto" and self.device.type == "cuda"):
            compile_in_place([self.student, self.teacher], self._probe)

    # -- a step -----------------------------------------------------------------------------------------------------

    def train_step(self, epoch: int, batch: Batch) -> None:
        """One step of the student on a batch, and of the teacher after it."""
        config = self.config
        peak = config.lr * config.batch / 256
        lr = warmup_cosine(self.step, self.steps, warmup=self.warmup, peak=peak, end=config.min_lr)
        decay = cosine(self.step, self.steps, config.weight_decay, config.weight_decay_end)
        momentum = cosine(self.step, self.steps, config.ema, config.ema_end)

        made = self.backward(epoch, batch)
        if self.student.prototypes is not None and epoch < config.freeze_epochs:
            self.student.prototypes.weight.grad = None
        self.scaler.unscale_(self.optimizer)
        bad = clip_gradients(list(self.student.parameters()), config.clip, by=config.clip_by)
        for group in self.optimizer.param_groups:
            group["lr"], group["weight_decay"] = lr, decay if group["decays"] else 0.0
        # The fused step is skipped on the device where this is 1, as with a GradScaler: nothing waits for the host.
        self.optimizer.found_inf, self.optimizer.grad_scale = bad, None  # type: ignore[attr-defined]
        self.optimizer.step()
        self.scaler.update()
        self.optimizer.zero_grad()
        self.move_teacher(momentum)
        self.monitor.record(self.step, made.terms, bad, made.student_logits, made.teacher_logits)
        self.step += 1

    @torch.no_grad()
    def move_teacher(self, momentum: float) -> None:
        """Move the teacher towards the student, its head by a weight of its own after a reset."""
        since = None if self.head_drawn is None else self.step - self.head_drawn
        weight = head_weight(self.config, momentum, since)
        self.draw_weight *= 1 - weight
        student, teacher = self.student, self.teacher
        pairs = [(teacher.encoder.backbone, student.encoder.backbone, 1 - momentum)]
        pairs += [(t, s, weight) for t, s in zip(teacher.heads, student.heads, strict=True)]
        for old, new, share in pairs:
            torch._foreach_lerp_(list(old.parameters()), list(new.parameters()), share)

    def backward(self, epoch: int, batch: Batch) -> StepResult:
        """Leave the gradient of the whole batch's loss in the student, computed in one part or in several.

        With fp16 it is multiplied by the scale of `scaler`.

        The rate is not a mean over images, so gradients of parts cannot be summed as they come. All outputs are
        computed first without a graph, the loss gives their gradient, and each part runs again to carry it back: the
        gradient is that of the whole batch.

        Source: GradCache, Gao et al. 2021, arXiv 2101.06983.
        """
        k = self.config.accumulate
        if k == 1:
            outputs = self.outputs(epoch, batch)
            terms = self.objective(outputs.student_output, outputs.teacher_output)
            self.scaler.scale(terms.loss).backward()
            return StepResult.of(terms, outputs)
        parts = [Batch(*part) for part in zip(batch.index.chunk(k), batch.pixels.chunk(k), strict=True)]
        with torch.no_grad():
            by_part = [self.outputs(epoch, part, i) for i, part in enumerate(parts)]
        outputs = Outputs(*(torch.cat(column, 1) for column in zip(*by_part, strict=True)))
        student_output = outputs.student_output.requires_grad_()
        terms = self.objective(student_output, outputs.teacher_output)
        (gradient,) = torch.autograd.grad(self.scaler.scale(terms.loss), student_output)
        for i, (part, part_gradient) in enumerate(zip(parts, gradient.chunk(k, 1), strict=True)):
            unshared = distributed.world() > 1 and i < k - 1  # processes average gradients once, after the last part
            with self.model.no_sync() if unshared else nullcontext():  # type: ignore[operator]
                _, student_output = self.student_outputs(epoch, part, self.crops(epoch, part), i)
                student_output.backward(part_gradient)
        return StepResult.of(terms, outputs)

    def outputs(self, epoch: int, batch: Batch, part: int = 0) -> Outputs:
        """Logits and outputs of the student on all views, and of the teacher on the global ones."""
        crops = self.crops(epoch, batch)
        with torch.no_grad(), self.autocast():
            teacher = self.teacher(crops[0], None)
        student_logits, student_output = self.student_outputs(epoch, batch, crops, part)
        teacher_logits, teacher_output = (t.float().view(2, len(batch.index), -1) for t in teacher)
        return Outputs(student_logits, student_output, teacher_logits, teacher_output)

    def student_outputs(
        self, epoch: int, batch: Batch, crops: tuple[Tensor, Tensor | None], part: int
    ) -> tuple[Tensor, Tensor]:
        """Logits and outputs `[V, n, D]` of the student on a part of this process's share."""
        config = self.config
        draw(self.paths, config.seed, epoch, batch.index, max(2, config.local_views))
        # for backbones with dropout; all else draws by its own key
        torch.manual_seed(hash((config.seed, self.step, distributed.rank(), part)))
        with self.autocast():
            logits, output = self.model(*crops)
        n = len(batch.index)
        return logits.float().view(-1, n, logits.shape[1]), output.float().view(-1, n, output.shape[1])

    def crops(self, epoch: int, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The global views as one normalised batch, and the local ones."""
        end = len(self.views)
        return self.inputs(epoch, batch, 0, 2), self.inputs(epoch, batch, 2, end) if end > 2 else None

    def inputs(self, epoch: int, batch: Batch, first: int, end: int) -> Tensor:
        """Views of one size as one normalised batch, `[views n, 3, size, size]`."""
        draws = uniforms(self.config.seed, epoch, batch.index, torch.arange(first, end, device=self.device))
        precision = torch.bfloat16 if self.precision == torch.bfloat16 else torch.float32
        made = multi_crop(batch.pixels, self.views[first:end], draws, precision=precision).flatten(0, 1)
        made = self.student.encoder.normalise(made)
        # autocast would do it for each network
        kind = made.dtype if self.precision == torch.float32 else self.precision
        return made.to(kind, memory_format=torch.channels_last)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def _probe(self) -> None:
        """One pass of every kind that the run will make, for the compiler."""
        share = self.config.batch // distributed.world()
        side = self.config.store_size
        index = torch.arange(share, device=self.device)
        pixels = torch.zeros((share, 3, side, side), dtype=torch.uint8, device=self.device)
        buffers = [buffer for module in self.modules.values() for buffer in module.buffers()]
        kept = [buffer.clone() for buffer in buffers]
        self.backward(0, Batch(index, pixels))
        self.optimizer.zero_grad()
        for buffer, before in zip(buffers, kept, strict=True):  # so that a compiled run equals an uncompiled one
            buffer.copy_(before)

    def reset(self, epoch: int) -> None:
        """Re-draw the heads, and the prototypes with them."""
        seed = self.config.seed + 1000 * epoch
        for student, teacher in zip(self.student.heads, self.teacher.heads, strict=True):
            reset_head(student, teacher, self.optimizer, seed)
        self.objective.centre.zero_()
        self.monitor.forget_codes()
        self.resets = [*self.resets, self.step]
        self.head_drawn, self.draw_weight = self.step, 1.0

    # -- state -----------------------------------------------------------------------------------------------

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"student": self.student, "teacher": self.teacher, "objective": self.objective}

    def save(self, path: Path) -> None:
        """The whole state in one file, atomically: kill the process when you like."""
        header = {"step": self.step, "resets": self.resets, "best": self.best, "images": self.data.fingerprint}
        header["scaler"] = self.scaler.state_dict()
        checkpoint.save(path, self.config, self.modules, self.optimizer, header)

    def load(self, path: Path) -> None:
        """Go back to the state that `save` wrote; for other errors see `checkpoint.load`.

        Raises:
            UsageError: the images have changed, so the batches would be others.
        """
        header = checkpoint.load(path, self.config, self.modules, self.optimizer)
        checkpoint.same_images(path, header, self.data.fingerprint)
        self.step, self.resets, self.best = int(header["step"]), list(header["resets"]), header["best"]
        self.scaler.load_state_dict(header["scaler"])
        self.head_drawn = last_reset(self.config, self.steps_per_epoch, self.step)
        self.draw_weight = draw_weight(self.config, self.steps_per_epoch, self.step)

    def provenance(self) -> dict[str, Any]:
        """What an encoder records of its training: the config, and the weight of the head's last random draw."""
        return {**self.config.to_dict(), "draw_weight": self.draw_weight}

    def product(self, training: dict[str, Any]) -> Encoder:
        """The teacher as an encoder of its own, its BatchNorm statistics taken on the images as they are."""
        encoder = Encoder(replace(self.teacher.encoder.config, training=training))
        encoder.load_state_dict(self.teacher.encoder.state_dict())
        calibrate(encoder.to(self.device), self.data)
        return encoder.eval()


def clip_gradients(parameters: Sequence[nn.Parameter], limit: float, *, by: str) -> Tensor:
    """Scale gradients whose norm is above `limit`, each tensor apart or all together; the device is not waited for.

    Returns:
        1 where a gradient is not finite, else 0.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients))
    together = norms.norm()
    if limit > 0:
        scale = (limit / ((together if by == "global" else norms) + 1e-6)).clamp(max=1)
        torch._foreach_mul_(gradients, scale if by == "global" else scale.unbind())
    return (~together.isfinite()).float()
