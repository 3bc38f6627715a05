"""Drawings of known factors and a code planted from them: the measures of meaning find each factor, and no other."""

import dataclasses

import numpy as np
import pytest

from codelab import (
    align_attributes,
    attribute_pairs,
    ccgp,
    describe,
    exemplars,
    minimal_pairs,
    name_bits,
    probe_curve,
)
from codelab.statistics.exchange import shuffled_rows
from tests.support import planted_images as drawn

ATTRIBUTES = ["class", "hue", "texture", "size", "position", "paper"]
RED, NO_DISC, RIGHT, STRIPED, LARGE, RED_DISC, WHITE = range(len(drawn.PLANTED))
MEANT = {
    RED: ("hue = red", 1),
    NO_DISC: ("class = disc", 0),
    RIGHT: ("position = right", 1),
    STRIPED: ("texture = striped", 1),
    LARGE: ("size = large", 1),
    WHITE: ("paper = white", 1),
}
GROUPS = "thing"


@pytest.fixture(scope="module")
def known():
    return drawn.factors()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return drawn.exported(tmp_path_factory.mktemp("drawings"))


@pytest.fixture(scope="module")
def codes(exported):
    return drawn.planted(exported)


@pytest.fixture(scope="module")
def shuffled(codes):
    """The same codes, each thing's given to another thing: what is left has no meaning."""
    return reordered(codes, seed=1)


def reordered(codes, seed):
    things = np.unique(codes.items[GROUPS].to_pylist(), return_inverse=True)[1]
    rows = shuffled_rows(things, np.random.default_rng(seed))
    return dataclasses.replace(codes, packed=codes.packed[rows], logits=codes.logits[rows])


def is_yes(found, bit):
    """Whether the question that a bit was given is the one meant: a question of two values has a twin."""
    twins = {"right": "left", "striped": "plain", "large": "small", "white": "grey"}
    words, side = MEANT[bit]
    other = f"{words.split(' = ')[0]} = {twins.get(words.split(' = ')[1])}"
    return (str(found.target[bit]), int(found.side[bit])) in ((words, side), (other, 1 - side))


class TestStatistics:
    def test_the_exported_statistics_are_those_that_were_drawn(self, exported, known):
        found = {name: exported.items[f"image.{name}"].to_numpy() for name in ("brightness", "contrast", "saturation")}
        plain = np.flatnonzero((known["texture"] == "plain") & (known["shape"] == "square"))
        for row in plain:
            share = (drawn.SIZES[known["size"][row]] / drawn.SIDE) ** 2
            red, green, blue = drawn.COLOURS[known["hue"][row]]
            paper, luma = drawn.PAPERS[known["paper"][row]], 0.299 * red + 0.587 * green + 0.114 * blue
            assert found["brightness"][row] == pytest.approx((share * luma + (1 - share) * paper) / 255, abs=1e-6)
            spread = np.sqrt(share * (1 - share)) * abs(luma - paper) / 255
            assert found["contrast"][row] == pytest.approx(spread, abs=1e-6)
            assert found["saturation"][row] == pytest.approx(share * 200 / 220, abs=0.002)  # (max - min) / max
            assert exported.items["image.foreground"][int(row)].as_py() == pytest.approx(share)

    def test_hue_stripes_and_form(self, exported, known):
        hue = exported.items["image.hue"].to_numpy()
        for place, name in enumerate(drawn.COLOURS):
            apart = (hue[known["hue"] == name] - place / 3 + 0.5) % 1 - 0.5
            assert np.abs(apart).max() < 0.01
        edges = exported.items["image.edges"].to_numpy().reshape(3, 3, 2, -1)  # shape, hue, texture
        assert (edges[:, 1, 1].mean() - edges[:, 1, 0].mean()) > 0.05  # green stripes are the brightest
        assert set(exported.items["image.aspect"].to_pylist()) == {1.0}


