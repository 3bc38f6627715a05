"""The loop that benchmarks/training_step.py times us against: DINO's published recipe, written plainly.

Pillow crops in worker processes, an eager ViT with explicit attention, one pass of the backbone for each size of crop,
the loss pair by pair, gradients clipped and the teacher moved parameter by parameter, the loss read in every step.
Source of the structure: Caron et al. 2021 (arXiv 2104.14294) and its released trainer; the objective is that of BITS.
"""

import copy
import random
import time
from collections.abc import Iterator

import torch
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.imageset import ImageSet
from training.config import TrainConfig
from training.schedules import cosine, warmup_cosine

_PREFETCH = 2
"""Batches each worker prepares ahead, the loader's default."""


class Blur:
    """Pillow's Gaussian blur, some of the time."""

    def __init__(self, p: float, sigma: tuple[float, float]) -> None:
        self.p, self.sigma = p, sigma

    def __call__(self, image: Image.Image) -> Image.Image:
        return (
            image.filter(ImageFilter.GaussianBlur(random.uniform(*self.sigma))) if random.random() < self.p else image
        )


class Solarise:
    def __init__(self, p: float) -> None:
        self.p = p

    def __call__(self, image: Image.Image) -> Image.Image:
        return ImageOps.solarize(image) if random.random() < self.p else image


class MultiCrop:
    """One image to its list of normalised views."""

    def __init__(self, config: TrainConfig) -> None:
        def view(size: int, scale: tuple[float, float], blur: float, solarise: float = 0.0) -> transforms.Compose:
            return transforms.Compose(
                [
                    transforms.RandomResizedCrop(size, scale, interpolation=transforms.InterpolationMode.BICUBIC),
                    transforms.RandomHorizontalFlip(config.flip),
                    transforms.RandomApply([transforms.ColorJitter(*config.jitter)], config.jitter_p),
                    transforms.RandomGrayscale(config.grey),
                    Blur(blur, config.blur_sigma),
                    Solarise(solarise),
                    transforms.ToTensor(),
                    transforms.Normalize(config.mean, config.std),
                ]
            )

        first = view(config.image_size, config.global_scale, config.blur[0])
        second = view(config.image_size, config.global_scale, config.blur[1], config.solarise)
        local = view(config.local_size, config.local_scale, config.blur[2])
        self.views = [first, second, *[local] * config.local_views]

    def __call__(self, image: Image.Image) -> list[Tensor]:
        return [view(image) for view in self.views]


class Pictures(Dataset):
    """Images, decoded and cropped on access."""

    def __init__(self, images: ImageSet, crops: MultiCrop) -> None:
        self.images, self.crops = images, crops

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> list[Tensor]:
        return self.crops(self.images.image(i))


