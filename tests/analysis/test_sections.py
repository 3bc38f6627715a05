"""The registry: what sections declare holds for what they measure."""

import dataclasses

import numpy as np
import pytest

from codelab.analysis import SECTIONS, Skipped, analyze
from codelab.analysis.given import NEEDS
from codelab.analysis.sections import bit_table
from tests.support.synthetic import fair_bits, planted_factors


@pytest.fixture(scope="module")
def results():
    codes, _ = planted_factors(300, classes=4, noise_bits=4)
    sure = np.random.default_rng(0).random((len(codes), codes.bits)) + 0.1
    codes = dataclasses.replace(codes, logits=np.where(codes.to_bits(), sure, -sure))
    return analyze(codes, view=codes, permutations=5)


def test_a_section_without_what_it_needs_says_what_is_missing():
    bare = analyze(fair_bits(300, 8), permutations=5)
    needy = [section for section in SECTIONS if section.needs]
    assert {need for section in needy for need in section.needs} == set(NEEDS)
    for section in needy:
        assert bare[section.name] == Skipped(reason=f"{section.name}: {NEEDS[section.needs[0]][1]}")


def test_with_what_they_need_all_of_them_are_measured(results):
    for section in SECTIONS:
        if section.needs:
            assert not isinstance(results[section.name], Skipped)


def test_the_table_of_bits_has_every_declared_column_once(results):
    declared = [column.name for section in SECTIONS for column in section.columns]
    table = bit_table(results)
    assert table.columns.tolist() == ["bit", *declared]  # a name used twice would be two columns with a suffix
    assert sorted(table["bit"]) == list(range(len(table)))
    assert (np.diff(table["information"]) <= 0).all()


def test_every_declared_figure_can_be_drawn(results):
    for section in SECTIONS:
        if section.chart is not None:
            assert results[section.name].plot().data
            assert section.chart.text(results[section.name])
