"""Encoder: a backbone and a head that turn images into logits, and the one safe file that holds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from codelab import __version__
from codelab.core.errors import DataError, UsageError, first_line
from codelab.core.run_folder import encoder_file
from codelab.core.tensors import FORMAT, _opened, check_shapes, load_state, read_shapes, read_tensors, write_tensors
from codelab.images.heatmap import Heatmap, Method, heatmap

LARGEST_SIDE = 4096
"""Pixels: an image of that side takes 200 MB as float32."""
_UNUSABLE = (LookupError, AttributeError, TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError)
"""What a config raises whose values are of another kind or too large."""
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Everything needed to build an encoder again and to prepare images for it.

    Args:
        backbone: `conv` (four small convolutional blocks, for images of 16 to 64 pixels) or any timm name.
        bits: B, the number of logits.
        image_size: side of the square image it sees, in pixels.
        width: channels of the first block of `conv`; the others have 2, 4 and 8 times as many.
        hidden: width of the two hidden layers of the head.
        head_norm: `none`, or `batch`: a BatchNorm without scale and shift after the last layer, which keeps bits
            balanced with small data sets and batches.
        mean, std: normalisation of RGB values in 0..1.
        crop: share of the shorter side kept by the centre crop.
        interpolation: `bilinear` or `bicubic`.
        training: the config it was trained with; empty for an encoder that was not trained here.
        version: the codelab version that made it.
    """

    backbone: str = "conv"
    bits: int = 256
    image_size: int = 224
    width: int = 32
    hidden: int = 2048
    head_norm: str = "none"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop: float = 1.0
    interpolation: str = "bicubic"
    training: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__

    def __post_init__(self) -> None:
        for name in ("bits", "image_size", "width", "hidden"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"encoder: {name} is {value!r}, expected a whole number of 1 or more")
        if self.image_size > LARGEST_SIDE:
            raise UsageError(f"encoder: image_size is {self.image_size}, expected at most {LARGEST_SIDE}")
        if self.head_norm not in ("none", "batch"):
            raise UsageError(f"encoder: head_norm is {self.head_norm!r}, expected 'none' or 'batch'")
        if self.interpolation not in _RESAMPLING:
            raise UsageError(f"encoder: interpolation is {self.interpolation!r}, expected 'bilinear' or 'bicubic'")
        if not 0 < self.crop <= 1:
            raise UsageError(f"encoder: crop is {self.crop}, expected a share above 0 and at most 1")
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
            if len(getattr(self, name)) != 3:
                raise UsageError(f"encoder: {name} is {getattr(self, name)}, expected a number for each of R, G, B")