class TestPlanted:
    def test_exemplars_are_of_the_factor_and_the_surest_first(self, codes, known):
        found = exemplars(codes, RED, count=8)
        assert set(known["hue"][found.one]) == {"red"}
        assert set(known["size"][found.one]) == {"large"}
        assert "red" not in set(known["hue"][found.zero])

    def test_minimal_pairs_differ_in_the_factor_and_little_else(self, codes, known):
        found = minimal_pairs(codes, RIGHT, groups=GROUPS)
        assert set(known["position"][found.one]) == {"right"}
        assert found.others.max() == 0 < found.random
        for name in ("texture", "size", "paper"):
            assert (known[name][found.one] == known[name][found.zero]).all()

    def test_the_attribute_that_changes_within_a_thing_is_followed_by_its_bit_alone(self, codes, shuffled):
        found = attribute_pairs(codes, "position", groups=GROUPS, permutations=400)
        assert np.flatnonzero(found.q_value < 0.05).tolist() == [RIGHT]
        assert found.flip_rate[RIGHT] == 1
        assert (found.value[RIGHT], abs(found.effect[RIGHT])) == ("right", 1)
        assert found.flip_rate[:RIGHT].tolist() == [0, 0]
        nothing = attribute_pairs(mixed(shuffled), "position", groups=GROUPS, permutations=400)
        assert nothing.q_value.min() > 0.05

    def test_alignment_finds_the_question_and_the_side_of_each_bit(self, codes):
        found = align_attributes(codes, ATTRIBUTES, groups=GROUPS)
        sure = np.flatnonzero(found.p_value < 0.05).tolist()
        assert sure == list(range(len(drawn.PLANTED)))
        assert all(is_yes(found, bit) for bit in MEANT)
        assert found.phi[list(MEANT)].tolist() == [1] * len(MEANT)
        assert found.phi[RED_DISC] < 0.8  # a conjunction is no single question

    def test_alignment_finds_an_image_statistic(self, codes):
        found = align_attributes(codes, ["image.brightness", "image.hue"], groups=GROUPS)
        assert found.target[WHITE].startswith("brightness above")
        assert (found.phi[WHITE] > 0.9, found.side[WHITE]) == (True, 1)

    def test_names_are_those_of_the_factors_and_coins_have_none(self, codes):
        states = [one.state for one in name_bits(codes, ATTRIBUTES, groups=GROUPS).names]
        assert states[len(drawn.PLANTED) :] == ["rejected"] * drawn.COINS
        assert [states[bit] for bit in MEANT] == ["tested"] * len(MEANT)

    def test_one_bit_is_enough_to_read_its_factor(self, codes):
        found = probe_curve(codes, "texture", k=(1, 2), groups=GROUPS, draws=3)
        assert found.chosen[0] == STRIPED
        assert found.accuracy["bits"].tolist() == [1, 1]
        assert found.accuracy["shuffled"].max() < 0.65

    def test_the_formula_of_a_conjunction(self, codes, known):
        rest = codes.select_bits([bit for bit in range(codes.bits) if bit != RED_DISC])
        wanted = (known["hue"] == "red") & (known["shape"] == "disc")
        found = describe(rest, wanted, literals=3, groups=GROUPS, permutations=19)
        assert (found.formula, found.iou) == (f"{RED} & ~{NO_DISC}", 1)
        assert found.p_value <= 0.05

    def test_a_factor_is_read_in_shapes_that_were_not_seen(self, codes):
        for attribute in ("size", "texture", "paper"):
            found = ccgp(codes, attribute, groups=GROUPS, permutations=19)
            assert (found.value, found.within) == (1, 1)
            assert found.p_value <= 0.05
            assert found.null < 0.65


def mixed(codes):
    """The two drawings of each thing change places in half of the things, so that left and right mean nothing."""
    turned = np.random.default_rng(2).integers(0, 2, len(codes) // 2).repeat(2)
    rows = np.arange(len(codes)) ^ turned
    return dataclasses.replace(codes, packed=codes.packed[rows], logits=codes.logits[rows])


class TestShuffled:
    def test_nothing_aligns_and_nothing_is_named(self, codes):
        """Over 20 shuffles: some bit at p < 0.05 in about one."""
        options = {"groups": GROUPS, "permutations": 40}
        found = [align_attributes(reordered(codes, seed), ATTRIBUTES, seed=seed, **options) for seed in range(20)]
        assert np.mean([one.p_value.min() < 0.05 for one in found]) <= 0.15
        names = name_bits(reordered(codes, 1), ATTRIBUTES, groups=GROUPS).names
        assert {one.state for one in names} == {"rejected"}

    def test_no_read_out_works(self, shuffled):
        found = probe_curve(shuffled, "texture", k=(1, 12), groups=GROUPS, draws=3)
        assert np.abs(found.accuracy["bits"] - found.accuracy["shuffled"]).max() < 0.15

    def test_no_formula_and_no_shared_direction(self, shuffled, known):
        wanted = (known["hue"] == "red") & (known["shape"] == "disc")
        assert describe(shuffled, wanted, literals=2, groups=GROUPS, permutations=19).p_value > 0.05
        p_values = [ccgp(shuffled, name, groups=GROUPS, permutations=39).p_value for name in ("size", "texture")]
        assert min(p_values) > 0.05
