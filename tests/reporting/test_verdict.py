"""The plain words: each level is reached by codes of known health, and every sentence carries its figure."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from codelab.analysis import analyze
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.formats import ordinal
from codelab.core.verdict import plain_reason
from codelab.measures.class_information import best_bits
from codelab.measures.pair_distances import pair_distances
from codelab.reporting.verdict import overall, verdicts
from tests.support.synthetic import biased_bits, copied_bits, fair_bits, prototypes


def judged(codes):
    results = {**analyze(codes, permutations=60), "pair_distances": pair_distances(codes)}
    return {line.title: line for line in verdicts(results)}


def test_fair_coins_are_no_better_than_shuffled_codes():
    lines = judged(fair_bits(4000, 32, classes=4))
    assert [lines[t].level for t in ("Bit balance", "Bits in use", "Independent bits")] == ["good"] * 3
    assert lines["Bit balance"].figure == "1.00 bit"
    assert lines["Bits in use"].figure == "32 of 32"
    assert abs(float(lines["Independent bits"].figure.split()[0]) - 32) < 2
    assert lines["Class in single bits"].level == lines["Class in distances"].level == "watch"
    assert "no single bit does better than shuffled labels" in lines["Class in single bits"].text
    answer = overall(list(lines.values()))
    assert (answer.level, answer.title) == ("watch", "No better than shuffled codes")
    assert answer.text == "Worth a look: class in single bits, class in distances and against shuffled codes."
    assert lines["Against shuffled codes"].text.startswith("No better than shuffled codes about the class. ")
    assert lines["Against random directions"].text == "No features: not compared with random directions."
    beside = (
        r"On 2,000 images, pairs of one class nearer than of two: "
        r"these codes 0\.(49|50)\d, shuffled codes 0\.(49|50)\d\."
    )
    assert re.fullmatch(beside, lines["Class in distances"].beside)


def test_no_fault_is_found_in_prototypes_but_random_directions_are_not_known():
    lines = judged(prototypes(3000, classes=10, bits=64))
    assert {line.level for line in lines.values()} == {"good", "note"}
    answer = overall(list(lines.values()))
    assert answer.title == "No fault found"
    assert answer.text == "Nothing that was measured looks wrong. Not measured: against random directions."
    assert lines["Against shuffled codes"].figure == "class"
    assert lines["Retrieval"].text.endswith(" 2,000 queries, each against all other images.")
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


def test_without_labels_and_features_noise_is_not_praised():
    lines = judged(fair_bits(3000, 16))
    answer = overall(list(lines.values()))
    assert answer.title == "No fault found"
    assert answer.text.endswith(
        "Not measured: class in single bits, class in distances, retrieval, against shuffled codes and against "
        "random directions."
    )


@pytest.fixture(scope="module")
def digits():
    """Features (the pixels) and labels of 1,797 handwritten digits."""
    pixels, labels = load_digits(return_X_y=True)
    return pixels.astype(np.float32), labels


def test_random_hyperplanes_of_pixels_are_no_better_than_random_directions(digits):
    pixels, labels = digits
    directions = np.random.default_rng(5).normal(size=(64, 64))
    lines = judged(Codes.from_bits((pixels - pixels.mean(axis=0)) @ directions > 0, labels, features=pixels))
    assert lines["Against random directions"].figure == "better in 0 of 3"
    assert lines["Against random directions"].text.startswith("No better than they are. mAP@ALL 0.5")
    assert lines["Against shuffled codes"].level == "good"
    answer = overall(list(lines.values()))
    assert (answer.level, answer.title) == ("watch", "No better than random directions of the same features")


def test_coins_beside_features_have_no_relation_to_them(digits):
    pixels, labels = digits
    coins = np.random.default_rng(1).integers(0, 2, (len(labels), 64))
    lines = judged(Codes.from_bits(coins, labels, features=pixels))
    assert lines["Against shuffled codes"].figure == "no relation"
    assert lines["Against shuffled codes"].text.startswith(
        "No better than shuffled codes about the class and the features. "
    )
    assert lines["Against random directions"].level == "watch"
    answer = overall(list(lines.values()))
    assert (answer.level, answer.title) == ("bad", "No better than shuffled codes")


def test_no_fault_is_found_in_bits_of_the_class_with_noise(digits):
    pixels, labels = digits
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2, (10, 64))[labels] ^ (generator.random((len(labels), 64)) < 0.15)
    lines = judged(Codes.from_bits(bits, labels, features=pixels))
    assert {line.level for line in lines.values()} == {"good", "note"}
    assert lines["Against random directions"].text.startswith(
        "Above them in mAP@ALL, 10-NN accuracy and class information of a bit. "
    )
    answer = overall(list(lines.values()))
    assert (answer.title, answer.text) == ("No fault found", "Nothing that was measured looks wrong.")
    assert "features 0." in lines["Retrieval"].text
    for title in ("Bit balance", "Bits in use", "Independent bits", "Class in single bits", "Retrieval"):
        assert re.search(
            r": these codes [\d.]+, random directions [\d.]+, shuffled codes [\d.]+\.", lines[title].beside
        )


def test_a_collapsed_code_has_a_fault(digits):
    pixels, labels = digits
    bits = np.repeat(labels[:, None] == 3, 64, axis=1)
    answer = overall(list(judged(Codes.from_bits(bits, labels, features=pixels)).values()))
    assert (answer.level, answer.title) == ("bad", "Fault found")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("runs/demo", "found a path; call codelab.verdicts(codelab.analyze(codelab.load('runs/demo')))"),
        (Path("a.parquet"), "found a path; call codelab.verdicts(codelab.analyze(codelab.load('a.parquet')))"),
        (fair_bits(9, 3), "found Codes; call codelab.verdicts(codelab.analyze(codes))"),
        ([], "found a list; call"),
        ({"bit_usage": 3}, "found a dict; call"),
    ],
)
def test_what_is_no_analysis_is_refused_in_one_line(given, found):
    with pytest.raises(UsageError, match=re.escape(f"verdicts: expected the results of codelab.analyze, {found}")):
        verdicts(given)


def test_a_result_under_the_name_of_another_section_is_refused_in_one_line():
    usage = analyze(fair_bits(100, 8), sections=["bit_usage"])["bit_usage"]
    with pytest.raises(UsageError, match=r"^verdicts: 'retrieval' has a BitUsage, expected a SampledRetrieval, as"):
        verdicts({"retrieval": usage})


def test_one_image_shows_no_fault():
    lines = verdicts(analyze(Codes.from_bits([[0, 1, 1, 0]])))
    assert {line.level for line in lines} == {"note"}
    assert lines[0].text == "Not measured: one image cannot show whether a bit changes."
    assert overall(lines).title == "Unknown"


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
