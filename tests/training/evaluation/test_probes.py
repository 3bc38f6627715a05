"""Probes against scikit-learn and known truths; what is chosen is chosen on a part of train that is fair."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import binom
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, top_k_accuracy_score
from sklearn.preprocessing import StandardScaler

from codelab import DataError, UsageError
from training.evaluation import classifiers, probes
from training.evaluation.classifiers import hidden_layer_epochs, logistic_path, places_of_truth, sgd_layer
from training.evaluation.probes import linear_probe, mlp_probe


def clouds(n, classes, dims, *, apart=1.0, seed=0, draw=0):
    """Gaussian clouds that overlap; `seed` places them, `draw` draws from them."""
    centres = np.random.default_rng(seed).normal(size=(classes, dims)) * apart
    rng = np.random.default_rng([seed, draw])
    labels = rng.integers(0, classes, n)
    stretch = np.linspace(0.1, 30, dims)  # directions of very different size
    return ((centres[labels] + rng.normal(size=(n, dims))) * stretch + 5).astype(np.float32), labels


def xor(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    x += 0.2 * np.sign(x)  # a gap, so that the truth can be learnt
    return x, (x[:, 0] * x[:, 1] > 0).astype(int)


def standard(x):
    return StandardScaler().fit_transform(x.astype(np.float64))


class TestLogistic:
    @pytest.mark.parametrize(("penalty", "classes"), [(1.0, 4), (0.01, 4), (1e-4, 4), (0.02, 2)])
    def test_scores_are_those_of_scikit_learn_from_a_cold_start(self, penalty, classes):
        x, y = clouds(300, classes, 7, apart=0.7)
        x = standard(x)
        *_, (model, flat) = logistic_path(x, y, [10.0, 0.1, penalty])
        peer = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-9, max_iter=10_000).fit(x, y)
        assert flat
        assert model(x) == pytest.approx(peer.predict_log_proba(x), abs=2e-3)

    def test_a_path_that_is_cut_short_says_so(self, monkeypatch):
        monkeypatch.setattr(classifiers, "_PASSES", 2)
        x, y = clouds(200, 3, 5)
        ((_, flat),) = logistic_path(standard(x), y, [1e-4])
        assert not flat


class TestManyRows:
    def test_a_layer_trained_by_sgd_is_as_accurate_as_the_optimum(self):
        x, y = clouds(3000, 4, 6, apart=0.7)
        wanted, truth = clouds(2000, 4, 6, apart=0.7, draw=1)
        scaler = StandardScaler().fit(x)
        x, wanted = scaler.transform(x), scaler.transform(wanted)
        ((optimum, _),) = logistic_path(x, y, [1e-6])
        layer = sgd_layer(x, y, 4, 0.1, 0, "cpu")
        right = [(model(wanted).argmax(1) == truth).mean() for model in (optimum, layer)]
        assert right[1] == pytest.approx(right[0], abs=0.02)

    def test_the_linear_probe_takes_it_above_a_number_of_rows(self, monkeypatch):
        x, y = clouds(1500, 3, 6, apart=0.7)
        exact = linear_probe(x, y, x, y)
        monkeypatch.setattr(probes, "MANY", 1499)
        found, again = (linear_probe(x, y, x, y) for _ in range(2))
        assert (found.tuned, exact.tuned) == ("learning rate", "L2 penalty")
        assert found.penalty in probes.LRS
        assert found.value == pytest.approx(exact.value, abs=0.03)
        assert found == again


class TestLinearProbe:
    def test_its_accuracies_are_those_of_scikit_learn_at_the_penalty_it_chose(self):
        x, y = clouds(500, 12, 8, apart=0.8)
        wanted, truth = clouds(400, 12, 8, apart=0.8, draw=1)
        found = linear_probe(x, y, wanted, truth)
        scaler = StandardScaler().fit(x.astype(np.float64))
        peer = LogisticRegression(C=1 / (found.penalty * len(x)), tol=1e-8, max_iter=10_000)
        peer.fit(scaler.transform(x.astype(np.float64)), y)
        scores = peer.decision_function(scaler.transform(wanted.astype(np.float64)))
        assert found.value == pytest.approx((scores.argmax(1) == truth).mean(), abs=0.005)
        assert found.top1.class_value == pytest.approx(balanced_accuracy_score(truth, scores.argmax(1)), abs=0.005)
        assert found.top5.value == pytest.approx(top_k_accuracy_score(truth, scores, k=5), abs=0.005)
        null = DummyClassifier(strategy="most_frequent").fit(x, y)
        assert found.majority.value == null.score(wanted, truth)
        assert found.majority.class_value == pytest.approx(1 / 12)
        assert (found.n, found.n_train, found.dims, found.classes) == (400, 500, 8, 12)

    def test_a_line_is_found(self):
        x, y = clouds(300, 3, 4, apart=40)
        wanted, truth = clouds(200, 3, 4, apart=40, draw=1)
        found = linear_probe(x, y, wanted, truth)
        assert found.value == found.top1.class_value == 1
        assert found.top1.interval[0] < 1  # 200 of 200 right does not prove it

    def test_a_line_cannot_read_xor(self):
        assert linear_probe(*xor(600, 0), *xor(600, 1)).value < 0.6

    def test_shuffled_labels_are_chance(self):
        x, y = clouds(300, 4, 6, apart=5)
        wanted, truth = clouds(300, 4, 6, apart=5, draw=1)
        y, truth = (np.random.default_rng(0).permutation(labels) for labels in (y, truth))
        low, high = binom.interval(0.999, 300, 0.25)
        assert low <= linear_probe(x, y, wanted, truth).value * 300 <= high

    def test_units_of_the_features_do_not_matter(self):
        x, y = clouds(300, 3, 6, apart=0.6)
        wanted, truth = clouds(200, 3, 6, apart=0.6, draw=1)
        stretch, shift = np.array([1e-3, 1, 10, 500, 2, 3], np.float32), 3
        one, two = linear_probe(x, y, wanted, truth), linear_probe(x * stretch + shift, y, wanted * stretch + 3, truth)
        assert one.penalty == two.penalty
        assert one.value == pytest.approx(two.value, abs=0.01)

    def test_bits_of_one_byte_are_read(self):
        rng = np.random.default_rng(0)
        bits = (2 * rng.integers(0, 2, (400, 10)) - 1).astype(np.int8)
        labels = (bits[:, 3] > 0).astype(np.int32)
        assert linear_probe(bits[:200], labels[:200], bits[200:], labels[200:]).value == 1

    def test_test_labels_choose_nothing(self):
        x, y = clouds(200, 3, 6, apart=0.5)
        wanted, truth = clouds(200, 3, 6, apart=0.5, draw=1)
        one, two = linear_probe(x, y, wanted, truth), linear_probe(x, y, wanted, (truth + 1) % 3)
        assert one.tried == two.tried
        assert one.penalty == two.penalty
        assert one.value > two.value

    def test_class_numbers_may_have_gaps(self):
        x, y = clouds(200, 3, 6)
        wanted, truth = clouds(200, 3, 6, draw=1)
        names = np.array([4, 9, 70])
        assert linear_probe(x, names[y], wanted, names[truth]).top1 == linear_probe(x, y, wanted, truth).top1

    def test_the_choice_is_the_best_of_what_was_tried(self):
        x, y = clouds(200, 3, 20, apart=0.3)
        found = linear_probe(x, y, *clouds(100, 3, 20, apart=0.3, draw=1))
        assert found.validation == max(c.accuracy for c in found.tried)
        assert found.penalty in [c.penalty for c in found.tried if c.accuracy == found.validation]
        assert found.n_validation == pytest.approx(40, abs=3)

    def test_top_5_is_for_ten_classes_or_more(self):
        x, y = clouds(200, 9, 6)
        assert linear_probe(x, y, x, y).top5 is None

    def test_an_end_of_the_path_is_named(self):
        x, y = clouds(200, 3, 6)
        assert linear_probe(x, y, x, y, penalties=(10.0, 1e-3)).notes == ("the smallest penalty, 0.001, was best",)


class TestHiddenLayer:
    def test_it_reads_xor(self):
        assert mlp_probe(*xor(500, 0), *xor(500, 1), hidden=32, decays=(0.01,), epochs=40).value > 0.95

    def test_shuffled_labels_are_chance(self):
        x, y = clouds(200, 4, 6, apart=5)
        wanted, truth = clouds(300, 4, 6, apart=5, draw=1)
        y, truth = (np.random.default_rng(0).permutation(labels) for labels in (y, truth))
        low, high = binom.interval(0.999, 300, 0.25)
        assert low <= mlp_probe(x, y, wanted, truth, hidden=16, epochs=20).value * 300 <= high

    def test_the_same_seed_gives_the_same_and_leaves_chance_alone(self):
        x, y = clouds(200, 3, 6, apart=0.6)
        torch.manual_seed(3)
        one, two, other = (mlp_probe(x, y, x, y, hidden=16, epochs=5, seed=s) for s in (0, 0, 1))
        assert one == two
        assert one.tried != other.tried
        drawn = torch.rand(1)
        torch.manual_seed(3)
        assert torch.equal(drawn, torch.rand(1))

    def test_the_figure_is_that_of_the_chosen_epochs_on_all_of_train(self):
        x, y = clouds(300, 3, 6, apart=0.6)
        wanted, truth = clouds(200, 3, 6, apart=0.6, draw=1)
        found = mlp_probe(x, y, wanted, truth, hidden=16, epochs=6, seed=2)
        models = hidden_layer_epochs(standard(x), y, 3, 16, found.penalty, 2, "cpu")
        model = next(itertools.islice(models, found.epochs - 1, None))
        inputs = StandardScaler().fit(x.astype(np.float64)).transform(wanted)
        assert (model(inputs).argmax(1) == truth).mean() == found.value

    def test_weights_decay_and_epochs_go_on(self):
        x, y = clouds(300, 3, 6, apart=0.6)
        losses = {}
        for decay in (0.0, 10.0):
            models = hidden_layer_epochs(standard(x), y, 3, 8, decay, 0, "cpu")
            losses[decay] = [log_loss(y, softmax(model(standard(x)), axis=1)) for model in itertools.islice(models, 8)]
        assert losses[0.0][-1] < losses[0.0][0]
        assert losses[10.0][-1] > losses[0.0][-1]


class TestPlaces:
    def test_against_sorting(self):
        rng = np.random.default_rng(0)
        scores, y = rng.normal(size=(50, 6)), rng.integers(0, 6, 50)
        order = np.argsort(-scores, axis=1)
        assert places_of_truth(scores, y).tolist() == [order[i].tolist().index(y[i]) for i in range(50)]

    def test_equal_scores_are_not_all_right(self):
        assert places_of_truth(np.zeros((3, 3)), np.arange(3)).tolist() == [0, 1, 2]

    def test_scores_that_are_not_numbers_are_wrong(self):
        assert (places_of_truth(np.eye(3) * np.nan, np.arange(3)) == 3).all()


class TestGroups:
    def test_near_copies_do_not_choose_for_themselves(self):
        """Ten copies of noise: by images the validation part is known by heart, by groups it is chance."""
        rng = np.random.default_rng(0)
        x, y = np.repeat(rng.normal(size=(60, 80)), 10, axis=0), np.repeat(rng.integers(0, 2, 60), 10)
        groups = np.repeat(np.arange(60), 10)
        assert linear_probe(x, y, x, y).validation == 1
        assert linear_probe(x, y, x, y, train_groups=groups).validation < 0.8


X, Y = clouds(40, 2, 3)


@pytest.mark.parametrize("probe", [linear_probe, mlp_probe])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ((X, np.zeros(40, int), X, np.zeros(40, int)), "train: all 40 images are of one class"),
        ((X, Y, X, Y + 1), "test: class 2 has no image in train"),
        ((X, Y - 1, X, Y), "train: labels hold -1"),
        ((X, Y * 1.0, X, Y), "train: labels hold float64"),
        ((X, Y[:5], X, Y), r"train: labels \[5\], expected one for each of 40 rows"),
        ((X[:, :2], Y, X, Y), "test: 3 features, train has 2"),
        ((X[:0], Y[:0], X, Y), r"train: float32 \[0, 3\], expected numbers"),
        ((X, Y, X[:0], Y[:0]), r"test: float32 \[0, 3\], expected numbers"),
        ((X[:, 0], Y, X, Y), "train: float32 .*expected numbers"),
        ((np.where(np.isin(X, X[3, 1]), np.nan, X), Y, X, Y), "train features: row 3, column 1 is nan"),
        ((X, Y, np.where(np.isin(X, X[3, 1]), np.inf, X), Y), "test features: row 3, column 1 is inf"),
        ((X[:2], np.array([0, 1]), X, Y), "none of 2 classes has 2 images"),
    ],
)
def test_what_cannot_be_probed_is_one_line(probe, call, message):
    with pytest.raises(DataError, match=message) as error:
        probe(*call)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("probe", "options", "message"),
    [
        (linear_probe, {"penalties": ()}, "expected numbers above 0"),
        (linear_probe, {"penalties": (0.0,)}, "expected numbers above 0"),
        (mlp_probe, {"decays": (-1.0,)}, "expected numbers of 0 or more"),
        (mlp_probe, {"hidden": 0}, "hidden=0: expected 1 or more"),
        (mlp_probe, {"epochs": 0}, "epochs=0: expected 1 or more"),
        (linear_probe, {"seed": -1}, "seed=-1: expected 0 or more"),
    ],
)
def test_options_that_cannot_be(probe, options, message):
    with pytest.raises(UsageError, match=message):
        probe(X, Y, X, Y, **options)


def test_a_probe_is_one_line_to_quote():
    x, y = clouds(200, 3, 5)
    found = linear_probe(x, y, x, y)
    low, high = found.top1.interval
    line = f"ProbeResult: linear probe, top-1 {found.value:.3f} (95 % {low:.3f} to {high:.3f}); majority class "
    assert repr(found).startswith(line)
    assert repr(found).endswith("; 3 classes, N=200, d=5")
