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

from codelab.core.checks import check_whole
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number, with_interval
from codelab.core.progress import counter
from codelab.core.result import Result
from codelab.statistics.intervals import Averages, averages
from codelab.statistics.splits import held_out_part
from training.evaluation.classifiers import (
    ROUGH,
    Linear,
    Model,
    Standard,
    Table,
    hidden_layer_rounds,
    logistic_path,
    places_of_truth,
    round_epochs,
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

SGD_EPOCHS = 10
"""Epochs of SGD: with so many images, a tenth of DINO's 100."""

DECAYS = (1.0, 0.1, 0.01)
"""Weight decays of the hidden-layer probe that are tried."""

HIDDEN = 512
"""Width of its hidden layer."""

ROUNDS = 100
"""Rounds it may train; a round is an epoch, or more where the images are few."""

PATIENCE = 10
"""Rounds without a better validation accuracy after which a weight decay is given up."""

TOP = 5
"""Top-5 accuracy is measured from twice as many classes on."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One setting that was tried: penalty or learning rate, epochs of SGD, and the accuracy on the validation part."""

    penalty: float
    epochs: int | None
    accuracy: float
    cross_entropy: float


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
        penalties: of the L2 norm of the weights that are tried: penalty / 2 |W|^2 beside the mean cross-entropy.
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
    setting = _Setting.of(train, train_labels, test, test_labels, train_groups, test_groups, seed, device)
    if len(setting.train) > MANY:
        return _sgd_probe(setting, progress)
    path = tuple(sorted(penalties, reverse=True))
    tried: list[Choice] = []
    with counter("linear probe", len(path) + 1, show=progress) as advance:
        models = logistic_path(setting.fitted, setting.classes, path, tolerance=ROUGH)
        for penalty, model in zip(path, models, strict=True):
            tried.append(setting.choice(model, penalty, None))
            advance(1)
            if _since_better(tried) >= ENOUGH:  # the rest take longest, and overfit more
                break
        best = _best(tried)
        (model,) = logistic_path(setting.train, setting.classes, [best.penalty])
        advance(1)
    notes = [] if model.flat else ["the optimum was not reached"]
    return setting.result("linear", model, best, tried, tuned="L2 penalty", notes=[*notes, *_at_an_end(best, path)])


def _sgd_probe(setting: _Setting, progress: bool) -> ProbeResult:
    """The linear probe by SGD, its learning rate chosen on the validation part."""
    with counter("linear probe", len(LRS) + 1, show=progress) as advance:

        def fit(table: Table, lr: float) -> Linear:
            model = sgd_layer(table, setting.classes, lr=lr, epochs=SGD_EPOCHS, seed=setting.seed)
            advance(1)
            return model

        tried = [setting.choice(fit(setting.fitted, lr), lr, SGD_EPOCHS) for lr in LRS]
        best = _best(tried)
        model = fit(setting.train, best.penalty)
    notes = _at_an_end(best, LRS[::-1], "learning rate")
    return setting.result("linear", model, best, tried, tuned="learning rate", notes=notes)


def _at_an_end(best: Choice, path: tuple[float, ...], what: str = "penalty") -> list[str]:
    """A note where the best of a path from large to small is at one of its ends."""
    if len(path) < 2 or best.penalty not in (path[0], path[-1]):
        return []
    return [f"the {'largest' if best.penalty == path[0] else 'smallest'} {what}, {best.penalty:g}, was best"]


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
    rounds: int = ROUNDS,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> ProbeResult:
    """One hidden layer on features standardised by the statistics of train: `d -> hidden -> C` with GELU.

    Weight decay and the number of epochs are chosen on the validation part. AdamW, learning rate 1e-3, batches of 256.

    Args:
        hidden: width of the hidden layer.
        decays: weight decays that are tried.
        rounds: the most rounds of epochs; 10 without a better accuracy on the validation part end a try.
        seed: also of weights and batches.

    Other arguments and errors are those of `linear_probe`.
    """
    check_whole("hidden", hidden, 1)
    check_whole("rounds", rounds, 1)
    if not decays or min(decays) < 0:
        raise UsageError(f"mlp probe: decays are {decays}, expected numbers of 0 or more")
    setting = _Setting.of(train, train_labels, test, test_labels, train_groups, test_groups, seed, device)
    epochs = round_epochs(len(setting.fitted))
    plan: dict[str, Any] = {"hidden": hidden, "epochs": epochs, "seed": seed}
    tried = []
    with counter("mlp probe", len(decays) * rounds, show=progress) as advance:
        for decay in decays:
            found: list[Choice] = []
            models = hidden_layer_rounds(setting.fitted, setting.classes, decay=decay, **plan)
            for number, model in enumerate(islice(models, rounds), start=1):
                found.append(setting.choice(model, decay, number * epochs))
                advance(1)
                if _since_better(found) >= PATIENCE:
                    advance(rounds - number)
                    break
            tried.append(_best(found))
        best = _best(tried)
        last = (best.epochs or 0) // epochs
        models = hidden_layer_rounds(setting.train, setting.classes, decay=best.penalty, **plan)
        model = next(islice(models, last - 1, None))
    notes = [f"the most epochs there are, {best.epochs}, were best"] if last == rounds else []
    return setting.result("mlp", model, best, tried, tuned="weight decay", hidden=hidden, notes=notes)


@dataclass(frozen=True)
class _Setting:
    """Train, its two parts, and test; classes are numbered anew, those of train from 0."""

    train: Table
    fitted: Table
    validation: Table
    test: Table
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
        device: str | torch.device,
    ) -> _Setting:
        check_whole("seed", seed, 0)
        train, train_labels = _checked("train", train, train_labels, train_groups)
        test, test_labels = _checked("test", test, test_labels, test_groups)
        if test.shape[1] != train.shape[1]:
            raise DataError(f"test: {test.shape[1]} features, train has {train.shape[1]}")
        classes = np.unique(train_labels)
        if len(classes) < 2:
            raise DataError(f"train: all {len(train):,} images are of one class, expected 2 classes or more")
        strange = np.setdiff1d(test_labels, classes)
        if len(strange):
            raise DataError(f"test: class {strange[0]} has no image in train ({len(strange)} such classes)")
        standard = Standard.of(train, "train features")
        Standard.of(test, "test features")  # refuses what is not finite before the work, not after it
        where = torch.device(device)
        numbers = np.searchsorted(classes, train_labels)
        whole = Table(train, numbers, np.arange(len(train)), standard, where)
        fitted, validation = held_out_part(numbers, train_groups, seed=seed)
        return cls(
            train=whole,
            fitted=whole.part(fitted),
            validation=whole.part(validation),
            test=Table(test, np.searchsorted(classes, test_labels), np.arange(len(test)), standard, where),
            classes=len(classes),
            test_groups=test_groups,
            seed=seed,
        )

    def choice(self, model: Model, penalty: float, epochs: int | None) -> Choice:
        """What a model of the fitted part scores on the validation part."""
        places, cross_entropy = places_of_truth(model, self.validation)
        return Choice(
            penalty=penalty, epochs=epochs, accuracy=float((places == 0).mean()), cross_entropy=cross_entropy
        )

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
        places, cross_entropy = places_of_truth(model, self.test)
        if not np.isfinite(cross_entropy):
            raise DataError(f"{probe} probe: the scores of the test images are not finite numbers")
        labels, sizes = self.test.labels, np.bincount(self.train.labels)
        unchecked = self.classes - len(np.unique(self.validation.labels[self.validation.rows]))
        if unchecked:
            notes = [*notes, f"{unchecked} classes have too few train images to be in the validation part"]

        def score(right: np.ndarray) -> Averages:
            return averages(right, labels, self.test_groups, seed=self.seed)

        return ProbeResult(
            seed=self.seed,
            probe=probe,
            top1=score(places == 0),
            top5=score(places < TOP) if self.classes >= 2 * TOP else None,
            majority=score(labels == sizes.argmax()),
            dims=self.train.dims,
            classes=self.classes,
            test_classes=len(np.unique(labels)),
            n=len(self.test),
            n_train=len(self.train),
            n_validation=len(self.validation),
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
    """The highest accuracy, and among equals the lowest cross-entropy, the first of those that are wholly equal."""
    return max(tried, key=lambda c: (c.accuracy, -c.cross_entropy if np.isfinite(c.cross_entropy) else -np.inf))
