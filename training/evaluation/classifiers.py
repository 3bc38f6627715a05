"""Classifiers on standardised features: logistic regression, a linear layer trained by SGD, and one hidden layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional

from training.data import batches

Model = Callable[[np.ndarray], np.ndarray]
"""Standardised features `[n, d]` to class scores `[n, C]`."""

ROUGH, FINE = 1e-4, 1e-6
"""The largest entry of a gradient that counts as none: to compare penalties, and to report a figure."""

SGD_EPOCHS = 10
"""Epochs of SGD: with so many images, a tenth of DINO's 100."""

_PASSES = 1000  # of L-BFGS; beyond it the classifier is used as it is
_BLOCK = 65_536  # rows scored at once


def logistic_path(
    x: np.ndarray, y: np.ndarray, penalties: Iterable[float], tolerance: float = FINE
) -> Iterator[tuple[Model, bool]]:
    """Logistic regressions, one for each penalty, each started from the last; and whether the optimum was reached.

    A model that was yielded changes when the next one is taken.
    """
    model = LogisticRegression(tol=tolerance, max_iter=_PASSES, warm_start=True)
    for penalty in penalties:
        model.set_params(C=1 / (penalty * len(y)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the caller is told, and notes it
            model.fit(x, y)
        yield model.predict_log_proba, int(model.n_iter_.max()) < _PASSES


def sgd_layer(x: np.ndarray, y: np.ndarray, classes: int, lr: float, seed: int, device: str | torch.device) -> Model:
    """A linear layer trained as in DINO's evaluation: SGD, momentum 0.9, cosine learning rate, no weight decay.

    Source: Caron et al. 2021, appendix F.2; learning rate and batch: Goyal et al. 2017.
    """
    layer = nn.Linear(x.shape[1], classes, device=device)
    for values in layer.parameters():
        nn.init.zeros_(values)
    batch = min(1024, len(y))
    optimizer = torch.optim.SGD(layer.parameters(), lr=lr * batch / 256, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, SGD_EPOCHS)
    models = _epochs(layer, optimizer, x, y, batch, seed)
    for _ in range(SGD_EPOCHS):
        model = next(models)
        schedule.step()
    return model


def hidden_layer_epochs(
    x: np.ndarray, y: np.ndarray, classes: int, hidden: int, decay: float, seed: int, device: str | torch.device
) -> Iterator[Model]:
    """One hidden layer, trained without end: the classifier after each epoch; it changes when the next is taken."""
    with torch.random.fork_rng(devices=[]):  # the state of the caller's generator stays as it was
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(x.shape[1], hidden), nn.GELU(), nn.Linear(hidden, classes)).to(device)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    batch = max(1, min(256, len(y) // 20))
    return _epochs(model, torch.optim.AdamW(groups, lr=1e-3), x, y, batch, seed)


def _epochs(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: np.ndarray, y: np.ndarray, batch: int, seed: int
) -> Iterator[Model]:
    """The model after each epoch of batches in a new order."""
    device = next(model.parameters()).device
    inputs, truth = torch.as_tensor(x, dtype=torch.float32, device=device), torch.as_tensor(y, device=device)

    @torch.no_grad()
    def scores(features: np.ndarray) -> np.ndarray:
        blocks = torch.as_tensor(features, dtype=torch.float32).split(_BLOCK)
        return torch.cat([model(block.to(device)).cpu() for block in blocks]).numpy()

    for epoch in count():
        for rows in batches(len(y), batch, seed, epoch).to(device):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs[rows]), truth[rows]).backward()
            optimizer.step()
        yield scores


def places_of_truth(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """At which place, from 0, each row's class comes among its scores `[n, C]`, int64 `[n]`.

    Equal scores are ordered by class number, as `argmax` has it; a row with a score that is not finite comes last.

    Example:
        >>> places_of_truth(np.array([[0.1, 0.7, 0.2], [1.0, 1.0, 0.0], [np.nan, 0.0, 0.0]]), np.array([2, 1, 0]))
        array([1, 1, 3])
    """
    own = np.take_along_axis(scores, y[:, None], axis=1)
    before = np.arange(scores.shape[1]) < y[:, None]
    places = ((scores > own) | ((scores == own) & before)).sum(1)
    return np.where(np.isfinite(scores).all(1), places, scores.shape[1])
