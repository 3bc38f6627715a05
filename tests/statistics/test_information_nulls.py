"""P-values of information: right in the tail for rare bits, and nominal where images are near copies."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, hypergeom

from codelab.core.codes import Codes
from codelab.measures.attribute_information import attribute_information
from codelab.measures.class_information import class_information
from codelab.measures.class_log_odds import class_log_odds
from codelab.statistics.estimators import strata_information
from codelab.statistics.information_nulls import GroupedTables
from codelab.statistics.nulls import permuted_information


def bits_of(tables, sizes):
    """Bits `[N, K]` and labels `[N]` whose ones in each class are the columns of `tables` `[C, K]`."""
    within = np.concatenate([np.arange(size) for size in sizes])
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return within[:, None] < tables[labels], labels


@pytest.mark.parametrize(("sizes", "ones"), [([30] * 10, 5), ([120, 60, 40, 30, 24, 26], 5), ([30] * 100, 8)])
def test_tails_of_rare_bits_are_those_of_brute_force(sizes, ones):
    generator = np.random.default_rng(0)
    sizes = np.array(sizes)
    null = permuted_information(ones, sizes, 200_000, generator).round(12)
    tables = generator.multivariate_hypergeometric(sizes, ones, size=50_000).T
    seen = strata_information(tables[None], sizes[None]).round(12)
    values, places = np.unique(seen, return_index=True)
    mid = np.array([(null > v).mean() + (null == v).mean() / 2 for v in values])
    tail = (mid > 0.002) & (mid < 0.03)
    assert tail.any()
    codes = Codes.from_bits(*bits_of(tables[:, places[tail]], sizes))
    found = np.mean([class_information(codes, seed=s).p_value for s in range(8)], axis=0)
    assert (found / mid[tail]).min() > 0.7
    assert (found / mid[tail]).max() < 1.4


def test_below_the_floor_a_p_value_is_fitted_or_exact():
    """A common bit by the fitted tail; a rare one that no draw reaches by Bonferroni's bound on exact p-values."""
    labels = np.repeat([0, 1, 2], 100)
    generator = np.random.default_rng(0)
    common = (labels == 0) ^ (generator.random(300) < 0.2)
    rare = np.arange(300) < 12
    noise = generator.random((300, 6)) < 0.5
    found = class_information(Codes.from_bits(np.column_stack([common, rare, noise]), labels))
    assert found.fitted_tail[:2].tolist() == [True, False]
    assert found.p_value[0] < 1 / 201
    assert found.p_value[1] == pytest.approx(3 * (hypergeom.pmf(12, 300, 100, 12) / 2), rel=0.2)
    assert (found.p_value[2:] >= 1 / 201).all()
    assert "fitted tail" in found.headline()
    assert found.to_frame()["fitted_tail"].tolist() == found.fitted_tail.tolist()
    two = class_information(Codes.from_bits(np.column_stack([common, noise]), labels // 2))
    assert not two.fitted_tail.any()  # exact
    assert "fitted" not in two.headline()


def test_both_rates_of_false_finds():
    labels = np.arange(400) % 4
    bits = np.random.default_rng(0).random((400, 12)) < 0.5
    bits[:, 0] = labels == 1
    found = class_information(Codes.from_bits(bits, labels))
    assert found.dependent_q_value == pytest.approx(false_discovery_control(found.p_value, method="by"))
    assert (found.dependent_q_value >= found.q_value).all()


def copies(seed, objects=40, times=5, classes=3):
    """Near copies of `objects` objects: bits and labels have nothing to do with each other."""
    generator = np.random.default_rng([seed, 5])
    thing = np.repeat(np.arange(objects), times)
    bits = (generator.random((objects, 20)) < 0.4)[thing] ^ (generator.random((len(thing), 20)) < 0.03)
    labels = generator.permutation(np.arange(objects) % classes)
    colour = generator.permutation(np.arange(objects) % 2)
    return Codes.from_bits(bits, labels[thing], items={"object": thing, "colour": colour[thing].astype(str)})


MEASURES = {
    "class": lambda codes, **chance: class_information(codes, **chance).p_value,
    "attribute": lambda codes, **chance: attribute_information(codes, "colour", **chance).p_value,
    "given": lambda codes, **chance: attribute_information(codes, "colour", given="class", **chance).p_value,
    "log-odds": lambda codes, **chance: class_log_odds(codes, **chance).p_value,
}


@pytest.mark.parametrize("name", MEASURES)
def test_near_copies_find_nothing(name):
    alone, grouped = [], []
    for seed in range(20):
        codes = copies(seed)
        alone.append(MEASURES[name](codes, seed=seed))
        grouped.append(MEASURES[name](codes, groups="object", permutations=60, seed=seed))
    assert (np.array(alone) < 0.05).mean() > 0.25
    assert 0.02 < (np.array(grouped) < 0.05).mean() < 0.08


@pytest.mark.parametrize("name", MEASURES)
def test_a_group_for_each_image_is_no_group_but_for_chance(name):
    codes = copies(0, objects=200, times=1, classes=4)
    alone = MEASURES[name](codes, permutations=2000)
    grouped = MEASURES[name](codes, groups=np.arange(200), permutations=2000)
    assert grouped == pytest.approx(alone, abs=0.06)


def test_the_mean_with_groups_is_that_of_whole_groups_and_larger():
    codes = copies(1)
    alone, grouped = class_information(codes), class_information(codes, groups="object", permutations=1000)
    assert np.array_equal(alone.plugin, grouped.plugin)
    assert grouped.expectation.mean() == pytest.approx(5 * alone.expectation.mean(), rel=0.25)
    assert (alone.groups, grouped.groups) == (None, 40)
    assert grouped.estimator == "plug-in less its mean over permutations of whole groups"


def test_strata_stay_in_place():
    """Every drawn table has the ones and the items of each stratum."""
    codes = copies(2)
    strata = (codes.label_by("colour").labels).astype(int)
    tables = GroupedTables.of(codes.packed, 20, codes.labels, np.arange(200) // 5, strata)
    bits = codes.to_bits()

    def statistic(ones, sizes, which):
        for s in range(2):
            assert (ones[:, s].sum(axis=1) == bits[strata == s][:, which].sum(axis=0)).all()
            assert (sizes[:, s].sum(axis=1) == (strata == s).sum()).all()
        assert (sizes.sum(axis=1) == np.bincount(codes.labels)).all()
        return strata_information(ones, sizes)

    drawn = tables.draws(statistic, np.array([3, 0]), 30, np.random.default_rng(0))
    assert drawn.shape == (30, 2)
    assert len(np.unique(drawn[:, 0])) > 20


def test_multilabel_rows_change_places_by_whole_groups():
    p_values = []
    for seed in range(20):
        codes = copies(seed)
        sets = np.random.default_rng(seed).random((40, 4)) < 0.4
        several = Codes.from_bits(codes.to_bits(), sets[np.repeat(np.arange(40), 5)], classes=list("abcd"))
        groups = np.repeat(np.arange(40), 5)
        p_values.append(class_information(several, groups=groups, permutations=60, seed=seed).p_value)
        assert (class_information(several).p_value < 0.05).sum() > 2
    assert 0.02 < (np.array(p_values) < 0.05).mean() < 0.08
