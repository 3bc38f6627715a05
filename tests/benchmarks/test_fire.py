"""Fuzzing the readers: a changed file holds the same, or is refused in one line; and every case that once escaped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fire.files import CORPUS, KINDS, changed, fire, flipped, original, outcome

FOUND = sorted(path for path in CORPUS.iterdir() if path.suffix != ".md")


@pytest.fixture(scope="module", params=sorted(KINDS))
def target(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fire")
    return KINDS[request.param], folder, *original(KINDS[request.param], folder)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_changed_files_are_read_as_they_were_or_refused(target, seed):
    kind, folder, data, expected = target
    end = outcome(kind, changed(data, np.random.default_rng(seed)), folder, expected)
    assert end in ("same", "refused") or not kind.whole


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_flipped_bits_are_found(target, share):
    kind, folder, data, expected = target
    end = outcome(kind, flipped(data, int(share * 8 * len(data))), folder, expected)
    assert end in ("same", "refused") or not kind.whole


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_cases_once_found_are_refused(path, tmp_path):
    kind = next(kind for kind in KINDS.values() if kind.name == f"{path.stem.split('-')[0]}{path.suffix}")
    assert outcome(kind, path.read_bytes(), tmp_path, "") in ("refused", "other")


def test_the_long_form_counts_how_cases_end(tmp_path):
    ends = fire(KINDS["codes.npy"], seconds=5, flips=20, seed=0)
    assert sum(ends.values()) == 20
    assert set(ends) <= {"same", "refused", "other"}
