"""Disentanglement scores on codes whose factors are known."""

import numpy as np
import pytest
from scipy import stats

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures import disentanglement
from codelab.measures.disentanglement import factors
from tests.support import synthetic


def coded(bits, **items):
    return Codes.from_bits(bits, items={name: np.asarray(v).astype(str) for name, v in items.items()})


@pytest.fixture
def coins():
    return np.random.default_rng(0).integers(0, 2, (3, 1200))


def scores(found):
    return found.to_frame().set_index(["measure", "factor"])["value"]


def test_a_bit_for_each_factor_scores_one(coins):
    a, b, _ = coins
    found = factors(coded(np.stack([a, b], axis=1), shape=a, colour=b), permutations=50)
    value = scores(found)
    for factor in ("shape", "colour"):
        assert value["mig", factor] == pytest.approx(1, abs=0.01)
        assert value["completeness", factor] == pytest.approx(1, abs=0.02)
        assert value["informativeness", factor] == pytest.approx(1, abs=0.001)
        assert value["sap", factor] == pytest.approx(0.5, abs=0.05)
    assert value["disentanglement", "all"] == pytest.approx(1, abs=0.02)
    assert value["positional", "all"] == pytest.approx(1, abs=0.01)
    assert value["topographic", "all"] == pytest.approx(1, abs=0.01)
    frame = found.to_frame().set_index("measure")
    assert (frame.p_value == 1 / 51).all()  # never below


def test_a_factor_spread_over_copies_is_neither_complete_nor_wide_of_gap(coins):
    a, b, _ = coins
    value = scores(factors(coded(np.stack([a, a, a, b], axis=1), shape=a, colour=b), permutations=20))
    assert value["mig", "shape"] == pytest.approx(0, abs=0.01)
    assert value["completeness", "shape"] == pytest.approx(1 - np.log(3) / np.log(4), abs=0.02)
    assert value["disentanglement", "all"] == pytest.approx(1, abs=0.02)


def test_entangled_bits_tell_of_both_factors_together_only(coins):
    a, b, noise = coins
    value = scores(factors(coded(np.stack([a & b, a | b, noise], axis=1), shape=a, colour=b), permutations=20))
    assert value["disentanglement", "all"] < 0.05
    assert value["positional", "all"] < 0.1
    assert value["topographic", "all"] > 0.3
    # a & b and a | b: a is known in half of the images, and a coin in the others
    assert value["informativeness", "shape"] == pytest.approx(0.5, abs=0.05)


def test_noise_stays_within_its_control(coins):
    a, b, _ = coins
    below = []
    for seed in range(20):
        noise = np.random.default_rng(seed).integers(0, 2, (1200, 8))
        found = factors(coded(noise, shape=a, colour=b), permutations=19, seed=seed)
        below.append(found.p_value <= 0.05)
    assert 0.0 < np.mean(below) < 0.12


@pytest.mark.parametrize("noise_bits", [0, 1, 30])
def test_a_perfect_code_beside_noise_beats_its_control(coins, noise_bits):
    noise = np.random.default_rng(5).integers(0, 2, (1200, noise_bits))
    found = factors(coded(np.column_stack([*coins[:2], noise]), shape=coins[0], colour=coins[1]), permutations=100)
    frame = found.to_frame().set_index(["measure", "factor"])
    for row in (("disentanglement", "all"), ("completeness", "shape"), ("completeness", "colour")):
        assert frame.value[row] > 0.9
        assert frame.p_value[row] < 0.05
        assert frame.control[row] < frame.control_high[row] < frame.value[row]
        assert frame.control[row] < 0.6


def many_valued(n=1200, seed=0):
    generator = np.random.default_rng(seed)
    return {"shape": generator.integers(0, 2, n), "colour": generator.integers(0, 2, n), "object": np.arange(n) % 200}


def test_noise_does_not_read_as_disentangled_beside_a_factor_of_many_values():
    found = []
    for seed in range(10):
        noise = np.random.default_rng([seed, 1]).integers(0, 2, (1200, 8))
        value = scores(factors(coded(noise, **many_valued(seed=seed)), permutations=30, seed=seed))
        found.append([value["disentanglement", "all"], value["completeness"].mean(), value["informativeness"].max()])
    assert (np.mean(found, axis=0) < [0.15, 0.1, 0.02]).all()


def test_a_perfect_code_is_found_beside_a_factor_of_many_values():
    items = many_valued()
    noise = np.random.default_rng(3).integers(0, 2, (1200, 2))
    found = factors(coded(np.column_stack([items["shape"], items["colour"], noise]), **items), permutations=60)
    row = found.to_frame().set_index("measure").loc["disentanglement"]
    assert row.value > 0.9
    assert row.p_value == 1 / 61


def test_informativeness_is_not_above_what_the_shares_of_values_give():
    generator = np.random.default_rng(0)
    rare, kind = (generator.random(1000) < 0.05).astype(int), generator.integers(0, 3, 1000)
    found = factors(coded(generator.integers(0, 2, (1000, 16)), rare=rare, kind=kind), permutations=20)
    assert scores(found)["informativeness"].max() < 0.02
    assert found.control.min() >= 0


