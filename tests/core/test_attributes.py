"""Groups of near copies are numbered in one way, whether they come as a column or as values."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from codelab import Codes, UsageError, bit_usage, retrieval_map
from codelab.core.attributes import check_groups, group_column, group_numbers


def test_equal_values_share_a_number_and_empty_ones_share_none():
    values = ["b", "a", None, "b", "", None, float("nan"), float("nan"), "a"]
    assert group_numbers(values).tolist() == [0, 1, 2, 0, 3, 4, 5, 6, 1]


def test_columns_and_arrays_are_numbered_alike():
    numbers = [5, 3, 5, 3, 9]
    for values in (numbers, np.array(numbers), pa.array(numbers), pa.chunked_array([numbers[:2], numbers[2:]])):
        found = group_numbers(values)
        assert found.tolist() == [0, 1, 0, 1, 2]
        assert found.dtype == np.int64


def test_a_column_by_name_and_what_cannot_be():
    codes = Codes.from_bits(np.eye(3), items={"kind": ["x", "y", "x"]})
    assert group_column(codes, "kind").tolist() == [0, 1, 0]
    assert group_column(codes, np.array([2, 2, 1])).tolist() == [0, 0, 1]
    with pytest.raises(UsageError, match="groups='sort': these codes have kind"):
        group_column(codes, "sort")
    with pytest.raises(UsageError, match="groups: found 2 values, expected one for each of 3 codes"):
        group_column(codes, ["a", "b"])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (5, "^groups=5: expected an item column, or one value an image$"),
        (np.array(3.0), r"^groups: found shape \[\], expected one value an image$"),
        (np.zeros((3, 2)), r"^groups: found shape \[3, 2\], expected one value an image$"),
        ([[1], [2], [1]], "^groups: row 0 is a list, expected one value an image$"),
        ({"a", "b", "c"}, "^groups: found a set, expected one value an image$"),
        (dict.fromkeys("abc"), "^groups: found a dict, expected one value an image$"),
        (pa.table({"a": [1, 2, 1]}), "^groups=Table: expected an item column, or one value an image$"),
    ],
)
def test_groups_that_are_no_values_of_images_are_one_line(groups, message):
    codes = Codes.from_bits(np.eye(3), [0, 1, 0])
    for measure in (bit_usage, retrieval_map):
        with pytest.raises(UsageError, match=message):
            measure(codes, groups=groups)


def test_no_groups_said_and_none_meant():
    codes = Codes.from_bits(np.eye(3), items={"kind": ["x", "y", "x"]})
    assert check_groups(codes, "kind") == "kind"
    assert check_groups(codes, np.array([7, 1, 7])).tolist() == [0, 1, 0]
    assert check_groups(codes, pd.Series([None, 1, 1], dtype="Int64")).tolist() == [0, 1, 1]
    assert check_groups(codes, None) is check_groups(codes, "none") is None
    with pytest.raises(UsageError, match="groups='sort': these codes have kind"):
        check_groups(codes, "sort")


def test_groups_as_a_tensor_are_those_of_the_array():
    torch = pytest.importorskip("torch")
    numbers = np.repeat(np.arange(20), 3)
    bits = np.random.default_rng(0).integers(0, 2, (20, 16)).repeat(3, axis=0)
    codes = Codes.from_bits(bits, labels=np.arange(20).repeat(3) % 2)
    assert group_numbers(torch.tensor(numbers)).tolist() == numbers.tolist()
    tensor = torch.tensor(numbers)
    np.testing.assert_array_equal(bit_usage(codes, groups=tensor).low, bit_usage(codes, groups=numbers).low)
    assert retrieval_map(codes, groups=tensor).value == retrieval_map(codes, groups=numbers).value


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "groups=3: expected an item column, or one value an image"),
        (np.zeros((3, 2)), r"groups: found shape \[3, 2\], expected one value an image"),
        ([[1], [1], [2]], "groups: row 0 is a list, expected one value an image"),
        (["a", "a", "a"], "groups: all 3 images have one value, expected 2 groups or more"),
        ("empty", "groups='empty': no image has a value there"),
        ("nan", "groups='nan': no image has a value there"),
        (pd.Series([None] * 3, dtype="Int64"), "groups: no image has a value there"),
    ],
)
def test_what_names_no_groups_is_refused_in_one_line(given, words):
    items = {"empty": ["", None, ""], "nan": [float("nan")] * 3}
    with pytest.raises(UsageError, match=f"^{words}$"):
        check_groups(Codes.from_bits(np.eye(3), items=items), given)
