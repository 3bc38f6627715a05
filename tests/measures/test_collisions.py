"""Items that share a code, and whose class is known."""

import numpy as np

from codelab import Codes, collisions


def test_an_item_without_any_label_is_in_no_pair_of_classes():
    bits = np.zeros((5, 4))
    tags = np.array([[1, 0], [1, 0], [0, 1], [0, 0], [0, 0]], bool)
    found = collisions(Codes.from_bits(bits, labels=tags))
    single = collisions(Codes.from_bits(bits, labels=[0, 0, 1, -1, -1]))
    assert (found.pairs, found.pairs_within, found.pairs_across) == (10, 1, 2)
    assert (single.pairs, single.pairs_within, single.pairs_across) == (10, 1, 2)
