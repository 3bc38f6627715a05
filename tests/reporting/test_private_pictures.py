"""A codes file whose `path` names a private picture: neither a card nor the report opens it."""

import re

import numpy as np
import pyarrow as pa
import pytest

from codelab.cli.main import main
from codelab.core.codes import Codes
from codelab.images.cards import card
from tests.support.pictured import png


@pytest.fixture
def codes(tmp_path):
    """Codes in `data/` that name a picture beside them, one outside, and two links to the one outside."""
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "private.png").write_bytes(png("disc", 7))
    (data / "own.png").write_bytes(png("bar", 1))
    (data / "link.png").symlink_to(tmp_path / "private.png")
    (data / "up").symlink_to(tmp_path)
    paths = ["own.png", "../private.png", "link.png", "up/private.png"]
    paths = [str(data / name) for name in paths] + [str(tmp_path / "private.png"), "own.png"]
    bits = np.random.default_rng(0).integers(0, 2, (60, 6))
    items = pa.table({"id": [str(i) for i in range(60)], "path": paths * 10})
    codes = Codes.from_bits(bits, items=items, labels=["a", "b"] * 30)
    # what a stranger may write into the file too
    codes.meta["data"] = {"name": str(tmp_path)}
    codes.save(data / "codes.parquet")
    return codes


def test_a_card_shows_files_of_the_named_folder_alone(codes, tmp_path):
    shown = [card(codes, row, tmp_path / "data") for row in range(6)]
    assert [bool(c.picture) for c in shown] == [True, False, False, False, False, True]
    assert {c.missing for c in shown[1:5]} == {"no picture kept"}
    assert not any(card(codes, row).picture for row in range(6))


def pictures(page):
    return set(re.findall(r'src="(data:image[^"]*)"', page.read_text()))


def test_a_report_shows_files_beside_the_codes_alone(codes, tmp_path, capsys):
    out, file = tmp_path / "report.html", str(tmp_path / "data" / "codes.parquet")
    own, private = (card(codes, row, tmp_path).picture for row in (0, 4))
    assert main(["report", file, "--out", str(out)]) == 0
    assert pictures(out) & {own, private} == {own}
    assert main(["report", file, "--out", str(out), "--overwrite", "--pictures", str(tmp_path)]) == 0
    assert pictures(out) >= {own, private}
    assert not capsys.readouterr().err.count("not shown")  # the first image was
    (tmp_path / "elsewhere").mkdir()
    assert main(["report", file, "--out", str(out), "--overwrite", "--pictures", str(tmp_path / "elsewhere")]) == 0
    assert capsys.readouterr().err.count("so not shown; --pictures names another folder") == 1
    assert not pictures(out) & {own, private}
    assert main(["report", file, "--out", str(out), "--overwrite", "--pictures", str(tmp_path / "no")]) == 2
    assert "expected a folder" in capsys.readouterr().err
