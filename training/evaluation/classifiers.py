"""Classifiers on frozen features: multinomial logistic regression, and one hidden layer; read in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import block_diag
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional

from codelab.features.coder import BLOCK
from codelab.features.moments import moments
from codelab.features.sources import open_features
from training.data import batches

Model = Callable[[Tensor], Tensor]
"""Standardised features `[n, d]` to class scores `[n, C]`."""

BATCH = 256
LR = 1e-3
STEPS = 20
"""Steps a round of the hidden-layer classifier has at least."""

ROUGH, FINE = 1e-4, 1e-6
"""The largest entry of a gradient that counts as none: to compare penalties, and to report a figure."""

_KEEP = 1 << 30  # bytes of standardised features that are kept from one pass to the next; half of a GPU's free ones
_PASSES = 1000  # of L-BFGS; beyond it the classifier is used as it is
_FLAT = 1e-6


@dataclass(frozen=True)
class Standard:
    """What takes the mean off each dimension and divides by its standard deviation; a constant one becomes 0."""

    mean: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, name: str = "features") -> Standard:
        """That of all rows `[N, d]`.

        Raises:
            DataError: a value is NaN or infinite, or these are not numbers `[N, d]`; the message calls them `name`.
        """
        source = replace(open_features(features), name=name)
        stats = moments(source, covariance=False, block=BLOCK, advance=lambda rows: None)
        spread = np.sqrt(stats.variance)
        return cls(stats.mean, np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0))


@dataclass(frozen=True)
class Table:
    """Some rows of features with their classes, as standardised tensors.

    Args:
        features: `[N, d]`, numbers of any kind.
        labels: class numbers `[N]` from 0, one for each row of `features`.
        rows: the numbers of the rows meant.
        standard: how they are standardised.
        device: where the tensors go. On a CPU they are float64, elsewhere float32.
    """

    features: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    standard: Standard
    device: torch.device

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dims(self) -> int:
        return int(self.features.shape[1])

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.device.type == "cpu" else torch.float32

    def part(self, places: np.ndarray) -> Table:
        """The table of some of its rows."""
        return replace(self, rows=self.rows[places])

    def take(self, places: np.ndarray | slice) -> tuple[Tensor, Tensor]:
        """Features `[n, d]` and classes `[n]` of some of its rows, in this order."""
        rows = self.rows[places]
        mean, factor = (
            torch.from_numpy(values).to(self.device, self.dtype)
            for values in (self.standard.mean, self.standard.factor)
        )
        raw = torch.from_numpy(self.features[rows]).to(self.device).to(self.dtype)  # raw numbers are the fewest bytes
        return (raw - mean) * factor, torch.from_numpy(self.labels[rows].astype(np.int64)).to(self.device)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All of its rows, block after block."""
        for start in range(0, len(self), BLOCK):
            yield self.take(slice(start, start + BLOCK))

    def passes(self) -> _Passes:
        """All of its rows, to be gone through many times; few are kept standardised."""
        room = _KEEP if self.device.type != "cuda" else torch.cuda.mem_get_info(self.device)[0] // 2
        few = len(self) * self.dims * self.dtype.itemsize <= room
        return _Passes(list(self.blocks()) if few else None, self)


@dataclass(frozen=True)
class _Passes:
    kept: list[tuple[Tensor, Tensor]] | None
    table: Table

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.kept) if self.kept is not None else self.table.blocks()


@dataclass(frozen=True)
class Logistic:
    """Scores `x @ weight.T + bias`: `weight` `[C, d]`, `bias` `[C]`; `flat` says whether the optimum was reached."""

    weight: Tensor
    bias: Tensor
    flat: bool

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight.T)


def logistic_path(table: Table, classes: int, penalties: Iterable[float], *, flat: float = FINE) -> Iterator[Logistic]:
    """Multinomial logistic regressions, one for each penalty, each started from the last.

    The minimum of mean cross-entropy + penalty / 2 |W|^2, the bias free: scikit-learn's with C = 1 / (penalty N) where
    there are three classes or more. It is unique, so the start changes the time and not the answer.

    Args:
        table: the rows to fit, of at least two classes.
        classes: C.
        penalties: above 0; from large to small is fastest.
        flat: the largest entry of the gradient, each scaled by its curvature, that counts as none.

    Example:
        >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
        >>> table = Table(x, y, np.arange(4), Standard.of(x), torch.device("cpu"))
        >>> weak, strong = logistic_path(table, 2, [10.0, 0.1])
        >>> weak.weight[1].item() < strong.weight[1].item(), round(weak.bias[1].item(), 6)
        (True, 0.0)
    """
    loss = _Loss.of(table, classes)
    weight = np.zeros((classes, table.dims + 1))  # the bias is the last column
    for penalty in penalties:
        scale = loss.scale(penalty)
        found = minimize(
            loss,
            (weight @ loss.axes / scale).ravel(),
            args=(penalty, scale),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _PASSES, "maxfun": 2 * _PASSES, "gtol": flat, "ftol": 1e-12},
        )
        weight = loss.weight(found.x, scale)
        yield Logistic(*loss.tensors(weight), flat=found.status != 1)  # 1: the passes ran out


