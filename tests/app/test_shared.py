"""What one reader of the explorer has seen is not made again for the next one."""

import os
from collections import Counter

import pytest
import tomllib

from app.state import stamp
from codelab.core.files import load
from codelab.images import cards
from codelab.measures.bit_usage import BitUsage
from codelab.semantics.exemplars import Exemplars
from codelab.semantics.signatures import ClassShares
from tests.conftest import ROOT
from tests.support.explored import ANALYZE, gallery, opened, said
from tests.support.pictured import shapes


@pytest.fixture
def made(monkeypatch):
    """How often each thing was made."""
    count = Counter()

    def counted(place, name):
        whole = getattr(place, name)

        def call(*arguments, **options):
            count[place.__name__, name] += 1
            return whole(*arguments, **options)

        monkeypatch.setattr(place, name, call)

    for kind in (BitUsage, Exemplars, ClassShares):
        counted(kind, "plot")
    counted(cards, "decode")
    return count


@pytest.mark.parametrize("page", ["overview", "bit", "retrieval"])
def test_a_second_reader_makes_nothing_new(tmp_path, made, page):
    shapes(60, seed=sum(map(ord, page))).save(tmp_path / f"{page}.parquet")
    asked = {"bit": {"bit": "5"}, "retrieval": {"item": "item-7"}}.get(page, {})
    opened(tmp_path / f"{page}.parquet", page, **asked)
    first = dict(made)
    assert first
    opened(tmp_path / f"{page}.parquet", page, **asked)
    assert dict(made) == first


def test_another_file_label_or_group_has_figures_of_its_own(tmp_path, made):
    shapes(60, seed=1).save(tmp_path / "a.parquet")
    for number, asked in enumerate([{}, {"labels": "shade"}, {"group": "twin"}], start=1):
        opened(tmp_path / "a.parquet", "bit", bit="2", part="classes", **asked)
        assert made["ClassShares", "plot"] == number
    shapes(60, seed=2).save(tmp_path / "a.parquet")
    opened(tmp_path / "a.parquet", "bit", bit="2", part="classes")
    assert made["ClassShares", "plot"] == 4


def test_a_kept_picture_is_that_of_its_bytes(tmp_path):
    shapes(60, seed=3).save(tmp_path / "a.parquet")
    codes = load(tmp_path / "a.parquet")
    for card in gallery(opened(tmp_path / "a.parquet", "retrieval"), "choose"):
        assert card["picture"] == cards.picture_uri(codes.items["thumbnail"][card["row"]].as_py(), "x")


def test_no_page_ends_with_a_collection_of_all_that_stays():
    """It took 0.1 to 0.2 CPU-seconds a page, more than the page."""
    assert tomllib.loads((ROOT / "app/.streamlit/config.toml").read_text())["runner"] == {"postScriptGC": False}


def test_codes_of_the_same_size_and_time_are_other_codes(tmp_path):
    path = tmp_path / "a.parquet"
    shapes(60, seed=1).save(path)
    before, status = stamp(path), path.stat()
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert stamp(path) != before


def test_the_table_of_bits_is_measured_with_the_overview(tmp_path, monkeypatch):
    def measured(section, given):
        raise AssertionError(f"{section.name} was measured after the overview")

    shapes(60, seed=4).save(tmp_path / "a.parquet")
    opened(tmp_path / "a.parquet")
    monkeypatch.setattr(ANALYZE, "measured", measured)
    assert "Correlation of every two bits" in said(opened(tmp_path / "a.parquet", "bits"))
