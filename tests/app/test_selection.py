"""Queries, lassos and the map: one selection for all pages, held by the address."""

import json
from base64 import b64decode
from types import SimpleNamespace

import numpy as np
import pytest

from app.drawn import polygons_of, select_drawn, with_drawn
from app.screens.map import COLOURS, _colours
from app.selection import Lassos, lassos
from codelab import describe, project
from codelab.core.codes import Codes
from codelab.core.drawing import GREY
from codelab.core.errors import UsageError
from codelab.neighbours.lasso import inside_polygon
from tests.support.explored import checked, opened, press, rows, said, turn_to
from tests.support.pictured import shapes

SQUARE = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], dtype=float)


@pytest.fixture(scope="module")
def codes():
    return shapes(120)


@pytest.fixture(scope="module")
def path(codes, tmp_path_factory):
    path = tmp_path_factory.mktemp("selection") / "codes.parquet"
    codes.save(path)
    return path


class TestLassos:
    def test_text_and_back(self):
        drawn = Lassos("umap", 3, ((1, SQUARE), (-1, SQUARE / 3 - 1e-6)))
        again = lassos(drawn.text())
        assert (again.method, again.seed, [sign for sign, _ in again.parts]) == ("umap", 3, [1, -1])
        for (_, a), (_, b) in zip(drawn.parts, again.parts, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)

    def test_later_lassos_add_and_subtract(self):
        points = np.array([[1, 1], [0.2, 0.2], [3, 3], [9, 9]])
        one, two = SQUARE, SQUARE + 2
        assert Lassos("umap", 0, ((1, one), (1, two))).of(points).tolist() == [True, True, True, False]
        assert Lassos("umap", 0, ((1, one), (-1, SQUARE / 4))).of(points).tolist() == [True, False, False, False]
        assert Lassos("umap", 0, ((-1, one),)).of(points).tolist() == [False, False, True, True]

    @pytest.mark.parametrize(
        "text",
        [
            *("lasso", "lasso umap", "lasso umap 0", "lasso pca 0 +(0,0 1,0 1,1)", "lasso umap -1 +(0,0 1,0 1,1)"),
            *(
                "lasso umap 0 0,0 1,0",
                "lasso umap 0 +0,0 1",
                "lasso umap 0 +a,b c,d e,f",
                "lasso umap 0 +1e,1 2,2 3,3",
            ),
            "lasso umap 9999999999 +0,0 1,0 1,1",
        ],
    )
    def test_what_is_none_is_refused(self, text):
        try:
            found = lassos(text)
        except UsageError:
            return
        assert found is None  # "lasso" alone is no selection of lassos; `selected` refuses it

    def test_what_a_person_draws(self, codes):
        found = project(codes, seed=0)
        drawn = {"lasso": [{"x": [0, 1, 1], "y": [0, 0, 1]}], "box": [{"x": [0, 2], "y": [5, 6]}]}
        polygons = polygons_of(drawn)
        assert [len(polygon) for polygon in polygons] == [3, 4]
        assert with_drawn(polygons, found, "New").text().startswith("lasso umap 0 +(0,0 1,0 1,1) +(0,5 2,5 2,6 0,6)")
        assert with_drawn(polygons[:1], found, "Subtract").parts[0][0] == -1


class TestQuery:
    def test_an_empty_page_says_how(self, path):
        assert "Type a formula" in said(opened(path, "query"))

    def test_a_formula_selects_and_is_described(self, path, codes):
        app = opened(path, "query", sel="where 3 & ~5")
        bits = codes.to_bits().astype(bool)
        chosen = bits[:, 3] & ~bits[:, 5]
        assert f"**{chosen.sum()} of 120 images**" in said(app)
        assert chosen[rows(app, "selected")].all()
        found = describe(codes, chosen)
        assert found.formula in [block.value for block in app.code]
        assert f"IoU **{found.iou:.2f}**" in said(app)
        mix = next(frame.value for frame in app.dataframe if "everywhere" in frame.value)
        assert mix["selected"].sum() == chosen.sum()
        assert mix["of"].sum() == 120

    def test_typing_changes_the_address_and_escape_clears_it(self, path):
        app = opened(path, "query")
        checked(app.text_input(key="query").set_value("0 | 1").run())
        assert app.query_params["sel"] == "where 0 | 1"
        press(app, "Clear")
        assert "sel" not in app.query_params
        assert "Type a formula" in said(app)

    @pytest.mark.parametrize("words", ["where 3 &", "where 99", "where nobody", "nonsense", "lasso umap 0 +(1,1)"])
    def test_a_wrong_selection_is_one_line(self, path, words):
        for page in ("query", "map"):
            app = opened(path, page, sel=words)
            assert len(app.error) == 1
            assert "\n" not in app.error[0].value

    def test_nothing_selected(self, path):
        assert "No image is selected" in said(opened(path, "query", sel="where 0 & ~0"))

    def test_names_of_bits(self, tmp_path, codes):
        from codelab import score_name, write_ledger

        codes.save(tmp_path / "codes.parquet")
        write_ledger(tmp_path / "codes.names.json", [score_name(codes, 3, "class = disc")])
        app = opened(tmp_path / "codes.parquet", "query", sel='where "class = disc"')
        assert f"**{int((codes.labels == codes.classes.index('disc')).sum())} of 120 images**" in said(app)


