"""A small trained coder on frozen features: two views of each item learn to predict each other's bits."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codelab import __version__
from codelab.core.errors import DataError, UsageError, first_line
from codelab.core.progress import counter
from codelab.core.tensors import FORMAT, check_shapes, load_state, read_tensors, write_tensors
from codelab.features.coder import BLOCK, FeatureCoder
from codelab.features.moments import moments
from codelab.features.sources import Features, open_features
from training.data import batches
from training.losses import bit_bce, mean_rate
from training.schedules import cosine

BETA = 0.1
"""Weight of the coding rate, before its balancing factor gamma = 1/B + 1/n."""

MIN_LR = 1e-6
"""Learning rate at the end of the cosine."""

SETTLE = 65_536
"""Rows the final BatchNorm statistics are taken on, at most."""


class HashCoder(FeatureCoder, nn.Module):
    """Features `[n, d]` to logits `[n, B]`: Linear, ReLU, Linear, BatchNorm; a bit is 1 where its logit is > 0.

    The hidden layer is as wide as the features. Features are first centred and divided by one number, their spread,
    so that the recipe's learning rate fits features of any scale (**choice**).

    Args:
        dims: d.
        bits: B.
        seed: draws the weights: truncated normal of 0.02, zero bias.

    Source: CroVCA, arXiv 2510.27584.

    Example:
        >>> coder = HashCoder(8, 16, seed=0).eval()
        >>> coder.encode(np.ones((3, 8))).shape
        (3, 2)
    """

    method = "hashcoder"
    centre: Tensor
    spread: Tensor

    def __init__(self, dims: int, bits: int, *, seed: int = 0) -> None:
        super().__init__()
        self.dims, self.bits, self.seed = dims, bits, seed
        self.fitted: dict[str, Any] = {}
        """How it was trained; empty before that."""
        self.register_buffer("centre", torch.zeros(dims))
        self.register_buffer("spread", torch.ones(()))
        with torch.random.fork_rng(devices=[]):  # PyTorch's own initialisation would move the caller's random state
            layers = (nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, bits), nn.BatchNorm1d(bits))
        self.layers = nn.Sequential(*layers)
        generator = torch.Generator().manual_seed(seed)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02, generator=generator)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers((features - self.centre) / self.spread)

    @torch.no_grad()
    def margins(self, rows: np.ndarray) -> np.ndarray:
        """The logits, in evaluation mode."""
        return self.eval()(torch.tensor(rows, device=self.centre.device)).float().cpu().numpy()

    @property
    def sha256(self) -> str:
        """Content hash of the weights: the name of this coder in the provenance of codes."""
        digest = hashlib.sha256(json.dumps(self._header(), sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name}{tensor.dtype}{list(tensor.shape)}".encode() + tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all.

        Raises:
            UsageError: the name does not end in .safetensors.
        """
        if Path(path).suffix != ".safetensors":
            raise UsageError(f"{path}: expected a name ending in .safetensors")
        write_tensors(path, self.state_dict(), {**self._header(), "version": __version__})

    @classmethod
    def load(cls, path: str | Path) -> HashCoder:
        """The coder a file holds, in evaluation mode, on the CPU.

        Raises:
            UsageError: there is no such file.
            DataError: the file is truncated, foreign or of another format, or its tensors do not fit.
        """
        header, tensors = read_tensors(path, kind="hashcoder")
        shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
        try:
            dims, bits, seed = int(header["dims"]), int(header["bits"]), int(header["seed"])
            with torch.device("meta"):  # without memory: the header can name any size
                check_shapes(cls(dims, bits), shapes, path)
            coder = cls(dims, bits, seed=seed)
            coder.fitted = dict(header["fitted"])
        except DataError:
            raise
        except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise DataError(f"{path}: the coder's header cannot be used ({first_line(error)})") from None
        load_state(coder, tensors, path)
        return coder.eval()

    def _header(self) -> dict[str, Any]:
        names = ("dims", "bits", "seed", "fitted")
        return {"format": FORMAT, "kind": "hashcoder", **{name: getattr(self, name) for name in names}}


