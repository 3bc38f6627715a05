"""What a terminal shows of a run: the time that is left stands there at any width."""

import io
import re
import time

import pytest
from rich.console import Console

from training.display import Display

HEALTH = "loss 0.564  agree +0.06  entropy 0.99  dof 18.2  R/Rmax 0.59  1119 img/s  data wait 0%"


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_time_left_is_whole_at_any_width(width):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    with Display(0, 100, show=True, console=console) as display:
        for step in range(1, 5):
            time.sleep(0.02)
            display.update(step, "10/100", HEALTH)
    last = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", out.getvalue()).splitlines()[-1]
    assert re.search(r"epoch 10/100 .* \d:\d\d:\d\d ", last)
    assert "loss 0.564" in last
    assert len(last.rstrip()) <= width
    assert ("data wait 0%" in last) == (width == 140)


def test_a_pipe_gets_lines():
    out = io.StringIO()
    with Display(0, 10, show=True, console=Console(file=out, width=80)) as display:
        display.update(5, "1/2", HEALTH)
    assert out.getvalue() == f"epoch 1/2  {HEALTH}\n"
