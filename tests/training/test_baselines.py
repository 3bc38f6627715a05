"""The other objectives against loops over pairs in NumPy float64, and what each must do at its ends."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax

from codelab.core.errors import UsageError
from training.config import TrainConfig
from training.losses import bit_bce, bits_loss, cosine_bits, mean_cosine, prototype_cross_entropy, soft_bce
from training.network import Prototypes
from training.objective import Objective, reset_head

SHAPES = (st.integers(2, 5), st.integers(2, 6), st.integers(2, 7), st.integers(0, 99))


def outputs(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def two(views, n, dims, seed):
    return outputs(views, n, dims, seed=seed), outputs(2, n, dims, seed=seed + 1000)


def over_pairs(student, teacher, loss):
    """The mean of `loss(student_output, teacher_output)` over images and cross pairs."""
    s, t = student.double().numpy(), teacher.double().numpy()
    pairs = [(a, b) for a, b in itertools.product(range(len(t)), range(len(s))) if a != b]
    return np.mean([loss(s[b], t[a]).mean() for a, b in pairs])


def unit(a):
    return a / np.linalg.norm(a, axis=-1, keepdims=True)


def slow_rate(z, eps2):
    n, bits = z.shape
    return np.linalg.slogdet(np.eye(bits) + bits / eps2 * (z.T @ z) / n)[1] / 2


class TestAgreements:
    @settings(max_examples=30, deadline=None)
    @given(*SHAPES, st.floats(0.05, 2))
    def test_soft_bits(self, views, n, dims, seed, tau):
        student, teacher = two(views, n, dims, seed)

        def loss(student, teacher):
            z, p = expit(teacher / tau), expit(student)
            return -(z * np.log(p) + (1 - z) * np.log1p(-p))

        assert soft_bce(student, teacher, tau).item() == pytest.approx(over_pairs(student, teacher, loss), rel=1e-4)

    def test_soft_bits_become_hard_bits(self):
        student, teacher = two(4, 5, 6, 0)
        assert soft_bce(student, teacher, 1e-4).item() == pytest.approx(bit_bce(student, teacher).item(), rel=1e-4)

    @settings(max_examples=30, deadline=None)
    @given(*SHAPES)
    def test_mean_cosine(self, views, n, dims, seed):
        student, teacher = two(views, n, dims, seed)
        expected = over_pairs(student, teacher, lambda s, t: -(unit(s) * unit(t)).sum(-1))
        assert mean_cosine(student, teacher).item() == pytest.approx(expected, abs=1e-5)

    @settings(max_examples=30, deadline=None)
    @given(*SHAPES)
    def test_cosine_on_bits(self, views, n, dims, seed):
        student, teacher = two(views, n, dims, seed)
        signs = lambda a: np.where(a > 0, 1.0, -1.0)  # noqa: E731
        expected = over_pairs(student, teacher, lambda s, t: -(unit(s) * unit(signs(t))).sum(-1))
        assert cosine_bits(student, teacher).item() == pytest.approx(expected, abs=1e-5)

    @settings(max_examples=30, deadline=None)
    @given(*SHAPES)
    def test_prototypes(self, views, n, dims, seed):
        student, teacher = two(views, n, dims, seed)
        centre = outputs(dims, seed=seed + 1)

        def loss(student, teacher):
            target = softmax((teacher - centre.double().numpy()) / 0.04, -1)
            return -(target * log_softmax(student / 0.1, -1)).sum(-1)

        ours = prototype_cross_entropy(student, teacher, centre, 0.1, 0.04)
        assert ours.item() == pytest.approx(over_pairs(student, teacher, loss), rel=1e-4)

    def test_none_sends_a_gradient_to_the_teacher_but_hashcoder_s_shared_network(self):
        for objective in ("bits", "soft-bits", "cosine-bits", "simdino", "dino"):
            student, teacher = two(3, 4, 8, 0)
            teacher.requires_grad_()
            terms = Objective(config(objective))(student.requires_grad_(), teacher)
            terms.loss.backward()
            assert teacher.grad is None, objective
            assert student.grad.abs().sum() > 0, objective


def config(objective, **changes):
    return TrainConfig(objective=objective, prototypes=8, bits=8, beta=0.3, eps2=0.5, **changes)


class TestObjective:
    def terms(self, objective, views=4, n=6, **changes):
        student, teacher = two(views, n, 8, 3)
        return student, teacher, Objective(config(objective, **changes))(student, teacher)

    def test_an_unknown_one_is_refused(self):
        wrong = config("bits")
        object.__setattr__(wrong, "objective", "swav")  # a config made here refuses it already
        with pytest.raises(UsageError, match=r"found .swav., expected bits or soft-bits or cosine-bits"):
            Objective(wrong)(*two(4, 6, 8, 3))

    def test_bits_is_the_public_loss(self):
        student, teacher, terms = self.terms("bits")
        assert terms.loss.item() == pytest.approx(bits_loss(student, teacher, beta=0.3, eps2=0.5).item(), rel=1e-6)

    def test_simdino_is_cosine_less_the_rate_of_the_mean_of_both_networks(self):
        student, teacher, terms = self.terms("simdino")
        s, t = unit(student.double().numpy()), unit(teacher.double().numpy())
        rate = np.mean([slow_rate((s[v] + t[v]) / 2, 0.5) for v in range(2)])
        gamma = 1 / 8 + 1 / 6
        assert terms.rate.item() == pytest.approx(rate, rel=1e-4)
        assert terms.loss.item() == pytest.approx(mean_cosine(student, teacher).item() - 0.3 * gamma * rate, rel=1e-4)

    def test_hashcoder_hears_its_own_other_views(self):
        student, _, terms = self.terms("hashcoder", views=2)
        rate = np.mean([slow_rate(unit(v.double().numpy()), 0.5) for v in student])
        expected = bit_bce(student, student).item() - 0.3 * (1 / 8 + 1 / 6) * rate
        assert terms.loss.item() == pytest.approx(expected, rel=1e-4)

    def test_dino_moves_its_centre_towards_the_teacher_s_mean_and_has_no_rate(self):
        student, teacher = two(4, 6, 8, 3)
        objective = Objective(config("dino", centre_momentum=0.75))
        terms = objective(student, teacher)
        assert terms.rate.item() == 0
        assert terms.loss.item() == terms.agreement.item()
        assert objective.centre.numpy() == pytest.approx(0.25 * teacher.mean((0, 1)).numpy(), abs=1e-6)
        objective(student, teacher)
        assert objective.centre.numpy() == pytest.approx((0.25 + 0.75 * 0.25) * teacher.mean((0, 1)).numpy(), abs=1e-6)

    def test_a_batch_that_is_not_finite_does_not_spoil_the_centre(self):
        student, teacher = two(4, 6, 8, 3)
        objective = Objective(config("dino"))
        teacher[0, 0, 3] = math.nan
        objective(student, teacher)
        assert objective.centre.isfinite().all()

    @pytest.mark.parametrize("objective", ["bits", "soft-bits", "cosine-bits", "hashcoder"])
    def test_the_rate_on_all_views_and_blended(self, objective):
        student, teacher, terms = self.terms(objective)
        s, t = unit(student.double().numpy()), unit(teacher.double().numpy())
        assert terms.rate.item() == pytest.approx(np.mean([slow_rate(v, 0.5) for v in s[:2]]), rel=1e-4)
        on_all = self.terms(objective, rate_views="all")[2].rate
        assert on_all.item() == pytest.approx(np.mean([slow_rate(v, 0.5) for v in s]), rel=1e-4)
        blended = self.terms(objective, blend="on")[2].rate
        assert blended.item() == pytest.approx(np.mean([slow_rate((s[v] + t[v]) / 2, 0.5) for v in (0, 1)]), rel=1e-4)

    def test_every_value_of_an_ablation_changes_the_loss(self):
        base = self.terms("bits")[2].loss.item()
        for changes in ({"beta": 0.5}, {"eps2": 0.05}, {"centred": True}, {"rate_views": "all"}, {"blend": "on"}):
            student, teacher = two(4, 6, 8, 3)
            changed = Objective(TrainConfig(**{**config("bits").to_dict(), **changes}))(student, teacher)
            assert changed.loss.item() != pytest.approx(base, abs=1e-6), changes


class TestPrototypes:
    def test_scores_are_cosines(self):
        layer, x = Prototypes(5, 7, seed=0), outputs(4, 5)
        expected = unit(x.double().numpy()) @ unit(layer.weight.detach().double().numpy()).T
        assert layer(x).detach().numpy() == pytest.approx(expected, abs=1e-6)

    def test_are_drawn_by_the_seed_and_reset_with_their_moments(self):
        a, b = Prototypes(5, 7, seed=1), Prototypes(5, 7, seed=2)
        assert not torch.equal(a.weight, b.weight)
        optimizer = torch.optim.AdamW(a.parameters())
        a(outputs(4, 5)).square().sum().backward()
        optimizer.step()
        assert optimizer.state
        reset_head(a, b, optimizer, seed=2)
        assert torch.equal(a.weight, b.weight)
        assert torch.equal(a.weight, Prototypes(5, 7, seed=2).weight)
        assert not optimizer.state
