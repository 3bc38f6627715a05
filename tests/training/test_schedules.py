"""Schedules by hand: cosines, reset epochs, and what a head reset leaves in the teacher that is exported."""

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codelab.images.encoder import Encoder
from tests.support.training_runs import TINY, data_of, image_set, rows
from training.config import TrainConfig, load_config
from training.loop import fit
from training.schedules import (
    LARGEST_DRAW,
    cosine,
    draw_warning,
    draw_weight,
    head_weight,
    is_reset_epoch,
    last_reset,
    warmup_cosine,
)
from training.trainer import Run

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
IMAGES = {"demo": 1868, "fashion-cpu": 60_000, "emoji-gpu": 9130, "imagenet-vitb16": 1_281_167,
          "imagenet-vits16": 1_281_167, "adapt": 1000}  # fmt: skip
"""Training images of each recipe; of `adapt`, whose images are the user's own, few."""


class TestCosine:
    @given(st.integers(2, 500), st.floats(0, 5), st.floats(0, 5))
    def test_cosine_goes_from_start_to_end_and_only_there(self, steps, start, end):
        values = [cosine(s, steps, start, end) for s in range(steps)]
        assert values[0] == pytest.approx(start)
        assert values[-1] == pytest.approx(end)
        assert values == sorted(values, reverse=start > end) or start == pytest.approx(end)
        assert sum(values) / steps == pytest.approx((start + end) / 2)  # it is symmetric

    @given(st.integers(1, 300), st.integers(0, 100))
    def test_warm_up_rises_in_a_line_then_falls(self, steps, warmup):
        values = [warmup_cosine(s, steps, warmup=warmup, peak=2.0, end=0.1) for s in range(steps)]
        rise = values[:warmup]
        assert rise == pytest.approx([2 * (s + 1) / warmup for s in range(len(rise))])
        assert values[warmup:] == sorted(values[warmup:], reverse=True)
        assert all(0 < v <= 2 + 1e-12 for v in values)
        if steps > warmup + 1:
            assert values[warmup] == pytest.approx(2)
            assert values[-1] == pytest.approx(0.1)


class TestReset:
    @pytest.mark.parametrize(
        ("epochs", "every", "expected"),
        [(100, 10, list(range(10, 91, 10))), (10, 5, [5]), (10, 6, []), (25, 10, [10]), (10, 0, [])],
    )
    def test_when(self, epochs, every, expected):
        assert [e for e in range(epochs) if is_reset_epoch(e, epochs, every)] == expected

    @pytest.mark.parametrize(
        ("step", "expected"), [(0, None), (6, None), (7, 6), (12, 6), (13, 12), (19, 18), (24, 18)]
    )
    def test_the_last_one_is_that_of_an_epoch_begun(self, step, expected):
        assert last_reset(TrainConfig(epochs=8, warmup_epochs=0, reset_every=2), 3, step) == expected

    def test_a_new_head_on_trained_weights_is_one_too(self):
        config = TrainConfig(epochs=8, warmup_epochs=0, reset_every=0, pretrained=True)
        assert [last_reset(config, 3, step) for step in (0, 24)] == [0, 0]
        assert last_reset(dataclasses.replace(config, pretrained=False), 3, 24) is None


