"""Every page on codes that lack something: it says what, and nothing breaks."""

import numpy as np
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from codelab.core.codes import Codes
from tests.support.explored import MAIN, PAGES, checked, gallery, opened, said, turn_to
from tests.support.pictured import shapes

NEW = {
    "classes": "Every class and bit",
    "image": "What is this image's code?",
    "map": "Trustworthiness",
    "query": "images",
    "compare": "Name other codes",
    "run": "No training run lies beside these codes",
}
"""Words of the pages that show the same for most codes."""


@pytest.mark.parametrize("page", PAGES)
class TestOddCodes:
    """Every page stands, and says what is missing."""

    def test_no_file_yet(self, tmp_path, monkeypatch, page):
        monkeypatch.chdir(tmp_path)
        app = AppTest.from_file(MAIN, default_timeout=100)
        checked(app.run())
        turn_to(app, page)
        assert "make demo" in said(app)
        assert "codelab export" in said(app)
        assert not app.error

    def test_wrong_files_in_one_line(self, tmp_path, page):
        (tmp_path / "cut.parquet").write_bytes(b"PAR1 and then nothing")
        (tmp_path / "notes.txt").write_text("hello")
        for name, words in {
            "none.parquet": "no codes in the explorer's folder",
            "cut.parquet": "not a whole Parquet file",
            "notes.txt": "expected a .parquet, .npy or .npz file",
        }.items():
            app = opened(tmp_path / name, page)
            assert len(app.error) == 1
            assert words in said(app)
            assert "\n" not in app.error[0].value
            assert "codelab export" in said(app)

    def test_unlabelled(self, tmp_path, page):
        codes = shapes()
        Codes(codes.packed, codes.bits, items=codes.items.select(["id", "thumbnail"])).save(tmp_path / "c.parquet")
        words = said(opened(tmp_path / "c.parquet", page))
        needed = NEW | {
            "classes": "Needs labels",
            "overview": "Not measured. Needs labels",
            "bits": "12 of 12 bits",
            "bit": "No logits were kept",
            "retrieval": "how many bits differ",
        }
        assert needed[page] in words

    def test_no_pictures(self, tmp_path, page):
        shapes(thumbnails=False, logits=False).save(tmp_path / "c.parquet")
        app = opened(tmp_path / "c.parquet", page)
        if page in ("bit", "retrieval"):
            key = "zero-3" if page == "bit" else "near"
            assert all(card["missing"] == "no picture kept" and not card["picture"] for card in gallery(app, key))
        if page == "bit":
            assert "No logits were kept" in said(app)
            assert "drawn at random (seed 0)" in said(app)

    def test_one_image(self, tmp_path, page):
        shapes(1).save(tmp_path / "c.parquet")
        words = said(opened(tmp_path / "c.parquet", page))
        needed = NEW | {"overview": "1 images", "bit": "No image on this side", "retrieval": "no other image"}
        needed |= {"classes": "None of 1 classes has 2 images", "map": "expected at least 31"}
        needed["bits"] = "No bit matches"  # none of them changes
        assert needed[page] in words

    def test_no_images(self, tmp_path, page):
        Codes(np.empty((0, 1), np.uint8), 8).save(tmp_path / "c.parquet")
        words = said(opened(tmp_path / "c.parquet", page))
        needed = {"classes": "Needs labels", "compare": NEW["compare"], "run": NEW["run"], "query": "Type a formula"}
        assert needed.get(page, "no codes in this set") in words

    def test_all_bits_dead(self, tmp_path, page):
        Codes.from_bits(np.zeros((30, 9)), labels=["a", "b", "c"] * 10).save(tmp_path / "c.parquet")
        words = said(opened(tmp_path / "c.parquet", page))
        needed = NEW | {"overview": "9 bits never change", "bit": "dead", "retrieval": "The 24 nearest of 29"}
        needed |= {"map": "expected at least 31"}
        needed["bits"] = "No bit matches"
        assert needed[page] in words

    def test_several_labels_an_image(self, tmp_path, page):
        codes = shapes()
        labels = np.stack([codes.labels == 0, codes.labels == 1, np.arange(len(codes)) % 3 == 0], axis=1)
        names = ("bar", "disc", "third")
        many = Codes(codes.packed, codes.bits, labels=labels, classes=names, items=codes.items, logits=codes.logits)
        many.save(tmp_path / "c.parquet")
        app = opened(tmp_path / "c.parquet", page)
        if page == "retrieval":
            mine = set(np.flatnonzero(labels[0]))
            for card in gallery(app, "near"):
                shared = mine & set(np.flatnonzero(labels[card["row"]]))
                assert card["note"].endswith("✓" if shared else "✗")
        elif page == "bit":
            assert "Within one class" in said(app)
        elif page == "overview":
            assert "Class in distances" in said(app)

    def test_names_are_data_and_not_markup(self, tmp_path, page):
        wild = ["<script>alert(1)</script>", "*bold* $x$ [a](b) :red[c]"]
        items = pa.table({"id": [f"<b>{i}</b>" for i in range(40)]})
        codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (40, 9)), labels=wild * 20, items=items)
        codes.save(tmp_path / "c.parquet")
        app = opened(tmp_path / "c.parquet", page)
        assert not any(element.allow_html for element in app.markdown)
        if page == "retrieval":
            assert f"class: {wild[0]}" in said(app)
            assert gallery(app, "near")[0]["caption"].startswith("<b>")

    def test_numpy_files_and_folders(self, tmp_path, page):
        np.save(tmp_path / "codes.npy", np.random.default_rng(0).integers(0, 2, (50, 10)))
        assert "50 images · 10 bits" in said(opened(tmp_path / "codes.npy", page))
        (tmp_path / "parts").mkdir()
        for number in range(2):
            shapes(20, seed=number).save(tmp_path / "parts" / f"{number}.parquet")
        assert "40 images · 12 bits" in said(opened(tmp_path / "parts", page))
