"""The plain words: each level is reached by codes of known health, and every sentence carries its figure."""

import numpy as np
import pytest

from codelab.analysis import analyze
from codelab.core.formats import ordinal
from codelab.core.verdict import plain_reason
from codelab.measures.class_information import best_bits
from codelab.measures.pair_distances import pair_distances
from codelab.reporting.verdict import overall, verdicts
from tests.support.synthetic import biased_bits, copied_bits, fair_bits, prototypes


def judged(codes):
    results = {**analyze(codes, permutations=60), "pair_distances": pair_distances(codes)}
    return {line.title: line for line in verdicts(results)}


def test_fair_coins_are_healthy_and_know_nothing():
    lines = judged(fair_bits(4000, 32, classes=4))
    assert [lines[t].level for t in ("Bit balance", "Bits in use", "Independent bits")] == ["good"] * 3
    assert lines["Bit balance"].figure == "1.00 bit"
    assert lines["Bits in use"].figure == "32 of 32"
    assert abs(float(lines["Independent bits"].figure.split()[0]) - 32) < 2
    assert lines["Class in single bits"].level == lines["Class in distances"].level == "watch"
    assert "no single bit does better than shuffled labels" in lines["Class in single bits"].text
    answer = overall(list(lines.values()))
    assert (answer.level, answer.title) == ("watch", "Usable, with a caveat")
    assert answer.text == "Worth a look: class in single bits and class in distances."


def test_prototypes_are_healthy_in_everything():
    lines = judged(prototypes(3000, classes=10, bits=64))
    assert {line.level for line in lines.values()} == {"good", "note"}
    assert overall(list(lines.values())).title == "No fault found"
    assert lines["Class in single bits"].figure == "64 of 64"


def test_copies_are_not_independent():
    lines = judged(copied_bits(4000, 4, 32))
    assert lines["Independent bits"].level == "bad"
    assert "like 4.0 independent coins" in lines["Independent bits"].text


@pytest.mark.parametrize(("p", "level"), [(0.5, "good"), (0.2, "watch"), (0.02, "bad")])
def test_balance(p, level):
    assert judged(biased_bits(2000, np.full(16, p)))["Bit balance"].level == level


def test_dead_and_rare_bits_are_counted():
    lines = judged(biased_bits(4000, np.array([0.0, 0.01, 1.0] + [0.5] * 13)))
    assert lines["Bits in use"].figure == "13 of 16"
    assert lines["Bits in use"].text.startswith("2 bits never change (dead); 1 bit has one value")
    assert lines["Bits in use"].level == "watch"


def test_a_collapsed_code_is_not_praised_for_the_spread_of_its_distances():
    collapsed = biased_bits(4000, np.array([0.0] * 48 + [0.5] * 16))
    spread = analyze(collapsed, sections=["degrees_of_freedom"])
    assert spread["degrees_of_freedom"].value > 50  # of 64, though 16 bits at most are in use
    lines = judged(collapsed)
    assert lines["Bits in use"].level == lines["Independent bits"].level == "bad"
    assert lines["Independent bits"].text.startswith("48 bits of 64 are dead or rare, so the spread of the distances")
    assert judged(biased_bits(4000, np.array([0.0] * 8 + [0.5] * 56)))["Independent bits"].level == "watch"


def test_what_was_not_measured_gives_its_reason():
    lines = judged(fair_bits(100, 16))
    assert lines["Class in single bits"].level == "note"
    assert lines["Class in single bits"].text.startswith("Not measured. Needs labels")
    assert lines["Block entropy"].text.startswith("Not measured. 100 codes cannot fill the 256 cells")
    assert {line.text for line in verdicts({})} == {"Not measured. No such section."}
    assert overall(verdicts({})).title == "Unknown"


def test_words():
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]
    )
    assert plain_reason("geometry: these codes have none") == "These codes have none."
    assert plain_reason("a sentence with: a colon") == "A sentence with: a colon."


def test_best_bits_put_the_lower_bit_first_among_equals():
    results = analyze(prototypes(500, classes=3, bits=16, flip=0.0), permutations=20)
    information = results["class_information"]
    best = best_bits(information, 16)
    values = information.information[best]
    assert sorted(best) == list(range(16))
    assert all(a > b or (a == b and i < j) for a, b, i, j in zip(values, values[1:], best, best[1:], strict=False))
