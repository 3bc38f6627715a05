"""The scorecard on planted codes, whose ranking is known; controls, what is not valid, and bad input."""

import dataclasses

import numpy as np
import pytest

from codelab import (
    Codes,
    DataError,
    UsageError,
    analyze_parts,
    ccgp,
    code_length,
    degrees_of_freedom,
    retrieval_map,
    scorecard,
)
from codelab.measures.bit_usage import bit_usage
from codelab.reporting.scorecard_tables import blocks, missing
from codelab.scoring.cells import interval
from codelab.scoring.columns import Measure
from codelab.scoring.meaning import best_phi, probing, two_sided_monosemanticity
from codelab.scoring.setting import Setting
from codelab.scoring.whole import bits_alone
from codelab.semantics.alignment import align_attributes
from codelab.semantics.monosemanticity import monosemanticity
from codelab.semantics.probing import Answers

N = 240


def planted(seed=0, n=N):
    """Class and tone of each image, features that hold both, and bits of these that are flipped at some rate."""
    rng = np.random.default_rng(seed)
    labels, tone = np.arange(n) % 4, rng.integers(0, 2, n)
    clean = np.concatenate([np.eye(4)[labels], tone[:, None], tone[:, None], rng.integers(0, 2, (n, 2))], axis=1) > 0
    features = np.concatenate([clean[:, :5], np.zeros((n, 7))], axis=1) + 0.8 * rng.normal(size=(n, 12))
    items = {"id": [str(i) for i in range(n)], "tone": np.array(["dark", "light"])[tone]}
    return labels, clean, features, items, rng


def flipped(rate, seed=0, **replaced):
    labels, clean, features, items, rng = planted(seed)
    noisy = clean ^ (rng.random(clean.shape) < rate)
    return Codes.from_bits(noisy, labels, **{"items": items, "features": features, **replaced})


RATES = {"good": 0.02, "poor": 0.25}


@pytest.fixture(scope="module")
def card():
    codes = [flipped(rate) for rate in RATES.values()]
    return scorecard(*codes, names=list(RATES), untrained=flipped(0.4))


@pytest.fixture(scope="module")
def bare():
    """One code without features, of the class alone: most controls are empty, and it beats the oracle at retrieval."""
    labels, clean, _, items, _ = planted()
    items |= {"one": ["x"] * N, "name": [f"n{i}" for i in range(N)]}
    return scorecard(Codes.from_bits(clean[:, :4], labels, items=items), names=["mine"])


def column(card, name):
    return [c.name for c in card.columns].index(name)


@pytest.mark.parametrize(
    "name",
    [
        "retrieval_map",
        "knn_accuracy",
        "monosemanticity",
        "probe_all:class",
        "phi:class",
        "phi:tone",
        "probe_1:tone",
        "parallelism:tone",
        "ccgp:tone",
        "pair_selectivity:tone",
    ],
)
def test_planted_codes_come_out_in_their_order(card, name):
    c = column(card, name)
    values = dict(zip([row.name for row in card.rows], card.values[:, c], strict=True))
    assert values["oracle"] >= values["good"] > values["poor"] > values["permuted rows"]
    assert values["poor"] > values["untrained encoder"]


def test_what_is_better_is_said(card):
    assert {"retrieval_map", "phi:class", "ccgp:tone"} <= set(card.better("good", "poor"))
    assert not card.better("poor", "good")
    assert not card.better("density-matched random bits", "permuted rows")
    lines = card.sentences()
    assert any(line.startswith("good is better than poor in mAP@ALL (class) (+0.") for line in lines)
    with pytest.raises(UsageError, match="there is no row 'best'"):
        card.better("best", "good")


def test_rows_are_there_without_asking(card):
    names = [row.name for row in card.rows]
    assert names == [
        *RATES, "untrained encoder", "random directions", "PCA + rotation", "ITQ", "density-matched random bits",
        "permuted rows", "oracle",
    ]  # fmt: skip


def test_columns_of_the_bits_alone_are_not_valid_as_scores(card):
    for name in ("mean_entropy", "degrees_of_freedom", "code_length"):
        assert "permuted rows" in card.invalid[column(card, name)]
    for name in ("retrieval_map", "phi:tone", "probe_all:class"):
        assert card.invalid[column(card, name)] == ""


