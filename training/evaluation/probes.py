"""Probes: how accurately the class of an image follows from its frozen features, by a linear or a hidden layer.

Settings are chosen on a part of the training images; the probe is then fitted again on all of them, and the test
images are used once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from codelab.core.checks import check_whole
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number, with_interval
from codelab.core.progress import counter
from codelab.core.result import Result
from codelab.features.sources import finite
from codelab.statistics.intervals import Averages, averages
from codelab.statistics.splits import held_out_part
from training.evaluation.classifiers import (
    ROUGH,
    SGD_EPOCHS,
    Model,
    hidden_layer_epochs,
    logistic_path,
    places_of_truth,
    sgd_layer,
)

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
"""L2 penalties of the linear probe that are tried."""

ENOUGH = 4
"""Penalties without a better validation accuracy after which no smaller one is tried."""

MANY = 200_000
"""Train images above which the linear probe is trained by SGD: the exact optimum takes longer there."""

LRS = (1e-3, 1e-2, 1e-1)
"""Learning rates of SGD that are tried, for a batch of 256."""

DECAYS = (1.0, 0.1, 0.01)
"""Weight decays of the hidden-layer probe that are tried."""

HIDDEN = 512
"""Width of its hidden layer."""

EPOCHS = 100
"""Epochs it may train."""

PATIENCE = 10
"""Epochs without a better validation accuracy after which a weight decay is given up."""

TOP = 5
"""Top-5 accuracy is measured from twice as many classes on."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One setting that was tried: penalty, learning rate or decay, epochs, and the accuracy on the validation part."""

    penalty: float
    epochs: int | None
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class ProbeResult(Result):
    """Accuracies of a probe on the test images, and the setting that the validation part chose.

    `top5` is None below 10 classes. `majority` is the null: the accuracy of train's most frequent class.
    `penalty` is what `tuned` names: the L2 penalty (linear), the learning rate (linear by SGD) or the weight decay
    (mlp).

    The line quotes the top-1 accuracy with its interval, beside the majority class.
    """

    probe: str
    top1: Averages
    top5: Averages | None
    majority: Averages
    dims: int
    classes: int
    test_classes: int
    n: int
    n_train: int
    n_validation: int
    penalty: float
    tuned: str
    epochs: int | None
    hidden: int | None
    validation: float
    tried: tuple[Choice, ...]
    notes: tuple[str, ...] = ()

    def headline(self) -> str:
        low, high = self.top1.interval
        null = f"majority class {number(self.majority.value)}"
        return f"{self.probe} probe, top-1 {with_interval(self.value, low, high)}; {null}; {self.classes} classes"

    def size(self) -> str:
        """Test images and dimensions: a probe reads features as well as bits."""
        return f"N={self.n}, d={self.dims}"

    @property
    def value(self) -> float:
        """Top-1 accuracy over images."""
        return self.top1.value


