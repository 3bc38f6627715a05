"""Health figures against independent computations, and alarms that fire when they must."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import entropy
from sklearn.metrics import cohen_kappa_score

from training.monitor import (
    TOLERATED,
    Monitor,
    agreement_above_chance,
    degrees_of_freedom,
    health_line,
    mean_entropy,
    warning,
)
from training.objective import Terms

HEALTHY = {
    "loss": 0.2, "agreement_loss": 0.3, "rate": 9.0, "rate_share": 0.9, "entropy": 0.95, "agreement": 0.7, "dof": 20.0,
}  # fmt: skip


def bits(n, b, p=0.5, seed=0):
    return torch.from_numpy((np.random.default_rng(seed).random((n, b)) < p).astype(np.float32))


class TestFigures:
    def test_entropy_is_scipy_s(self):
        codes = bits(200, 9, np.linspace(0, 1, 9))
        p = codes.numpy().mean(0)
        assert mean_entropy(codes) == pytest.approx(np.mean(entropy([p, 1 - p], base=2)), abs=1e-9)

    def test_degrees_of_freedom_are_daugman_s(self):
        codes = bits(150, 24, 0.3)
        distances = pdist(codes.numpy(), "hamming")
        expected = distances.mean() * (1 - distances.mean()) / distances.var(ddof=1)
        assert degrees_of_freedom(codes) == pytest.approx(expected, rel=1e-4)

    def test_degrees_of_freedom_of_known_codes(self):
        fair = bits(1500, 64)
        assert degrees_of_freedom(fair) == pytest.approx(64, rel=0.05)
        assert degrees_of_freedom(fair[:, :8].repeat(1, 8)) == pytest.approx(8, rel=0.05)
        assert degrees_of_freedom(torch.ones(20, 8)) == 0

    def test_agreement_is_kappa_for_one_bit(self):
        a = bits(300, 1, 0.3)
        b = torch.where(bits(300, 1, 0.8, seed=1) > 0, a, 1 - a)
        assert agreement_above_chance(a, b) == pytest.approx(cohen_kappa_score(a.flatten(), b.flatten()), abs=1e-6)

    def test_agreement_at_its_ends(self):
        a = bits(4000, 8)
        assert agreement_above_chance(a, a) == 1
        assert agreement_above_chance(a, bits(4000, 8, seed=1)) == pytest.approx(0, abs=0.02)
        assert agreement_above_chance(torch.ones(9, 8), torch.ones(9, 8)) == 0


class TestMonitor:
    def record(self, monitor, value, student, teacher, bad=False):
        terms = Terms(torch.tensor(value), torch.tensor(value + 1), torch.tensor(value + 2))
        self.step = getattr(self, "step", -1) + 1
        monitor.record(self.step, terms, torch.tensor(float(bad)), student, teacher)

    def test_reads_means_since_the_last_reading(self):
        monitor = Monitor(rate_max=8.0)
        view = torch.randn(2, 16, 4)
        for value in (1.0, 3.0):
            self.record(monitor, value, view, view)
        assert (monitor.read()["loss"], len(monitor._steps)) == (2.0, 0)
        self.record(monitor, 5.0, view, view)
        values = monitor.read()
        assert (values["loss"], values["agreement_loss"], values["rate"], values["rate_share"]) == (5, 6, 7, 7 / 8)

    def test_a_step_that_was_skipped_is_counted_and_left_out_of_the_means(self):
        monitor = Monitor(rate_max=8.0)
        view = torch.randn(2, 16, 4)
        self.record(monitor, 1.0, view, view)
        self.record(monitor, math.nan, view, view, bad=True)
        values = monitor.read()
        assert (values["loss"], values["skipped"], monitor.bad_run) == (1.0, 1, [1])

    def test_a_run_of_bad_steps_is_seen_across_readings_and_even_if_it_ended(self):
        monitor = Monitor(rate_max=8.0)
        view = torch.randn(2, 16, 4)
        for _ in range(2):
            self.record(monitor, math.nan, view, view, bad=True)
            monitor.read()
        assert monitor.bad_run == [0, 1]
        self.record(monitor, 1.0, view, view)
        monitor.read()
        assert monitor.bad_run == []
        for bad in (True, True, True, False):
            self.record(monitor, 1.0, view, view, bad=bad)
        monitor.read()
        assert monitor.bad_run == [3, 4, 5]
        assert len(monitor.bad_run) > TOLERATED

    def test_agreement_is_across_views(self):
        monitor = Monitor(1.0)
        view = torch.randn(64, 8)
        self.record(monitor, 0.0, torch.stack([view, -view]), torch.stack([-view, view]))
        assert monitor.read()["agreement"] == 1  # the student's first view and the teacher's second

    def test_old_codes_go(self):
        monitor = Monitor(1.0)
        dead, alive = -torch.ones(2, 600, 8), torch.randn(2, 600, 8)
        self.record(monitor, 0.0, dead, dead)
        assert monitor.read()["entropy"] == 0
        for _ in range(2):
            self.record(monitor, 0.0, alive, alive)
        assert monitor.read()["entropy"] > 0.9


class TestWarning:
    def test_a_healthy_run_has_none(self):
        assert warning(HEALTHY) is None

    def test_dying_bits(self):
        text = warning(HEALTHY | {"entropy": 0.05})
        assert "bits are dying" in text
        assert "0.05" in text

    def test_views_that_do_not_agree(self):
        assert "do not agree" in warning(HEALTHY | {"agreement_loss": math.log(2)})

        assert "as by chance (kappa 0.01)" in warning(HEALTHY | {"agreement": 0.01}, bce=False)
        assert warning(HEALTHY | {"agreement": 0.01}) is None  # right after a reset the BCE tells more

    def test_bits_that_say_the_same(self):
        one = torch.randn(2, 60, 1)
        monitor = Monitor(1.0)
        monitor.record(0, Terms(*torch.tensor([0.0, 0.05, 0.1])), torch.tensor(0.0), *[one.repeat(1, 1, 8)] * 2)
        assert "vary like 1.0 independent coins" in warning(monitor.read())

    def test_dead_codes_from_end_to_end(self):
        monitor = Monitor(1.0)
        dead = torch.full((2, 50, 8), -3.0)
        monitor.record(0, Terms(*torch.tensor([0.0, 0.05, 0.1])), torch.tensor(0.0), dead, dead)
        assert "bits are dying" in warning(monitor.read())

    def test_the_line_names_what_a_person_watches(self):
        line = health_line(HEALTHY | {"images_per_second": 312.4, "data_wait": 0.07})
        for part in (
            "loss 0.200",
            "agree +0.70",
            "entropy 0.95",
            "dof 20",
            "R/Rmax 0.90",
            "312 img/s",
            "data wait 7%",
        ):
            assert part in line