def test_a_column_in_which_a_code_beats_the_oracle_is_not_valid(bare):
    """Retrieval of the class: the bits of the tone are as many as those of the class, and the oracle has both."""
    assert bare.invalid[column(bare, "retrieval_map")] == "mine is above the oracle"


def test_cells_are_the_values_of_the_public_functions(card):
    codes = flipped(0.02)
    row = dict(zip([c.name for c in card.columns], card.values[0], strict=True))
    assert row["mean_entropy"] == bit_usage(codes).value
    assert row["degrees_of_freedom"] == degrees_of_freedom(codes).value
    assert row["code_length"] == code_length(codes).value
    assert row["retrieval_map"] == retrieval_map(codes).value
    assert row["ccgp:tone"] == ccgp(codes, "tone", permutations=1).value


def test_phi_is_that_of_the_best_bit_on_other_images():
    codes = flipped(0.1)
    setting = Setting.of(codes, None, None, N, 0)
    cell = best_phi(setting, codes, target="tone")[0]
    assert cell.value == pytest.approx(align_attributes(codes, ["tone"], permutations=1).phi[4:6].mean(), abs=0.1)
    scored = setting.part >= 10
    truth, bits = codes.items["tone"].to_numpy() == "dark", codes.to_bits()
    best = max(range(8), key=lambda b: abs(np.corrcoef(bits[~scored, b], truth[~scored])[0, 1]))
    assert cell.value == pytest.approx(abs(np.corrcoef(bits[scored, best], truth[scored])[0, 1]))


@pytest.mark.parametrize("copies", [1, 2])
def test_monosemanticity_is_the_mean_cosine_of_pairs_of_two_groups(copies):
    codes = flipped(0.1)[:60]
    group = np.arange(60) // copies
    setting = Setting.of(codes, None if copies == 1 else group, None, N, 0)
    unit = codes.features / np.linalg.norm(codes.features, axis=1, keepdims=True)
    cosines, other = unit @ unit.T, group[:, None] != group
    found = []
    for b in range(codes.bits):
        bit = codes.to_bits()[:, b]
        sides = [cosines[np.outer(side, side) & other].mean() for side in (bit, ~bit)]
        found.append(np.mean(sides) - cosines[other].mean())
    cell = two_sided_monosemanticity(setting, codes)[0]
    assert cell.value == pytest.approx(np.mean(found), abs=1e-6)
    if copies == 1:
        assert cell.value == pytest.approx(monosemanticity(codes, permutations=200).value.mean(), abs=5e-3)


def test_near_copies_widen_the_intervals():
    once = flipped(0.2)[:80]
    copies = np.repeat(np.arange(80), 3)
    codes = dataclasses.replace(once[copies], items=flipped(0.2).items)
    widths = []
    for groups in (None, copies):
        cell = probing(Setting.of(codes, groups, None, N, 0), codes, target="class", ks=(1,))[-2]
        low, high = interval(cell, (0, 1))
        widths.append(high - low)
    assert widths[1] > 1.3 * widths[0]


def test_the_choice_of_bits_is_in_the_interval_of_probing():
    """Two bits are as good on the images that choose, and only one of them on those that are scored.

    With intervals of the scored images' chance alone, 12 % of equal pairs differ instead of 5 %
    (`benchmarks/nominal/equal_methods.py`).
    """
    labels, rng = np.arange(400) % 2, np.random.default_rng(0)
    blank = Codes.from_bits(np.zeros((400, 2)), labels)
    setting = Setting.of(blank, None, [], 400, 0)
    half = Answers.of(blank, "class", groups=None, draws=1, seed=0)
    wrong = np.full((400, 2), 0.2)
    wrong[half.rows[half.test]] = 0.05, 0.45
    bits = labels[:, None] ^ (rng.random((400, 2)) < wrong)
    cell = probing(setting, setting.with_bits(np.packbits(bits, axis=1), 2), target="class", ks=(1,))[0]
    low, high = interval(cell, (0, 1))
    scored = 1.96 * (cell.value * (1 - cell.value) / len(half.test)) ** 0.5
    assert high - low > 3 * scored