def test_ceilings_are_reached_by_the_best_bit_and_not_passed():
    kind, size = np.random.default_rng(0).integers(0, 3, 3000), np.random.default_rng(1).integers(0, 2, 3000)
    frame = factors(coded(np.stack([kind == 2, size], axis=1), kind=kind, size=size), permutations=5).to_frame()
    frame = frame.set_index(["measure", "factor"])
    third = -(np.log2(1 / 3) / 3 + np.log2(2 / 3) * 2 / 3) / np.log2(3)
    assert frame.ceiling["mig", "kind"] == pytest.approx(third, abs=0.01)
    assert frame.ceiling["sap", "kind"] == pytest.approx(1 / 3, abs=0.02)
    assert frame.ceiling["sap", "size"] == pytest.approx(1 / 2, abs=0.02)
    assert (frame.value <= frame.ceiling + 1e-9).all()
    assert frame.value["mig", "kind"] == pytest.approx(third, abs=0.01)
    assert frame.value["sap", "kind"] == pytest.approx(1 / 3, abs=0.02)


def copies(seed, objects=60, each=5):
    """Codes and attributes that are independent, but for near copies, which share both."""
    generator = np.random.default_rng(seed)
    thing = np.repeat(np.arange(objects), each)
    bits = generator.integers(0, 2, (objects, 6))[thing] ^ (generator.random((len(thing), 6)) < 0.03)
    items = {name: generator.integers(0, 2, objects)[thing] for name in ("shape", "colour")}
    return coded(bits, object=thing, **items)


def test_near_copies_are_not_found_where_they_move_together():
    named = [factors(copies(seed), groups="object", permutations=19, seed=seed) for seed in range(20)]
    alone = [factors(copies(seed), ["shape", "colour"], permutations=19, seed=seed) for seed in range(5)]
    assert named[0].factors == ("shape", "colour")
    assert (named[0].groups, alone[0].groups) == (60, None)
    assert "whole groups" in named[0].estimator
    assert np.mean([found.p_value <= 0.05 for found in named]) < 0.12
    assert np.mean([found.p_value <= 0.05 for found in alone]) > 0.3


def test_a_group_for_each_image_equals_no_groups_up_to_chance(coins):
    a, b, _ = coins
    codes = coded(np.stack([a, a & b], axis=1), shape=a, colour=b)
    each, none = factors(codes, groups=np.arange(1200), permutations=100), factors(codes, permutations=100)
    assert each.score == pytest.approx(none.score, abs=0.02)
    assert each.information == pytest.approx(none.information, abs=0.001)
    assert each.p_value == pytest.approx(none.p_value, abs=0.1)


def test_fewer_than_four_groups_are_refused(coins):
    codes = coded(np.stack(coins[:2], axis=1), shape=coins[0], colour=coins[1])
    with pytest.raises(DataError, match="factors: found 1 groups, expected 4 or more"):
        factors(codes, groups=["same"] * 1200)


def test_attributes_that_part_the_images_alike_count_once(coins):
    a, b, _ = coins
    items = {"kind": np.where(a == 1, "cat", "dog"), "colour": b.astype(str), "tint": np.where(b == 1, "a", "b")}
    codes = Codes.from_bits(np.stack([a, b], axis=1), a, items=items)
    found = factors(codes, permutations=5)
    assert found.factors == ("class", "colour")
    assert "kind" not in found.factors  # nor is it an attribute: see `attribute_names`
    assert found.note == "tint parts the images as colour does, and counts once"
    with pytest.raises(DataError, match="needs two attributes, but class parts the images as kind does"):
        factors(codes, ["kind", "class"])
    gaps = np.where(np.arange(len(a)) % 20 == 0, None, items["kind"])  # 5 % are missing
    some = Codes.from_bits(np.stack([a, b], axis=1), a, items={"colour": items["colour"], "kind": gaps})
    assert factors(some, permutations=1).factors == ("class", "colour")
    found = factors(some, ["colour", "kind", "class"], permutations=1)
    assert (found.factors, found.note) == (("colour", "kind"), "class parts the images as kind does, and counts once")


def test_the_control_holds_its_95_percent_point(coins):
    noise = np.random.default_rng(6).integers(0, 2, (1200, 4))
    found = factors(coded(noise, shape=coins[0], colour=coins[1]), permutations=300)
    above = (found.score > found.control_high).astype(int)
    assert (above == (found.p_value <= 15.6 / 301)).all()  # 15 of 300 draws lie above the 95 % point


def test_topographic_similarity_is_a_spearman_correlation():
    codes = synthetic.fair_bits(60, 6)
    a, b = np.random.default_rng(1).integers(0, 3, (2, 60))
    found = factors(coded(codes.to_bits(), a=a, b=b), permutations=2)
    x = codes.to_bits()
    pairs = [(i, j) for i in range(60) for j in range(i)]
    far = [(x[i] != x[j]).sum() for i, j in pairs]
    meaning = [int(a[i] != a[j]) + int(b[i] != b[j]) for i, j in pairs]
    assert scores(found)["topographic", "all"] == pytest.approx(stats.spearmanr(far, meaning).statistic, abs=0.03)


