"""Controls: the figures are those of the measures, random directions and shuffled codes are what they say."""

import dataclasses

import numpy as np
import pytest

from codelab.analysis.controls import DRAWS, controls, judge_random
from codelab.analysis.figures import FIGURES
from codelab.core.bits import pack_bits, unpack_bits
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.features.binariser import binarize
from codelab.measures.bit_usage import bit_usage
from codelab.measures.block_entropy import block_entropy
from codelab.measures.class_information import class_information
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.measures.pair_distances import pair_distances
from codelab.retrieval.compare import compare_retrieval
from codelab.retrieval.measures import knn_accuracy, precision_at_k, retrieval_map
from tests.support.synthetic import fair_bits

RELATED = [figure.name for figure in FIGURES if figure.about]


@pytest.fixture(scope="module")
def codes():
    """Random hyperplanes of features in which six classes lie apart."""
    generator = np.random.default_rng(3)
    labels = np.arange(420) % 6
    features = generator.normal(size=(6, 20))[labels] + 1.5 * generator.normal(size=(420, 20))
    return Codes.from_bits(features @ generator.normal(size=(20, 16)) > 0, labels, features=features)


@pytest.fixture(scope="module")
def found(codes):
    return controls(codes)


def expected(codes):
    distances = pair_distances(codes, pairs=20_000)
    return {
        "mean_entropy": bit_usage(codes).value,
        "bits_in_use": 16,
        "degrees_of_freedom": degrees_of_freedom(codes).value,
        "block_entropy": block_entropy(codes).value,
        "class_information": class_information(codes, permutations=2).information.mean(),
        "class_in_distances": distances.value,
        "retrieval_map": retrieval_map(codes).value,
        "knn_accuracy": knn_accuracy(codes, k=10).value,
        "precision_at_k": precision_at_k(codes, k=10).value,
    }


def test_figures_of_these_codes_are_those_of_the_measures(codes, found):
    for name, value in expected(codes).items():
        assert found.codes[name] == pytest.approx(value, abs=1e-12), name
    apart = (codes.to_bits()[:, None] ^ codes.to_bits()[None]).sum(axis=2)
    unit = codes.features / np.linalg.norm(codes.features, axis=1, keepdims=True)
    pairs = np.triu_indices(len(codes), 1)
    assert found.codes["feature_distances"] == pytest.approx(
        np.corrcoef(apart[pairs], 1 - (unit @ unit.T)[pairs])[0, 1], abs=0.02
    )


def test_random_directions_are_measured_as_codes_are(codes, found):
    drawn = binarize(codes.features, 16 * DRAWS, method="lsh", seed=0).logits(codes.features)
    first = dataclasses.replace(codes, packed=pack_bits(drawn[:, :16] > 0))
    for name, value in expected(first).items():
        assert found.random[name][0] == pytest.approx(value, abs=1e-12), name
    assert len(found.random["retrieval_map"]) == DRAWS
    assert len(np.unique(found.random["retrieval_map"])) == DRAWS
    for name, one in found.compared.items():
        pair = compare_retrieval(codes, first, measure=name, **({} if name == "retrieval_map" else {"k": 10}))
        assert (one.value, one.p_value) == (pair.value, pair.p_value)


def test_shuffled_codes_have_the_same_bits_and_no_relation(found):
    assert np.ptp(found.shuffled["mean_entropy"]) < 1e-12
    assert found.shuffled["mean_entropy"][0] == pytest.approx(found.codes["mean_entropy"])
    assert abs(found.shuffled["class_information"].mean()) < 0.002
    assert found.shuffled["class_in_distances"].mean() == pytest.approx(0.5, abs=0.01)
    assert abs(found.shuffled["feature_distances"].mean()) < 0.01
    assert found.p_value(RELATED, found.shuffled) == pytest.approx(1 / 21)


def test_the_p_value_of_the_largest_figure_holds_for_codes_like_the_draws(found):
    """Each draw in turn takes the place of these codes: the p-values are then 1/20, 2/20, ... once each."""
    names = ["retrieval_map", "class_information"]
    p_values = []
    for place in range(DRAWS):
        one = {name: values[place] for name, values in found.random.items() if name in names}
        rest = {name: np.delete(found.random[name], place) for name in names}
        p_values.append(dataclasses.replace(found, codes=one).p_value(names, rest))
    assert np.allclose(sorted(p_values), np.arange(1, DRAWS + 1) / DRAWS)
    assert np.isnan(found.p_value([], found.random))


def test_hyperplanes_are_not_above_random_directions_and_class_bits_are(codes, found):
    assert found.above_random() == []
    bits = np.eye(6, dtype=bool)[codes.labels] ^ (np.random.default_rng(0).random((420, 6)) < 0.05)
    better = controls(Codes.from_bits(bits, codes.labels, features=codes.features))
    assert better.above_random() == ["retrieval_map", "knn_accuracy", "class_information"]