class Encoder(nn.Module):
    """Backbone + head: images `[n, 3, S, S]` to features `[n, d]` and logits `[n, B]`; a bit is 1 where its logit > 0.

    Args:
        config: architecture and preparation.
        seed: draws the initial weights; the global random state is left as it was.
        pretrained: load timm's weights into the backbone (they are downloaded on first use).
        drop_path: stochastic depth of a timm backbone in training mode.

    Raises:
        UsageError: the backbone is not `conv` and timm does not know it, or it has no stochastic depth.
        DataError: the pretrained weights cannot be loaded.

    Example:
        >>> encoder = Encoder(EncoderConfig(bits=16, image_size=32, width=8, hidden=32))
        >>> features, logits = encoder(torch.zeros(2, 3, 32, 32))
        >>> list(features.shape), list(logits.shape)
        ([2, 64], [2, 16])
    """

    def __init__(
        self, config: EncoderConfig, *, seed: int = 0, pretrained: bool = False, drop_path: float = 0
    ) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = _backbone(config, pretrained, drop_path)
            self.head = Head(self.features, config.hidden, config.bits, norm=config.head_norm == "batch")
        self.head.draw(seed)

    @property
    def features(self) -> int:
        """d, the number of features the backbone gives."""
        # timm's name for the width of the features where a last layer widens them
        return int(getattr(self.backbone, "head_hidden_size", self.backbone.num_features))  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(images)
        return features, self.head(features)

    def transform(self, image: Image.Image) -> Tensor:
        """One image as the encoder wants it when codes are made: float32 `[3, S, S]`, cropped, resized, normalised.

        Raises:
            UsageError: not a PIL image, one without pixels, or not RGB (`codelab.images.rgb.as_rgb` makes it so).
        """
        mode = image.mode if isinstance(image, Image.Image) else type(image).__name__
        if mode != "RGB" or not min(image.size):
            found = f"{mode} {list(image.size)}" if isinstance(image, Image.Image) else mode
            raise UsageError(f"image: found {found}, expected a PIL image of mode RGB (see codelab.images.rgb.as_rgb)")
        size = self.config.image_size
        pixels = np.array(fit_square(image, size, crop=self.config.crop, interpolation=self.config.interpolation))
        return self.normalise(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0]

    def normalise(self, pixels: Tensor) -> Tensor:
        """RGB `[n, 3, S, S]`, uint8 or float in 0..1, to what `forward` takes."""
        mean, std = _channels(self.config.mean, pixels.device), _channels(self.config.std, pixels.device)
        return ((pixels / 255 if pixels.dtype == torch.uint8 else pixels) - mean) / std

    @torch.no_grad()
    def encode(self, images: Tensor, *, batch: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """Features and logits of prepared images, on the encoder's device, in evaluation mode and `precision`.

        Args:
            images: uint8 `[N, 3, S, S]`, or float as `transform` gives it.
            batch: images at a time.

        Returns:
            float32 `[N, d]` and `[N, B]`.
        """
        device = next(self.parameters()).device
        was_training = self.training
        self.eval()
        outputs = []
        for part in images.split(batch):
            part = part.to(device)
            with autocast(device):
                features, logits = self(self.normalise(part) if part.dtype == torch.uint8 else part)
            outputs.append((features.float().cpu().numpy(), logits.float().cpu().numpy()))
        self.train(was_training)
        if not outputs:
            return np.empty((0, self.features), np.float32), np.empty((0, self.config.bits), np.float32)
        return np.concatenate([f for f, _ in outputs]), np.concatenate([a for _, a in outputs])

    def heatmap(self, image: Image.Image, bit: int, *, method: Method = "occlusion") -> Heatmap:
        """Where in an image a bit looks: see `codelab.images.heatmap.heatmap`."""
        return heatmap(self, image, bit, method=method)

    @property
    def sha256(self) -> str:
        """Content hash of the config and every weight: the name of this encoder in provenance."""
        digest = hashlib.sha256(_config_json(self.config).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name}{tensor.dtype}{list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically: the weights, and the config as JSON under the key `codelab`."""
        header = {"format": FORMAT, "kind": "encoder", "config": json.loads(_config_json(self.config))}
        write_tensors(path, self.state_dict(), header)

    @classmethod
    def load(cls, path: str | Path) -> Encoder:
        """The encoder that a file or a run folder holds, in evaluation mode, on the CPU.

        Raises:
            UsageError: there is no such file, or no encoder in the folder.
            DataError: the file is truncated or foreign, of another format version, or its tensors do not fit.
        """
        path = _existing(path)
        header, shapes = read_shapes(path, kind="encoder")
        config = _read_config(header, path)
        try:
            with torch.device("meta"):  # without memory: a config of a few bytes can name a network of any size
                check_shapes(cls(config), shapes, path)
            encoder = cls(config)
        except DataError:
            raise
        except _UNUSABLE as error:
            raise DataError(f"{path}: the encoder's config cannot be used ({first_line(error)})") from None
        load_state(encoder, read_tensors(path, kind="encoder")[1], path)
        return encoder.eval()

    @classmethod
    def from_timm(cls, name: str, bits: int = 256, *, pretrained: bool = False, seed: int = 0) -> Encoder:
        """A timm backbone with a fresh head, and the input size and normalisation timm records for it.

        Raises:
            UsageError: timm has no model of that name; the nearest names are given.

        Example:
            >>> encoder = Encoder.from_timm("test_vit", bits=32)
            >>> encoder.config.image_size, encoder.config.mean
            (160, (0.5, 0.5, 0.5))
        """
        import timm
        from timm.data.config import resolve_data_config

        _check_timm_name(name)
        recorded = timm.get_pretrained_cfg(name)
        data = resolve_data_config(pretrained_cfg=recorded.to_dict() if recorded else {})
        config = EncoderConfig(
            backbone=name,
            bits=bits,
            image_size=data["input_size"][1],
            mean=data["mean"],
            std=data["std"],
            crop=min(data["crop_pct"], 1.0),
            interpolation=data["interpolation"] if data["interpolation"] in _RESAMPLING else "bicubic",
        )
        return cls(config, seed=seed, pretrained=pretrained)


def open_encoder(checkpoint: str, *, bits: int | None = None, random_weights: bool = False) -> Encoder:
    """The encoder a user names: a file, a run folder, or timm:NAME with a random head of `bits` (256).

    Raises:
        UsageError: no such file or model, or an option of timm:NAME beside a file.
        DataError: the file cannot be used, or the pretrained weights cannot be loaded.
    """
    if checkpoint.startswith("timm:"):
        return Encoder.from_timm(checkpoint.removeprefix("timm:"), bits=bits or 256, pretrained=not random_weights)
    if bits or random_weights:
        raise UsageError(f"{checkpoint}: --bits and --random-weights go with timm:NAME, a checkpoint has its own")
    return Encoder.load(checkpoint)


def read_encoder_config(path: str | Path) -> EncoderConfig:
    """The config of the encoder in a file or a run folder, without reading its weights; errors as `Encoder.load`."""
    path = _existing(path)
    return _read_config(read_header(path, kind="encoder"), path)


def precision(device: torch.device) -> str:
    """The number type of matrix products where images are encoded: bf16 on a GPU that has it, else fp32.

    Example:
        >>> precision(torch.device("cpu"))
        'fp32'
    """
    half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if half else "fp32"


def autocast(device: torch.device) -> torch.autocast:
    """Matrix products in `precision(device)`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision(device) == "bf16")


def _existing(path: str | Path) -> Path:
    """The file of the encoder that a path names, which must be there."""
    file = encoder_file(path)
    if not file.exists():
        raise UsageError(f"{file}: no such file or folder; expected an encoder.safetensors, or a run folder with one")
    return file


def _read_config(header: Mapping[str, Any], path: Path) -> EncoderConfig:
    known = {f.name for f in fields(EncoderConfig)}
    try:
        return EncoderConfig(**{k: v for k, v in header["config"].items() if k in known})
    except _UNUSABLE as error:
        raise DataError(f"{path}: the encoder's config cannot be used ({first_line(error)})") from None


class Head(nn.Sequential):
    """Linear, GELU, Linear, GELU, Linear, and a BatchNorm without scale and shift where `norm` is set.

    Source: BITS (arXiv 2602.09764): three layers, truncated normal weights of 0.02, zero bias.
    """

    def __init__(self, features: int, hidden: int, bits: int, *, norm: bool) -> None:
        layers = [nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()]
        layers.append(nn.Linear(hidden, bits))
        if norm:
            layers.append(nn.BatchNorm1d(bits, affine=False))
        super().__init__(*layers)

    def draw(self, seed: int) -> None:
        """Draw new weights from `seed`, the same on every device, and reset the BatchNorm statistics."""
        generator = torch.Generator().manual_seed(seed)
        for layer in self:
            if isinstance(layer, nn.Linear):
                weights = torch.empty(layer.weight.shape)
                nn.init.trunc_normal_(weights, std=0.02, generator=generator)
                with torch.no_grad():
                    layer.weight.copy_(weights)
                    layer.bias.zero_()
            elif isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.reset_running_stats()


class ConvBackbone(nn.Sequential):
    """Four blocks of 3x3 convolution, BatchNorm, ReLU and 2x2 max pooling, then the mean over places."""

    def __init__(self, width: int) -> None:
        widths = [3, width, 2 * width, 4 * width, 8 * width]
        blocks = [_block(a, b, pool=b != widths[-1]) for a, b in pairwise(widths)]
        super().__init__(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.num_features = widths[-1]


@cache
def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A value for each channel, copied to the device once: a copy for each batch would hold it up."""
    with torch.inference_mode(False):  # a later caller may need gradients past it, whatever the first one needs
        return torch.tensor(values, device=device).view(-1, 1, 1)


def _block(inputs: int, outputs: int, *, pool: bool) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


def _backbone(config: EncoderConfig, pretrained: bool, drop_path: float) -> nn.Module:
    if config.backbone == "conv":
        if pretrained:
            raise UsageError("encoder: there are no pretrained weights for the backbone 'conv'")
        return ConvBackbone(config.width)
    import timm

    _check_timm_name(config.backbone)
    wanted: dict[str, Any] = {"pretrained": pretrained, "num_classes": 0}
    if drop_path:
        wanted["drop_path_rate"] = drop_path
    # transformers are built for an image size, and other sizes for local crops; convolutional nets take any size
    sizes: dict[str, Any] = {"img_size": config.image_size, "dynamic_img_size": True}
    try:
        try:
            return timm.create_model(config.backbone, **wanted, **sizes)
        except TypeError:
            return timm.create_model(config.backbone, **wanted)
    except TypeError as error:
        hint = "; set drop_path to 0" if drop_path else ""
        raise UsageError(f"backbone {config.backbone!r} cannot be built so ({first_line(error)}){hint}") from None
    except OSError as error:  # raised by the hub's client without a network
        raise DataError(f"{config.backbone}: its pretrained weights cannot be loaded ({first_line(error)})") from None


def _check_timm_name(name: str) -> None:
    import timm

    if not timm.is_model(name):
        near = get_close_matches(name.split(".")[0], timm.list_models(), n=3, cutoff=0.0)
        raise UsageError(f"backbone {name!r}: expected 'conv' or a timm model; the nearest are {', '.join(near)}")


def fit_square(image: Image.Image, size: int, *, crop: float = 1.0, interpolation: str = "bicubic") -> Image.Image:
    """The central square whose side is `crop` times the shorter side, resized with antialiasing to `size` pixels."""
    side = min(image.size) * crop
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), _RESAMPLING[interpolation], box=box)


def read_header(path: str | Path, *, kind: str) -> dict[str, Any]:
    """The header of a file that `write_tensors` wrote, without the tensors; errors as `read_tensors`."""
    with _opened(path, kind) as (header, _):
        return header


def _config_json(config: EncoderConfig) -> str:
    return json.dumps(asdict(config), sort_keys=True)
