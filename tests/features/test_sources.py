"""Where features come from: the order of parts, and arrays that cannot be read."""

import numpy as np
import pytest
import torch

from codelab import Codes, DataError
from codelab.features.sources import open_features


def test_parts_are_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        Codes.from_bits(np.eye(1), features=np.full((1, 2), number)).save(tmp_path / f"part-{number}.parquet")
    blocks = [block for _, block in open_features(tmp_path).blocks(8)]
    assert np.concatenate(blocks)[:, 0].tolist() == [1, 2, 10]


def test_an_array_that_cannot_be_read_is_one_line():
    with pytest.raises(DataError, match=r"features: found Tensor that is no array .*requires grad"):
        open_features(torch.ones(2, 2, requires_grad=True))
    with pytest.raises(DataError, match="features: found list that is no array"):
        open_features([[1.0], [1.0, 2.0]])
