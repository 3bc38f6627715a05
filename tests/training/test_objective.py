"""The objective against hand-computed values, NumPy in float64 and finite differences."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codelab import UsageError
from codelab.images.encoder import Head
from training.losses import bit_bce, bits_loss, coding_rate, coding_rate_max
from training.objective import reset_head


def logits(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def slow_bce(student, teacher):
    """Eq. 8 as it is written: every cross pair apart, every bit a cross-entropy."""
    student, z = student.double().numpy(), (teacher.double().numpy() > 0).astype(float)
    p = 1 / (1 + np.exp(-student))
    pairs = [(t, v) for t, v in itertools.product(range(len(z)), range(len(student))) if t != v]
    return np.mean([-(z[t] * np.log(p[v]) + (1 - z[t]) * np.log(1 - p[v])).mean() for t, v in pairs])


def slow_rate(a, eps2, centred):
    a = a.double().numpy()
    z = a / np.linalg.norm(a, axis=1, keepdims=True)
    if centred:
        z = z - z.mean(0)
    bits = a.shape[1]
    sign, value = np.linalg.slogdet(np.eye(bits) + bits / eps2 * (z.T @ z) / len(z))
    assert sign == 1
    return value / 2


class TestBitBce:
    def test_hand_computed(self):
        # view 0 says logit 2 (bit 1), view 1 says logit -1 (bit 0); each is judged by the other's bit
        a = torch.tensor([[[2.0]], [[-1.0]]])
        expected = (math.log1p(math.exp(2)) + math.log1p(math.exp(1))) / 2
        assert bit_bce(a, a).item() == pytest.approx(expected, abs=1e-6)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 3), st.integers(0, 4), st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
    def test_is_the_mean_over_the_cross_pairs(self, teachers, extra, n, bits, seed):
        views = teachers + extra
        student, teacher = logits(views, n, bits, seed=seed), logits(teachers, n, bits, seed=seed + 1)
        if views < 2:
            with pytest.raises(UsageError, match="V >= 2"):
                bit_bce(student, teacher)
            return
        assert bit_bce(student, teacher).item() == pytest.approx(slow_bce(student, teacher), rel=1e-5)

    def test_a_view_is_never_judged_by_its_own_bits(self):
        student = logits(2, 4, 3).requires_grad_()
        teacher_output = logits(2, 4, 3, seed=1)
        (gradient,) = torch.autograd.grad(bit_bce(student, teacher_output), student)
        teacher_output[0] = -teacher_output[0]  # only view 1 has view 0 as its target
        (changed,) = torch.autograd.grad(bit_bce(student, teacher_output), student)
        assert torch.equal(gradient[0], changed[0])
        assert (gradient[1] != changed[1]).all()

    def test_a_logit_of_zero_is_bit_0_and_knows_nothing(self):
        zero = torch.zeros(2, 3, 4)
        assert bit_bce(zero, zero).item() == pytest.approx(math.log(2))
        sure = torch.full((2, 3, 4), -20.0)
        assert bit_bce(sure, zero).item() < 1e-6  # strict: 0 is not > 0

    def test_the_teacher_takes_no_gradient(self):
        teacher = logits(2, 3, 4).requires_grad_()
        assert not bit_bce(logits(2, 3, 4), teacher).requires_grad

    def test_large_logits_stay_finite(self):
        a = torch.tensor([[[1e4]], [[-1e4]]])
        assert bit_bce(a, a).item() == pytest.approx(1e4)

    @pytest.mark.parametrize(("s", "t"), [((2, 3, 4), (3, 3, 4)), ((2, 3, 4), (2, 2, 4)), ((3, 4), (3, 4))])
    def test_shapes_that_do_not_fit(self, s, t):
        with pytest.raises(UsageError, match=r"objective: student \["):
            bit_bce(torch.zeros(s), torch.zeros(t))


class TestCodingRate:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(2, 40), st.integers(2, 40), st.sampled_from([0.05, 0.5, 2.0]), st.booleans())
    def test_is_the_log_determinant(self, n, bits, eps2, centred):
        a = logits(n, bits, seed=n * bits)
        assert coding_rate(a, eps2, centred).item() == pytest.approx(slow_rate(a, eps2, centred), rel=1e-4, abs=1e-4)

    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 9))
    def test_lies_between_one_direction_and_all_of_them(self, n, bits, seed):
        rate = coding_rate(logits(n, bits, seed=seed), 0.5).item()
        assert 0.5 * math.log1p(bits / 0.5) - 1e-3 <= rate <= coding_rate_max(n, bits, 0.5) + 1e-3

    def test_bounds_are_reached(self):
        same = torch.ones(9, 4)
        assert coding_rate(same, 0.1).item() == pytest.approx(0.5 * math.log1p(4 / 0.1), rel=1e-5)
        assert coding_rate(torch.eye(4), 0.1).item() == pytest.approx(coding_rate_max(4, 4, 0.1), rel=1e-5)
        assert coding_rate(torch.eye(9)[:3], 0.1).item() == pytest.approx(coding_rate_max(3, 9, 0.1), rel=1e-5)

    def test_does_not_see_the_length_of_a_row(self):
        a = logits(20, 8)
        assert coding_rate(a * 7).item() == pytest.approx(coding_rate(a).item(), rel=1e-5)

    def test_is_fp32_under_autocast(self):
        a = logits(64, 32)
        with torch.autocast("cpu", torch.bfloat16):
            inside = coding_rate(a)
        assert inside.dtype == torch.float32
        assert inside.item() == coding_rate(a).item()

    def test_centred_codes_that_are_all_alike_have_no_rate(self):
        assert coding_rate(torch.ones(9, 4), centred=True).item() == pytest.approx(0, abs=1e-5)


class TestLoss:
    def test_is_agreement_less_the_scaled_rate(self):
        student, teacher = logits(4, 6, 5), logits(2, 6, 5, seed=1)
        rate = (slow_rate(student[0], 0.5, False) + slow_rate(student[1], 0.5, False)) / 2
        expected = slow_bce(student, teacher) - 0.3 / 5 * rate
        assert bits_loss(student, teacher, beta=0.3, eps2=0.5).item() == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("n", [3, 8])  # Gram matrix and moment matrix
    def test_gradient_against_finite_differences(self, n):
        student, teacher = logits(3, n, 4), logits(2, n, 4, seed=1)
        student.requires_grad_()
        (gradient,) = torch.autograd.grad(bits_loss(student, teacher, beta=0.5, eps2=0.5), student)

        def value(a):
            return slow_bce(a, teacher) - 0.5 / 4 * np.mean([slow_rate(a[v], 0.5, False) for v in range(2)])

        step = 1e-5
        base = student.detach().double()
        for place in itertools.product(range(3), range(2), range(4)):
            up, down = base.clone(), base.clone()
            up[place] += step
            down[place] -= step
            assert gradient[place].item() == pytest.approx((value(up) - value(down)) / (2 * step), abs=2e-5)


class TestReset:
    def heads(self):
        student, teacher = Head(6, 8, 4, norm=True), Head(6, 8, 4, norm=True)
        student.draw(1)
        teacher.draw(2)
        return student, teacher

    def test_heads_are_alike_and_new_and_the_rest_is_untouched(self):
        student, teacher = self.heads()
        backbone = torch.nn.Linear(6, 6)
        optimizer = torch.optim.AdamW([*backbone.parameters(), *student.parameters()], lr=0.1)
        student(backbone(torch.randn(5, 6))).square().sum().backward()
        optimizer.step()
        kept = backbone.weight.clone()
        before = student[0].weight.clone()
        reset_head(student, teacher, optimizer, seed=3)
        for (name, a), b in zip(student.state_dict().items(), teacher.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
        assert not torch.equal(student[0].weight, before)
        assert torch.equal(backbone.weight, kept)
        assert set(optimizer.state) == set(backbone.parameters())

    def test_the_draw_is_a_function_of_the_seed(self):
        student, teacher = self.heads()
        optimizer = torch.optim.AdamW(student.parameters())
        reset_head(student, teacher, optimizer, seed=3)
        first = student[2].weight.clone()
        reset_head(student, teacher, optimizer, seed=4)
        assert not torch.equal(student[2].weight, first)
        reset_head(student, teacher, optimizer, seed=3)
        assert torch.equal(student[2].weight, first)

    def test_initial_weights(self):
        head = Head(64, 256, 32, norm=False)
        head.draw(0)
        assert head[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert all((layer.bias == 0).all() for layer in head if isinstance(layer, torch.nn.Linear))
