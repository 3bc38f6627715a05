"""Changed pictures are pixels or one line; `benchmarks/fire/pictures.py` does the same for minutes and more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.support.kinds import KINDS, photographs
from tests.support.mutated import mutated, with_checksums
from tests.support.outcomes import decoded

STARTS = [*(make() for make in KINDS.values()), *photographs()]
HEADS = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"BM"]
FOUND = sorted((ROOT / "tests/images/found").glob("*.bin"))
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


@settings(max_examples=150, deadline=None)
@given(start=st.sampled_from(STARTS), seed=st.integers(0, 2**32 - 1))
def test_a_changed_picture_is_pixels_or_one_line(start, seed):
    assert decoded(mutated(start, STARTS, np.random.default_rng(seed))) in ("pixels", "refused")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(HEADS))
def test_so_are_any_bytes(data, head):
    assert decoded(head + data) in ("pixels", "refused")


@pytest.mark.parametrize("path", FOUND, ids=[path.stem for path in FOUND])
def test_what_was_found_once_stays_mended(path):
    assert decoded(path.read_bytes()) in ("pixels", "refused")


def test_changes_leave_a_share_of_pictures_readable():
    """Where all were refused at their first byte, nothing would be tested."""
    outcomes = [decoded(mutated(start, STARTS, np.random.default_rng(9))) for start in STARTS]
    assert 0.1 < outcomes.count("pixels") / len(outcomes) < 0.9


def test_checksums_are_mended():
    png = next(start for start in STARTS if start.startswith(b"\x89PNG"))
    assert with_checksums(png[:-8] + b"IEND" + b"\0\0\0\0") == png
