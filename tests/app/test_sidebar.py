"""The sidebar: which codes are open, by which labels and groups, and what is said where they cannot be."""

import numpy as np
import pyarrow as pa

from codelab.core.codes import Codes
from tests.support.explored import checked, opened, said, turn_to
from tests.support.pictured import shapes


class TestSidebar:
    def test_any_attribute_can_be_the_labels(self, path):
        app = opened(path)
        labels = app.selectbox(key="labels")
        assert labels.options == ["the file's own", "shade", "twin", "none"]
        checked(labels.set_value("shade").run())
        assert "bit 3 (" not in said(app)
        checked(app.selectbox(key="labels").set_value("none").run())
        assert "Not measured" in said(app)

    def test_the_address_carries_the_labels(self, path):
        assert opened(path, labels="shade").selectbox(key="labels").value == "shade"

    def test_what_holds_on_every_page_is_written_into_an_address_that_lacks_it(self, path):
        """As after a click on a link to another page, or a run that began before the browser had the last address."""
        app = opened(path, labels="shade", group="twin")
        for page in ("retrieval", "retrieval", "bits"):
            app.query_params.clear()
            turn_to(app, page)
            assert app.selectbox(key="labels").value == "shade"
            assert app.selectbox(key="group").value == "twin"
            kept = {name: app.query_params[name] for name in ("codes", "labels", "group")}
            assert kept == {"codes": str(path), "labels": "shade", "group": "twin"}

    def test_a_default_is_not_in_the_address(self, path):
        app = opened(path)
        checked(app.selectbox(key="labels").set_value("shade").run())
        checked(app.selectbox(key="group").set_value("twin").run())
        assert app.query_params["labels"] == "shade"
        checked(app.selectbox(key="labels").set_value("the file's own").run())
        assert "labels" not in app.query_params
        assert app.query_params["group"] == "twin"
        assert app.selectbox(key="labels").value == "the file's own"

    def test_columns_that_tell_no_images_apart_are_no_groups(self, path, tmp_path):
        assert opened(path).selectbox(key="group").options == ["none", "name", "shade", "twin"]
        items = pa.table({"emoji": ["a"] * 30, "pair": [f"{i // 2}" for i in range(30)], "list": [[1]] * 30})
        Codes.from_bits(np.eye(30), items=items).save(tmp_path / "c.parquet")
        app = opened(tmp_path / "c.parquet", group="emoji")
        assert app.selectbox(key="group").options == ["none", "pair"]
        assert app.selectbox(key="group").value == "none"

    def test_summary_and_attribution(self, tmp_path):
        codes = shapes()
        codes.meta["data"] = {"attribution": "Drawn by <b>Ann</b>"}
        codes.save(tmp_path / "codes.parquet")
        words = said(opened(tmp_path / "codes.parquet"))
        assert "**80 images · 12 bits**" in words
        assert "with logits, thumbnails" in words
        assert "Drawn by <b>Ann</b>" in words

    def test_another_file_with_fewer_bits_and_other_labels(self, path, tmp_path):
        Codes.from_bits(np.random.default_rng(0).integers(0, 2, (30, 5)), labels=["a", "b"] * 15).save(
            tmp_path / "small.parquet"
        )
        app = opened(path, "bit", bit="11", labels="shade")
        checked(app.text_input(key="codes").set_value(str(tmp_path / "small.parquet")).run())
        assert "30 images · 5 bits" in said(app)
        assert 0 <= app.number_input(key="bit").value < 5
        assert app.selectbox(key="labels").value == "the file's own"

    def test_a_file_written_anew_is_read_anew(self, tmp_path):
        shapes(40).save(tmp_path / "codes.parquet")
        app = opened(tmp_path / "codes.parquet")
        assert "40 images" in said(app)
        shapes(30).save(tmp_path / "codes.parquet")
        assert "30 images" in said(checked(app.run()))
