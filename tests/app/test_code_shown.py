"""`Show the code`: the lines of every page run, and give what the page shows."""

import ast

import numpy as np
import pyarrow as pa
import pytest

from codelab.core.codes import Codes
from tests.support.explored import PAGES, every_card, opened, rows
from tests.support.pictured import shapes


def lines_of(app):
    """The Python lines under `Show the code`."""
    (lines,) = (block.value for block in app.code if block.language == "python")
    return lines


def run(lines):
    """The names that the lines leave, and the value of the last one."""
    tree = ast.parse(lines)
    names: dict = {}
    last = tree.body.pop()
    exec(compile(tree, "shown", "exec"), names)
    if isinstance(last, ast.Expr):
        return names, eval(compile(ast.Expression(last.value), "shown", "eval"), names)
    exec(compile(ast.Module([last], []), "shown", "exec"), names)
    return names, None


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Codes with near copies, some of which have no group, and with features."""
    path = tmp_path_factory.mktemp("shown") / "codes.parquet"
    codes = shapes(70)
    twins = pa.array([None if i > 60 else f"pair-{i // 4}" for i in range(70)])
    items = codes.items.set_column(codes.items.column_names.index("twin"), "twin", twins)
    features = np.random.default_rng(0).normal(size=(70, 6)).astype(np.float32)
    named = {"labels": codes.labels, "classes": codes.classes}
    Codes.from_logits(codes.logits, items=items, features=features, **named).save(path)
    return path


SEARCHES = (
    {"item": "item-7"},
    {"item": "item-7", "group": "twin"},
    {"item": "item-65", "group": "twin"},
    {"item": "item-7", "group": "twin", "rescore": "logits"},
    {"item": "item-7", "rescore": "features", "k": "12"},
    {"item": "item-7", "weights": "0:0 3:2.5"},
    {"source": "a code", "typed": "1*0"},
    {"source": "a code", "typed": "1*0", "weights": "0:3"},
    {"source": "a code", "typed": "f0f0", "rescore": "logits"},
)


@pytest.mark.parametrize("names", SEARCHES)
def test_the_lines_find_the_neighbours_of_the_page(path, names):
    app = opened(path, "retrieval", **names)
    _, found = run(lines_of(app))
    assert found[0].tolist() == rows(app, "near")[: len(found[0])]
    assert len(found[0]) == len(rows(app, "near"))


PARTS = ("images", "classes", "meaning", "related", "pairs", "retrieval", "name")
ADDRESSES = [(page, {}) for page in PAGES if page not in ("bit", "run", "retrieval", "overview")]
ADDRESSES += [("bit", {"bit": "3", "part": part}) for part in PARTS]


@pytest.mark.parametrize(("page", "names"), ADDRESSES)
@pytest.mark.parametrize("labels", ["shade", "none"])
def test_the_lines_of_a_page_run(path, tmp_path, monkeypatch, page, names, labels):
    monkeypatch.chdir(tmp_path)  # what is written is written there
    app = opened(path, page, **names, labels=labels, sel="where 3", **{"with": str(path)})
    if labels == "none" and (page == "classes" or names.get("part") == "classes"):
        return
    run(lines_of(app))


def test_the_lines_of_the_overview_say_what_its_tiles_say(path):
    app = opened(path)
    lines = lines_of(app).replace("analyze(codes,", "analyze(codes, sections=['bit_usage'],")
    names, _ = run(lines)
    figures = [line.figure for line in names["verdicts"](names["results"]) if line.figure]
    assert figures
    assert {f"### {figure}" for figure in figures} <= {one.value for one in app.markdown}


@pytest.mark.parametrize("k", ["12", "24", "48"])
def test_retrieval_shows_60_images_at_most(tmp_path, k):
    shapes(100, thumbnails=False).save(tmp_path / "c.parquet")
    assert len(every_card(opened(tmp_path / "c.parquet", "retrieval", k=k))) <= 60