@dataclass(frozen=True)
class _Loss:
    """Mean cross-entropy and ridge, and their gradient, in one pass over the rows.

    L-BFGS takes thousands of passes where some directions of the features vary far more than others. It is given the
    weights in the axes of the features' second moment, each divided by the root of its curvature there: the same
    minimum, in tens of passes.

    Args:
        axes: `[d + 1, d + 1]`, a direction a column; the bias is the last one by itself.
        moments: second moment along each axis, `[d + 1]`.
    """

    table: Table
    passes: _Passes
    classes: int
    axes: np.ndarray
    moments: np.ndarray

    @classmethod
    def of(cls, table: Table, classes: int) -> _Loss:
        passes = table.passes()
        products = torch.zeros(table.dims, table.dims, dtype=torch.float64, device=table.device)
        for x, _ in passes:
            products += x.T @ x
        moments, axes = np.linalg.eigh(products.cpu().numpy() / len(table))
        return cls(table, passes, classes, block_diag(axes, [[1.0]]), np.append(moments.clip(0), 1.0))

    def scale(self, penalty: float) -> np.ndarray:
        """What an entry along each axis is multiplied by, `[d + 1]`: the curvature there is about 1 / C of the moment,
        and the penalty."""
        ridge = np.full(len(self.moments), penalty)
        ridge[-1] = 0.0
        return 1 / np.sqrt(self.moments / self.classes + ridge)

    def weight(self, theta: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Weights and bias `[C, d + 1]` from what L-BFGS moves."""
        return (theta.reshape(self.classes, -1) * scale) @ self.axes.T

    def tensors(self, weight: np.ndarray) -> tuple[Tensor, Tensor]:
        """Weight `[C, d]` and bias `[C]`."""
        whole = torch.from_numpy(weight).to(self.table.device, self.table.dtype)
        return whole[:, :-1].contiguous(), whole[:, -1].contiguous()

    def __call__(self, theta: np.ndarray, penalty: float, scale: np.ndarray) -> tuple[float, np.ndarray]:
        whole = self.weight(theta, scale)
        weight, bias = self.tensors(whole)
        total = 0.0
        gradient = torch.zeros(self.classes, self.table.dims + 1, dtype=torch.float64, device=self.table.device)
        for x, y in self.passes:
            logs = torch.log_softmax(torch.addmm(bias, x, weight.T), 1)
            total -= float(logs.gather(1, y[:, None]).sum(dtype=torch.float64))
            error = logs.exp_()
            error[torch.arange(len(y), device=y.device), y] -= 1
            gradient[:, :-1] += error.T @ x
            gradient[:, -1] += error.sum(0)
        slope = gradient.cpu().numpy() / len(self.table)
        slope[:, :-1] += penalty * whole[:, :-1]
        value = total / len(self.table) + penalty / 2 * float((whole[:, :-1] ** 2).sum())
        return value, ((slope @ self.axes) * scale).ravel()


def hidden_layer_rounds(
    table: Table, classes: int, *, hidden: int, decay: float, epochs: int, seed: int
) -> Iterator[Model]:
    """One hidden layer of GELUs, trained for ever: the classifier after each round of some epochs.

    AdamW at a constant learning rate of 1e-3, batches of 256 in a new order each epoch. What is yielded goes on
    learning when the next is asked for.

    Args:
        table: the rows to fit.
        classes: C.
        hidden: width of the layer.
        decay: weight decay, none on biases.
        epochs: passes in a round; see `round_epochs`.
        seed: draws weights and batches.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's chance is left as it was
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(table.dims, hidden), nn.GELU(), nn.Linear(hidden, classes))
    model.to(table.device)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR)
    n, epoch = min(BATCH, len(table)), 0
    while True:
        for _ in range(epochs):
            for places in batches(len(table), n, seed, epoch).numpy():
                x, y = table.take(places)
                loss = functional.cross_entropy(model(x.float()), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            epoch += 1
        yield _scores(model)


def round_epochs(rows: int) -> int:
    """Epochs in a round for a table of so many rows: one, or as many as have `STEPS` steps.

    Example:
        >>> round_epochs(60_000), round_epochs(600)
        (1, 10)
    """
    return -(-STEPS // max(1, rows // BATCH))


def _scores(model: nn.Module) -> Model:
    @torch.no_grad()
    def scores(x: Tensor) -> Tensor:
        return model(x.float())

    return scores


@torch.no_grad()
def places_of_truth(model: Model, table: Table) -> tuple[np.ndarray, float]:
    """At which place, from 0, each row's class comes among the scores, int64 `[n]`; and the mean cross-entropy.

    Equal scores are ordered by class number, as `argmax` has it; a row with a score that is not finite comes last.
    """
    places, total = [], 0.0
    for x, y in table.blocks():
        scores = model(x)
        own = scores.gather(1, y[:, None])
        before = torch.arange(scores.shape[1], device=y.device) < y[:, None]
        ahead = ((scores > own) | ((scores == own) & before)).sum(1)
        ahead[~torch.isfinite(scores).all(1)] = scores.shape[1]
        places.append(ahead.cpu().numpy())
        total += float(functional.cross_entropy(scores, y, reduction="sum"))
    return np.concatenate(places), total / len(table)
