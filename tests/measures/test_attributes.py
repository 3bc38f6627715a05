"""Information about any column, alone and given another."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from codelab.core.attributes import attribute_names, labelling, same_partition
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.attribute_information import attribute_information
from codelab.measures.attribute_reuse import attribute_reuse
from codelab.measures.class_information import class_information
from codelab.measures.joint_information import joint_information
from codelab.statistics.counts import StrataCounts, total
from tests.support import synthetic


@pytest.fixture
def people():
    """Bit 0 reads the sex within kind 0 and 1, bit 1 the kind, bit 2 is noise; kind and sex go together."""
    generator = np.random.default_rng(5)
    kind = generator.integers(0, 3, 3000)
    sex = generator.random(3000) < np.array([0.2, 0.5, 0.8])[kind]
    bits = np.stack([sex & (kind < 2), kind == 2, generator.integers(0, 2, 3000)], axis=1)
    size = generator.normal(size=3000) + bits[:, 0]
    size[:7] = np.nan
    return Codes.from_bits(bits, kind, items={"sex": np.where(sex, "f", "m"), "size": size})


def test_conditional_information_is_the_weighted_sum_over_strata(people):
    found = attribute_information(people, "sex", given="class")
    sex = labelling(people, "sex").labels
    for bit in range(3):
        column = people.to_bits()[:, bit]
        expected = sum(
            (people.labels == c).mean() * mutual_info_score(sex[people.labels == c], column[people.labels == c])
            for c in range(3)
        )
        assert found.plugin[bit] == pytest.approx(expected / np.log(2))
    assert (found.of, found.given) == ("sex", "class")


def test_what_follows_from_the_class_alone_goes_when_the_class_is_given(people):
    alone, given = attribute_information(people, "sex"), attribute_information(people, "sex", given="class")
    assert alone.q_value[1] < 1e-6  # the kind says something about the sex
    assert given.information[1] == 0
    assert given.p_value[1] == 1
    assert given.information[0] > 0.4
    assert given.q_value[2] > 0.05


def test_numbers_go_into_stated_bins(people):
    found = attribute_information(people, "size", bins=5)
    assert found.of == "size in 5 quantile bins"
    assert (found.n, found.classes) == (2993, 5)
    assert found.q_value[0] < 1e-6
    assert found.q_value[2] > 0.05


def test_a_column_of_few_whole_numbers_is_no_measurement():
    codes = Codes.from_bits(np.eye(6), items={"count": [1, 2, 3, 1, 2, 3], "long": list(range(6)), "same": [1.5] * 6})
    assert labelling(codes, "count").text == "count"
    many = Codes.from_bits(np.eye(50), items={"long": np.arange(50)})
    assert labelling(many, "long").text == "long in 8 quantile bins"
    assert np.bincount(labelling(many, "long", bins=10).labels).tolist() == [5] * 10
    with pytest.raises(DataError, match=r"all labels are '1.5'"):
        attribute_information(codes, "same")


def test_strata_add_up(people):
    sex, kind = labelling(people, "sex"), labelling(people, "class")
    halves = [slice(0, 1300), slice(1300, 3000)]

    def part(rows):
        cut = [type(x)(x.labels[rows], x.names, x.text) for x in (sex, kind)]
        return StrataCounts.of(people[rows], *cut)

    summed = attribute_information(total(part(rows) for rows in halves), "sex", given="class")
    whole = attribute_information(people, "sex", given="class")
    assert np.array_equal(summed.p_value, whole.p_value)


def test_false_positives_given_the_class_stay_near_five_percent():
    generator = np.random.default_rng(0)
    p_values = []
    for seed in range(200):
        kind = generator.integers(0, 4, 120)
        sex = generator.random(120) < np.array([0.1, 0.4, 0.6, 0.9])[kind]
        bits = generator.random((120, 10)) < np.array([0.8, 0.6, 0.4, 0.2])[kind][:, None]
        codes = Codes.from_bits(bits, kind, items={"sex": sex.astype(str)})
        p_values.append(attribute_information(codes, "sex", given="class", permutations=100, seed=seed).p_value)
    assert 0.03 < (np.concatenate(p_values) < 0.05).mean() < 0.07


def test_multilabel_information_and_its_false_positives():
    generator = np.random.default_rng(1)
    p_values = []
    for _ in range(200):
        labels = generator.random((150, 6)) < [0.5, 0.3, 0.2, 0.1, 0.5, 0.3]
        labels[:, 4] |= labels[:, 0]  # labels that go together
        noise = generator.integers(0, 2, (150, 10))
        p_values.append(class_information(Codes.from_bits(noise, labels)).p_value)
    rate = (np.concatenate(p_values) < 0.05).mean()
    assert 0.02 < rate < 0.06  # Simes is on the safe side
    codes = Codes.from_bits(np.concatenate([labels[:, 1:2], noise], axis=1), labels)
    found = class_information(codes)
    assert found.multilabel
    assert found.q_value[0] < 1e-6
    entropy = -np.mean(labels[:, 1]) * np.log2(labels[:, 1].mean()) - np.mean(~labels[:, 1]) * np.log2(
        1 - labels[:, 1].mean()
    )
    assert found.plugin[0] >= entropy - 1e-9
    assert found.information[1:].mean() == pytest.approx(0, abs=0.02)


def test_bad_columns_are_refused(people):
    with pytest.raises(UsageError, match="'colour': these codes have sex, size"):
        attribute_information(people, "colour")
    with pytest.raises(UsageError, match="bins 1: expected at least 2"):
        attribute_information(people, "size", bins=1)
    with pytest.raises(DataError, match="sex has one value only within each value of sex"):
        attribute_information(people, "sex", given="sex")
    unlabelled = Codes.from_bits(people.to_bits(), items=people.items)
    with pytest.raises(DataError, match="no image has both a value of class and one of sex"):
        attribute_information(unlabelled, "class", given="sex")
    with pytest.raises(DataError, match="found multi-label data"):
        attribute_information(Codes.from_bits(np.eye(3), np.eye(3, dtype=bool)))
    assert synthetic.fair_bits(3, 2).attributes == []


def test_a_column_that_parts_the_images_as_the_class_does_is_the_class_again():
    kind = np.arange(300) % 3
    names = np.array(["owl", "cat", "dog"])[kind]  # sorted, their numbers are not those of the class
    gaps = np.where(np.arange(300) % 30 == 0, None, names)
    items = {"names": names, "gaps": gaps, "tone": (np.arange(300) % 2).astype(str)}
    assert attribute_names(Codes.from_bits(np.ones((300, 1)), kind, items=items)) == ["tone"]
    few = np.where(np.arange(300) < 200, kind, -1)
    assert same_partition(few, kind)
    assert not same_partition(few, np.where(np.arange(300) < 110, -1, kind + (kind == 1)))
    assert not same_partition(np.where(np.arange(300) < 200, 0, -1), np.where(np.arange(300) < 200, 1, 0))


def test_a_column_named_class_does_not_replace_the_labels():
    generator = np.random.default_rng(0)
    kind, other = generator.integers(0, 2, 2000), generator.integers(0, 4, 2000)
    bits = np.stack([kind, other % 2, other // 2], axis=1)
    items = {"class": np.array(list("abcd"))[other], "tone": (kind ^ (generator.random(2000) < 0.1)).astype(str)}
    codes = Codes.from_bits(bits, kind, items=items)
    assert labelling(codes).labels.tolist() == kind.tolist()
    assert attribute_names(Codes.from_bits(bits, other // 2, items=items)) == ["tone"]
    assert joint_information(codes, 1, permutations=5).bits.tolist() == [0]
    assert attribute_reuse(codes, "tone", permutations=5).within == pytest.approx([0, 0, 0], abs=0.01)
    assert labelling(Codes.from_bits(bits, items=items)).names == ("a", "b", "c", "d")