def test_columns_of_chosen_bits_are_measured_on_halves():
    codes = flipped(0.2)
    cells = probing(Setting.of(codes, np.arange(N) // 2, None, N, 0), codes, target="class", ks=(1, 5))
    assert [len(cell.deleted) for cell in cells] == [8, 8, 8, 8, 20, 20]
    for k in (0, 2):  # the halves' mean changes add up to nothing: the value stays in the middle
        assert cells[k].deleted.mean() == pytest.approx(cells[k].value)
    few = dataclasses.replace(codes[:40], classes=codes.classes)
    groups = np.arange(40) // 8  # five groups: four parts
    cells = probing(Setting.of(few, groups, None, N, 0), few, target="tone", ks=(1,))
    assert len(cells[0].deleted) in (0, 4)


def test_halves_of_classes_of_two_images_have_both_sides():
    bits = np.random.default_rng(0).random((160, 6)) < 0.5
    codes = Codes.from_bits(bits, np.arange(160) // 2)
    accuracy, selectivity, *_ = probing(Setting.of(codes, None, None, 200, 0), codes, target="class", ks=(1,))
    assert len(accuracy.deleted) == len(selectivity.deleted) == 8
    assert accuracy.reason == ""


def test_several_files_of_one_method_are_one_row_with_their_spread():
    labels, clean, _, _, _ = planted()
    flips = [np.random.default_rng(seed).random(clean.shape) < 0.1 for seed in range(3)]
    codes = [Codes.from_bits(clean ^ flip, labels) for flip in flips]
    found = scorecard(*codes, names=["method"] * 3)
    assert found.rows[0].codes == 3
    c = column(found, "retrieval_map")
    each = [retrieval_map(one).value for one in codes]
    assert found.values[0, c] == pytest.approx(np.mean(each))
    assert found.spread[0, c] == pytest.approx(np.std(each, ddof=1))
    c = column(found, "matched")
    rows = [row.name for row in found.rows]
    assert found.values[0, c] > 0.7
    assert found.values[rows.index("oracle"), c] == 1
    assert found.values[rows.index("permuted rows"), c] < 0.3


def test_without_features_rows_and_columns_stay_empty_with_their_reason(bare):
    lines = missing(bare)
    assert "random directions, PCA + rotation, ITQ: these codes have no features; export them with --features" in lines
    assert any(
        line.startswith("two-sided monosemanticity: monosemanticity: the first codes have no") for line in lines
    )
    assert "two-sided monosemanticity" not in [name for block in blocks(bare) for name in block.values.headings]
    assert any("One file and no features: mine" in note for note in bare.notes)
    assert bare.notes[-2:] == (
        "Not scored: attribute 'one': has 1 value, expected 2 or more.",
        f"Not scored: attribute 'name': has {N} values in {N} images, expected 5 images a value or more.",
    )


def test_codes_with_attributes_and_no_labels_are_scored():
    _, clean, _, items, _ = planted()
    found = scorecard(Codes.from_bits(clean, items=items), names=["unlabelled"])
    assert found.values[0, [column.name for column in found.columns].index("phi:tone")] == 1
    assert found.reasons["unlabelled", "reuse:tone"] == (
        "attribute_reuse: no image has both a value of tone and a class"
    )


def test_an_attribute_that_is_named_twice_is_scored_once():
    codes = flipped(0.1, features=None)
    once, twice = (scorecard(codes, attributes=["tone"] * times, images=60) for times in (1, 2))
    assert [column.name for column in twice.columns] == [column.name for column in once.columns]
    assert np.isnan(twice.spread).all()


def test_equal_codes_as_seeds_of_one_method_are_said():
    codes = flipped(0.1, features=None, items={"id": [str(i) for i in range(N)]})
    found = scorecard(codes, codes, names=["same", "same"], images=60)
    assert "same: codes of several seeds are equal, so that their spread is too small." in found.notes


def test_rows_that_could_not_be_made_are_not_called_equal(bare):
    lines = bare.sentences()
    assert "mine and ITQ: not compared: no valid column has both intervals." in lines
    assert not any("ITQ: no reliable difference" in line for line in lines)


def test_multi_label_codes_say_what_they_lack():
    labels, clean, _, _, _ = planted()
    several = np.eye(4, dtype=bool)[labels] | np.eye(4, dtype=bool)[labels[::-1]]
    lines = missing(scorecard(Codes.from_bits(clean, several)))
    assert any(line.endswith("class: needs one label an image, found multi-label data") for line in lines)


def test_streamed_counts_give_the_same_numbers():
    """The columns that add: `codelab analyze --stream` has them, block by block."""
    codes = flipped(0.1)
    cells = bits_alone(Setting.of(codes, None, [], N, 0), codes)
    found = analyze_parts([codes[:100], codes[100:101], codes[101:]])
    names = ("bit_usage", "degrees_of_freedom", "code_length")
    assert [cell.value for cell in cells] == [found[name].value for name in names]


def test_codes_of_other_images_labels_or_groups_are_refused():
    codes = flipped(0.1)
    with pytest.raises(
        DataError, match=r"b has the same images in another order: row 0 .*\(a: the first codes, b: B\)"
    ):
        scorecard(codes, codes[::-1], names=["A", "B"])
    with pytest.raises(DataError, match="a has 240 images and b has 100, expected the same images"):
        scorecard(codes, codes[:100], names=["A", "B"])
    other = dataclasses.replace(codes, labels=(codes.labels + 1) % 4)
    with pytest.raises(DataError, match="B has other labels than the first codes"):
        scorecard(codes, other, names=["A", "B"])
    with pytest.raises(DataError, match="B has no column 'tone', by which the first codes are grouped"):
        scorecard(codes, flipped(0.1, items={"id": [str(i) for i in range(N)]}), names=["A", "B"], groups="tone")
    moved = codes.items.set_column(1, "tone", [[*codes.items["tone"].to_pylist()[1:], "dark"]])
    with pytest.raises(DataError, match="groups='tone' differs between B and the first codes"):
        scorecard(codes, dataclasses.replace(codes, items=moved), names=["A", "B"], groups="tone")


def test_attributes_that_are_none_are_refused():
    codes = flipped(0.1)
    codes = dataclasses.replace(codes, items=codes.items.append_column("one", [["x"] * N]))
    with pytest.raises(DataError, match="attribute 'one': has 1 value, expected 2 or more"):
        scorecard(codes, attributes=["one"])
    with pytest.raises(UsageError, match="attribute 'size': these codes have tone, one"):
        scorecard(codes, attributes=["size"])


def test_wrong_calls_are_refused():
    codes = flipped(0.1)
    with pytest.raises(UsageError, match="no codes given"):
        scorecard()
    with pytest.raises(UsageError, match="expected a list with one name for each of 1 codes"):
        scorecard(codes, names="A")
    with pytest.raises(UsageError, match="'oracle' is the name of a control"):
        scorecard(codes, names=["oracle"])
    with pytest.raises(DataError, match="found 3 images or groups, expected 4 or more"):
        scorecard(codes[:3])


def test_a_second_card_measures_one_more_row_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("CODELAB_CACHE", str(tmp_path))
    labels, clean, _, items, _ = planted()
    codes = [Codes.from_bits(clean[:, :k], labels, items=items) for k in (4, 5, 6)]
    first = scorecard(*codes[:2], names=["A", "B"], cache=True)
    kept = set((tmp_path / "results").glob("*.npz"))
    measured: list[str] = []
    measure = Measure.measured
    monkeypatch.setattr(Measure, "measured", lambda self, *given: measured.append(self.name) or measure(self, *given))
    again = scorecard(*codes, names=["A", "B", "C"], cache=True)
    assert len(measured) == len(set(measured))
    assert len(set((tmp_path / "results").glob("*.npz")) - kept) == len(measured)
    np.testing.assert_array_equal(again.values[[0, 1]], first.values[[0, 1]])
    np.testing.assert_array_equal(again.p_value[0, 1], first.p_value[0, 1])
    measured.clear()
    scorecard(*codes, names=["A", "B", "C"], seed=1, cache=True)
    assert len(measured) > 3