def test_what_is_missing_is_said_in_one_line(codes):
    bare = controls(fair_bits(300, 8))
    assert bare.note == "no features: not compared with random directions"
    assert bare.random == bare.compared == {}
    assert set(bare.codes) == {figure.name for figure in FIGURES if not figure.about}
    alike = controls(dataclasses.replace(codes, features=np.ones((420, 4))))
    assert alike.note.endswith(
        "all 420 rows are alike, expected at least two different ones: not compared with random directions"
    )
    assert "feature_distances" not in alike.codes
    many = controls(Codes.from_bits(codes.to_bits(), np.eye(6, dtype=bool)[codes.labels], features=codes.features))
    assert set(many.compared) == {"retrieval_map", "precision_at_k"}
    assert many.codes["class_information"] == pytest.approx(
        class_information(Codes.from_bits(codes.to_bits(), np.eye(6, dtype=bool)[codes.labels])).information.mean()
    )
    with pytest.raises(DataError, match="controls: found 1 codes, expected at least 2"):
        controls(codes[:1])
    with pytest.raises(UsageError, match="images=1: expected 2 or more"):
        controls(codes, images=1)


def test_of_many_images_whole_groups_are_drawn(codes):
    objects = np.arange(420) // 7
    found = controls(codes, images=150, groups=objects)
    assert found.images == 147
    assert found.note == "measured on 147 of 420 images"
    assert found.beside("Bit balance").startswith("On 147 images, mean entropy of a bit: these codes 0.")
    assert found.to_dict() == controls(codes, images=150, groups=objects).to_dict()


def test_near_copies_change_places_together():
    """Coins of objects with five copies each, and labels of objects: related only where copies count one by one."""
    coins = fair_bits(60, 16, classes=4, seed=2)
    copies = coins[np.repeat(np.arange(60), 5)]
    objects = np.repeat(np.arange(60), 5)
    alone, grouped = controls(copies), controls(copies, groups=objects)
    assert alone.p_value(RELATED, alone.shuffled) == pytest.approx(1 / 21)
    assert alone.codes["retrieval_map"] > alone.shuffled["retrieval_map"].max()
    assert grouped.p_value(RELATED, grouped.shuffled) > 0.05
    assert grouped.codes["retrieval_map"] == pytest.approx(retrieval_map(copies, groups=objects).value)


def test_one_group_of_nearly_all_images_leaves_too_few_to_draw():
    codes = fair_bits(300, 8)
    with pytest.raises(DataError, match=r"^controls: one group has 299 of 300 images, expected more groups$"):
        controls(codes, groups=np.arange(300) // 299, images=100)


def test_shuffling_keeps_ones_and_groups():
    from codelab.analysis.controls import _shuffled

    codes, generator = fair_bits(90, 5), np.random.default_rng(0)
    bits = unpack_bits(_shuffled(codes, np.arange(90), generator), 5)
    assert (bits.sum(axis=0) == codes.to_bits().sum(axis=0)).all()
    assert (bits != codes.to_bits()).any(axis=0).all()
    unit = generator.permutation(np.repeat(np.arange(30), 3))
    first = np.unique(unit, return_index=True)[1]
    copies = dataclasses.replace(codes, packed=codes.packed[first][unit])
    bits = unpack_bits(_shuffled(copies, unit, generator), 5)
    assert all((bits[unit == group] == bits[unit == group][0]).all() for group in range(30))
    assert (bits.sum(axis=0) == copies.to_bits().sum(axis=0)).all()


def test_tables_have_a_row_for_each_figure(found):
    frame, table = found.to_frame(), found.table()
    assert len(frame) == len(table) == len(found.codes) == len(FIGURES)
    row = frame.set_index("figure").loc["mAP@ALL"]
    assert row["random_directions"] == found.random["retrieval_map"].mean()
    assert row["difference"] == found.compared["retrieval_map"].value
    words = table.set_index("figure").loc["mAP@ALL"]
    assert words["these codes"] == f"{found.codes['retrieval_map']:.3f}"
    assert words["shuffled codes"].startswith(f"{found.shuffled['retrieval_map'].mean():.3f} (")


def test_figures_of_near_copies_are_those_of_the_sections():
    generator = np.random.default_rng(1)
    labels, groups = (np.arange(60) % 6).repeat(5), np.repeat(np.arange(60), 5)
    bits = (generator.random((60, 16)) < 0.5).repeat(5, axis=0) ^ (generator.random((300, 16)) < 0.02)
    codes = Codes.from_bits(bits, labels)
    found = controls(codes, groups=groups)
    freedom, information = degrees_of_freedom(codes, groups=groups), class_information(codes, groups=groups)
    assert found.codes["degrees_of_freedom"] == pytest.approx(freedom.value)
    assert found.codes["class_information"] == pytest.approx(information.information.mean(), abs=0.005)
    assert found.shuffled["class_information"].mean() == pytest.approx(0, abs=0.01)  # no relation, no information


def test_one_class_is_not_judged():
    codes = Codes.from_bits(
        np.random.default_rng(0).random((200, 16)) < 0.5,
        np.zeros(200, int),
        features=np.random.default_rng(1).normal(size=(200, 8)),
    )
    found = controls(codes)
    assert not {"retrieval_map", "knn_accuracy", "precision_at_k"} & found.codes.keys()
    line = judge_random("Against random directions", found, {})
    assert (line.level, line.text) == ("note", "No labels that a code could know.")
