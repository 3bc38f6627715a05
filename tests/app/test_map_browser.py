"""The map in a real browser: what is drawn, with which key held."""

import re
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.support.browser import ready


@pytest.fixture
def page(browser, explorer):
    expect.set_options(timeout=60_000)
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{explorer}/map")
    expect(page.locator(".st-key-lasso .nsewdrag").first).to_be_visible(timeout=60_000)
    yield page
    page.close()


def signs(page):
    """The signs of the lassos in the address, in order."""
    return re.findall(r"[+-](?=\()", parse_qs(urlsplit(page.url).query).get("sel", [""])[0])


def drag(page, corners, key=None, place="lasso"):
    """Draw from corner to corner, which are shares of the width and height of the map."""
    ready(page)
    plot = page.locator(f".st-key-{place} .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    if key:
        page.keyboard.down(key)
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()
    if key:
        page.keyboard.up(key)


WHOLE, LEFT = (0.01, 0.99), (0.01, 0.5)
"""Between which shares of the width a shape is drawn."""


def around(x):
    return [(x[0], 0.01), (x[1], 0.01), (x[1], 0.99), (x[0], 0.99), (x[0], 0.02)]


def across(x):
    return [(x[0], 0.01), (x[1], 0.99)]


MODE = """mode => document.querySelector(".st-key-lasso .js-plotly-plot")._fullLayout.dragmode === mode"""


@pytest.mark.parametrize(("shape", "mode", "drawn"), [("Lasso", "lasso", around), ("Box", "select", across)])
def test_shift_adds_and_alt_subtracts(page, shape, mode, drawn):
    count = page.get_by_text(re.compile(r"^\d+ of 80 images"))
    page.locator(".st-key-shape").get_by_text(shape).click()
    page.wait_for_function(MODE, arg=mode)
    drag(page, drawn(WHOLE))
    expect(count).to_have_text(re.compile("^80 of 80 images"))
    assert signs(page) == ["+"]
    drag(page, drawn(LEFT), "Alt")
    expect(count).not_to_have_text(re.compile("^80 of 80 images"))
    assert signs(page) == ["+", "-"]
    drag(page, drawn((0.02, 0.51)), "Shift")
    expect(count).to_have_text(re.compile("^80 of 80 images"))
    assert signs(page) == ["+", "-", "+"]
    drag(page, drawn((0.03, 0.52)))  # no key: a new selection
    expect(count).not_to_have_text(re.compile("^80 of 80 images"))
    assert signs(page) == ["+"]
    page.locator(".st-key-how").get_by_text("Add").click()
    expect(page.get_by_text(f"a {shape.lower()} adds to it")).to_be_visible()
    drag(page, drawn((0.02, 0.98)))
    expect(count).to_have_text(re.compile("^80 of 80 images"))
    assert signs(page) == ["+", "+"]


PLOTS = """[...document.querySelectorAll(".st-key-two-maps .js-plotly-plot")]"""
LIT = f"() => {PLOTS}.map(plot => plot._fullData[1]?.x?.length)"
"""How many points each of the two maps has lit."""


def test_what_one_draws_on_a_is_lit_on_b(page, explorer):
    page.goto(f"{explorer}/compare")
    expect(page.get_by_text("Draw around points of a")).to_be_visible()
    expect(page.locator(".st-key-two-maps .nsewdrag")).to_have_count(2)
    count = page.get_by_text(re.compile(r"^\d+ of 80 images"))
    for key, sign, corners in ((None, ["+"], around(WHOLE)), ("Alt", ["+", "-"], around(LEFT))):
        before = count.inner_text() if count.count() else "none"
        drag(page, corners, key, "two-maps")
        expect(count).not_to_have_text(before)
        ready(page)
        n = int(count.inner_text().split()[0])
        page.wait_for_function(f"n => ({LIT})().every(lit => lit === n)", arg=n)
        assert signs(page) == sign


def touch(page, corners):
    """Draw with a finger from corner to corner."""
    ready(page)
    plot = page.locator(".st-key-lasso .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box, finger = plot.bounding_box(), page.context.new_cdp_session(page)
    places = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in corners]
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for before, after in pairwise(places):
        for step in np.linspace(0, 1, 5)[1:]:
            point = {axis: before[axis] + step * (after[axis] - before[axis]) for axis in "xy"}
            finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_finger_holds_no_key_of_an_earlier_drag(browser, explorer):
    page = browser.new_context(has_touch=True, viewport={"width": 1400, "height": 1000}).new_page()
    page.goto(f"{explorer}/map")
    expect(page.locator(".st-key-lasso .nsewdrag").first).to_be_visible(timeout=60_000)
    drag(page, around(LEFT), "Shift")
    expect(page).to_have_url(re.compile("sel="))
    before = page.url
    touch(page, around(WHOLE))
    expect(page).not_to_have_url(before)
    assert signs(page) == ["+"]
    page.context.close()
