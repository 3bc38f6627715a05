"""Pairs against brute force and planted truth; nothing is found in codes that the attribute does not touch."""

import itertools

import numpy as np
import pytest

from codelab import Codes, DataError, UsageError, attribute_pairs, minimal_pairs


def planted(n=60, *, bits=12, seed=0, copies=1):
    """`n` things, each in three tones and `copies` copies: bit 0 is dark, bit 1 is 1 for half of the light ones."""
    rng = np.random.default_rng(seed)
    things, tones = np.repeat(np.arange(n), 3 * copies), np.tile(np.repeat(np.arange(3), copies), n)
    code = rng.integers(0, 2, (n, bits))[things]
    code[:, 0] = tones == 0
    code[:, 1] = (tones == 2) & (things % 2 == 0)
    items = {
        "tone": np.array(["dark", "mid", "light"])[tones],
        "thing": things,
        "size": np.tile([1, 2], len(things))[: len(things)],
    }
    return Codes.from_bits(code, labels=things % 4, items=items)


class TestMinimalPairs:
    def test_the_nearest_pair_is_that_of_all_pairs(self):
        bits = np.random.default_rng(1).integers(0, 2, (80, 16))
        found = minimal_pairs(Codes.from_bits(bits), 3, count=4)
        apart = {
            (a, b): int((bits[a] != bits[b]).sum()) - 1
            for a, b in itertools.product(np.flatnonzero(bits[:, 3] == 0), np.flatnonzero(bits[:, 3] == 1))
        }
        assert found.others[0] == min(apart.values())
        assert [apart[pair] for pair in zip(found.zero, found.one, strict=True)] == found.others.tolist()
        assert len({*found.zero, *found.one}) == 8
        assert found.others.tolist() == sorted(found.others)

    def test_random_pairs_differ_in_half_of_fair_coins(self):
        codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (500, 65)))
        assert minimal_pairs(codes, 0).random == pytest.approx(32, abs=1)

    def test_a_group_stands_in_one_pair(self):
        codes = planted()
        found = minimal_pairs(codes, 0, count=50, groups="thing")
        things = np.array(codes.items["thing"].to_pylist())
        pairs = list(zip(things[found.zero], things[found.one], strict=True))
        assert len({t for pair in pairs for t in set(pair)}) == sum(len(set(pair)) for pair in pairs)
        assert any(a == b for a, b in pairs)  # one thing in two tones is the best pair there is

    def test_items_and_their_pictures_are_not_copied(self, monkeypatch):
        codes = planted()
        expected = minimal_pairs(codes, 3)
        monkeypatch.setattr(Codes, "__getitem__", lambda *_: pytest.fail("items were copied"))
        assert minimal_pairs(codes, 3).others.tolist() == expected.others.tolist()

    def test_one_side_is_one_line(self):
        with pytest.raises(DataError, match="bit 0 is 1 in all 3 images, so no pair differs"):
            minimal_pairs(Codes.from_bits(np.ones((3, 2))), 0)
        with pytest.raises(UsageError, match="bit 9"):
            minimal_pairs(Codes.from_bits(np.eye(3)), 9)


class TestAttributePairs:
    def test_by_a_loop_over_pairs(self):
        codes = planted(20)
        found = attribute_pairs(codes, "tone", equal=(), groups="thing", permutations=20)
        bits, tones = codes.to_bits(), np.array(codes.items["tone"].to_pylist())
        things = np.array(codes.items["thing"].to_pylist())
        flips, at = np.zeros(codes.bits), {"dark": [], "mid": [], "light": []}
        for thing in range(20):
            rows = np.flatnonzero(things == thing)
            pairs = [(a, b) for a, b in itertools.combinations(rows, 2) if tones[a] != tones[b]]
            flips += np.mean([bits[a] != bits[b] for a, b in pairs], axis=0) / 20
            for row in rows:
                at[tones[row]].append(bits[row] - np.mean([bits[r] for r in rows if r != row], axis=0))
        assert found.flip_rate == pytest.approx(flips)
        for name, effect in zip(found.values, found.effects, strict=True):
            assert effect == pytest.approx(np.mean(at[name], axis=0))
        assert (found.sets, found.images) == (20, 60)

    def test_a_planted_bit_is_found_in_its_sense_and_the_rest_is_not(self):
        found = attribute_pairs(planted(copies=2), "tone", equal=(), groups="thing")
        assert (found.value[0], found.effect[0]) == ("dark", 1.0)
        assert (found.value[1], found.effect[1]) == ("light", 0.5)
        assert found.q_value[:2].max() < 0.05
        assert found.flip_rate[2:].max() == 0

    def test_selectivity_is_above_what_flips_for_other_attributes(self):
        rng = np.random.default_rng(0)
        things, tone, size = (v.ravel() for v in np.meshgrid(np.arange(40), [0, 1], [0, 1], indexing="ij"))
        code = np.stack([tone, size, tone ^ size, rng.integers(0, 2, 40)[things]], axis=1)
        items = {"tone": np.array(["a", "b"])[tone], "size": np.array(["s", "t"])[size], "thing": things}
        found = attribute_pairs(Codes.from_bits(code, items=items), "tone", groups="thing")
        assert found.equal == found.others == ("size",)
        assert found.selectivity.tolist() == [1, -1, 0, 0]

    def test_without_effect_five_in_a_hundred_are_found(self):
        p_values = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            things = np.repeat(np.arange(15), 4)
            code = (rng.random((15, 8)) < 0.5)[things] ^ (rng.random((60, 8)) < 0.2)
            items = {"tone": np.tile(["a", "b", "c", "c"], 15), "thing": things}
            found = attribute_pairs(
                Codes.from_bits(code, items=items), "tone", groups="thing", permutations=99, seed=seed
            )
            p_values.append(found.p_value)
        assert 0.02 < (np.concatenate(p_values) < 0.05).mean() < 0.09

    def test_what_cannot_be_is_one_line(self):
        codes = planted()
        with pytest.raises(UsageError, match="'tone' is the attribute that changes"):
            attribute_pairs(codes, "tone", equal=["tone"])
        with pytest.raises(UsageError, match="'hue'"):
            attribute_pairs(codes, "hue")
        with pytest.raises(DataError, match="no two images differ in thing and are equal in tone, the class"):
            attribute_pairs(codes, "thing", equal=["tone"], groups="thing")
        constant = Codes.from_bits(np.eye(30), items={"tone": ["dark"] * 30})
        with pytest.raises(DataError, match=r"^attribute_pairs: tone has 1 value, expected two or more$"):
            attribute_pairs(constant, "tone")
        named = Codes.from_bits(np.eye(30), items={"name": [f"image {i}" for i in range(30)]})
        with pytest.raises(
            DataError, match=r"^attribute_pairs: name has 30 values in 30 images, expected values that"
        ):
            attribute_pairs(named, "name")