def fit_coder(
    features_a: Any,
    features_b: Any = None,
    *,
    bits: int = 256,
    noise: float = 0.5,
    epochs: int = 5,
    batch: int = 256,
    lr: float = 1e-3,
    weight_decay: float = 1e-2,
    eps2: float = 0.05,
    seed: int = 0,
    device: str = "auto",
    column: str | None = None,
    progress: bool = True,
) -> HashCoder:
    """Train a `HashCoder` on cached features of two views of the same items: seconds to minutes.

    Each view's hard bits are the other's target; the loss is their mean cross-entropy - 0.1 gamma R, R the coding
    rate of a view, averaged over both, gamma = 1/B + 1/n. AdamW, cosine to 1e-6.

    Args:
        features_a: `[N, d]`, one view of each item, as `codelab.binarize` takes them.
        features_b: `[N, d]`, the other view, row by row. None: `features_a` with Gaussian noise, new in each epoch.
        bits: B.
        noise: standard deviation of that noise in each dimension, in units of the features' root-mean-square spread.
        epochs, batch, lr, weight_decay: of the recipe, for 10^5 items or more; with a few thousand, 20 epochs or
            more pay. A batch is at most N; the rows left over wait for the next epoch's order.
        eps2: what divides B in the coding rate.
        seed: draws weights, batches and noise.
        device: `auto` (CUDA if there is one), `cpu` or `cuda`.
        column: of a Parquet file; default `features`, or the only column of lists of numbers. A Parquet file is
            copied to a temporary file for access in any order, a `.npy` file stays where it is.
        progress: a bar on stderr where that is a terminal.

    Returns:
        The coder in evaluation mode, on the CPU; the statistics of its BatchNorm are those of all items of view a
        (of 65,536 of them where there are more).

    Raises:
        UsageError: an option, a path or a device that cannot be.
        DataError: the views differ in shape, fewer than 2 rows, all rows alike, NaN or infinite values, or a loss
            that is not finite.

    Source: CroVCA, arXiv 2510.27584 (HashCoder as a probe on frozen features).

    Example:
        >>> features = np.random.default_rng(0).normal(size=(512, 16))
        >>> coder = fit_coder(features, bits=8, epochs=1)
        >>> coder.encode(features).shape
        (512, 1)
    """
    _check(bits=bits, epochs=epochs, batch=batch, lr=lr, weight_decay=weight_decay, eps2=eps2, noise=noise)
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        found = "" if torch.cuda.is_available() else "; torch finds no CUDA device here"
        raise UsageError(f"fit_coder: device is {device!r}, expected auto, cpu or cuda{found}")
    where = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    one = _View(features_a, column)
    two = None if features_b is None else _View(features_b, column)
    if two is not None and two.shape != one.shape:
        raise DataError(f"fit_coder: view a is {list(one.shape)}, view b {list(two.shape)}; expected the same items")
    rows, dims = one.shape

    coder = HashCoder(dims, bits, seed=seed)
    coder.centre.copy_(one.mean)
    coder.spread.fill_(one.spread)
    coder.fitted = {"rows": rows, "views": 1 if two is None else 2, "noise": noise if two is None else None}
    coder.fitted |= {"epochs": epochs, "batch": batch, "lr": lr, "weight_decay": weight_decay, "eps2": eps2}
    coder.to(where).train()
    optimizer = torch.optim.AdamW(coder.parameters(), lr=lr, weight_decay=weight_decay)
    generator = torch.Generator(where).manual_seed(seed)
    n = min(batch, rows)
    step, steps = 0, epochs * (rows // n)
    with counter("training the coder", steps, show=progress) as advance:
        for epoch in range(epochs):
            for index in batches(rows, n, seed, epoch).numpy():
                a = one.take(index).to(where)
                if two is None:
                    b = a + noise * one.spread * torch.randn(a.shape, generator=generator, device=where)
                else:
                    b = two.take(index).to(where)
                loss = coder_loss(torch.stack([coder(a), coder(b)]), eps2=eps2)
                for group in optimizer.param_groups:
                    group["lr"] = cosine(step, steps, lr, MIN_LR)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
                advance(1)
            if not torch.isfinite(loss):
                raise DataError(f"fit_coder: the loss is {loss.item()} at step {step}; lower lr or raise eps2")
    _settle(coder, one.take(np.sort(np.random.default_rng(seed).permutation(rows)[:SETTLE])).to(where))
    return coder.cpu().eval()


def coder_loss(views: Tensor, *, eps2: float = 0.05) -> Tensor:
    """The loss of logits `[2, n, B]`: each view's hard bits are the other's target, minus the weighted coding rate.

    Source: CroVCA, arXiv 2510.27584; gamma balances the rate over batch and bits as in SimDINO.

    Example:
        >>> sure = torch.tensor([[[9.0, -9.0], [-9.0, 9.0]]]).repeat(2, 1, 1)
        >>> coder_loss(sure).item() < 0  # agreed, and the two codes differ: only the rate is left
        True
    """
    n, B = views.shape[1:]
    return bit_bce(views, views) - BETA * (1 / B + 1 / n) * mean_rate(views, eps2)


@torch.no_grad()
def _settle(coder: HashCoder, features: Tensor) -> None:
    """Take BatchNorm statistics on features without noise; in training they were those of the latest batches."""
    norm: Any = coder.layers[-1]
    hidden = coder.layers[:-1]((features - coder.centre) / coder.spread)
    norm.running_mean.copy_(hidden.mean(0))
    norm.running_var.copy_(hidden.var(0))


class _View:
    """Features of one view for access in any order, checked, with the numbers that standardise them."""

    def __init__(self, features: Any, column: str | None) -> None:
        source = open_features(features, column=column)
        if source.rows < 2:
            raise DataError(f"{source.name}: found {source.rows} rows, expected at least 2")
        stats = moments(source, covariance=False, block=BLOCK, advance=lambda rows: None)
        if not stats.variance.any():
            raise DataError(f"{source.name}: all {source.rows} rows are alike, expected at least two different ones")
        self.shape = (source.rows, source.dims)
        self.mean = torch.from_numpy(stats.mean)
        self.spread = float(np.sqrt(stats.variance.mean()))
        self.pick = source.pick or _spooled(source)

    def take(self, index: np.ndarray) -> Tensor:
        return torch.from_numpy(self.pick(index).astype(np.float32, copy=False))


def _spooled(source: Features) -> Callable[[np.ndarray], np.ndarray]:
    """Rows in any order from a source that is read in order: they are kept in a nameless file, not in memory."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  it is closed, and so deleted, with the function that is returned
    for _, block in source.blocks(BLOCK):
        file.write(block.data)
    row = 4 * source.dims

    def pick(index: np.ndarray) -> np.ndarray:
        out = np.empty((len(index), source.dims), np.float32)
        for place, number in enumerate(index.tolist()):
            file.seek(number * row)
            file.readinto(out[place].data)
        return out

    return pick


def _check(**options: float) -> None:
    for name, value in options.items():
        least = 1 if name in ("bits", "epochs") else 2 if name == "batch" else 0
        fits = value > 0 if name in ("lr", "eps2") else value >= least
        if not (fits and np.isfinite(value)):
            expected = "more than 0" if name in ("lr", "eps2") else f"{least} or more"
            raise UsageError(f"fit_coder: {name} is {value}, expected {expected}")
