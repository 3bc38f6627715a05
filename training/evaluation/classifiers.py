"""Classifiers on frozen features: logistic regression, a linear layer trained by SGD, and one hidden layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
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

_PASSES = 1000  # of L-BFGS; beyond it the classifier is used as it is


@dataclass(frozen=True)
class Standard:
    """Subtracts each dimension's mean and divides by its standard deviation; a constant dimension becomes 0."""

    mean: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, name: str = "features") -> Standard:
        """From all rows `[N, d]`.

        Raises:
            DataError: a value is NaN or infinite, or these are not numbers `[N, d]`; the message calls them `name`.
        """
        source = replace(open_features(features), name=name)
        found = moments(source, covariance=False, block=BLOCK, advance=lambda rows: None)
        spread = np.sqrt(found.variance)
        return cls(found.mean, np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0))


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

    def part(self, places: np.ndarray) -> Table:
        """The table of some of its rows."""
        return replace(self, rows=self.rows[places])

    def take(self, places: np.ndarray | slice) -> tuple[Tensor, Tensor]:
        """Features `[n, d]` and classes `[n]` of some of its rows, in this order."""
        rows, dtype = self.rows[places], torch.float64 if self.device.type == "cpu" else torch.float32
        mean, factor = (torch.from_numpy(v).to(self.device, dtype) for v in (self.standard.mean, self.standard.factor))
        raw = torch.from_numpy(self.features[rows]).to(self.device).to(dtype)  # raw numbers are the fewest bytes
        return (raw - mean) * factor, torch.from_numpy(self.labels[rows].astype(np.int64)).to(self.device)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All of its rows, block after block."""
        for start in range(0, len(self), BLOCK):
            yield self.take(slice(start, start + BLOCK))


@dataclass(frozen=True)
class Linear:
    """Scores `x @ weight.T + bias`: `weight` `[C, d]`, `bias` `[C]`; `flat` says whether the optimum was reached."""

    weight: Tensor
    bias: Tensor
    flat: bool = True

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias.to(x), x, self.weight.to(x).T)


def logistic_path(
    table: Table, classes: int, penalties: Iterable[float], *, tolerance: float = FINE
) -> Iterator[Linear]:
    """Multinomial logistic regressions, one for each penalty, each started from the last.

        min_W  1/N sum_i -log softmax(W x_i + b)_{y_i}  +  penalty / 2 |W|^2

    The minimum is unique, so the start changes the time and not the weights. scikit-learn's L-BFGS finds it with
    C = 1 / (penalty N); of two classes it fits the difference of the two rows, whose penalty is half.

    Args:
        table: the rows to fit, with at least one of each class; they are copied as float64.
        classes: C.
        penalties: above 0; from large to small is fastest.
        tolerance: the largest entry of the gradient that counts as none.

    Example:
        >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
        >>> table = Table(x, y, np.arange(4), Standard.of(x), torch.device("cpu"))
        >>> weak, strong = logistic_path(table, 2, [10.0, 0.1])
        >>> weak.weight[1].item() < strong.weight[1].item(), round(weak.bias[1].item(), 6)
        (True, 0.0)
    """
    x, y = (values.numpy() for values in replace(table, device=torch.device("cpu")).take(slice(None)))
    model = LogisticRegression(tol=tolerance, max_iter=_PASSES, warm_start=True)
    for penalty in penalties:
        model.set_params(C=(2 if classes == 2 else 1) / (penalty * len(x)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `flat` says so
            model.fit(x, y)
        weight, bias = (torch.from_numpy(v.copy()) for v in (model.coef_, model.intercept_))
        if classes == 2:
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        yield Linear(weight, bias, flat=int(model.n_iter_.max()) < _PASSES)


def sgd_layer(table: Table, classes: int, *, lr: float, epochs: int, seed: int) -> Linear:
    """A linear layer trained as in DINO's evaluation: SGD, momentum 0.9, cosine learning rate, no weight decay.

    Args:
        table: the rows to fit.
        classes: C.
        lr: learning rate for a batch of 256; it grows with the batch.
        epochs: passes over the rows.
        seed: of the order of the rows.

    Source: Caron et al. 2021, appendix F.2; learning rate and batch: Goyal et al. 2017.
    """
    layer = nn.Linear(table.dims, classes, device=table.device)
    for values in layer.parameters():
        nn.init.zeros_(values)
    batch = min(1024, len(table))
    optimizer = torch.optim.SGD(layer.parameters(), lr=lr * batch / 256, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (len(table) // batch))
    for epoch in range(epochs):
        for places in batches(len(table), batch, seed, epoch).numpy():
            x, y = table.take(places)
            optimizer.zero_grad()
            functional.cross_entropy(layer(x.float()), y).backward()
            optimizer.step()
            schedule.step()
    return Linear(layer.weight.detach(), layer.bias.detach())


def hidden_layer_rounds(
    table: Table, classes: int, *, hidden: int, decay: float, epochs: int, seed: int
) -> Iterator[Model]:
    """One hidden layer of GELUs, trained without end: the classifier after each round of epochs.

    AdamW at a constant learning rate of 1e-3, batches of 256 in a new order each epoch. The classifier that is yielded
    changes when the next one is taken.

    Args:
        table: the rows to fit.
        classes: C.
        hidden: width of the layer.
        decay: weight decay, none on biases.
        epochs: passes in a round; see `round_epochs`.
        seed: draws weights and batches.
    """
    with torch.random.fork_rng(devices=[]):  # the state of the caller's generator stays as it was
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
