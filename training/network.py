"""The network that is trained, an encoder and the prototypes of DINO, and the weights it starts from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from codelab.core.errors import UsageError, first_line
from codelab.core.run_folder import encoder_file
from codelab.core.tensors import load_state
from codelab.images.encoder import Encoder, EncoderConfig, Head
from training.config import TrainConfig
from training.crops import DRAWS, View, augment, uniforms
from training.data import Data


class Network(nn.Module):
    """Views to logits `[rows, B]` and to what the objective compares: prototype scores for dino, else the logits."""

    def __init__(self, encoder: Encoder, config: TrainConfig) -> None:
        super().__init__()
        self.encoder = encoder
        dino = config.objective == "dino"
        self.prototypes = Prototypes(encoder.config.bits, config.prototypes, seed=config.seed) if dino else None

    @property
    def heads(self) -> list[Head | Prototypes]:
        """What a reset draws anew: the head, and the prototypes where there are any."""
        return [self.encoder.head] if self.prototypes is None else [self.encoder.head, self.prototypes]

    def forward(self, wide: Tensor, local: Tensor | None) -> tuple[Tensor, Tensor]:
        """Prepared global views `[2 n, 3, S, S]` and local views `[L n, 3, s, s]`: one pass of the backbone each."""
        features = [self.encoder.backbone(part) for part in (wide, local) if part is not None]
        logits = self.encoder.head(torch.cat(features))
        return logits, logits if self.prototypes is None else self.prototypes(logits)


def starting_encoder(config: TrainConfig) -> Encoder:
    """The student as the config starts it: drawn from the seed, timm's weights, or those of another encoder.

    Raises:
        UsageError: the architecture and the sizes of the views do not fit.
        DataError: the weights cannot be loaded, or are of another architecture; the message names the tensors.
    """
    path = encoder_file(config.init) if config.init else Path()
    start = Encoder.load(path) if config.init else None
    if config.backbone == "conv" and config.checkpoint_activations:
        raise UsageError("config: checkpoint_activations is true, expected false for the backbone conv")
    same = start is not None and config.backbone == "from-init"
    architecture = EncoderConfig(
        backbone=start.config.backbone if start and same else config.backbone,
        width=start.config.width if start and same else config.width,
        mean=start.config.mean if start and same else config.mean,
        std=start.config.std if start and same else config.std,
        bits=config.bits,
        image_size=config.image_size,
        hidden=config.hidden,
        head_norm=config.head_norm,
        interpolation="bicubic",  # the filter of the training crops
    )
    drop_path = 0.0 if architecture.backbone == "conv" else config.drop_path
    encoder = Encoder(architecture, seed=config.seed, pretrained=config.pretrained, drop_path=drop_path)
    _check_patches(encoder, config)
    _check_views(encoder, config)
    if start is not None:
        _check_size(encoder, start, path)
        load_state(encoder.backbone, start.backbone.state_dict(), f"{path}: backbone")
        if not config.reset_at_start:
            load_state(encoder.head, start.head.state_dict(), f"{path}: head (reset_at_start draws a new one)")
    if config.checkpoint_activations:
        encoder.backbone.set_grad_checkpointing(True)  # type: ignore[operator]
    return encoder


def has_batch_norm(network: nn.Module) -> bool:
    """Whether an output depends on the other images of its batch."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def plain_attention(network: nn.Module) -> None:
    """Compute attention product by product: on a CPU the backward pass of the fused one takes longer in bf16."""
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]


def half_residuals(network: nn.Module) -> None:
    """Keep what timm's transformers add up from block to block in the type of autocast, which leaves it in fp32.

    It is fp32 on account of the position embedding, and again after each LayerScale, whose weights are fp32: both
    results are cast. The norms compute in fp32 in either case.
    """
    from timm.layers import LayerScale  # type: ignore[attr-defined]
    from timm.models.vision_transformer import VisionTransformer

    def cast(_: nn.Module, __: object, made: Tensor) -> Tensor:
        kind = made.device.type
        return made.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else made

    for module in network.modules():
        if isinstance(module, VisionTransformer):
            module.norm_pre.register_forward_hook(cast)
        elif isinstance(module, LayerScale):
            module.register_forward_hook(cast)


def compile_in_place(modules: Sequence[nn.Module], probe: Callable[[], None]) -> None:
    """Compile, and try it once; where that fails, warn once and go on uncompiled.

    Args:
        probe: runs every pass that will be run later, with the same shapes.
    """
    for module in modules:
        module.compile(dynamic=False)
    try:
        probe()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a compiler can raise anything, and the run itself can go on
        for module in modules:
            module._compiled_call_impl = None
        warnings.warn(f"torch.compile failed, going on without it ({first_line(error)})", stacklevel=2)
        probe()