def linear_probe(
    train: Any,
    train_labels: np.ndarray,
    test: Any,
    test_labels: np.ndarray,
    *,
    train_groups: np.ndarray | None = None,
    test_groups: np.ndarray | None = None,
    penalties: tuple[float, ...] = PENALTIES,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> ProbeResult:
    """Multinomial logistic regression on features standardised by the statistics of train.

    Above `MANY` train images it is trained by SGD, and the learning rate is chosen in place of the penalty.

    Args:
        train, test: `[N, d]` and `[M, d]`, arrays of numbers; bits as -1 and +1.
        train_labels, test_labels: class numbers, each 0 or more; every class of test must be in train.
        train_groups, test_groups: group numbers of near copies: train's never straddle the validation part, and test's
            are resampled whole in the interval.
        penalties: L2 penalties that are tried: scikit-learn's C is 1 / (penalty N).
        seed: of the validation part and the bootstrap.
        device: of torch.
        progress: a bar on stderr where that is a terminal.

    Raises:
        UsageError: an option that cannot be.
        DataError: shapes that do not fit, NaN or infinite values, fewer than 2 classes, a class of test that train
            does not have, or no class with two images (groups) in train.

    Example:
        >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]] * 5)
        >>> result = linear_probe(x, (x[:, 0] > 0).astype(int), np.array([[3.0], [-3.0]]), np.array([1, 0]))
        >>> result.value, result.majority.value
        (1.0, 0.5)
    """
    if not penalties or min(penalties) <= 0:
        raise UsageError(f"linear probe: penalties are {penalties}, expected numbers above 0")
    data = _Data.of(train, train_labels, test, test_labels, train_groups, test_groups, seed)
    x, y = data.train
    tried: list[Choice] = []
    notes: list[str] = []
    by_sgd = len(y) > MANY
    path = LRS[::-1] if by_sgd else tuple(sorted(penalties, reverse=True))
    tuned = "learning rate" if by_sgd else "L2 penalty"
    with counter("linear probe", len(path) + 1, show=progress) as advance:
        if by_sgd:
            for lr in path:
                model = sgd_layer(*data.fitted, data.classes, lr, seed, device)
                tried.append(data.choice(model, lr, SGD_EPOCHS))
                advance(1)
            model = sgd_layer(x, y, data.classes, _best(tried).penalty, seed, device)
        else:
            for penalty, (model, _) in zip(path, logistic_path(*data.fitted, path, ROUGH), strict=False):
                tried.append(data.choice(model, penalty, None))
                advance(1)
                if _since_better(tried) >= ENOUGH:  # the rest take longest, and overfit more
                    break
            ((model, flat),) = logistic_path(x, y, [_best(tried).penalty])
            notes += [] if flat else ["the optimum was not reached"]
    best = _best(tried)
    if len(path) > 1 and best.penalty in (path[0], path[-1]):
        end = "largest" if best.penalty == path[0] else "smallest"
        notes.append(f"the {end} {tuned.removeprefix('L2 ')}, {best.penalty:g}, was best")
    return data.result("linear", model, best, tried, tuned=tuned, notes=notes)


def mlp_probe(
    train: Any,
    train_labels: np.ndarray,
    test: Any,
    test_labels: np.ndarray,
    *,
    train_groups: np.ndarray | None = None,
    test_groups: np.ndarray | None = None,
    hidden: int = HIDDEN,
    decays: tuple[float, ...] = DECAYS,
    epochs: int = EPOCHS,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> ProbeResult:
    """One hidden layer on features standardised by the statistics of train: `d -> hidden -> C` with GELU.

    Weight decay and the number of epochs are chosen on the validation part. AdamW, learning rate 1e-3, batches of
    256, smaller where an epoch would have fewer than 20.

    Args:
        hidden: width of the hidden layer.
        decays: weight decays that are tried.
        epochs: the most; 10 without a better accuracy on the validation part end a try.
        seed: also of weights and batches.

    Other arguments and errors are those of `linear_probe`.
    """
    check_whole("hidden", hidden, 1)
    check_whole("epochs", epochs, 1)
    if not decays or min(decays) < 0:
        raise UsageError(f"mlp probe: decays are {decays}, expected numbers of 0 or more")
    data = _Data.of(train, train_labels, test, test_labels, train_groups, test_groups, seed)
    tried = []
    with counter("mlp probe", len(decays) * epochs, show=progress) as advance:
        for decay in decays:
            found: list[Choice] = []
            models = hidden_layer_epochs(*data.fitted, data.classes, hidden, decay, seed, device)
            for epoch, model in enumerate(islice(models, epochs), start=1):
                found.append(data.choice(model, decay, epoch))
                advance(1)
                if _since_better(found) >= PATIENCE:
                    advance(epochs - epoch)
                    break
            tried.append(_best(found))
        best = _best(tried)
        models = hidden_layer_epochs(*data.train, data.classes, hidden, best.penalty, seed, device)
        model = next(islice(models, (best.epochs or 1) - 1, None))
    notes = [f"the most epochs there are, {best.epochs}, were best"] if best.epochs == epochs else []
    return data.result("mlp", model, best, tried, tuned="weight decay", hidden=hidden, notes=notes)


@dataclass(frozen=True)
class _Data:
    """Standardised features `[n, d]` and classes, numbered from 0, of train, of its two parts, and of test."""

    train: tuple[np.ndarray, np.ndarray]
    fitted: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    classes: int
    test_groups: np.ndarray | None
    seed: int

    @classmethod
    def of(
        cls,
        train: Any,
        train_labels: np.ndarray,
        test: Any,
        test_labels: np.ndarray,
        train_groups: np.ndarray | None,
        test_groups: np.ndarray | None,
        seed: int,
    ) -> _Data:
        check_whole("seed", seed, 0)
        train, train_labels = _checked("train", train, train_labels, train_groups)
        test, test_labels = _checked("test", test, test_labels, test_groups)
        if test.shape[1] != train.shape[1]:
            raise DataError(f"test: {test.shape[1]} features, train has {train.shape[1]}")
        names, y = np.unique(train_labels, return_inverse=True)
        if len(names) < 2:
            raise DataError(f"train: all {len(y):,} images are of one class, expected 2 classes or more")
        strange = np.setdiff1d(test_labels, names)
        if len(strange):
            raise DataError(f"test: class {strange[0]} has no image in train ({len(strange)} such classes)")
        # L-BFGS needs float64 to reach its tolerance; so many rows are trained by SGD in float32
        dtype = np.float64 if len(y) <= MANY else np.float32
        scaler = StandardScaler()
        x = scaler.fit_transform(finite(train, "train features").astype(dtype))
        wanted = scaler.transform(finite(test, "test features").astype(dtype))
        fitted, held = held_out_part(y, train_groups, seed=seed)
        return cls(
            train=(x, y),
            fitted=(x[fitted], y[fitted]),
            validation=(x[held], y[held]),
            test=(wanted, np.searchsorted(names, test_labels)),
            classes=len(names),
            test_groups=test_groups,
            seed=seed,
        )

    def choice(self, model: Model, penalty: float, epochs: int | None) -> Choice:
        """What a model of the fitted part scores on the validation part."""
        x, y = self.validation
        return Choice(penalty=penalty, epochs=epochs, accuracy=float((places_of_truth(model(x), y) == 0).mean()))

    def result(
        self,
        probe: str,
        model: Model,
        best: Choice,
        tried: list[Choice],
        *,
        tuned: str,
        hidden: int | None = None,
        notes: list[str],
    ) -> ProbeResult:
        """The final model on the test images."""
        (x, y), train_labels, held = self.test, self.train[1], self.validation[1]
        scores = model(x)
        if not np.isfinite(scores).all():
            raise DataError(f"{probe} probe: the scores of the test images are not finite numbers")
        places = places_of_truth(scores, y)
        unchecked = self.classes - len(np.unique(held))
        if unchecked:
            notes = [*notes, f"{unchecked} classes have too few train images to be in the validation part"]

        def score(right: np.ndarray) -> Averages:
            return averages(right, y, self.test_groups, seed=self.seed)

        return ProbeResult(
            seed=self.seed,
            probe=probe,
            top1=score(places == 0),
            top5=score(places < TOP) if self.classes >= 2 * TOP else None,
            majority=score(y == np.bincount(train_labels).argmax()),
            dims=x.shape[1],
            classes=self.classes,
            test_classes=len(np.unique(y)),
            n=len(y),
            n_train=len(train_labels),
            n_validation=len(held),
            penalty=best.penalty,
            tuned=tuned,
            epochs=best.epochs,
            hidden=hidden,
            validation=best.accuracy,
            tried=tuple(tried),
            notes=tuple(notes),
        )


def _checked(name: str, values: Any, labels: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    values, labels = np.asarray(values), np.asarray(labels)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "fiu":
        raise DataError(f"{name}: {values.dtype} {list(values.shape)}, expected numbers [N, d] of one image or more")
    for what, array in (("labels", labels), ("groups", groups)):
        if array is not None and np.shape(array) != (len(values),):
            raise DataError(f"{name}: {what} {list(np.shape(array))}, expected one for each of {len(values)} rows")
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        found = f"{labels.min()}" if labels.dtype.kind in "iu" else f"{labels.dtype}"
        raise DataError(f"{name}: labels hold {found}, expected whole numbers of 0 or more")
    return values, labels


def _since_better(tried: list[Choice]) -> int:
    """How many tries there were after the first of the highest accuracy."""
    accuracies = [choice.accuracy for choice in tried]
    return len(tried) - 1 - accuracies.index(max(accuracies))


def _best(tried: list[Choice]) -> Choice:
    """The highest accuracy, the first among equals: the strongest penalty, the fewest epochs."""
    return max(tried, key=lambda choice: choice.accuracy)