class TestHeadAverage:
    """Against heads that are numbers: the draw is 1, the student's heads after it are 0."""

    def test_restart_is_the_plain_mean_of_the_heads_since_the_reset(self):
        config, heads = TrainConfig(ema=0.999), [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
        teacher = heads[0]
        for since, student in enumerate(heads[1:]):
            teacher += head_weight(config, 0.999, since) * (student - teacher)
        assert teacher == pytest.approx(sum(heads) / len(heads))

    def test_never_slower_than_the_momentum(self):
        for since in (0, 3, 100):
            assert head_weight(TrainConfig(), 0.2, since) == pytest.approx(0.8)

    def test_before_the_first_reset_the_momentum_alone_counts(self):
        for how in ("restart", "plain"):
            assert head_weight(TrainConfig(head_ema=how), 0.999, None) == pytest.approx(0.001)
        assert head_weight(TrainConfig(head_ema="plain"), 0.999, 0) == pytest.approx(0.001)

    @pytest.mark.parametrize(
        ("recipe", "changes", "expected"),
        [
            ("demo", {"reset_every": 6}, 0.741),
            ("fashion-cpu", {"reset_every": 1}, 0.667),
            ("emoji-gpu", {}, 0.986),
            ("imagenet-vitb16", {"batch": 256}, 0.194),
            ("imagenet-vitb16", {"batch": 512}, 0.441),
            ("imagenet-vitb16", {"batch": 1024}, 0.664),
        ],
    )
    def test_the_plain_form_exports_the_draw_and_the_restart_does_not(self, recipe, changes, expected):
        plain = load_config(recipe, {**changes, "head_ema": "plain"})
        steps = IMAGES[recipe] // plain.batch
        assert draw_weight(plain, steps) == pytest.approx(expected, abs=5e-4)
        assert "set head_ema to restart" in draw_warning(plain, draw_weight(plain, steps))
        restart = dataclasses.replace(plain, head_ema="restart")
        assert draw_weight(restart, steps) < 0.002

    @pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
    def test_every_recipe_exports_less_than_5_percent_of_the_draw(self, path):
        config = load_config(path, {"init": "a"} if path.stem == "adapt" else None)
        weight = draw_weight(config, IMAGES[path.stem] // config.batch)
        assert weight < LARGEST_DRAW == 0.05
        assert draw_warning(config, weight) is None


class TestRun:
    @pytest.mark.parametrize("objective", ["bits", "dino"])
    @pytest.mark.parametrize("how", ["restart", "plain"])
    def test_the_teacher_s_head_is_the_average_that_the_weights_say(self, how, objective):
        """Heads, and prototypes with them, follow by `head_weight`; the backbone follows by the momentum alone."""
        config = dataclasses.replace(
            TINY, head_ema=how, objective=objective, prototypes=24, freeze_epochs=0, ema=0.9, ema_end=0.9
        )
        run = Run(config, data_of(torch.randint(0, 256, (16, 3, 16, 16)).byte()))
        run.train_step(0, next(run.data.steps(0, 1)))
        run.reset(3)
        names = [name for name, _ in run.student.named_parameters()]
        expected = [p.clone() for p in run.teacher.parameters()]
        for since in range(4):
            run.train_step(3, next(run.data.steps(0, 1)))
            for name, mean, student in zip(names, expected, run.student.parameters(), strict=True):
                head = name.startswith(("encoder.head", "prototypes"))
                weight = 1 / (since + 2) if head and how == "restart" else 0.1
                mean.lerp_(student.detach(), weight)
        for name, mean, teacher in zip(names, expected, run.teacher.parameters(), strict=True):
            assert teacher.detach().numpy() == pytest.approx(mean.numpy(), abs=1e-5), name
        assert any(name.startswith("prototypes") for name in names) == (objective == "dino")
        assert run.draw_weight == pytest.approx(1 / 5 if how == "restart" else 0.9**4)

    @pytest.mark.parametrize("how", ["restart", "plain"])
    def test_it_prints_and_records_what_is_left_of_the_draw(self, tmp_path, capsys, how):
        config = dataclasses.replace(TINY, head_ema=how, ema=0.99, run=str(tmp_path / "run"))
        run = fit(config, images=image_set(40))
        weight = draw_weight(config, 2)
        assert weight > LARGEST_DRAW
        printed = capsys.readouterr().err
        words = f"{weight:.1%} of the teacher's head, which is exported, is its last random draw"
        assert f"{run}: at the end {words}\n" in printed
        assert printed.endswith(f"{run}: {words}\n")
        assert "warning: more than 5% of the exported head will be its last random draw" in printed
        logged = rows(run)
        assert len(logged) > 7
        for row in logged:
            assert row["draw_weight"] == pytest.approx(draw_weight(config, 2, row["step"])), row["step"]
        trained = Encoder.load(run / "encoder.safetensors").config.training
        assert trained["draw_weight"] == pytest.approx(weight)
        assert trained["head_ema"] == how