class Wrapper(nn.Module):
    """The backbone once for each size of view, the head once."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.backbone, self.head = encoder.backbone, encoder.head

    def forward(self, views: list[Tensor]) -> Tensor:
        sizes = torch.tensor([view.shape[-1] for view in views])
        ends = torch.cumsum(torch.unique_consecutive(sizes, return_counts=True)[1], 0)
        start, features = 0, []
        for end in ends.tolist():
            features.append(self.backbone(torch.cat(views[start:end])))
            start = end
        return self.head(torch.cat(features))


class PlainLoop:
    """Student, teacher, optimiser and loader; `step` does one step.

    Args:
        precision: of autocast; fp16 brings its gradient scaler along, fp32 is no autocast.
    """

    def __init__(
        self, config: TrainConfig, images: ImageSet, device: torch.device, workers: int, precision: torch.dtype
    ) -> None:
        self.config, self.device, self.precision = config, device, precision
        names = ("backbone", "bits", "image_size", "hidden", "width", "head_norm", "mean", "std")
        architecture = EncoderConfig(**{name: getattr(config, name) for name in names})
        self.student = Wrapper(Encoder(architecture, seed=config.seed, drop_path=config.drop_path)).to(device)
        self.teacher = Wrapper(Encoder(architecture, seed=config.seed)).to(device)
        self.teacher.load_state_dict(copy.deepcopy(self.student.state_dict()))
        for parameter in self.teacher.parameters():
            parameter.requires_grad = False
        for module in [*self.student.modules(), *self.teacher.modules()]:
            if hasattr(module, "fused_attn"):
                module.fused_attn = False
        decayed = [p for p in self.student.parameters() if p.ndim > 1]
        others = [p for p in self.student.parameters() if p.ndim <= 1]
        groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, foreach=False, fused=False)
        self.scaler = torch.amp.GradScaler(device.type) if precision == torch.float16 else None
        self.steps = config.epochs * (len(images) // config.batch)
        self.crops = MultiCrop(config)
        self.data = Pictures(images, self.crops)
        self.number, self.waited = 0, 0.0
        self.use(workers)

    def use(self, workers: int) -> None:
        """Start a loader with so many workers in place of the last one."""
        self.workers = workers
        self.loader: Iterator[list[Tensor]] = iter(
            DataLoader(
                self.data,
                batch_size=self.config.batch,
                sampler=RandomSampler(self.data, replacement=True, num_samples=1 << 40),
                num_workers=workers,
                prefetch_factor=_PREFETCH,
                pin_memory=self.device.type == "cuda",
                multiprocessing_context="fork",
            )
        )

    @property
    def prepared(self) -> int:
        """Batches that may be waiting when the loop comes back from a pause."""
        return self.workers * _PREFETCH

    def step(self) -> float:
        """One step; its loss."""
        config, step = self.config, self.number
        started = time.perf_counter()
        views = next(self.loader)
        self.waited += time.perf_counter() - started
        warmup = round(config.warmup_epochs * self.steps / config.epochs)
        peak = config.lr * config.batch / 256
        for i, group in enumerate(self.optimizer.param_groups):
            group["lr"] = warmup_cosine(step, self.steps, warmup=warmup, peak=peak, end=config.min_lr)
            if i == 0:
                group["weight_decay"] = cosine(step, self.steps, config.weight_decay, config.weight_decay_end)
        views = [view.to(self.device, non_blocking=True) for view in views]
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            teacher = self.teacher(views[:2])
            student = self.student(views)
            loss = bits_loss(student.chunk(len(views)), teacher.chunk(2), config.beta, config.eps2)
        if not torch.isfinite(loss).item() and self.scaler is None:
            raise SystemExit(f"plain loop: loss is {loss.item()} at step {step}")
        self.optimizer.zero_grad()
        if self.scaler is None:
            loss.backward()
            clip(self.student, config.clip)
            self.optimizer.step()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimizer)
            clip(self.student, config.clip)
            self.scaler.step(self.optimizer)
            self.scaler.update()
        momentum = cosine(step, self.steps, config.ema, config.ema_end)
        with torch.no_grad():
            for ours, theirs in zip(self.student.parameters(), self.teacher.parameters(), strict=True):
                theirs.data.mul_(momentum).add_((1 - momentum) * ours.detach().data)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.number += 1
        return loss.item()


def bits_loss(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], beta: float, eps2: float) -> Tensor:
    """The objective of BITS (Eq. 8 to 10, divided by B), pair by pair."""
    agreement, pairs = student[0].new_zeros((), dtype=torch.float32), 0
    for i, logits in enumerate(teacher):
        targets = (logits.detach() > 0).float()
        for v, output in enumerate(student):
            if v != i:
                agreement = agreement + functional.binary_cross_entropy_with_logits(output.float(), targets)
                pairs += 1
    rate = torch.zeros_like(agreement)
    with torch.autocast(agreement.device.type, enabled=False):
        for output in student[: len(teacher)]:
            z = functional.normalize(output.float(), dim=1)
            n, bits = z.shape
            moment = z.T @ z / n
            rate = rate + 0.5 * torch.logdet(torch.eye(bits, device=z.device) + bits / eps2 * moment)
    return agreement / pairs - beta / bits * rate / len(teacher)


def clip(model: nn.Module, limit: float) -> list[float]:
    """Each gradient to a norm of at most `limit`; the norms."""
    norms = []
    for parameter in model.parameters():
        if parameter.grad is not None:
            norm = parameter.grad.data.norm(2)
            norms.append(norm.item())
            scale = limit / (norm + 1e-6)
            if scale < 1:
                parameter.grad.data.mul_(scale)
    return norms