def _check_patches(encoder: Encoder, config: TrainConfig) -> None:
    """Views of a transformer must be whole patches; timm's own message comes late and is long."""
    patch = getattr(getattr(encoder.backbone, "patch_embed", None), "patch_size", None)
    if patch is None:
        return
    side = patch[0] if isinstance(patch, (tuple, list)) else int(patch)
    sizes = {"image_size": config.image_size} | ({"local_size": config.local_size} if config.local_views else {})
    for name, size in sizes.items():
        if size % side:
            raise UsageError(f"config: {name} is {size}, expected a multiple of {side}, the patches of the backbone")


def _check_size(encoder: Encoder, start: Encoder, path: Path) -> None:
    """Weights that depend on the size of the images, such as position embeddings, fit no other size."""
    size, own = encoder.config.image_size, start.config.image_size
    if size == own or encoder.config.backbone != start.config.backbone:
        return
    theirs = start.backbone.state_dict()
    fixed = [n for n, t in encoder.backbone.state_dict().items() if n in theirs and t.shape != theirs[n].shape]
    if fixed:
        raise UsageError(
            f"config: image_size is {size}, and {path} was trained at {own}: its {fixed[0]} fits that size alone; "
            f"set image_size to {own}"
        )


@torch.no_grad()
def _check_views(encoder: Encoder, config: TrainConfig) -> None:
    """Refuse a backbone that does not take views of both sizes, or gives another number of features than it names."""
    encoder.eval()
    for name in ("image_size", "local_size") if config.local_views else ("image_size",):
        size = getattr(config, name)
        try:
            found = encoder.backbone(torch.zeros(1, 3, size, size)).shape
        except (RuntimeError, AssertionError, ValueError) as error:
            if "can't allocate" in str(error):
                raise
            raise UsageError(
                f"config: the backbone {encoder.config.backbone} takes no views of {name} {size} "
                f"({first_line(error)}); change {name}{', or set local_views to 0' if name == 'local_size' else ''}"
            ) from None
        if tuple(found) != (1, encoder.features):
            raise UsageError(
                f"config: the backbone {encoder.config.backbone} gives {list(found)} for a view of {size} pixels, "
                f"expected [1, {encoder.features}]; take another backbone"
            )
    encoder.train()


class Prototypes(nn.Module):
    """DINO's last layer: cosines `[n, K]` of the head's output `[n, D]` with K prototypes.

    A weight-normed linear layer without bias whose norms stay 1.
    """

    def __init__(self, dims: int, count: int, *, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, dims))
        self.draw(seed)

    def draw(self, seed: int) -> None:
        """Draw new prototypes, the same on every device."""
        weights = torch.empty(self.weight.shape)
        nn.init.trunc_normal_(weights, std=0.02, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            self.weight.copy_(weights)

    def forward(self, outputs: Tensor) -> Tensor:
        return functional.linear(functional.normalize(outputs, dim=-1), functional.normalize(self.weight, dim=-1))


_STREAM = 1000
"""Draws of depth are keyed by view + this, apart from those of the crops."""


class DropPath(nn.Module):
    """Leaves out a residual branch in the rows whose draw is below p, and scales up the others.

    Source: Huang et al. 2016, arXiv 1603.09382.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.draws: Tensor | None = None
        """Uniform numbers, one for each row and some to spare."""

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.draws is None:
            return branch
        kept = (self.draws[: len(branch)] >= self.p).to(branch.dtype) / (1 - self.p)
        return branch * kept.view(-1, *[1] * (branch.ndim - 1))


def take_over(backbone: nn.Module) -> list[DropPath]:
    """Replace timm's drop paths by `DropPath`; returns these in order."""
    from timm.layers.drop import DropPath as TimmDropPath

    paths = []
    for parent in list(backbone.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, TimmDropPath):
                paths.append(DropPath(float(child.drop_prob)))
                setattr(parent, name, paths[-1])
    return paths


def draw(paths: list[DropPath], seed: int, epoch: int, index: Tensor, views: int) -> None:
    """Give each path the draws of the images `index`, a block of rows for each view.

    The wide and the local views are two passes; both take the first rows, so the activations can be computed again
    in the backward pass with the draws they had.
    """
    if paths:
        streams = torch.arange(_STREAM, _STREAM + views, device=index.device)
        draws = uniforms(seed, epoch, index, streams, count=len(paths)).transpose(0, 1).flatten(0, 1)
        for path, column in zip(paths, draws.unbind(1), strict=True):
            path.draws = column


@torch.no_grad()
def calibrate(encoder: Encoder, data: Data, *, most: int = 4096) -> None:
    """Take BatchNorm statistics on whole images, as they will be coded; in training they were those of crops."""
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
    for part in data.sample(most).split(256):
        image = augment(part, whole, torch.full((len(part), DRAWS), 0.5, device=part.device))
        encoder(encoder.normalise(image))
    for norm in norms:
        norm.momentum = 0.1
