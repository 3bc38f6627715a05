"""The page docs/minimal.md runs, and is the method that `training` runs."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from codelab import Codes
from tests.support.training_runs import TINY, drawing, image_set
from training.data import Data
from training.trainer import Run

PAGE = Path(__file__).parents[2] / "docs" / "minimal.md"
EPOCHS, STEPS = 8, 2


@pytest.fixture(scope="module")
def page():
    """The names that the page's code defines."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) < 180
    names = {"__name__": "minimal"}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


@pytest.mark.parametrize("local_views", [0, 3])
def test_losses_and_weights_are_those_of_training(page, local_views):
    config = replace(
        TINY, epochs=EPOCHS, reset_every=4, lr=0.02, head_norm="none", local_views=local_views, warmup_epochs=1
    )
    run = Run(config, Data(image_set(STEPS * 16), config, torch.device("cpu"), show=False))
    # in float64, as a bit whose logit is next to 0 turns over by rounding alone
    run.student.double(), run.teacher.double()
    normalise = run.student.encoder.normalise
    run.student.encoder.normalise = lambda pixels: normalise(pixels).double()
    recipe = page["Recipe"](
        bits=config.bits, hidden=config.hidden, beta=config.beta, eps2=config.eps2, local_views=local_views,
        reset_every=4, epochs=EPOCHS, batch=16, lr=config.lr, min_lr=config.min_lr, warmup_epochs=1,
        weight_decay=(config.weight_decay, config.weight_decay_end), ema=(config.ema, config.ema_end),
        clip=config.clip, seed=config.seed,
    )  # fmt: skip
    student = page["Network"](run.student.encoder.backbone, recipe)
    for name, parameter in student.head.named_parameters():  # both draw the head alike
        assert torch.equal(parameter.double(), run.student.encoder.head.get_parameter(name))
    before = {name: parameter.clone() for name, parameter in run.student.encoder.named_parameters()}
    student = page["copy"].deepcopy(student).double()

    losses, crops = [], []
    for step, batch in enumerate(run.data.steps(0, EPOCHS * STEPS)):
        epoch = step // STEPS
        if step == 4 * STEPS:
            run.reset(epoch)
        wide, local = run.crops(epoch, batch)
        crops.append((wide.split(16), () if local is None else local.split(16)))
        losses.append(run.backward(epoch, batch).terms.loss.item())
        run.optimizer.zero_grad()
        run.train_step(epoch, batch)
    assert len(losses) == EPOCHS * STEPS == 16
    teacher, found = page["train"](student, iter(crops), STEPS, recipe)
    assert found == pytest.approx(losses, abs=1e-5)
    moved = 0.0
    for mine, theirs in ((student, run.student), (teacher, run.teacher)):
        for name, parameter in theirs.encoder.named_parameters():
            torch.testing.assert_close(mine.get_parameter(name), parameter, atol=1e-5, rtol=0)
            moved = max(moved, (parameter - before[name]).abs().max().item())
    assert moved > 1e-2


def test_it_trains_on_a_folder(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(8):
        (tmp_path / "images" / f"class {i % 2}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / f"class {i % 2}" / f"{i}.png").write_bytes(drawing(i))
    recipe = page["Recipe"](bits=16, hidden=32, epochs=2, batch=4, local_views=1, warmup_epochs=1, reset_every=1)
    teacher, losses = page["main"](tmp_path / "images", recipe, "test_vit", size=64, local_size=32)
    assert len(losses) == 4
    assert torch.isfinite(torch.tensor(losses)).all()
    assert len(Codes.from_bits((teacher([torch.randn(5, 3, 64, 64)])[0] > 0).numpy())) == 5
