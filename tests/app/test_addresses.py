"""Addresses reopen what was seen."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import ready
from tests.support.explored import checked, opened, rows, said
from tests.support.pictured import exported, shapes


@pytest.fixture
def page(browser):
    expect.set_options(timeout=60_000)
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    yield page
    page.close()


def test_the_overview_has_its_name_as_an_address(page, explorer):
    page.goto(f"{explorer}/overview?labels=shade")
    expect(page.get_by_role("heading", name="Is anything wrong with these codes?")).to_be_visible()
    ready(page)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("combobox", name="Labels")).to_have_value("shade")
    expect(page).to_have_url(re.compile(r"/\?.*labels=shade"))
    expect(page.get_by_test_id("stSidebarNav").get_by_role("link", name="Overview", exact=True)).to_have_count(1)


def test_back_leads_past_the_redirect(page, explorer):
    page.goto(f"{explorer}/query")
    expect(page.get_by_role("heading", name="Which images have these bits?")).to_be_visible()
    page.goto(f"{explorer}/overview?labels=shade")
    expect(page).to_have_url(re.compile(r"/\?labels=shade"))
    ready(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Which images have these bits?")).to_be_visible()


def again(app, path, page):
    """The page that a copied link opens."""
    names = {name: value if isinstance(value, str) else value[0] for name, value in app.query_params.items()}
    return opened(path, page, **{**names, "codes": str(path)})


def test_a_typed_code_is_in_the_address(tmp_path):
    shapes(60).save(tmp_path / "codes.parquet")
    app = opened(tmp_path / "codes.parquet", "retrieval")
    checked(app.button_group(key="source").set_value("a code").run())
    checked(app.text_input(key="typed").set_value("1**0").run())
    shown = rows(app, "near")
    app.query_params["typed"] = "1**0"  # the browser writes what is bound to a field
    app = again(app, tmp_path / "codes.parquet", "retrieval")
    assert rows(app, "near") == shown
    checked(app.button_group(key="source").set_value("from the codes").run())
    assert "source" not in app.query_params


def test_an_upload_says_that_a_link_does_not_hold_it(tmp_path):
    path = exported(tmp_path)
    app = opened(path, "retrieval")
    checked(app.button_group(key="source").set_value("an image of yours").run())
    assert "a copied link opens this page without it" in said(app)
    assert not again(app, path, "retrieval").file_uploader(key="upload").disabled


@pytest.mark.parametrize(
    ("page", "names", "box", "chart", "value"),
    [
        ("bit", {"bit": "2", "part": "where"}, "where", "where-2-", str),
        ("image", {"item": "disc/7.png"}, "looks", "looks-", lambda words: int(words.removeprefix("bit "))),
    ],
)
def test_a_heat_map_reopens_from_its_address(tmp_path, page, names, box, chart, value):
    path = exported(tmp_path)
    app = opened(path, page, **names)
    (first,) = (e.key for e in app.get("plotly_chart") if e.key.startswith(chart))
    other = app.selectbox(key=box)
    checked(other.set_value(value(other.options[3])).run())
    checked(app.button_group(key="heatmap").set_value("gradient").run())
    (seen,) = (e.key for e in app.get("plotly_chart") if e.key.startswith(chart))
    assert seen != first
    assert seen.endswith("-gradient")
    app = again(app, path, page)
    assert [e.key for e in app.get("plotly_chart") if e.key.startswith(chart)] == [seen]
    assert "Gradient times input, an approximation" in said(app)