class TestMap:
    def test_a_map_stands_beside_its_control(self, path, codes):
        app = opened(path, "map")
        found = project(codes, seed=0)
        assert (
            f"Trustworthiness {found.trustworthiness:.3f}, of the control {found.control_trustworthiness:.3f}"
            in said(app)
        )
        assert {e.key for e in app.get("plotly_chart")} == {"map-umap-0", "control-umap-0"}

    def test_a_selection_changes_no_colour_of_the_largest(self):
        assert _colours(np.array([3, 9, 0]), np.arange(6)) == {3: COLOURS[3], 9: COLOURS[1], 0: COLOURS[0]}
        assert _colours(np.array([1, 0]), np.array([0, 1])) == {1: COLOURS[1], 0: COLOURS[0]}

    def test_the_line_that_one_draws_shows_on_a_dark_page(self, path):
        app = opened(path, "map")
        figure = json.loads(next(e for e in app.get("plotly_chart") if e.key == "map-umap-0").proto.spec)
        assert figure["layout"]["newselection"]["line"]["color"] == GREY

    def test_where_points_are_left_out_a_raster_counts_all(self, path, codes, monkeypatch):
        monkeypatch.setattr("app.screens.map.MOST", 50)
        app = opened(path, "map")
        assert "50 of 120 points are drawn; grey shows where all lie" in said(app)
        figure = json.loads(next(e for e in app.get("plotly_chart") if e.key == "map-umap-0").proto.spec)
        *points, raster = figure["data"]
        assert sum(len(b64decode(trace["x"]["bdata"])) // 4 for trace in points) == 50
        lit = np.frombuffer(b64decode(raster["z"]["bdata"]), np.uint8).reshape(200, 200) > 0
        xy = project(codes, seed=0).coordinates
        cell = (199.999 * (xy - xy.min(0)) / np.ptp(xy, axis=0)).astype(int)
        assert abs(lit.sum() - len(np.unique(cell, axis=0))) <= 2  # a point at a border may round to either side
        assert lit[cell[:, 1], cell[:, 0]].mean() > 0.95

    def test_a_lasso_of_the_address_selects_on_every_page(self, path, codes):
        found = project(codes, seed=0)
        low, middle = found.coordinates.min(0) - 1, np.median(found.coordinates, axis=0)
        corners = np.array([[low[0], low[1]], [middle[0], low[1]], [middle[0], low[1] + 99], [low[0], low[1] + 99]])
        text = Lassos("umap", 0, ((1, corners),)).text()
        inner = inside_polygon(found.coordinates, lassos(text).parts[0][1])
        assert 0 < inner.sum() < 120
        app = opened(path, "map", sel=text)
        assert f"**{inner.sum()} of 120 images**: 1 lasso on the map by umap" in said(app)
        for colour in ("shade", "a bit", "nothing"):
            opened(path, "map", sel=text, colour=colour)
        turn_to(app, "query")
        assert f"**{inner.sum()} of 120 images**" in said(app)

    def test_too_few_codes_are_one_line(self, tmp_path):
        shapes(20).save(tmp_path / "few.parquet")
        assert "found 20 codes, expected at least 31" in said(opened(tmp_path / "few.parquet", "map")).lower()
        Codes.from_bits(np.ones((50, 8))).save(tmp_path / "same.parquet")
        assert "different codes" in said(opened(tmp_path / "same.parquet", "map"))


def drawn_by_hand(n):
    """Lassos as a hand draws them: many corners, none of them round."""
    draw, angle = np.random.default_rng(0), np.linspace(0, 2 * np.pi, 200, endpoint=False)
    far = 1 + 0.25 * np.sin(3 * angle) + 0.03 * draw.normal(size=(n, 200))
    centres = 5 * draw.normal(size=(n, 2))
    return [
        {"x": (x + r * np.cos(angle)).tolist(), "y": (y + r * np.sin(angle)).tolist()}
        for r, (x, y) in zip(far, centres, strict=True)
    ]


def test_many_lassos_fit_and_one_too_many_leaves_the_others(monkeypatch):
    state = {}
    monkeypatch.setattr(
        "app.drawn.st", SimpleNamespace(session_state=state, toast=lambda *_, **__: state.update(full=1))
    )
    monkeypatch.setattr("app.drawn.held", lambda key: "shift")
    monkeypatch.setattr("app.drawn.select", lambda text: state.update(text=text))
    monkeypatch.setattr("app.drawn.selected_text", lambda: state.get("text", ""))
    found = SimpleNamespace(method="umap", seed=0)
    counts = []
    for lasso in drawn_by_hand(90):
        state["map"] = SimpleNamespace(selection={"lasso": [lasso]})
        select_drawn("map", found, "New")
        counts.append(len(lassos(state["text"]).parts))
    assert counts[:50] == list(range(1, 51))
    assert state["full"]
    assert counts[-1] == max(counts) < 90