def test_missing_values_and_numbers(coins):
    a, b, _ = coins
    size = a + np.random.default_rng(3).normal(size=1200) * 0.1
    size[:100] = np.nan
    shape = np.where(np.arange(1200) < 300, None, np.where(b == 1, "x", "o"))
    codes = Codes.from_bits(np.stack([a, b], axis=1), items={"size": size, "shape": shape})
    found = factors(codes, permutations=10)
    assert found.factors == ("size in 8 quantile bins", "shape")
    assert scores(found)["mig", "shape"] == pytest.approx(1, abs=0.02)
    assert np.isfinite(found.score).all()
    assert found.information[0, 0] == pytest.approx(1, abs=0.12)  # one bin holds some of either side


def test_the_class_counts_and_too_few_attributes_are_refused(coins):
    a, b, _ = coins
    codes = Codes.from_bits(np.stack([a, b], axis=1), a, items={"colour": b.astype(str)})
    assert factors(codes, permutations=2).factors == ("class", "colour")
    assert factors(codes, permutations=2, items=300).items == 300
    with pytest.raises(DataError, match="needs two attributes, these codes have none"):
        factors(Codes.from_bits(np.eye(4)))
    with pytest.raises(UsageError, match="found 1, expected at least 2"):
        factors(codes, ["colour"])
    with pytest.raises(UsageError, match="'taste': these codes have colour"):
        factors(codes, ["colour", "taste"])
    with pytest.raises(DataError, match="same has fewer than two values"):
        factors(Codes.from_bits(np.eye(4), items={"same": ["a"] * 4, "own": list("xxyy")}), ["own", "same"])


def test_disentanglement_and_completeness_are_those_of_eastwood_and_williams(coins):
    """Of an importance that is not chance; their formulas by SciPy's entropy, as in disentanglement_lib."""
    a, b, noise = coins
    found = factors(coded(np.stack([a, a & b, b ^ (noise & a)], axis=1), shape=a, colour=b), permutations=50)
    importance = np.maximum(found.information, 0)  # both factors have an entropy of 1 bit, nearly
    share = importance.sum(axis=1) / importance.sum()
    value = scores(found)
    expected = ((1 - stats.entropy(importance.T, base=2)) * share).sum()
    assert value["disentanglement", "all"] == pytest.approx(expected, abs=0.01)
    complete = 1 - stats.entropy(importance, base=3)
    assert value["completeness"].to_numpy() == pytest.approx(complete, abs=0.01)


def test_the_own_order_of_attributes_is_one_of_the_orders_of_the_null(monkeypatch):
    """Whichever order is the images' own, the scores of all orders rank alike, so that p-values are 0.5 on average.

    The highest, if no other equals it, has 1 / 20 instead of half of that.
    """
    generator = np.random.default_rng(0)
    thing = np.repeat(np.arange(8), 2)
    bits = (generator.random((8, 12)) < 0.5)[thing] ^ (generator.random((16, 12)) < 0.1)
    values = {"shape": generator.integers(0, 2, 8), "size": generator.integers(0, 3, 8)}
    orders = np.stack([2 * generator.permutation(8)[thing] + np.arange(16) % 2 for _ in range(20)])
    p = []
    for own in range(20):
        inverse = np.argsort(orders[own])
        rest = iter([inverse[order] for i, order in enumerate(orders) if i != own])
        monkeypatch.setattr(disentanglement, "shuffled_rows", lambda *_, rest=rest: next(rest))
        items = {name: of_thing[thing][orders[own]] for name, of_thing in values.items()}
        p.append(factors(coded(bits, **items), groups=thing, permutations=19).p_value)
    mean = np.mean(p, axis=0)
    assert ((mean > 0.5 - 1e-9) & (mean < 0.5 + 0.025 / 20 + 1e-9)).all()


def test_many_classes_are_read_on_a_random_part_of_the_held_out_images(monkeypatch):
    """Images sorted by class: the first rows would be those of a few classes alone."""
    classes = np.repeat(np.arange(16), 150)
    shape = np.random.default_rng(0).integers(0, 2, len(classes))
    bits = np.concatenate([classes[:, None] >> np.arange(4) & 1, shape[:, None]], axis=1)
    bits ^= np.random.default_rng(1).random(bits.shape) < 0.1
    codes = Codes.from_bits(bits, classes, items={"shape": shape.astype(str)})
    whole = scores(factors(codes, permutations=20))["informativeness", "class"]
    monkeypatch.setattr(disentanglement, "READ", 16 * 400)
    part = factors(codes, permutations=20)
    assert abs(scores(part)["informativeness", "class"] - whole) < 0.05
    assert scores(part)["informativeness", "class"] != whole
