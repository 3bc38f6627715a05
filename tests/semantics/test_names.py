"""Names that hold on other images, names that do not, the ledger, and queries by name."""

import json

import numpy as np
import pytest

import codelab
from codelab import Codes, DataError, UsageError, align_attributes, name_bits, read_ledger, score_name, write_ledger


def planted(n=500, seed=0):
    """Bit 0 is light, bit 1 round in 9 of 10, the rest coins; features in which light is a direction."""
    rng = np.random.default_rng(seed)
    tone, shape = rng.integers(0, 2, n), rng.integers(0, 2, n)
    bits = rng.integers(0, 2, (n, 8))
    bits[:, 0], bits[:, 1] = tone, np.where(rng.random(n) < 0.1, 1 - shape, shape)
    items = {"tone": np.array(["dark", "light"])[tone], "shape": np.array(["round", "square"])[shape]}
    features = rng.normal(size=(n, 12)).astype(np.float32)
    return Codes.from_bits(bits, items=items, features=features)


def test_planted_names_are_tested_and_coins_stay_unnamed():
    codes = planted()
    found = name_bits(codes)
    assert [one.state for one in found.names] == ["tested"] * 2 + ["rejected"] * 6
    assert {one.name.split(" = ")[0] for one in found.names[:2]} == {"tone", "shape"}
    assert set(found.bits.values()) == {0, 1}
    for one in found.names[:2]:
        assert one.iou > one.constant_iou
        assert one.phi > one.random_phi
    aligned = align_attributes(codes)
    assert [one.phi for one in found.names] == aligned.phi.tolist()


def test_a_name_that_every_image_has_does_not_win():
    """A bit that is 1 in 95 of 100 images agrees with a name of 95 of 100 by IoU alone."""
    rng = np.random.default_rng(0)
    bits = rng.random((400, 3)) < 0.95
    found = name_bits(Codes.from_bits(bits, items={"seen": np.where(rng.random(400) < 0.95, "yes", "no")}))
    assert all(one.state == "rejected" for one in found.names)
    assert found.bits == {}


def test_what_any_direction_reads_is_no_name():
    """The features are the tone and little else: a random direction reads it as well as the bit."""
    rng = np.random.default_rng(0)
    tone = rng.integers(0, 2, 400)
    features = np.column_stack([10 * tone, 0.1 * rng.normal(size=(400, 3))]).astype(np.float32)
    bits = np.where(rng.random((400, 1)) < 0.2, 1 - tone[:, None], tone[:, None])
    items = {"tone": np.array(["dark", "light"])[tone]}
    assert name_bits(Codes.from_bits(bits, items=items, features=features)).names[0].state == "rejected"
    assert name_bits(Codes.from_bits(bits, items=items)).names[0].state == "tested"


def test_names_of_a_model():
    codes = planted()
    score = codes.to_bits()[:, 5] + np.random.default_rng(1).normal(size=500) / 10

    def propose(given):
        assert given is codes
        return {"a striped thing": score, "a thing": np.ones(500, bool)}

    found = name_bits(codes, (), propose=propose)
    assert (found.names[5].name, found.names[5].state) == ("a striped thing", "tested")
    with pytest.raises(UsageError, match="'x' has shape \\[3\\], expected \\[500\\]"):
        name_bits(codes, propose=lambda _: {"x": np.ones(3)})
    with pytest.raises(DataError, match="no names to choose from"):
        name_bits(codes, ())


def test_queries_by_name():
    codes = planted()
    names = {"tone = light": 0, "round": 1}
    assert codes.where('"tone = light" & ~round', names) == codes.where("0 & ~1")
    assert codes.where("round | 3", names) == codes.where("1 | 3")
    with pytest.raises(UsageError, match="no bit is named 'rond', the nearest name is 'round'"):
        codes.where("rond", names)
    with pytest.raises(UsageError, match="no bit is named 'round', and no names are given"):
        codes.where("round")


def test_the_ledger_keeps_what_it_has(tmp_path):
    path = tmp_path / "codes.names.json"
    assert read_ledger(path) == ()
    names = name_bits(planted(100), author="Ada").names
    write_ledger(path, names[:2])
    write_ledger(path, names[2:3])
    kept = read_ledger(path)
    assert [one.bit for one in kept] == [0, 1, 2]
    assert kept[0] == names[0]
    assert kept[0].author == "Ada"
    assert np.isnan(read_ledger_of(tmp_path, random_phi=None)[0].random_phi)


def read_ledger_of(folder, **changes):
    path = folder / "one.json"
    row = {
        "bit": 1, "name": "x", "side": 1, "state": "guess", "phi": 0.1, "iou": 0.1, "constant_iou": 0.1,
        "random_phi": 0.1, "p_value": 0.1, "author": "a", "date": "2026-01-01", "codes_sha256": "",
    }  # fmt: skip
    path.write_text(json.dumps({"names": [row | changes]}))
    return codelab.read_ledger(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"names": 3}', '{"names": [{"bit": 1}]}', "[" * 100_000])
def test_what_is_no_ledger_is_one_line(text, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(DataError, match="not a ledger of names"):
        read_ledger(path)
    with pytest.raises(DataError, match="state 'sure', expected guess, tested, rejected"):
        read_ledger_of(tmp_path, state="sure")


def test_names_of_groups_of_classes():
    """A bit that says pet or not gets that name, as in `align_attributes`, and a person's guess of it is scored."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 600)
    bits = np.column_stack([labels % 2, rng.integers(0, 2, (600, 3))])
    codes = Codes.from_bits(bits, labels, ("ant", "cat", "bee", "dog"))
    groups = {"cat": "pet", "dog": "pet", "ant": "insect"}
    found = name_bits(codes, class_groups=groups).names[0]
    assert (found.name, found.side, found.state) == ("class group = pet", 1, "tested")
    assert name_bits(codes, (), class_groups=groups).names[0].name == "class group = pet"
    assert name_bits(codes).names[0].name.startswith("class = ")
    assert score_name(codes, 0, "class group = pet", class_groups=groups).state == "tested"
    with pytest.raises(UsageError, match="class_groups: 'cow' is no class"):
        name_bits(codes, class_groups={"cow": "pet"})
