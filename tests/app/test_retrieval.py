"""The page Retrieval, run without a browser: an item, an uploaded image, and what lies near."""

import shutil

import numpy as np
import pytest

from codelab.core.codes import Codes
from codelab.core.files import load
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.neighbours.search import search
from codelab.retrieval.measures import retrieval_map
from tests.support.explored import checked, gallery, opened, press, rows, said, table_with
from tests.support.pictured import exported, shapes


class TestRetrieval:
    def test_neighbours_are_those_of_search(self, path, codes):
        app = opened(path, "retrieval", item="item-4")
        others = np.delete(np.arange(len(codes)), 4)
        found = search(codes[others], codes[[4]], k=24)
        assert rows(app, "near") == others[found.indices[0]].tolist()
        same = codes.labels[rows(app, "near")] == codes.labels[4]
        signs = [f"{d} {'✓' if s else '✗'}" for d, s in zip(found.distances[0], same, strict=True)]
        assert [card["note"] for card in gallery(app, "near")] == signs
        assert f"The 24 nearest of {len(codes) - 1}" in said(app)

    def test_average_precision_with_its_range_of_ties(self, path, codes):
        app = opened(path, "retrieval", item="item-4")
        others = codes[np.delete(np.arange(len(codes)), 4)]
        expected, low, high = (
            retrieval_map(codes[[4]], others, ties=ties).value for ties in ("expected", "pessimistic", "optimistic")
        )
        assert f"### {expected:.3f}" in said(app)
        assert f"{low:.3f} to {high:.3f} as ties fall" in said(app)

    def test_lists_the_bits_that_differ(self, path, codes):
        app = opened(path, "retrieval", item="item-4")
        table = table_with(app, "differing bits")
        bits = codes.to_bits()
        for place, row in enumerate(rows(app, "near")):
            differing = " ".join(map(str, np.flatnonzero(bits[4] != bits[row]))) or "none"
            assert table["differing bits"][place] == differing
            assert table["distance"][place] == (bits[4] != bits[row]).sum()

    def test_the_code_stands_in_lines_of_16(self, tmp_path):
        codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (30, 40)))
        codes.save(tmp_path / "codes.parquet")
        app = opened(tmp_path / "codes.parquet", "retrieval")
        bits, hexadecimal = (block.value.split("\n") for block in app.code[:2])
        assert [len(line) for line in bits] == [16, 16, 8]
        assert "".join(bits) == codes.code(0).to01()
        assert "".join(hexadecimal) == codes.packed[0].tobytes().hex()

    def test_same_group_is_left_out_until_asked_for(self, path):
        app = opened(path, "retrieval", item="item-4", group="twin")
        assert "The 24 nearest of 78" in said(app)
        checked(app.toggle(key="leave_out").set_value(False).run())
        assert "The 24 nearest of 79" in said(app)

    def test_random_and_unknown_items(self, path):
        app = opened(path, "retrieval", item="nobody")
        assert "No image has the id 'nobody'" in said(app)
        press(app, "Random")
        assert app.text_input(key="item").value.startswith("item-")
        assert "as ties fall" in said(app)

    def test_a_class_to_choose_from(self, path, codes):
        app = opened(path, "retrieval")
        checked(app.selectbox(key="choose_class").set_value("disc").run())
        assert set(codes.labels[rows(app, "choose")]) == {1}
        before = rows(app, "choose")
        press(app, "Others")
        assert rows(app, "choose") != before


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Codes with the encoder that made them beside them."""
    return exported(tmp_path_factory.mktemp("upload"))


class TestUpload:
    def upload(self, path, name, data):
        app = opened(path, "retrieval")
        checked(app.button_group(key="source").set_value("an image of yours").run())
        return checked(app.file_uploader(key="upload").upload(name, data, "image/png").run())

    def test_an_image_of_the_set_finds_what_its_own_code_finds(self, made):
        picture = made.parent / "pictures" / "disc" / "7.png"
        app = self.upload(made, "mine.png", picture.read_bytes())
        codes = load(made)
        row = codes.items["id"].to_pylist().index("disc/7.png")
        found = search(codes, codes[[row]], k=24)
        assert rows(app, "near") == found.indices[0].tolist()
        assert [card["note"].strip() for card in gallery(app, "near")] == [str(d) for d in found.distances[0]]
        assert table_with(app, "differing bits")["differing bits"][0] == "none"

    def test_shows_the_code_of_the_image(self, made):
        picture = made.parent / "pictures" / "disc" / "7.png"
        app = self.upload(made, "mine.png", picture.read_bytes())
        codes = load(made)
        own = codes[[codes.items["id"].to_pylist().index("disc/7.png")]]
        bits, hexadecimal = (block.value for block in app.code[:2])
        assert bits == "".join(map(str, own.to_bits()[0].astype(int)))  # 16 bits: one line
        assert hexadecimal == own.packed.tobytes().hex()

    def test_a_file_that_is_no_image(self, made):
        app = self.upload(made, "mine.png", b"nothing")
        assert app.error[0].value.startswith("mine")
        assert "not a readable image" in said(app)

    def test_without_a_checkpoint_it_says_why(self, path):
        app = opened(path, "retrieval")
        checked(app.button_group(key="source").set_value("an image of yours").run())
        assert app.file_uploader(key="upload").disabled
        assert "put its checkpoint beside them" in said(app)

    def test_another_encoder_is_refused(self, made, tmp_path):
        codes = shapes(bits=16)
        codes.meta["encoder"] = {"sha256": "0" * 64}
        codes.save(tmp_path / "codes.parquet")
        shutil.copy(made.parent / "encoder.safetensors", tmp_path)
        app = opened(tmp_path / "codes.parquet", "retrieval")
        checked(app.button_group(key="source").set_value("an image of yours").run())
        assert "is not the encoder that made these codes" in said(app)

    def test_an_encoder_of_other_width_is_refused(self, path, tmp_path):
        shutil.copy(path, tmp_path / "codes.parquet")
        Encoder(EncoderConfig(bits=5, image_size=16, width=4, hidden=16)).save(tmp_path / "encoder.safetensors")
        app = opened(tmp_path / "codes.parquet", "retrieval")
        checked(app.button_group(key="source").set_value("an image of yours").run())
        assert "gives 5 bits; these codes have 12" in said(app)
